"""Models for processes that see a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tf_blade.dtypes import DType
from tf_blade.engines.signature import EngineInput, EngineOutput, EngineSignature, SymbolInfo

_X, _C = 8, 5
SIDE = 32


class Model(tf.Module):
    """Float and int32 inputs and outputs, and variables that a function reads which the signature calls."""

    def __init__(self) -> None:
        super().__init__()
        generator = np.random.default_rng(3)
        self.w = tf.Variable(generator.standard_normal((_X, _C)).astype(np.float32))
        self.b = tf.Variable(generator.standard_normal(_C).astype(np.float32))

    @tf.function
    def dense(self, x: Any) -> Any:
        return tf.nn.relu(tf.matmul(x, self.w) + self.b)

    @tf.function(input_signature=[tf.TensorSpec([None, _X], name="x"), tf.TensorSpec([None], tf.int32, name="n")])
    def serve(self, x: Any, n: Any) -> Any:
        y = self.dense(x) + self.b
        scaled = tf.tanh(y) * tf.cast(n, tf.float32)[:, None] + self.b
        return {"y": scaled, "best": tf.argmax(scaled, 1, output_type=tf.int32), "next": n * 3 + 1}


def save(folder: Path) -> None:
    model = Model()
    tf.saved_model.save(model, str(folder), signatures=model.serve)


def feeds(rows: int) -> dict[str, npt.NDArray[Any]]:
    generator = np.random.default_rng(rows)
    x = generator.standard_normal((rows, _X)).astype(np.float32)
    return {"x": x, "n": generator.integers(1, 9, rows).astype(np.int32)}


def device_signature() -> EngineSignature:
    """The signature of device_engine.cc."""
    rows, counts = (("sym", 0),), (("sym", 1),)
    three = (("const", 3),)
    return EngineSignature(
        symbols=(SymbolInfo("rows", 0, 64), SymbolInfo("counts", 0, 64)),
        inputs=(
            EngineInput("x", DType.FLOAT, (rows, three)),
            EngineInput("w", DType.FLOAT, (three,), "weight"),
            EngineInput("c", DType.INT32, (counts,)),
        ),
        outputs=(EngineOutput("y", DType.FLOAT, (rows, three)), EngineOutput("m", DType.INT32, (counts,))),
    )


def device_fallback() -> Any:
    """The same by TensorFlow: a product on the CPU, a sum on the device."""

    @tf.function(
        input_signature=[tf.TensorSpec([None, 3]), tf.TensorSpec(None, tf.resource), tf.TensorSpec([None], tf.int32)]
    )
    def fallback(x: Any, w: Any, c: Any) -> Any:
        weights = tf.raw_ops.ReadVariableOp(resource=w, dtype=tf.float32)
        return tf.ensure_shape(x * weights, [None, 3]) + tf.zeros([3]), c + 1

    return fallback.get_concrete_function()


def summing_fallback() -> Any:
    """x @ w + 3 x: the sum of many is a temporary variable of TensorFlow's."""
    spec = tf.TensorSpec([SIDE, SIDE])

    @tf.function(input_signature=[spec, tf.TensorSpec(None, tf.resource)])
    def fallback(x: Any, w: Any) -> Any:
        weights = tf.ensure_shape(tf.raw_ops.ReadVariableOp(resource=w, dtype=tf.float32), spec.shape)
        return tf.math.accumulate_n([x, tf.linalg.matmul(x, weights), x + x])

    return fallback.get_concrete_function()


def shifting_fallback() -> Any:
    """x * w + shift, of a float and an int32 variable."""
    resource = tf.TensorSpec(None, tf.resource)

    @tf.function(input_signature=[tf.TensorSpec([None, 3]), resource, resource])
    def fallback(x: Any, w: Any, shift: Any) -> Any:
        weights = tf.raw_ops.ReadVariableOp(resource=w, dtype=tf.float32)
        added = tf.raw_ops.ReadVariableOp(resource=shift, dtype=tf.int32)
        return x * tf.ensure_shape(weights, [3]) + tf.cast(tf.ensure_shape(added, [3]), tf.float32)

    return fallback.get_concrete_function()
