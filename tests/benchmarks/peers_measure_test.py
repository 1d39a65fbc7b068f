"""Rounds: everyone has a turn in each, and those in which others used the machine do not count."""

import itertools
from typing import Any
from unittest import mock

import numpy as np
from absl.testing import absltest

from benchmarks.cpu.peers import driver, measure


class _Team:
    """Answers with the number of the turn, and keeps who had one."""

    def __init__(self) -> None:
        self.turns: list[str] = []

    def turn(self, framework: str, do: str, **request: Any) -> dict[str, Any]:
        self.turns.append(framework)
        return {"times": [float(len(self.turns)), float(len(self.turns))]}


def _rounds(shares: list[float]) -> tuple[dict[str, list[float]], float, list[str]]:
    """Times by key, the share that others had, and the turns, when others have these shares in turn."""
    team, left = _Team(), iter(shares)

    class Load:
        def share(self) -> float:
            return next(left)

    clock = itertools.count()  # a second at each look
    with (
        mock.patch.object(measure, "ForeignLoad", Load),
        mock.patch("time.perf_counter", lambda: float(next(clock))),
    ):
        timed, share = measure._rounds(team, "row", ["a.python", "b.session"], 2.0)  # type: ignore[arg-type]
    return {key: timing.times for key, timing in timed.items()}, share, team.turns


class RoundsTest(absltest.TestCase):
    def test_frameworks_take_turns(self) -> None:
        times, share, turns = _rounds([0.0] * 5)
        self.assertEqual(turns, ["a", "b"] * 5)
        self.assertEqual(times["a.python"], [1, 1, 3, 3, 5, 5, 7, 7, 9, 9])
        self.assertEqual(times["b.session"], [2, 2, 4, 4, 6, 6, 8, 8, 10, 10])
        self.assertEqual(share, 0)

    def test_of_disturbed_rounds_the_quietest_count(self) -> None:
        with mock.patch.object(measure, "_PATIENCE", 0.0):
            times, share, turns = _rounds([0.5, 0.1, 0.2, 0.1, 0.2])
        self.assertLen(turns, 10)
        self.assertLen(times["a.python"], 10)
        self.assertAlmostEqual(share, 0.22)

    def test_a_disturbed_round_is_made_again(self) -> None:
        with mock.patch.object(measure, "_PATIENCE", 1e12):
            times, share, turns = _rounds([0.5, 0.0, 0.0, 0.9, 0.0, 0.0, 0.01])
        self.assertLen(turns, 14)
        self.assertEqual(times["a.python"], [3, 3, 5, 5, 9, 9, 11, 11, 13, 13])
        self.assertAlmostEqual(share, 0.002)


class TimingTest(absltest.TestCase):
    def test_quartiles_in_milliseconds(self) -> None:
        found = measure.Timing([0.004, 0.001, 0.002, 0.003, 0.005]).to_json()
        np.testing.assert_allclose([found[key] for key in ("low", "ms", "high", "calls")], [2, 3, 4, 5])


class ForeignLoadTest(absltest.TestCase):
    def test_own_work_is_not_foreign(self) -> None:
        read = iter([(100.0, 40.0, 30.0), (110.0, 46.0, 35.0)])
        with mock.patch.object(driver.ForeignLoad, "_read", lambda _: next(read)):
            self.assertAlmostEqual(driver.ForeignLoad().share(), 0.1)


if __name__ == "__main__":
    absltest.main()
