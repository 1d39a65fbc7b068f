"""Rules of ops on images: resizing, and moving blocks between space and channels."""

from __future__ import annotations

from collections.abc import Sequence

from tf_blade import symbolic
from tf_blade.backends.tensorrt.ops.base import ALL, FLOATS, OpContext, Rule, op
from tf_blade.backends.tensorrt.values import Value
from tf_blade.dtypes import DType
from tf_blade.symbolic import Dim


def _resize(mode: str) -> Rule:
    def rule(ctx: OpContext) -> Value:
        """Where a result's pixel lies in the image is as the attributes say; rounding is TensorFlow's."""
        net, trt = ctx.net, ctx.net.trt
        ctx.require(ctx.inputs[0].rank == 4, "an image batch has rank 4")
        x = net.transpose(ctx.inputs[0], (0, 3, 1, 2))
        height, width = ctx.dims(1)
        layer = net.definition.add_resize(net.tensor(x))
        shape = (*x.shape[:2], height, width)
        if symbolic.is_static(shape):
            layer.shape = tuple(int(dim) for dim in shape)
        else:
            layer.set_input(1, net.shape_tensor(shape))
        layer.resize_mode = getattr(trt.InterpolationMode, mode)
        corners, centers = bool(ctx.attr("align_corners", False)), bool(ctx.attr("half_pixel_centers", False))
        kind = "ALIGN_CORNERS" if corners else "HALF_PIXEL" if centers else "ASYMMETRIC"
        layer.coordinate_transformation = getattr(trt.ResizeCoordinateTransformation, kind)
        layer.selector_for_single_pixel = trt.ResizeSelector.FORMULA
        if mode == "NEAREST":
            layer.nearest_rounding = trt.ResizeRoundMode.HALF_UP if corners or centers else trt.ResizeRoundMode.FLOOR
        result = net.transpose(net.made(layer, x.dtype, shape), (0, 2, 3, 1))
        return net.cast(result, DType.FLOAT) if mode == "LINEAR" and x.dtype == DType.HALF else result

    return rule


op("ResizeBilinear", types={"T": frozenset({DType.FLOAT})})(_resize("LINEAR"))
op("ResizeNearestNeighbor", types={"T": FLOATS})(_resize("NEAREST"))


def _nhwc(ctx: OpContext) -> tuple[Value, int]:
    x = ctx.inputs[0]
    ctx.require(ctx.attr("data_format", "NHWC") == "NHWC" and x.rank == 4, "images other than NHWC")
    return x, int(ctx.attr("block_size"))


@op("SpaceToDepth", types={"T": ALL})
def space_to_depth(ctx: OpContext) -> Value:
    x, block = _nhwc(ctx)
    batch, height, width, channels = x.shape
    rows, columns = _parts(ctx, height, block), _parts(ctx, width, block)
    x = ctx.net.reshape(x, (batch, rows, block, columns, block, channels))
    x = ctx.net.transpose(x, (0, 1, 3, 2, 4, 5))
    return ctx.net.reshape(x, (batch, rows, columns, symbolic.mul(block, block, channels)))


@op("DepthToSpace", types={"T": ALL})
def depth_to_space(ctx: OpContext) -> Value:
    x, block = _nhwc(ctx)
    batch, height, width, channels = x.shape
    depth = _parts(ctx, channels, block * block)
    x = ctx.net.reshape(x, (batch, height, width, block, block, depth))
    x = ctx.net.transpose(x, (0, 1, 3, 2, 4, 5))
    return ctx.net.reshape(x, (batch, symbolic.mul(height, block), symbolic.mul(width, block), depth))


def _parts(ctx: OpContext, dim: Dim, block: int) -> Dim:
    """How many blocks. Where a size turns out to be no multiple, the reshape fails and TensorFlow takes the call."""
    rest = symbolic.mod(dim, block)
    ctx.require(rest == 0 or not isinstance(rest, int), f"{dim} is no multiple of {block}")
    return symbolic.floordiv(dim, block)


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
