"""Rules of pooling: the largest or the mean of windows over images of two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence

from tf_blade import symbolic
from tf_blade.backends.tensorrt.ops.base import FLOATS, OpContext, Rule, op
from tf_blade.backends.tensorrt.ops.windows import from_first, set_window, spatial, to_first, window_of
from tf_blade.backends.tensorrt.values import Value


def _pool(kind: str) -> Rule:
    def rule(ctx: OpContext) -> Value:
        rank = ctx.inputs[0].rank
        return pooled(ctx, kind, spatial(ctx, "ksize", ctx.ints("ksize"), rank))

    return rule


op("MaxPool", "MaxPool3D", types={"T": FLOATS})(_pool("MAX"))
op("AvgPool", "AvgPool3D", types={"T": FLOATS})(_pool("AVERAGE"))


@op("MaxPoolV2", types={"T": FLOATS})
def max_pool_v2(ctx: OpContext) -> Value:
    """Window and strides come as inputs."""
    rank = ctx.inputs[0].rank
    window, strides = ([int(item) for item in ctx.const(index).reshape(-1)] for index in (1, 2))
    return pooled(ctx, "MAX", spatial(ctx, "ksize", window, rank), spatial(ctx, "strides", strides, rank))


def pooled(ctx: OpContext, kind: str, size: tuple[int, ...], strides: Sequence[int] | None = None) -> Value:
    """The node's pooling. Elements of padding are neither the largest nor counted in means."""
    x = to_first(ctx, ctx.inputs[0])
    window = window_of(ctx, x.shape[2:], size, strides)
    if not window.same:
        narrow = all(
            symbolic.maximum(*pair) < extent for *pair, extent in zip(window.low, window.high, size, strict=True)
        )
        ctx.require(narrow, "padding as wide as the window")
    layer = ctx.net.definition.add_pooling_nd(ctx.net.tensor(x), getattr(ctx.net.trt.PoolingType, kind), size)
    set_window(ctx, layer, window)
    if kind == "AVERAGE":
        layer.average_count_excludes_padding = True
    return from_first(ctx, ctx.net.made(layer, x.dtype, (*x.shape[:2], *window.over(x.shape[2:]))))
