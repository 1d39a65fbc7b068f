"""Short versions of what benchmarks/serving does for long: a soak with faults, and weights that change under load."""

from __future__ import annotations

from absl.testing import absltest

from benchmarks.serving import soak, swaps


class ServingTest(absltest.TestCase):
    def test_soak(self) -> None:
        outcome = soak.run(15, full=False, requests=12, faults="1/30")
        self.assertEqual((outcome.wrong, outcome.lost, outcome.hung), (0, 0, 0), outcome)
        self.assertTrue(outcome.good, outcome)
        self.assertGreater(outcome.calls, 50)
        # Both injected faults and the corrupt engine were met; most calls were served by engines all the same.
        self.assertEqual(set(outcome.fallbacks) & {"hash", "run_error"}, {"hash", "run_error"}, outcome)
        self.assertGreater(outcome.engine_runs, sum(outcome.fallbacks.values()))

    def test_each_response_is_of_one_version_of_the_weights(self) -> None:
        outcome = swaps.run(60, 8)
        self.assertEqual((outcome.torn, outcome.fallbacks), (0, {}), outcome)
        self.assertGreater(outcome.responses, 240)
        self.assertGreater(outcome.versions, 30)
        self.assertGreater(outcome.inits, 30)


if __name__ == "__main__":
    absltest.main()
