"""Real plans of the zoo's small models: nearly all of the work is in engines, in each precision."""

from __future__ import annotations

import functools
import itertools

from absl.testing import absltest, parameterized

from benchmarks.tensorrt import plans

ONE_ENGINE = ("encoder_module", "unet")
PRECISIONS = ("fp32", "fp16")


@functools.cache
def _rows(model: str) -> dict[str, plans.Row]:
    """One profile is enough to see that there is a plan."""
    return {row.precision: row for row in plans.measure(model, PRECISIONS, whole=False, batch_sizes=(1, 2))}


class PlansTest(parameterized.TestCase):
    @parameterized.parameters(*itertools.product(plans.MODELS, PRECISIONS))
    def test_plans(self, model: str, precision: str) -> None:
        row = _rows(model)[precision]
        self.assertEmpty(row.failures)
        self.assertGreaterEqual(row.coverage, 0.95)
        self.assertGreater(row.plan_bytes, 10_000)
        if model in ONE_ENGINE:
            self.assertEqual(1, row.engines)


if __name__ == "__main__":
    absltest.main()
