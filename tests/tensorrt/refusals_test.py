"""What rules refuse, and ops without one: nothing becomes what differs from TensorFlow, and the reason says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from absl.testing import absltest, parameterized

from tests.ops.harness import Arg, OpCase, f32, i32, i64
from tests.tensorrt import kit
from tf_blade.errors import Unsupported

raw = tf.raw_ops
_IMAGE = f32("n", 6, 6, 3)


def _quantized(x: Any) -> Any:
    parts = raw.QuantizeV2(input=x, min_range=-1.0, max_range=1.0, T=tf.qint8, mode="SCALED")
    return raw.Dequantize(input=parts[0], min_range=parts[1], max_range=parts[2], mode="SCALED")


_CASES: tuple[tuple[str, Callable[..., Any], tuple[Arg, ...], str], ...] = (
    ("integer_quotient", lambda x, y: raw.FloorDiv(x=x, y=y), (i32("n"), i32("n")), "divided by what may be zero"),
    ("remainder_of_floats", lambda x, y: raw.FloorMod(x=x, y=y), (f32("n"), f32("n")), "FloorMod with T=float"),
    ("power_of_tensors", lambda x, y: raw.Pow(x=x, y=y), (f32("n"), f32("n")), "not one constant"),
    ("large_power", lambda x: raw.Pow(x=x, y=9.0), (f32("n"),), "the exponent 9"),
    ("infinite_power", lambda x: raw.Pow(x=x, y=float("inf")), (f32("n"),), "the exponent inf"),
    ("power_of_nan", lambda x: raw.Pow(x=x, y=float("nan")), (f32("n"),), "the exponent nan"),
    ("integer_power", lambda x, y: raw.Pow(x=x, y=y), (i32("n"), i32("n")), "integers that are not constant"),
    ("negative_power", lambda x: raw.Pow(x=x, y=[-1]), (i32("n"),), "to a negative power"),
    ("factors", lambda x: raw.Cumprod(x=x, axis=1), (f32("n", "m"),), "the number of factors is unknown"),
    ("many_factors", lambda x: raw.Cumprod(x=x, axis=1), (i32("n", 1025),), "1025 factors"),
    ("many_factors_of_floats", lambda x: raw.Cumprod(x=x, axis=1), (f32("n", 129),), "129 factors"),
    ("endless_band",
     lambda x: raw.MatrixBandPart(input=x, num_lower=tf.constant(2**40, tf.int64), num_upper=tf.constant(0, tf.int64)),
     (f32("n", 4, 5),), "more diagonals than a matrix can have"),
    ("band", lambda x: raw.MatrixDiagPartV3(input=x, k=[-1, 1], padding_value=0.0), (_IMAGE,), "several diagonals"),
    ("computed_shift", lambda x, s: raw.Roll(input=x, shift=s, axis=[0]), (f32("n"), i64(1)), "not known before run"),
    ("large_patches",
     lambda x: raw.ExtractImagePatches(
         images=x, ksizes=[1, 9, 9, 1], strides=[1, 1, 1, 1], rates=[1, 1, 1, 1], padding="SAME"
     ), (_IMAGE,), "patches of more than 64 pixels"),
    ("no_boundaries", lambda x: raw.Bucketize(input=x, boundaries=[]), (f32("n"),), "no boundaries"),
    ("found_sizes", lambda x: raw.Where(condition=x > 0), (f32("n"),), "only the run finds"),
    ("segments", lambda x, i: raw.SegmentSum(data=x, segment_ids=i), (f32("n", 3), i32("n")), "keep one of them"),
    ("bits", lambda x: raw.BitwiseAnd(x=x, y=3), (i32("n"),), "not with bits"),
    ("quantized", _quantized, (f32("n"),), "plans have no quantized inputs"),
    ("boxes",
     lambda x, y: raw.NonMaxSuppressionV3(
         boxes=x, scores=y, max_output_size=3, iou_threshold=0.5, score_threshold=0.1
     ), (f32("n", 4), f32("n")), "boxes of equal scores in any order"),
    ("cubic", lambda x: raw.ResizeBicubic(images=x, size=[5, 5]), (_IMAGE,), "come from a table"),
)  # fmt: skip


class RefusalsTest(parameterized.TestCase):
    @parameterized.named_parameters(*_CASES)
    def test_the_reason(self, fn: Callable[..., Any], inputs: tuple[Arg, ...], reason: str) -> None:
        _, graph = kit.trace(OpCase("refused", fn, inputs))
        with self.assertRaisesRegex(Unsupported, reason):
            kit.converter().convert(graph, frozenset())


if __name__ == "__main__":
    absltest.main()
