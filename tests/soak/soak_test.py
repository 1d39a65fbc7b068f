"""Two minutes of what `python -m benchmarks.serving.soak` does for ten: see there."""

from __future__ import annotations

from absl.testing import absltest

from benchmarks.serving import soak


class SoakTest(absltest.TestCase):
    def test_two_minutes(self) -> None:
        outcome = soak.run(120, full=False, requests=24)
        self.assertEqual((outcome.wrong, outcome.lost, outcome.hung), (0, 0, 0), outcome)
        self.assertGreater(outcome.settled_bytes, 0)
        self.assertTrue(outcome.good, outcome)
        self.assertGreater(outcome.calls, 1000)
        # Both injected faults and the corrupt engine were met; most calls were served by engines all the same.
        self.assertEqual(set(outcome.fallbacks) & {"hash", "run_error"}, {"hash", "run_error"}, outcome)
        self.assertGreater(outcome.engine_runs, sum(outcome.fallbacks.values()))


if __name__ == "__main__":
    absltest.main()
