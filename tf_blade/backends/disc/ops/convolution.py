"""Convolutions, NHWC by HWIO."""

from __future__ import annotations

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.backends.disc.ops.shape import INDEX, sizes_of
from tf_blade.backends.disc.ops.windows import require_nhwc, spatial, window_of
from tf_blade.dtypes import DType

FLOAT = frozenset({DType.FLOAT})


def kernel_size(ctx: OpContext, w: Value) -> tuple[int, int]:
    """Height and width of a filter, which must be known when compiling; its values need not be."""
    height, width = w.shape[:2]
    ctx.require(isinstance(height, int) and isinstance(width, int), "a filter of unknown size")
    assert isinstance(height, int) and isinstance(width, int)
    ctx.require(height >= 1 and width >= 1, "an empty filter")
    return height, width


def conv2d_of(ctx: OpContext) -> Value:
    """The convolution of inputs 0 and 1."""
    return convolved(ctx, *ctx.inputs[:2])


def convolved(ctx: OpContext, x: Value, w: Value) -> Value:
    """The convolution of x and w with the node's strides, dilations and padding."""
    require_nhwc(ctx)
    ctx.require(x.rank == 4 and w.rank == 4, "operands of rank 4")
    window = window_of(ctx, (x.shape[1], x.shape[2]), kernel_size(ctx, w))
    return ctx.b.conv2d(
        x,
        w,
        strides=window.strides,
        dilations=window.dilations,
        low=window.low,
        high=window.high,
        groups=_groups(ctx, x, w),
    )


def _groups(ctx: OpContext, x: Value, w: Value) -> int:
    channels, per_group, result = x.shape[3], w.shape[2], w.shape[3]
    if not (isinstance(channels, int) and isinstance(per_group, int)):
        ctx.b.require_equal(channels, per_group)
        return 1
    ctx.require(per_group >= 1 and channels >= 1, "no channels")
    ctx.require(channels % per_group == 0, f"{channels} channels by a filter of {per_group}")
    groups = channels // per_group
    if groups > 1:
        ctx.require(isinstance(result, int) and result % groups == 0, f"{result} filters in {groups} groups")
    return groups


@op("Conv2D", types={"T": FLOAT})
def conv2d(ctx: OpContext) -> Value:
    return conv2d_of(ctx)


@op("DepthwiseConv2dNative", types={"T": FLOAT})
def depthwise(ctx: OpContext) -> Value:
    require_nhwc(ctx)
    x, w = ctx.inputs
    ctx.require(x.rank == 4 and w.rank == 4, "operands of rank 4")
    channels, multiplier = w.shape[2:]
    ctx.require(isinstance(channels, int) and isinstance(multiplier, int), "a filter of unknown size")
    assert isinstance(channels, int) and isinstance(multiplier, int)
    ctx.require(channels >= 1 and multiplier >= 1, "an empty filter")
    ctx.b.require_equal(x.shape[3], channels)
    strides = spatial(ctx, "strides")
    ctx.require(strides[0] == strides[1], "different strides of height and width")
    ctx.require(spatial(ctx, "dilations") == (1, 1), "a dilated depthwise convolution")
    kernel = kernel_size(ctx, w)
    window = window_of(ctx, (x.shape[1], x.shape[2]), kernel)
    flat = ctx.b.reshape(w, (*kernel, 1, channels * multiplier))
    return ctx.b.conv2d(
        x, flat, strides=window.strides, dilations=window.dilations, low=window.low, high=window.high, groups=channels
    )


@op("Conv2DBackpropInput", types={"T": FLOAT})
def conv2d_transpose(ctx: OpContext) -> Value:
    """The gradient of Conv2D for its input, which models use as deconvolution."""
    require_nhwc(ctx)
    _, w, dy = ctx.inputs
    sizes = sizes_of(ctx, 0)
    ctx.require(ctx.inputs[0].dtype in INDEX and len(sizes) == 4, "sizes of rank 4")
    ctx.require(w.rank == 4 and dy.rank == 4, "operands of rank 4")
    ctx.require(spatial(ctx, "dilations") == (1, 1), "a dilated transposed convolution")
    batch, *size, channels = sizes
    ctx.b.require_equal(batch, dy.shape[0])
    ctx.b.require_equal(w.shape[2], channels)
    ctx.b.require_equal(w.shape[3], dy.shape[3])
    kernel, strides = kernel_size(ctx, w), spatial(ctx, "strides")
    window = window_of(ctx, (size[0], size[1]), kernel)
    for i in range(2):
        if ctx.attr("padding") == "SAME":
            count = symbolic.ceildiv(size[i], strides[i])
        else:
            span = symbolic.simplify(size[i] + window.low[i] + window.high[i] - kernel[i] + strides[i])
            count = symbolic.floordiv(span, strides[i])
        ctx.b.require_equal(count, dy.shape[1 + i])
    return ctx.b.conv2d_transpose(
        dy, w, strides=window.strides, dilations=window.dilations, low=window.low, high=window.high, size=size
    )
