from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from tests.ops import compiled, harness, joined
from tests.ops.cases_dynamic import CASES, COMPILED
from tests.ops.functions import Lowered
from tf_blade.backends.disc.harness import GuardRefused

# Rows whose calls are errors, or TensorFlow's, at some sizes.
ALONE = (
    "Where_guard",
    "NonMaxSuppressionV3_threshold",
    "NonMaxSuppressionV3_negative_size",
    "SegmentSum_order",
    "SparseSegmentSum_range",
    "DynamicPartition_range",
    "DynamicStitch_negative",
    "RaggedRange_zero",
    "RaggedGather_range",
    "SparseFillEmptyRows_range",
    "SparseReshape_wrong",
    "Fill_found_negative",
    "Range_found_large",
    "Reshape_found_other",
    "StridedSlice_found_row",
)


class DynamicCompiledTest(parameterized.TestCase):
    @parameterized.named_parameters(joined.chunks([*CASES, *COMPILED], 50))
    def test_against_tensorflow(self, *cases: harness.OpCase) -> None:
        joined.check(self, cases)

    @parameterized.named_parameters((case.name, case) for case in CASES if case.name in ALONE)
    def test_errors_and_guards(self, case: harness.OpCase) -> None:
        compiled.check_alone(self, case)


def _square_of(size: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    def call(x: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
        side = size(x, n)
        return tf.reduce_sum(tf.nn.softmax(tf.fill([side, side], x[0])))

    return call


class HugeSizeTest(parameterized.TestCase):
    @parameterized.named_parameters(
        ("fed", lambda x, n: n),
        ("found", lambda x, n: n * tf.cast(tf.reduce_sum(tf.cast(x > 0, tf.int32)), tf.int64)),
    )
    def test_sizes_whose_products_overflow_are_refused(self, size: Callable[..., tf.Tensor]) -> None:
        lowered = Lowered(_square_of(size), [tf.TensorSpec([None]), tf.TensorSpec([], tf.int64)])
        run, x = lowered.compile(), np.ones(1, np.float32)
        for n in (0, 1, 5):
            want = lowered.expected(x, np.array(n))
            np.testing.assert_allclose(run(x, np.array(n))[0], want[0], rtol=1e-6)
        for n in (1 << 29, 1 << 32, 1 << 40, (1 << 63) - 1):
            with self.assertRaises(GuardRefused):
                run(x, np.array(n))


if __name__ == "__main__":
    absltest.main()
