"""Real plans of the zoo's small models: nearly all of the work is in engines, in each precision."""

from __future__ import annotations

import itertools

from absl.testing import absltest, parameterized

from benchmarks.tensorrt import plans


class PlansTest(parameterized.TestCase):
    @parameterized.parameters(*itertools.product(plans.MODELS, ("fp32", "fp16")))
    def test_plans(self, model: str, precision: str) -> None:
        # One profile is enough to see that there is a plan.
        row = plans.measure(model, precision, whole=False, batch_sizes=(1, 2))
        self.assertEmpty(row.failures)
        self.assertGreaterEqual(row.coverage, 0.95)
        self.assertGreater(row.plan_bytes, 10_000)
        if model.startswith("encoder"):
            self.assertEqual(1, row.engines)


if __name__ == "__main__":
    absltest.main()
