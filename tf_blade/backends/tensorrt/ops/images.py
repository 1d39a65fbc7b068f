"""Rules of bilinear resizes, and of ops that move pieces of images to the channels or the batch and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tf_blade import symbolic
from tf_blade.backends.tensorrt.ops.base import ALL, FLOATS, INTEGERS, OpContext, Precision, op
from tf_blade.backends.tensorrt.ops.windows import channels_last, from_first, to_first
from tf_blade.backends.tensorrt.values import Value
from tf_blade.dtypes import DType
from tf_blade.symbolic import Dim


@op("ResizeBilinear", types={"T": FLOATS | INTEGERS | {DType.UINT8}})
def resize_bilinear(ctx: OpContext) -> Value:
    """The result is float32 whatever the image is; computed in half precision where the cluster is."""
    x, size = image_and_size(ctx)
    if ctx.attr("T") != DType.FLOAT:
        x = ctx.net.cast(x, DType.FLOAT)
    corners = bool(ctx.attr("align_corners", False))
    how = "HALF_PIXEL" if ctx.attr("half_pixel_centers", False) else "ASYMMETRIC"
    if corners:
        # Of a single row or column TensorFlow takes the first one, which is no corner's.
        single = [dim == 1 for dim in size]
        ctx.require(all(one or _at_least_two(dim) for one, dim in zip(single, size, strict=True)), "maybe one pixel")
        ctx.require(len(set(single)) == 1, "corners of one row or column")
        how = "ASYMMETRIC" if single[0] else "ALIGN_CORNERS"
    return from_first(ctx, resized(ctx, to_first(ctx, x), size, "LINEAR", how))


def image_and_size(ctx: OpContext) -> tuple[Value, tuple[Dim, ...]]:
    """A resize's image, and height and width of the result."""
    x, size = ctx.inputs[0], ctx.dims(1)
    ctx.require(x.rank == 4 and len(size) == 2, "an image batch has rank 4")
    both = ctx.attr("align_corners", False) and ctx.attr("half_pixel_centers", False)
    ctx.require(not both, "corners and pixels' centers are aligned")
    return x, size


def _at_least_two(dim: Dim) -> bool:
    """Of sizes that are 1 or more."""
    if isinstance(dim, int):
        return dim >= 2
    larger = {item: symbolic.add(item, 1) for item in symbolic.free_symbols([dim])}
    rest = symbolic.sub(symbolic.substitute(dim, larger), 2)
    return rest >= 0 if isinstance(rest, int) else bool(rest.is_nonnegative)


def resized(ctx: OpContext, x: Value, size: Sequence[Dim], mode: str, how: str) -> Value:
    """A resize layer over an image with its channels first."""
    trt, shape = ctx.net.trt, (*x.shape[:2], *size)
    layer: Any = ctx.net.definition.add_resize(ctx.net.tensor(x))
    layer.resize_mode = getattr(trt.InterpolationMode, mode)
    layer.coordinate_transformation = getattr(trt.ResizeCoordinateTransformation, how)
    layer.selector_for_single_pixel = trt.ResizeSelector.FORMULA
    if mode == "NEAREST":
        layer.nearest_rounding = trt.ResizeRoundMode.HALF_UP
    if symbolic.is_static(shape):
        layer.shape = shape
    else:
        layer.set_input(1, ctx.net.shape_tensor(shape))
    return ctx.net.made(layer, x.dtype, shape)


@op("AdjustContrastv2", types={"T": frozenset({DType.FLOAT})}, precision=Precision.FULL)
def adjust_contrast(ctx: OpContext) -> Value:
    """How far each pixel is from its channel's mean, times a factor."""
    net, (x, factor) = ctx.net, ctx.inputs
    ctx.require(x.rank >= 3, "an image has rank 3 or more")
    mean = net.reduce("AVG", x, (x.rank - 3, x.rank - 2), keepdims=True)
    return net.binary("SUM", net.binary("PROD", net.binary("SUB", x, mean), factor), mean)


# Blocks of an image, as channels.


@op("SpaceToDepth", types={"T": ALL})
def space_to_depth(ctx: OpContext) -> Value:
    x, block = ctx.inputs[0], int(ctx.attr("block_size"))
    last = channels_last(ctx, x.rank)
    batch, height, width, channels = x.shape if last else (x.shape[0], x.shape[2], x.shape[3], x.shape[1])
    rows, columns = _parts(ctx, height, block), _parts(ctx, width, block)
    deep = symbolic.mul(channels, block * block)
    if last:
        split = ctx.net.reshape(x, (batch, rows, block, columns, block, channels))
        return ctx.net.reshape(ctx.net.transpose(split, (0, 1, 3, 2, 4, 5)), (batch, rows, columns, deep))
    split = ctx.net.reshape(x, (batch, channels, rows, block, columns, block))
    return ctx.net.reshape(ctx.net.transpose(split, (0, 3, 5, 1, 2, 4)), (batch, deep, rows, columns))


def _parts(ctx: OpContext, dim: Dim, block: int) -> Dim:
    """How many blocks. Where a size turns out to be no multiple, the reshape fails and TensorFlow takes the call."""
    rest = symbolic.mod(dim, block)
    ctx.require(rest == 0 or not isinstance(rest, int), f"{dim} is no multiple of {block}")
    return symbolic.floordiv(dim, block)


@op("DepthToSpace", types={"T": ALL})
def depth_to_space(ctx: OpContext) -> Value:
    x, block = ctx.inputs[0], int(ctx.attr("block_size"))
    last = channels_last(ctx, x.rank)
    batch, height, width, deep = x.shape if last else (x.shape[0], x.shape[2], x.shape[3], x.shape[1])
    channels = _parts(ctx, deep, block * block)
    tall, wide = symbolic.mul(height, block), symbolic.mul(width, block)
    if last:
        split = ctx.net.reshape(x, (batch, height, width, block, block, channels))
        return ctx.net.reshape(ctx.net.transpose(split, (0, 1, 3, 2, 4, 5)), (batch, tall, wide, channels))
    split = ctx.net.reshape(x, (batch, block, block, channels, height, width))
    return ctx.net.reshape(ctx.net.transpose(split, (0, 3, 4, 1, 5, 2)), (batch, channels, tall, wide))


@op("SpaceToBatchND", types={"T": ALL})
def space_to_batch(ctx: OpContext) -> Value:
    """Pads, and moves blocks of the first dimensions after the batch into the batch."""
    net, x = ctx.net, ctx.inputs[0]
    blocks = [int(item) for item in ctx.const(1).reshape(-1)]
    paddings: Sequence[Dim] = ctx.dims(2)
    rest = x.rank - 1 - len(blocks)
    before = (0, *paddings[::2], *(0,) * rest)
    after = (0, *paddings[1::2], *(0,) * rest)
    sizes = [symbolic.add(low, dim, high) for low, dim, high in zip(before, x.shape, after, strict=True)]
    if any(item != 0 for item in (*before, *after)):
        x = net.slice(x, [symbolic.mul(-1, item) for item in before], sizes, mode="FILL", fill=net.like(0, x))
    counts = [_parts(ctx, dim, block) for dim, block in zip(sizes[1:], blocks, strict=False)]
    pairs = [item for count, block in zip(counts, blocks, strict=True) for item in (count, block)]
    x = net.reshape(x, (sizes[0], *pairs, *sizes[1 + len(blocks) :]))
    inner = [2 + 2 * k for k in range(len(blocks))]
    outer = [1 + 2 * k for k in range(len(blocks))]
    x = net.transpose(x, (*inner, 0, *outer, *range(1 + 2 * len(blocks), x.rank)))
    return net.reshape(x, (symbolic.mul(*blocks, sizes[0]), *counts, *sizes[1 + len(blocks) :]))


@op("BatchToSpaceND", types={"T": ALL})
def batch_to_space(ctx: OpContext) -> Value:
    """The reverse: blocks out of the batch, and crops."""
    net, x = ctx.net, ctx.inputs[0]
    blocks = [int(item) for item in ctx.const(1).reshape(-1)]
    crops = ctx.dims(2)
    number = len(blocks)
    batch = _parts(ctx, x.shape[0], int(symbolic.mul(1, *blocks)))
    spatial, rest = x.shape[1 : 1 + number], x.shape[1 + number :]
    x = net.reshape(x, (*blocks, batch, *spatial, *rest))
    order = [number, *(axis for k in range(number) for axis in (number + 1 + k, k))]
    x = net.transpose(x, (*order, *range(2 * number + 1, x.rank)))
    whole = [symbolic.mul(dim, block) for dim, block in zip(spatial, blocks, strict=True)]
    x = net.reshape(x, (batch, *whole, *rest))
    sizes = [
        symbolic.sub(dim, symbolic.add(low, high))
        for dim, low, high in zip(whole, crops[::2], crops[1::2], strict=True)
    ]
    return net.slice(x, (0, *crops[::2], *(0,) * len(rest)), (batch, *sizes, *rest))
