"""Pooling of images: NHWC, and local response normalization, which pools squares of channels."""

from __future__ import annotations

import math

import numpy as np

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.backends.disc.ops.sliding import image_windows, inside_count, lowest, padded
from tf_blade.backends.disc.ops.term import Term, term
from tf_blade.backends.disc.ops.windows import Window, require_nhwc, spatial, spatial_of, window_of
from tf_blade.dtypes import FLOATS, DType

_MAX = FLOATS | {
    DType.INT8, DType.INT16, DType.INT32, DType.INT64, DType.UINT8, DType.UINT16
}  # fmt: skip
_FLOAT = frozenset({DType.FLOAT, DType.DOUBLE})
# Channels to each side; each is an addition.
_MAX_RADIUS = 16


@op("MaxPool", types={"T": _MAX})
def max_pool(ctx: OpContext) -> Value:
    require_nhwc(ctx)
    return _pool(ctx, "max", spatial(ctx, "ksize"), spatial(ctx, "strides"))


@op("MaxPoolV2", types={"T": _MAX})
def max_pool_v2(ctx: OpContext) -> Value:
    """Window and strides come as inputs."""
    require_nhwc(ctx)
    window, strides = (tuple(int(item) for item in ctx.const(i).reshape(-1)) for i in (1, 2))
    return _pool(ctx, "max", spatial_of(ctx, "ksize", window), spatial_of(ctx, "strides", strides))


@op("AvgPool", types={"T": FLOATS})
def avg_pool(ctx: OpContext) -> Value:
    require_nhwc(ctx)
    return _pool(ctx, "avg", spatial(ctx, "ksize"), spatial(ctx, "strides"))


def _pool(ctx: OpContext, kind: str, size: tuple[int, int], strides: tuple[int, int]) -> Value:
    x = ctx.inputs[0]
    ctx.require(x.rank == 4, "an image batch has rank 4")
    window = window_of(ctx, (x.shape[1], x.shape[2]), size, strides)
    if ctx.attr("padding") == "EXPLICIT":
        ctx.require(
            all(symbolic.maximum(window.low[i], window.high[i]) < size[i] for i in range(2)),
            "padding as wide as the window",
        )
    if x.dtype == DType.FLOAT:
        return ctx.b.pool2d(kind, x, window=size, strides=window.strides, low=window.low, high=window.high)
    return (_max(ctx, size, window) if kind == "max" else _average(ctx, size, window)).value


def _max(ctx: OpContext, size: tuple[int, int], window: Window) -> Term:
    """NaNs are left out, and a window without numbers gives the lowest one, as in TensorFlow: of bfloat16 -inf."""
    x = term(ctx, 0)
    if x.dtype.is_float:
        x = x.fn("is_nan").where(lowest(x), x)
    result = image_windows(x, size, window, lowest(x)).reduce("max", (2, 4))
    finite = x.dtype.is_float and x.dtype != DType.BFLOAT16
    return result.maximum(float(np.finfo(x.dtype.numpy).min)) if finite else result


def _average(ctx: OpContext, size: tuple[int, int], window: Window) -> Term:
    """Pads are not counted."""
    x = term(ctx, 0).widened()
    total = image_windows(x, size, window, 0.0).sum((2, 4))
    counts = [
        inside_count(
            ctx, x.shape[1 + i], total.shape[1 + i], window=size[i], stride=window.strides[i], low=window.low[i]
        )
        for i in range(2)
    ]
    rows, columns = (item.to(x.dtype).value for item in counts)
    shape = total.shape
    number = Term(ctx.b, ctx.b.broadcast(rows, shape, (1,))) * Term(ctx.b, ctx.b.broadcast(columns, shape, (2,)))
    return (total / number).to(ctx.inputs[0].dtype)


@op("LRN", types={"T": frozenset({DType.FLOAT})})
def local_response_normalization(ctx: OpContext) -> Value:
    """x / (bias + alpha * sum of the squares of neighbouring channels) ** beta."""
    x = term(ctx, 0)
    radius = int(ctx.attr("depth_radius", 5))
    ctx.require(x.rank == 4, "an image batch has rank 4")
    ctx.require(0 <= radius <= _MAX_RADIUS, f"more than {_MAX_RADIUS} channels to each side")
    bias, alpha, beta = (float(ctx.attr(name, value)) for name, value in (("bias", 1), ("alpha", 1), ("beta", 0.5)))
    none = (0, 0, 0)
    squares = padded(x * x, (*none, radius), (*none, radius), 0.0)
    total = squares.part(3, 0, x.shape[3])
    for i in range(1, 2 * radius + 1):
        total = total + squares.part(3, i, x.shape[3])
    base = total * alpha + bias
    if math.isclose(beta, 0.5):
        return (x * base.fn("rsqrt")).value
    return (x / base if math.isclose(beta, 1.0) else x * base.power(-beta)).value
