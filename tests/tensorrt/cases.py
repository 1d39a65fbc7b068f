"""Rows of what the shared op tables have no row for that TensorRT takes."""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow as tf

from tests.ops.harness import Arg, OpCase, f32, uniform

raw = tf.raw_ops


def _elementwise() -> Iterator[OpCase]:
    for name, make in (("Acosh", uniform(1, 5)), ("Asinh", uniform(-3, 3)), ("Atanh", uniform(-0.9, 0.9))):
        fn = getattr(raw, name)
        yield OpCase(f"{name}_float32", lambda x, fn=fn: fn(x=x), (f32("n", 3, make=make),), 2e-6)
    for t in (tf.int32, tf.int64):
        for name in ("FloorMod", "FloorDiv", "Mod", "TruncateMod", "Div", "TruncateDiv"):
            fn = getattr(raw, name)
            for divisor in (3, -4):
                yield OpCase(
                    f"{name}_by_{divisor}_{t.name}",
                    lambda x, fn=fn, d=divisor, t=t: fn(x=x, y=tf.constant(d, t)),
                    (Arg(t, ("n", 5)),),
                )
    for exponent in (1.5, -2.0, 4.0, 0.5):
        yield OpCase(
            f"Pow_by_{exponent}",
            lambda x, e=exponent: raw.Pow(x=x, y=tf.constant(e)),
            (f32("n", 3, make=uniform(0.2, 3)),),
        )


def _shape() -> Iterator[OpCase]:
    for name in ("StopGradient", "PreventGradient", "Snapshot", "GuaranteeConst"):
        fn = getattr(raw, name)
        yield OpCase(name, lambda x, fn=fn: fn(input=x) * 2.0, (f32("n", 3),))
    yield OpCase("IdentityN", lambda x, y: raw.IdentityN(input=[x, y]), (f32("n"), f32(2)))
    yield OpCase("EnsureShape", lambda x: raw.EnsureShape(input=x, shape=[None, 3]) + 1.0, (f32("n", 3),))
    yield OpCase("Range_shape", lambda x: raw.Range(start=2, limit=tf.shape(x)[0] * 3, delta=2), (f32("n", 3),))
    kept: list[tf.Variable] = []

    def read(x: tf.Tensor) -> tf.Tensor:
        if not kept:
            with tf.init_scope():
                kept.append(tf.Variable([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
        return raw.MatMul(a=x, b=raw.ReadVariableOp(resource=kept[0].handle, dtype=tf.float32))

    yield OpCase("ReadVariableOp", read, (f32("n", 3),))


CASES: tuple[OpCase, ...] = (*_elementwise(), *_shape())
