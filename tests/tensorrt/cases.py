"""Rows of what the shared op tables have no row for that TensorRT takes."""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow as tf

from tests.ops import cases_sampling
from tests.ops.cases_elementwise import INF, NAN
from tests.ops.harness import Arg, OpCase, Sizes, cycle, f32, i32, integers, uniform

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


def _far() -> Iterator[OpCase]:
    """Values whose sums, products or quotients leave a type, or have no number, on the way to a result that has one."""
    large = cycle(2**31 - 1, 2**31 - 8, 5, 2**31 - 1, -(2**31), -(2**31) + 3, -7)
    for axis in (0, 1):
        yield OpCase(
            f"Mean_large_{axis}_int32",
            lambda x, axis=axis: raw.Mean(input=x, axis=[axis]),
            (i32("n", 4, make=large),),
            sizes=(3, 8),
        )
    factors = cycle(1e-30, 1e30, 1e30, 1e-30, 2, 3e-30, 1e-30, 1e30, 0, 4, INF, 2, 5, INF, 0, -1, -INF, 7, 1e-30)
    for exclusive in (False, True):
        for reverse in (False, True):
            yield OpCase(
                f"Cumprod_far_{exclusive}_{reverse}",
                lambda x, e=exclusive, r=reverse: raw.Cumprod(x=x, axis=1, exclusive=e, reverse=r),
                (f32("n", 8, make=factors),),
                sizes=(5, 19),
            )
    yield OpCase(
        "Cumprod_many_int32", lambda x: raw.Cumprod(x=x, axis=1), (i32("n", 200, make=integers(-5, 6)),), sizes=(3,)
    )
    corners = cycle(0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 3e38, -2e-38)
    yield OpCase("Atan2_corners", lambda y, x: raw.Atan2(y=y, x=x), (f32(9, 1, make=corners), f32(1, 9, make=corners)))
    yield OpCase("Pow_root", lambda x: raw.Pow(x=x, y=0.5), (f32("n", make=corners),), sizes=(3, 9))


def _shape() -> Iterator[OpCase]:
    for name in ("StopGradient", "PreventGradient", "Snapshot", "GuaranteeConst"):
        fn = getattr(raw, name)
        yield OpCase(name, lambda x, fn=fn: fn(input=x) * 2.0, (f32("n", 3),))
    yield OpCase("IdentityN", lambda x, y: raw.IdentityN(input=[x, y]), (f32("n"), f32(2)))
    yield OpCase("EnsureShape", lambda x: raw.EnsureShape(input=x, shape=[None, 3]) + 1.0, (f32("n", 3),))
    yield OpCase("Range_shape", lambda x: raw.Range(start=2, limit=tf.shape(x)[0] * 3, delta=2), (f32("n", 3),))
    weight = _Kept([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    yield OpCase(
        "ReadVariableOp",
        lambda x: raw.MatMul(a=x, b=raw.ReadVariableOp(resource=weight(), dtype=tf.float32)),
        (f32("n", 3),),
    )
    table = _Kept([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    yield OpCase(
        "ResourceGather",
        lambda ids: raw.ResourceGather(resource=table(), indices=ids, dtype=tf.float32) * 2.0,
        (i32("n", 2, make=integers(0, 3)),),
    )


class _Kept:
    """A variable that is made when a row is traced."""

    def __init__(self, content: list[list[float]]) -> None:
        self._content = content
        self._variable: tf.Variable | None = None

    def __call__(self) -> tf.Tensor:
        if self._variable is None:
            with tf.init_scope():
                self._variable = tf.Variable(self._content)
        return self._variable.handle


def _small(sizes: Sizes) -> bool:
    """Volumes that a window does not fit into: TensorFlow computes them to nothing."""
    return sizes["d"] < 3


def _volumes() -> Iterator[OpCase]:
    """What the shared tables compose of other ops."""
    for padding in ("SAME", "VALID"):
        for stride in (1, 2):
            strides = [1, stride, stride, 1, 1]
            attrs = {"strides": strides, "padding": padding}
            yield OpCase(
                f"Conv3D_{padding}_{stride}",
                lambda x, w, attrs=attrs: raw.Conv3D(input=x, filter=w, **attrs),
                (f32("n", "d", 7, 5, 3), f32(3, 2, 3, 3, 4, weight=True)),
                sizes=(3, 5),
                may_guard=_small,
            )
            for name in ("MaxPool3D", "AvgPool3D"):
                fn = getattr(raw, name)
                yield OpCase(
                    f"{name}_{padding}_{stride}",
                    lambda x, fn=fn, attrs=attrs: fn(input=x, ksize=[1, 2, 3, 2, 1], **attrs),
                    (f32("n", "d", 7, 5, 3),),
                    sizes=(3, 5),
                    may_guard=_small,
                )
    yield OpCase(
        "Conv3DBackpropInputV2",
        lambda x, w: raw.Conv3DBackpropInputV2(
            input_sizes=tf.stack([tf.shape(x)[0], 6, 8, 4, 3]),
            filter=w,
            out_backprop=x,
            strides=[1, 2, 2, 1, 1],
            padding="SAME",
        ),
        (f32("n", 3, 4, 4, 2), f32(3, 2, 3, 3, 2)),
    )


def _images() -> Iterator[OpCase]:
    """Transposes that meet between convolutions, and what lies between them."""

    def block(x: tf.Tensor, a: tf.Tensor, b: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        first = tf.nn.relu(tf.nn.conv2d(x, a, 1, "SAME") * scale + 1.0)
        gate = tf.sigmoid(tf.reduce_mean(first, [1, 2], keepdims=True))
        second = tf.nn.conv2d(first * gate, b, 2, "SAME")
        joined = tf.concat([second, tf.nn.max_pool2d(first, 2, 2, "SAME")], -1)
        return tf.reduce_max(joined, [1, 2])

    weights = f32(3, 3, 3, 4, weight=True), f32(3, 3, 4, 4, weight=True), f32(4, weight=True)
    yield OpCase("Conv2D_block", block, (f32("n", "h", 6, 3), *weights), sizes=(2, 5))


def _rest() -> Iterator[OpCase]:
    yield OpCase(
        "ScatterNd_distinct",
        lambda x: raw.ScatterNd(indices=tf.constant([[4], [1]]), updates=x, shape=tf.constant([6, 3])),
        (f32(2, 3),),
    )
    yield OpCase(
        "ScatterNd_rows",
        lambda x: raw.ScatterNd(indices=tf.constant([[4], [1]]), updates=x, shape=tf.stack([6, tf.shape(x)[1]])),
        (f32(2, "n"),),
    )
    for low, high in ((-2.0, 2.0), (-1.0, 3.0)):
        yield OpCase(
            f"QuantizeAndDequantizeV2_{low}",
            lambda x, low=low, high=high: raw.QuantizeAndDequantizeV2(
                input=x, input_min=low, input_max=high, range_given=True
            ),
            (f32("n", 5, make=uniform(-4, 4)),),
        )
        yield OpCase(
            f"QuantizeAndDequantizeV4_{low}",
            lambda x, low=low, high=high: raw.QuantizeAndDequantizeV4(
                input=x, input_min=low, input_max=high, range_given=True
            ),
            (f32("n", 5, make=uniform(-4, 4)),),
        )
    yield from _diagonals()
    yield OpCase(
        "MatrixBandPart",
        lambda x: raw.MatrixBandPart(input=x, num_lower=tf.constant(1), num_upper=tf.constant(-1)),
        (f32("n", 4, 5),),
    )


def _diagonals() -> Iterator[OpCase]:
    for k in (0, 2, -1):
        yield OpCase(
            f"MatrixDiagV2_{k}",
            lambda x, k=k: raw.MatrixDiagV2(diagonal=x, k=k, num_rows=-1, num_cols=-1, padding_value=7.0),
            (f32(2, "n"),),
        )
        yield OpCase(
            f"MatrixDiagPartV2_{k}",
            lambda x, k=k: raw.MatrixDiagPartV2(input=x, k=k, padding_value=0.0),
            (f32(2, "n", "m"),),
            sizes=(3, 5),
        )
        length = {0: 3, 2: 2, -1: 3}[k]
        yield OpCase(
            f"MatrixSetDiagV2_{k}",
            lambda x, d, k=k: raw.MatrixSetDiagV2(input=x, diagonal=d, k=k),
            (f32("n", 4, 4 if k else 3), f32("n", length)),
        )


CASES: tuple[OpCase, ...] = (
    *(case for case in cases_sampling.CASES if case.name.startswith(("AdjustContrastv2", "ExtractImagePatches"))),
    *_elementwise(),
    *_far(),
    *_shape(),
    *_volumes(),
    *_images(),
    *_rest(),
)
