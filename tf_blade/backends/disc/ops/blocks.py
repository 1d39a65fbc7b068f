"""Ops that trade space for depth or batch, block by block."""

from __future__ import annotations

import math

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.backends.disc.ops.movement import sizes_of_matrix
from tf_blade.backends.disc.ops.shape import INDEX
from tf_blade.dtypes import ALL
from tf_blade.symbolic import Dim


def _divided(ctx: OpContext, dim: Dim, divisor: int) -> Dim:
    """dim / divisor, which is exact or the call is TensorFlow's (an error there)."""
    quotient = symbolic.floordiv(dim, divisor)
    ctx.b.require_equal(symbolic.mul(quotient, divisor), dim)
    return quotient


def _image(ctx: OpContext) -> tuple[Value, int]:
    ctx.require(ctx.attr("data_format", "NHWC") == "NHWC", "data_format other than NHWC")
    ctx.require(ctx.inputs[0].rank == 4, "an image batch has rank 4")
    return ctx.inputs[0], int(ctx.attr("block_size"))


@op("SpaceToDepth", types={"T": ALL})
def space_to_depth(ctx: OpContext) -> Value:
    x, block = _image(ctx)
    n, height, width, depth = x.shape
    rows, columns = _divided(ctx, height, block), _divided(ctx, width, block)
    split = ctx.b.reshape(x, (n, rows, block, columns, block, depth))
    moved = ctx.b.transpose(split, (0, 1, 3, 2, 4, 5))
    return ctx.b.reshape(moved, (n, rows, columns, symbolic.mul(depth, block * block)))


@op("DepthToSpace", types={"T": ALL})
def depth_to_space(ctx: OpContext) -> Value:
    x, block = _image(ctx)
    n, rows, columns, depth = x.shape
    channels = _divided(ctx, depth, block * block)
    split = ctx.b.reshape(x, (n, rows, columns, block, block, channels))
    moved = ctx.b.transpose(split, (0, 1, 3, 2, 4, 5))
    return ctx.b.reshape(moved, (n, symbolic.mul(rows, block), symbolic.mul(columns, block), channels))


def _block_shape(ctx: OpContext) -> list[int]:
    block = [int(item) for item in ctx.const(1).reshape(-1)]
    ctx.require(all(item >= 1 for item in block), "a block size below 1")
    ctx.require(1 <= len(block) < ctx.inputs[0].rank, f"{len(block)} block dimensions for rank {ctx.inputs[0].rank}")
    ctx.require(symbolic.same_shape(ctx.inputs[2].shape, (len(block), 2)), "one pair for each block dimension")
    return block


@op("SpaceToBatchND", types={"T": ALL, "Tblock_shape": INDEX, "Tpaddings": INDEX})
def space_to_batch_nd(ctx: OpContext) -> Value:
    return _space_to_batch(ctx, _block_shape(ctx), sizes_of_matrix(ctx, 2))


@op("SpaceToBatch", types={"T": ALL, "Tpaddings": INDEX})
def space_to_batch(ctx: OpContext) -> Value:
    return _space_to_batch(ctx, *_square(ctx))


def _square(ctx: OpContext) -> tuple[list[int], tuple[Dim, ...]]:
    """Block sizes and pairs of the ops that take one block size for height and width."""
    ctx.require(ctx.inputs[0].rank == 4, "an image batch has rank 4")
    ctx.require(symbolic.same_shape(ctx.inputs[1].shape, (2, 2)), "one pair for each of height and width")
    return [int(ctx.attr("block_size"))] * 2, sizes_of_matrix(ctx, 1)


def _space_to_batch(ctx: OpContext, block: list[int], pairs: tuple[Dim, ...]) -> Value:
    count = len(block)
    rest = ctx.inputs[0].rank - count - 1
    padded = ctx.b.pad(ctx.inputs[0], [0, *pairs[0::2], *[0] * rest], [0, *pairs[1::2], *[0] * rest])
    batch, *space = padded.shape[: count + 1]
    tail = padded.shape[count + 1 :]
    counts = [_divided(ctx, dim, size) for dim, size in zip(space, block, strict=True)]
    split: list[Dim] = [batch]
    for amount, size in zip(counts, block, strict=True):
        split += [amount, size]
    perm = [*range(2, 2 * count + 1, 2), 0, *range(1, 2 * count + 1, 2), *range(2 * count + 1, 2 * count + 1 + rest)]
    moved = ctx.b.transpose(ctx.b.reshape(padded, (*split, *tail)), perm)
    return ctx.b.reshape(moved, (symbolic.mul(batch, math.prod(block)), *counts, *tail))


@op("BatchToSpaceND", types={"T": ALL, "Tblock_shape": INDEX, "Tcrops": INDEX})
def batch_to_space_nd(ctx: OpContext) -> Value:
    return _batch_to_space(ctx, _block_shape(ctx), sizes_of_matrix(ctx, 2))


@op("BatchToSpace", types={"T": ALL, "Tidx": INDEX})
def batch_to_space(ctx: OpContext) -> Value:
    return _batch_to_space(ctx, *_square(ctx))


def _batch_to_space(ctx: OpContext, block: list[int], pairs: tuple[Dim, ...]) -> Value:
    x, count = ctx.inputs[0], len(block)
    batch = _divided(ctx, x.shape[0], math.prod(block))
    space, tail = x.shape[1 : count + 1], x.shape[count + 1 :]
    perm = [count]
    for i in range(count):
        perm += [count + 1 + i, i]
    perm += range(2 * count + 1, 2 * count + 1 + len(tail))
    moved = ctx.b.transpose(ctx.b.reshape(x, (*block, batch, *space, *tail)), perm)
    whole = [symbolic.mul(dim, size) for dim, size in zip(space, block, strict=True)]
    sizes = [symbolic.sub(dim, symbolic.add(*pairs[2 * i : 2 * i + 2])) for i, dim in enumerate(whole)]
    for size in sizes:
        ctx.b.require_at_least(size, 0)
    joined = ctx.b.reshape(moved, (batch, *whole, *tail))
    return ctx.b.slice(joined, [0, *pairs[0::2], *[0] * len(tail)], [batch, *sizes, *tail])
