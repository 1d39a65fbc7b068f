"""A short version of what benchmarks/serving does for long: weights that change under load."""

from __future__ import annotations

from absl.testing import absltest

from benchmarks.serving import swaps


class ServingTest(absltest.TestCase):
    def test_each_response_is_of_one_version_of_the_weights(self) -> None:
        outcome = swaps.run(60, 8)
        self.assertEqual((outcome.torn, outcome.fallbacks), (0, {}), outcome)
        self.assertGreater(outcome.responses, 240)
        self.assertGreater(outcome.versions, 30)
        self.assertGreater(outcome.inits, 30)


if __name__ == "__main__":
    absltest.main()
