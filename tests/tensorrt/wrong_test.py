"""A network that is wrong is found out: each kind of layer is given a wrong attribute, and the comparison fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import tensorflow as tf
from absl.testing import absltest, parameterized

from tests.ops.harness import OpCase, f32, i32, integers
from tests.tensorrt import kit
from tf_blade.backends.tensorrt.convert import Converted, Converter

raw = tf.raw_ops
Spoil = Callable[[Any, Any], None]


def _set(name: str, value: Callable[[Any], Any]) -> Spoil:
    return lambda trt, layer: setattr(layer, name, value(trt))


_IMAGE = f32("n", 6, 6, 3)
_CASES: tuple[tuple[str, str, OpCase, Spoil], ...] = (
    ("elementwise", "IElementWiseLayer", OpCase("a", lambda x, y: x + y, (f32("n", 3), f32(3))),
     _set("op", lambda trt: trt.ElementWiseOperation.SUB)),
    ("unary", "IUnaryLayer", OpCase("a", tf.sin, (f32("n", 3),)), _set("op", lambda trt: trt.UnaryOperation.COS)),
    ("activation", "IActivationLayer", OpCase("a", lambda x: raw.LeakyRelu(features=x), (f32("n", 3),)),
     _set("alpha", lambda trt: 0.3)),
    ("reduce", "IReduceLayer", OpCase("a", lambda x: tf.reduce_sum(x, 1), (f32("n", 3),)),
     _set("op", lambda trt: trt.ReduceOperation.AVG)),
    ("matmul", "IMatrixMultiplyLayer", OpCase("a", lambda x, y: x @ y, (f32("n", 3), f32(3, 3))),
     _set("op1", lambda trt: trt.MatrixOperation.TRANSPOSE)),
    ("softmax", "ISoftMaxLayer", OpCase("a", tf.nn.softmax, (f32("n", 3),)), _set("axes", lambda trt: 1)),
    ("transpose", "IShuffleLayer", OpCase("a", lambda x: tf.transpose(x, [1, 0, 2]), (f32(3, 3, "n"),)),
     _set("first_transpose", lambda trt: (0, 1, 2))),
    ("slice", "ISliceLayer", OpCase("a", lambda x: raw.Slice(input=x, begin=[0, 1], size=[2, 3]), (f32(3, 6),)),
     _set("start", lambda trt: (0, 2))),
    ("concat", "IConcatenationLayer", OpCase("a", lambda x, y: tf.concat([x, y], 0), (f32(3, 3), f32(3, 3))),
     _set("axis", lambda trt: 1)),
    ("convolution", "IConvolutionLayer",
     OpCase("a", lambda x, w: tf.nn.conv2d(x, w, 1, [[0, 0], [1, 1], [1, 1], [0, 0]]), (_IMAGE, f32(3, 3, 3, 3))),
     _set("post_padding", lambda trt: (0, 1))),
    ("pooling", "IPoolingLayer", OpCase("a", lambda x: tf.nn.avg_pool2d(x, 3, 2, "SAME"), (_IMAGE,)),
     _set("average_count_excludes_padding", lambda trt: False)),
    ("resize", "IResizeLayer",
     OpCase("a", lambda x: raw.ResizeBilinear(images=x, size=[9, 4], half_pixel_centers=True), (_IMAGE,)),
     _set("coordinate_transformation", lambda trt: trt.ResizeCoordinateTransformation.ASYMMETRIC)),
    ("gather", "IGatherLayer", OpCase("a", lambda x, i: tf.gather(x, i), (f32(4, 4), i32("n", make=integers(0, 4)))),
     _set("axis", lambda trt: 1)),
    ("topk", "ITopKLayer", OpCase("a", lambda x: tf.math.top_k(x, 2).values, (f32("n", 5),)),
     _set("op", lambda trt: trt.TopKOperation.MIN)),
    ("cumulative", "ICumulativeLayer", OpCase("a", lambda x: tf.cumsum(x, 1), (f32("n", 5),)),
     _set("exclusive", lambda trt: True)),
    ("einsum", "IEinsumLayer",
     OpCase("a", lambda x, y: tf.einsum("nij,njk->nik", x, y), (f32("n", 3, 3), f32("n", 3, 3))),
     _set("equation", lambda trt: "abc,adc->abd")),
    ("cast", "ICastLayer", OpCase("a", lambda x: tf.cast(x, tf.int32), (f32("n", 5),)),
     _set("to_type", lambda trt: trt.int64)),
)  # fmt: skip


class WrongNetworksTest(parameterized.TestCase):
    @parameterized.named_parameters(*_CASES)
    def test_a_wrong_attribute(self, cls: str, case: OpCase, spoil: Spoil) -> None:
        self.assertIsNotNone(kit.check(case))
        convert = Converter.convert

        def spoiled(converter: Converter, *args: Any, **kwargs: Any) -> Converted:
            converted = convert(converter, *args, **kwargs)
            self.assertTrue(_spoil(converter.library.trt, converted.definition, cls, spoil))
            return converted

        with mock.patch.object(Converter, "convert", spoiled), self.assertRaises(AssertionError):
            kit.check(case)


def _spoil(trt: Any, definition: Any, cls: str, spoil: Spoil) -> bool:
    """Spoils the first layer of a class."""
    kinds = {"IMatrixMultiplyLayer": "MATRIX_MULTIPLY", "IElementWiseLayer": "ELEMENTWISE", "ISoftMaxLayer": "SOFTMAX"}
    kind = kinds.get(cls, cls[1 : -len("Layer")].upper())
    for index in range(definition.num_layers):
        layer = definition.get_layer(index)
        if layer.type == getattr(trt.LayerType, kind):
            layer.__class__ = getattr(trt, cls)
            spoil(trt, layer)
            return True
    return False


if __name__ == "__main__":
    absltest.main()
