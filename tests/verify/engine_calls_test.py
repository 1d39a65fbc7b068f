"""Who served calls: of the model at hand, whatever others were called before it in the process."""

from __future__ import annotations

from typing import Any
from unittest import mock

from absl.testing import absltest

from tf_blade import runtime
from tf_blade.engine_calls import EngineCalls


def _engine(index: int, backend: str, runs: int, refused: dict[str, int] | None = None) -> dict[str, Any]:
    found = {"index": index, "backend": backend, "hash": f"{backend}'s", "runs": runs}
    return {**found, "refused": refused or {}, "load_refusal": ""}


def _cluster(calls: int, runs: int, *engines: dict[str, Any]) -> dict[str, Any]:
    fallbacks = {"shape": calls - runs} if calls > runs else {}
    return {"cluster": "main_0", "calls": calls, "engine_runs": runs, "fallbacks": fallbacks, "engines": list(engines)}


def _so_far(*clusters: dict[str, Any]) -> EngineCalls:
    with mock.patch.object(runtime, "runtime_stats", lambda: {"clusters": clusters}):
        return EngineCalls.so_far()


class EngineCallsTest(absltest.TestCase):
    def test_a_namesake_of_another_model(self) -> None:
        earlier = _cluster(3, 0, _engine(0, "tensorrt", 0, {"shape": 3}))
        found = _so_far(earlier, _cluster(2, 2, _engine(0, "disc", 2))) - _so_far(earlier)
        self.assertEqual((2, 2, {}), (found.calls, found.engine_runs, found.fallbacks))
        self.assertEqual(({"disc": 2}, {}, ()), (found.backends(), found.idle(), found.unserved()))

    def test_a_namesake_that_was_served_hides_none_that_was_not(self) -> None:
        found = _so_far(_cluster(2, 2, _engine(0, "disc", 2)), _cluster(1, 0, _engine(0, "tensorrt", 0)))
        self.assertEqual(("main_0",), (found - EngineCalls()).unserved())

    def test_reasons_from_before_are_not_given_again(self) -> None:
        before = _so_far(_cluster(2, 2, _engine(0, "tensorrt", 0, {"shape": 2}), _engine(1, "disc", 2)))
        after = _so_far(_cluster(5, 5, _engine(0, "tensorrt", 0, {"shape": 2, "device": 3}), _engine(1, "disc", 5)))
        self.assertEqual({"tensorrt": 0, "disc": 3}, (after - before).backends())
        self.assertEqual({"tensorrt": ("device",)}, (after - before).idle())


if __name__ == "__main__":
    absltest.main()
