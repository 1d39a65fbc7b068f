"""Half precision by casts: products in half types, what is risky in float32, results near TensorFlow's float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from tests.ops import harness
from tests.ops.harness import OpCase, f32
from tests.tensorrt import kit
from tf_blade.backends.tensorrt.precision import PRECISIONS


def _block(x: tf.Tensor, w: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
    """Attention of a sort, and a layer norm."""
    y = tf.nn.relu(x @ w)
    weights = tf.nn.softmax(tf.matmul(y, y, transpose_b=True))
    z = tf.matmul(weights, y) @ v + x
    mean, variance = tf.nn.moments(z, [-1], keepdims=True)
    return (z - mean) * tf.math.rsqrt(variance + 1e-5)


CASE = OpCase("Block", _block, (f32(2, "n", 16), f32(16, 16, weight=True), f32(16, 16, weight=True)))
_FULL_LAYERS = ("SOFTMAX", "REDUCE")


class PrecisionTest(parameterized.TestCase):
    @parameterized.parameters(("fp16", 8e-3), ("bf16", 3e-2), ("tf32", 1e-5))
    def test_results(self, precision: str, tolerance: float) -> None:
        traced, graph = harness.trace(CASE)
        converted = kit.converter().convert(graph, kit.weights_of(graph, CASE), precision=PRECISIONS[precision])
        rng = np.random.default_rng(0)
        arrays = [arg.fill(rng, {"n": 5}) for arg in CASE.inputs]
        (result,) = kit.Run(converted)(arrays)
        (wanted,) = harness.flatten(traced(*map(tf.constant, arrays)))
        self.assertEqual(np.float32, result.dtype)
        harness.assert_close(result, wanted, tolerance, precision)

    @parameterized.parameters("fp16", "bf16")
    def test_types_of_layers(self, precision: str) -> None:
        _, graph = harness.trace(CASE)
        converted = kit.converter().convert(graph, kit.weights_of(graph, CASE), precision=PRECISIONS[precision])
        trt = kit.converter().library.trt
        low = {"fp16": trt.float16, "bf16": trt.bfloat16}[precision]
        found: dict[str, set[Any]] = {}
        for index in range(converted.definition.num_layers):
            layer = converted.definition.get_layer(index)
            kind = str(layer.type).rpartition(".")[2]
            found.setdefault(kind, set()).add(layer.get_input(0).dtype if layer.num_inputs else None)
        self.assertEqual({low}, found["MATRIX_MULTIPLY"])
        for kind in _FULL_LAYERS:
            self.assertEqual({trt.float32}, found[kind], kind)


if __name__ == "__main__":
    absltest.main()
