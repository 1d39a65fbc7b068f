"""Rules of convolutions and transposed convolutions over images of two and three dimensions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from tf_blade import symbolic
from tf_blade.backends.tensorrt.ops.base import FLOATS, INDEX, OpContext, Precision, op
from tf_blade.backends.tensorrt.ops.windows import (
    Window,
    channels_last,
    from_first,
    is_static,
    set_window,
    spatial,
    to_first,
    window_of,
)
from tf_blade.backends.tensorrt.values import Value
from tf_blade.symbolic import Dim

_LOW = Precision.LOW


@op("Conv2D", "Conv3D", types={"T": FLOATS}, precision=_LOW)
def convolution(ctx: OpContext) -> Value:
    """The filter has its channels last: spatial dimensions, channels of a group, results."""
    x, w = ctx.inputs
    ctx.require(x.rank == w.rank, f"operands of ranks {x.rank} and {w.rank}")
    x = to_first(ctx, x)
    per_group = ctx.static(w.shape[-2], "the number of the filter's channels")
    groups = _groups(ctx, ctx.static(x.shape[1], "the number of channels"), per_group)
    results = ctx.static(w.shape[-1], "the number of results")
    ctx.require(results % groups == 0, f"{results} results in {groups} groups")
    window = window_of(ctx, x.shape[2:], _size(ctx, w))
    return from_first(ctx, _convolved(ctx, x, _first(ctx, w), window, groups))


@op("DepthwiseConv2dNative", types={"T": FLOATS}, precision=_LOW)
def depthwise(ctx: OpContext) -> Value:
    """Each channel by itself, by as many filters as the last dimension says."""
    x, w = ctx.inputs
    ctx.require(x.rank == 4 and w.rank == 4, "operands of other ranks than 4")
    x = to_first(ctx, x)
    channels, multiplier = (ctx.static(dim, "the number of the filter's channels") for dim in w.shape[2:])
    ctx.require(x.shape[1] == channels, f"{x.shape[1]} channels by a filter of {channels}")
    size = _size(ctx, w)
    flat = ctx.net.reshape(w, (*size, channels * multiplier))
    kernel = ctx.net.reshape(ctx.net.transpose(flat, (2, 0, 1)), (channels * multiplier, 1, *size))
    return from_first(ctx, _convolved(ctx, x, kernel, window_of(ctx, x.shape[2:], size), channels))


def _size(ctx: OpContext, w: Value) -> tuple[int, ...]:
    size = tuple(ctx.static(dim, "the filter's size") for dim in w.shape[:-2])
    ctx.require(all(dim >= 1 for dim in w.shape if isinstance(dim, int)), "an empty filter")
    return size


def _groups(ctx: OpContext, channels: int, per_group: int) -> int:
    ctx.require(channels % per_group == 0, f"{channels} channels by a filter of {per_group}")
    return channels // per_group


def _first(ctx: OpContext, w: Value) -> Value:
    """The filter as TensorRT has it: results, channels, spatial dimensions."""
    return ctx.net.transpose(w, (w.rank - 1, w.rank - 2, *range(w.rank - 2)))


def _convolved(ctx: OpContext, x: Value, kernel: Value, window: Window, groups: int) -> Value:
    """The convolution of an image with its channels first."""
    image, window = _inside(ctx, x, window)
    layer = _with_kernel(ctx, "add_convolution_nd", image, kernel, int(kernel.shape[0]))
    layer.num_groups = groups
    layer.dilation_nd = window.dilations
    set_window(ctx, layer, window)
    return ctx.net.made(layer, x.dtype, (x.shape[0], kernel.shape[0], *window.over(image.shape[2:])))


def _inside(ctx: OpContext, x: Value, window: Window) -> tuple[Value, Window]:
    """The image with padding around it, where a layer cannot add it; and the window over that image."""
    wide = all(reach >= stride for reach, stride in zip(window.reach, window.strides, strict=True))
    if is_static(window) or wide:
        return x, window
    sizes = [symbolic.add(*dims) for dims in zip(window.low, x.shape[2:], window.high, strict=True)]
    starts = [symbolic.mul(-1, dim) for dim in window.low]
    zero = ctx.net.like(0, x)
    image = ctx.net.slice(x, (0, 0, *starts), (*x.shape[:2], *sizes), mode="FILL", fill=zero)
    none = (0,) * len(sizes)
    return image, dataclasses.replace(window, low=none, high=none, same=False)


def _with_kernel(ctx: OpContext, method: str, image: Value, kernel: Value, maps: int) -> Any:
    """A layer; its kernel is an input: variables stay what they are, and constants are folded by the builder."""
    weights = ctx.net.kernel_weights(None, kernel.dtype)
    layer = getattr(ctx.net.definition, method)(ctx.net.tensor(image), maps, tuple(kernel.shape[2:]), weights)
    ctx.require(layer is not None, f"TensorRT refuses the layer: {ctx.net.log.last_error}")
    layer.set_input(1, ctx.net.tensor(kernel))
    return layer


# Transposed convolutions: gradients for the input of a convolution, which models use to make images larger.


@op("Conv2DBackpropInput", types={"T": FLOATS}, precision=_LOW)
@op("Conv3DBackpropInputV2", types={"T": FLOATS, "Tshape": INDEX}, precision=_LOW)
def transposed(ctx: OpContext) -> Value:
    """The result's size comes as an input: it must be known, or follow from the inputs' sizes."""
    _, w, dy = ctx.inputs
    sizes = ctx.dims(0)
    ctx.require(len(sizes) == w.rank == dy.rank, "operands of several ranks")
    last = channels_last(ctx, dy.rank)
    channels, image = (sizes[-1], sizes[1:-1]) if last else (sizes[1], sizes[2:])
    dy = to_first(ctx, dy)
    ctx.require(symbolic.equal(sizes[0], dy.shape[0]), "batches that may differ")
    ctx.require(symbolic.equal(w.shape[-1], dy.shape[1]), "channels that may differ from the filter's")
    dilations = spatial(ctx, "dilations", ctx.ints("dilations"), dy.rank)
    ctx.require(set(dilations) == {1}, "a dilated transposed convolution")
    ctx.require(symbolic.equal(channels, w.shape[-2]), "a transposed convolution in groups")
    window = window_of(ctx, image, _size(ctx, w))
    for dim, expected in zip(dy.shape[2:], window.over(image), strict=True):
        ctx.require(symbolic.equal(dim, expected), f"sizes that do not follow from the input's: {dim} for {expected}")
    return from_first(ctx, _deconvolved(ctx, dy, _first(ctx, w), window, image))


def _deconvolved(ctx: OpContext, dy: Value, kernel: Value, window: Window, image: Sequence[Dim]) -> Value:
    """All that the windows wrote, cut to the image; beyond what any window wrote it is 0."""
    layer = _with_kernel(ctx, "add_deconvolution_nd", dy, kernel, int(kernel.shape[1]))
    layer.stride_nd = window.strides
    reached = [
        symbolic.add(symbolic.mul(symbolic.sub(dim, 1), stride), reach)
        for dim, stride, reach in zip(dy.shape[2:], window.strides, window.reach, strict=True)
    ]
    outer = (dy.shape[0], kernel.shape[1])
    spare = [
        symbolic.sub(symbolic.sub(end, low), dim) for end, low, dim in zip(reached, window.low, image, strict=True)
    ]
    if is_static(window) and all(isinstance(item, int) and item >= 0 for item in spare):
        layer.pre_padding, layer.post_padding = window.low, tuple(spare)
        return ctx.net.made(layer, dy.dtype, (*outer, *image))
    whole = ctx.net.made(layer, dy.dtype, (*outer, *reached))
    zero = ctx.net.like(0, dy)
    return ctx.net.slice(whole, (0, 0, *window.low), (*outer, *image), mode="FILL", fill=zero)
