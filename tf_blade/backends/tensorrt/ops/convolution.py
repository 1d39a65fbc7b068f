"""Rules of convolutions and pooling, over two and three dimensions.

TensorFlow's images have their channels last, TensorRT's first: inputs and results are transposed, and `Network` lets
transposes wander through what lies between two convolutions, where they meet and vanish.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tf_blade import symbolic
from tf_blade.backends.tensorrt.ops.base import FLOATS, INDEX, OpContext, Precision, Rule, op
from tf_blade.backends.tensorrt.values import Value
from tf_blade.symbolic import Dim, Shape

_LOW = Precision.LOW
_LAST = {"NHWC": True, "NDHWC": True, "NCHW": False, "NCDHW": False}


def channels_last(ctx: OpContext) -> bool:
    """Whether the node's images have their channels last."""
    return _LAST[ctx.attr("data_format", "NHWC")]


def to_first(ctx: OpContext, x: Value) -> Value:
    """The image with channels first."""
    return ctx.net.transpose(x, (0, x.rank - 1, *range(1, x.rank - 1))) if channels_last(ctx) else x


def from_first(ctx: OpContext, x: Value) -> Value:
    """A result with channels where the node has them."""
    return ctx.net.transpose(x, (0, *range(2, x.rank), 1)) if channels_last(ctx) else x


def _spatial(ctx: OpContext, name: str, rank: int) -> tuple[int, ...]:
    """The numbers of an attribute for the spatial dimensions; those of batch and channels must be 1."""
    values = ctx.ints(name) or (1,) * rank
    last = channels_last(ctx)
    rest = (values[0], values[-1] if last else values[1])
    ctx.require(rest == (1, 1), f"{name} over batch or channels")
    return values[1:-1] if last else values[2:]


def _kernel(ctx: OpContext, w: Value) -> tuple[int, ...]:
    return tuple(ctx.static(dim, "the filter's size") for dim in w.shape)


def _set_kernel(ctx: OpContext, layer: Any, w: Value) -> None:
    """The filter as an input: variables stay what they are, and constants are folded by the builder."""
    layer.set_input(1, ctx.net.tensor(w))


def _padding(
    ctx: OpContext, layer: Any, size: Shape, kernel: Sequence[int], strides: Sequence[int], rates: Sequence[int]
) -> list[Dim]:
    """Sets a layer's padding; gives the results' sizes."""
    padding = ctx.attr("padding")
    reach = [(k - 1) * rate + 1 for k, rate in zip(kernel, rates, strict=True)]
    if padding == "SAME":
        layer.padding_mode = ctx.net.trt.PaddingMode.SAME_UPPER
        return [symbolic.ceildiv(dim, stride) for dim, stride in zip(size, strides, strict=True)]
    pads = [0] * (2 * len(size))
    if padding == "EXPLICIT":
        pads = list(ctx.ints("explicit_paddings"))
        ctx.require(len(pads) == 2 * len(size) + 4, "explicit paddings of another rank")
        pads = pads[2:-2] if channels_last(ctx) else pads[4:]
        layer.pre_padding, layer.post_padding = tuple(pads[::2]), tuple(pads[1::2])
    else:
        ctx.require(padding == "VALID", f"padding {padding}")
    total = [symbolic.add(dim, low, high) for dim, low, high in zip(size, pads[::2], pads[1::2], strict=True)]
    return [
        symbolic.add(symbolic.floordiv(symbolic.sub(dim, extent), stride), 1)
        for dim, extent, stride in zip(total, reach, strides, strict=True)
    ]


def _convolve(ctx: OpContext, x: Value, w: Value, groups: int, strides: Sequence[int], rates: Sequence[int]) -> Value:
    """Of an image with channels first, by a filter [output, input / groups, …]."""
    net = ctx.net
    maps, kernel = int(w.shape[0]), [int(dim) for dim in w.shape[2:]]
    layer = net.definition.add_convolution_nd(net.tensor(x), maps, tuple(kernel), net.kernel_weights(None, w.dtype))
    _set_kernel(ctx, layer, w)
    layer.num_groups, layer.stride_nd, layer.dilation_nd = groups, tuple(strides), tuple(rates)
    sizes = _padding(ctx, layer, x.shape[2:], kernel, strides, rates)
    return net.made(layer, x.dtype, (x.shape[0], maps, *sizes))


def _rule(rank: int) -> Rule:
    def rule(ctx: OpContext) -> Value:
        x, w = to_first(ctx, ctx.inputs[0]), ctx.inputs[1]
        ctx.require(x.rank == rank, f"an image batch has rank {rank}")
        channels, width = ctx.static(x.shape[1], "the number of channels"), _kernel(ctx, w)[-2]
        ctx.require(width > 0 and channels % width == 0, f"{channels} channels for a filter of {width}")
        w = ctx.net.transpose(w, (rank - 1, rank - 2, *range(rank - 2)))
        strides, rates = _spatial(ctx, "strides", rank), _spatial(ctx, "dilations", rank)
        return from_first(ctx, _convolve(ctx, x, w, channels // width, strides, rates))

    return rule


op("Conv2D", types={"T": FLOATS}, precision=_LOW)(_rule(4))
op("Conv3D", types={"T": FLOATS}, precision=_LOW)(_rule(5))


@op("DepthwiseConv2dNative", types={"T": FLOATS}, precision=_LOW)
def depthwise(ctx: OpContext) -> Value:
    """As many groups as channels; filter [height, width, channels, multiplier]."""
    x, w = to_first(ctx, ctx.inputs[0]), ctx.inputs[1]
    ctx.require(x.rank == 4, "an image batch has rank 4")
    height, width, channels, multiplier = _kernel(ctx, w)
    ctx.require(x.shape[1] == channels, f"{x.shape[1]} channels for a filter of {channels}")
    w = ctx.net.transpose(ctx.net.reshape(w, (height, width, 1, channels * multiplier)), (3, 2, 0, 1))
    strides, rates = _spatial(ctx, "strides", 4), _spatial(ctx, "dilations", 4)
    return from_first(ctx, _convolve(ctx, x, w, channels, strides, rates))


def _transposed(rank: int) -> Rule:
    def rule(ctx: OpContext) -> Value:
        """Padding is what a convolution from the result's size would have had."""
        sizes, w, x = ctx.dims(0), ctx.inputs[1], to_first(ctx, ctx.inputs[2])
        ctx.require(x.rank == rank, f"an image batch has rank {rank}")
        strides, rates = _spatial(ctx, "strides", rank), _spatial(ctx, "dilations", rank)
        ctx.require(all(rate == 1 for rate in rates), "a dilated transposed convolution")
        ctx.require(ctx.attr("padding") in ("SAME", "VALID"), f"padding {ctx.attr('padding')}")
        maps, kernel = _kernel(ctx, w)[-2], _kernel(ctx, w)[:-2]
        ctx.require(x.shape[1] == w.shape[-1], "a filter for other channels")
        out = sizes[1:-1] if channels_last(ctx) else sizes[2:]
        if len(sizes) == rank - 2:
            out = sizes
        pads = [
            symbolic.sub(symbolic.add(symbolic.mul(symbolic.sub(dim, 1), stride), k), size)
            for dim, stride, k, size in zip(x.shape[2:], strides, kernel, out, strict=True)
        ]
        ctx.require(all(isinstance(pad, int) and pad >= 0 for pad in pads), "a padding that depends on the size")
        before = [int(pad) // 2 for pad in pads]
        after = [int(pad) - low for pad, low in zip(pads, before, strict=True)]
        w = ctx.net.transpose(w, (rank - 1, rank - 2, *range(rank - 2)))
        weights = ctx.net.kernel_weights(None, w.dtype)
        layer = ctx.net.definition.add_deconvolution_nd(ctx.net.tensor(x), maps, tuple(kernel), weights)
        _set_kernel(ctx, layer, w)
        layer.stride_nd, layer.pre_padding, layer.post_padding = tuple(strides), tuple(before), tuple(after)
        return from_first(ctx, ctx.net.made(layer, x.dtype, (x.shape[0], maps, *out)))

    return rule


op("Conv2DBackpropInput", types={"T": FLOATS}, precision=_LOW)(_transposed(4))
op("Conv3DBackpropInputV2", types={"T": FLOATS, "Tshape": INDEX}, precision=_LOW)(_transposed(5))


def _pool(kind: str, rank: int) -> Rule:
    def rule(ctx: OpContext) -> Value:
        """Averages leave padding out."""
        x = to_first(ctx, ctx.inputs[0])
        ctx.require(x.rank == rank, f"an image batch has rank {rank}")
        window, strides = _spatial(ctx, "ksize", rank), _spatial(ctx, "strides", rank)
        ctx.require(ctx.attr("padding") in ("SAME", "VALID"), f"padding {ctx.attr('padding')}")
        layer = ctx.net.definition.add_pooling_nd(
            ctx.net.tensor(x), getattr(ctx.net.trt.PoolingType, kind), tuple(window)
        )
        layer.stride_nd = tuple(strides)
        if kind == "AVERAGE":
            layer.average_count_excludes_padding = True
        sizes = _padding(ctx, layer, x.shape[2:], window, strides, (1,) * len(window))
        return from_first(ctx, ctx.net.made(layer, x.dtype, (*x.shape[:2], *sizes)))

    return rule


op("MaxPool", types={"T": FLOATS})(_pool("MAX", 4))
op("MaxPool3D", types={"T": FLOATS})(_pool("MAX", 5))
op("AvgPool", types={"T": FLOATS})(_pool("AVERAGE", 4))
op("AvgPool3D", types={"T": FLOATS})(_pool("AVERAGE", 5))
