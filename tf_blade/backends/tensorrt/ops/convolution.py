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
    """The filter has the channels of a group of the result, and those of what it is made of."""
    w, (channels, *image) = ctx.inputs[1], _image(ctx)
    per_group = ctx.static(w.shape[-2], "the number of the filter's channels")
    groups = _groups(ctx, ctx.static(channels, "the number of channels"), per_group)
    return _deconvolution(ctx, _first(ctx, w), image, groups)


@op("DepthwiseConv2dNativeBackpropInput", types={"T": FLOATS}, precision=_LOW)
def transposed_depthwise(ctx: OpContext) -> Value:
    """Each channel by itself, of as many as the filter's last dimension says."""
    w, (channels, *image) = ctx.inputs[1], _image(ctx)
    ctx.require(symbolic.equal(channels, w.shape[2]), "channels that may differ from the filter's")
    count, multiplier = (ctx.static(dim, "the number of the filter's channels") for dim in w.shape[2:])
    size = _size(ctx, w)
    kernel = ctx.net.transpose(ctx.net.reshape(w, (*size, count * multiplier)), (2, 0, 1))
    return _deconvolution(ctx, ctx.net.reshape(kernel, (count * multiplier, 1, *size)), image, count)


def _image(ctx: OpContext) -> list[Dim]:
    """Channels and sizes of the result. They come as an input: known, or following from the inputs' sizes."""
    _, w, dy = ctx.inputs
    sizes = ctx.dims(0)
    ctx.require(len(sizes) == w.rank == dy.rank, "operands of several ranks")
    last = channels_last(ctx, dy.rank)
    ctx.require(symbolic.equal(sizes[0], dy.shape[0]), "batches that may differ")
    return [sizes[-1], *sizes[1:-1]] if last else list(sizes[1:])


def _deconvolution(ctx: OpContext, kernel: Value, image: Sequence[Dim], groups: int) -> Value:
    """The node's, by a kernel of the channels of what it is made of, those of a group of the result, and the size."""
    dy = to_first(ctx, ctx.inputs[2])
    ctx.require(symbolic.equal(kernel.shape[0], dy.shape[1]), "channels that may differ from the filter's")
    ctx.require(int(kernel.shape[0]) % groups == 0, f"{kernel.shape[0]} channels in {groups} groups")
    window = window_of(ctx, image, [int(dim) for dim in kernel.shape[2:]])
    for dim, expected in zip(dy.shape[2:], window.over(image), strict=True):
        ctx.require(symbolic.equal(dim, expected), f"sizes that do not follow from the input's: {dim} for {expected}")
    return from_first(ctx, _deconvolved(ctx, dy, kernel, window, (groups, *image)))


def _deconvolved(ctx: OpContext, dy: Value, kernel: Value, window: Window, result: Sequence[Dim]) -> Value:
    """All that the windows wrote, in groups, cut to the image; beyond what any window wrote it is 0."""
    groups, *image = result
    channels = int(kernel.shape[1]) * int(groups)
    layer = _with_kernel(ctx, "add_deconvolution_nd", dy, kernel, channels)
    layer.stride_nd = window.strides
    layer.num_groups = int(groups)
    layer.dilation_nd = window.dilations
    reached = [
        symbolic.add(symbolic.mul(symbolic.sub(dim, 1), stride), reach)
        for dim, stride, reach in zip(dy.shape[2:], window.strides, window.reach, strict=True)
    ]
    outer = (dy.shape[0], channels)
    spare = [
        symbolic.sub(symbolic.sub(end, low), dim) for end, low, dim in zip(reached, window.low, image, strict=True)
    ]
    if is_static(window) and all(isinstance(item, int) and item >= 0 for item in spare):
        layer.pre_padding, layer.post_padding = window.low, tuple(spare)
        return ctx.net.made(layer, dy.dtype, (*outer, *image))
    whole = ctx.net.made(layer, dy.dtype, (*outer, *reached))
    zero = ctx.net.like(0, dy)
    return ctx.net.slice(whole, (0, 0, *window.low), (*outer, *image), mode="FILL", fill=zero)
