"""Rows of the sources and no-ops."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tests.ops.harness import Arg, OpCase, f32, i32, i64, integers

raw = tf.raw_ops
TYPES = (
    tf.float32,
    tf.float64,
    tf.float16,
    tf.bfloat16,
    tf.int8,
    tf.int16,
    tf.int32,
    tf.int64,
    tf.uint8,
    tf.uint16,
    tf.uint32,
    tf.uint64,
    tf.bool,
)
_TABLE = tf.Variable(np.arange(30, dtype=np.float32).reshape(5, 6))
_DEEP = tf.Variable(np.arange(60, dtype=np.float32).reshape(3, 4, 5))


def _gather_rows(indices: tf.Tensor) -> tf.Tensor:
    return raw.ResourceGather(resource=_TABLE.handle, indices=indices, dtype=tf.float32)


def _gather_batch(indices: tf.Tensor) -> tf.Tensor:
    return raw.ResourceGather(resource=_DEEP.handle, indices=indices, dtype=tf.float32, batch_dims=1)


CASES = (
    *(
        OpCase(f"{name}_{t.name}", lambda x, fn=fn: fn(input=x), (Arg(t, ("n", 3)),))
        for name, fn in [
            ("Identity", raw.Identity),
            ("StopGradient", tf.stop_gradient),
            ("PreventGradient", raw.PreventGradient),
            ("Snapshot", raw.Snapshot),
        ]
        for t in (TYPES if name == "Identity" else (tf.float32, tf.int64))
    ),
    OpCase("IdentityN", lambda x, y: raw.IdentityN(input=[x, y]), (f32("n"), i64(2, "m"))),
    *(
        OpCase(
            f"Const_{t.name}",
            lambda x, t=t: (
                x,
                raw.Identity(input=tf.constant([[1, 0, 5]], t) if t != tf.bool else tf.constant([[True, False]])),
            ),
            (f32("n"),),
        )
        for t in TYPES
    ),
    OpCase("Const_large", lambda x: raw.AddV2(x=x, y=tf.constant(np.arange(500, dtype=np.float32))), (f32("n", 500),)),
    OpCase("Placeholder", lambda x: x, (f32("n", 3),)),
    OpCase(
        "ReadVariableOp",
        lambda x: raw.MatMul(a=x, b=raw.ReadVariableOp(resource=_TABLE.handle, dtype=tf.float32)),
        (f32("n", 5),),
    ),
    *(
        OpCase(f"ResourceGather_{t.name}", _gather_rows, (Arg(t, ("n", 2), integers(0, 5)),))
        for t in (tf.int32, tf.int64)
    ),
    OpCase("ResourceGather_scalar", _gather_rows, (i32(make=integers(0, 5)),)),
    OpCase("ResourceGather_batch", _gather_batch, (i32(3, "n", make=integers(0, 4)),)),
    OpCase("ResourceGather_range", _gather_rows, (i32("n", make=integers(5, 9)),), sizes=(0, 3)),
)
