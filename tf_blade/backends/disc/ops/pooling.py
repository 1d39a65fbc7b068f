"""Pooling of NHWC images."""

from __future__ import annotations

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.backends.disc.ops.windows import require_nhwc, spatial, window_of
from tf_blade.dtypes import DType

_FLOAT = frozenset({DType.FLOAT})


@op("MaxPool", types={"T": _FLOAT})
def max_pool(ctx: OpContext) -> Value:
    return _pool(ctx, "max")


@op("AvgPool", types={"T": _FLOAT})
def avg_pool(ctx: OpContext) -> Value:
    return _pool(ctx, "avg")


def _pool(ctx: OpContext, kind: str) -> Value:
    require_nhwc(ctx)
    x, window = ctx.inputs[0], spatial(ctx, "ksize")
    ctx.require(x.rank == 4, "an image batch has rank 4")
    taken = window_of(ctx, (x.shape[1], x.shape[2]), window)
    if ctx.attr("padding") == "EXPLICIT":
        ctx.require(
            all(symbolic.maximum(taken.low[i], taken.high[i]) < window[i] for i in range(2)),
            "padding as wide as the window",
        )
    return ctx.b.pool2d(kind, x, window=window, strides=taken.strides, low=taken.low, high=taken.high)
