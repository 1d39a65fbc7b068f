"""StridedSlice with random bounds, strides and masks, against TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from tests.ops import harness
from tests.ops.harness import OpCase, i32
from tf_blade.errors import Unsupported

MASKS = ("begin_mask", "end_mask", "new_axis_mask", "shrink_axis_mask")
SPECIFICATIONS = 120


def random_case(seed: int) -> OpCase:
    """A slice of a tensor of rank 3 with two unknown dimensions."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 5))
    masks = {name: int(rng.integers(0, 1 << count)) & int(rng.integers(0, 1 << count)) for name in MASKS}
    masks["ellipsis_mask"] = int(rng.choice([0, 1 << int(rng.integers(0, count))]))
    begin, end = rng.integers(-5, 6, count).tolist(), rng.integers(-5, 6, count).tolist()
    strides = rng.choice([1, 1, 2, 3, -1, -2], count).tolist()

    def fn(x: Any) -> Any:
        return tf.raw_ops.StridedSlice(input=x, begin=begin, end=end, strides=strides, **masks)

    return OpCase(f"StridedSlice {begin} {end} {strides} {masks}", fn, (i32("n", 4, "m"),), sizes=(0, 1, 5))


class RandomSliceTest(parameterized.TestCase):
    def test_against_tensorflow(self) -> None:
        computed = 0
        for seed in range(SPECIFICATIONS):
            case = random_case(seed)
            try:
                lowered = harness.lower_case(case)
            except ValueError:
                continue  # TensorFlow refuses the specification for any size
            except Unsupported:
                with self.assertRaises(tf.errors.InvalidArgumentError, msg=case.name):
                    case.fn(np.zeros((5, 4, 5), np.int32))
                continue
            for sizes in case.all_sizes():
                arrays = [arg.fill(np.random.default_rng(seed), sizes) for arg in case.inputs]
                computed += harness.check_call(self, lowered, arrays, sizes, harness.interpret)
        self.assertGreater(computed, SPECIFICATIONS)


if __name__ == "__main__":
    absltest.main()
