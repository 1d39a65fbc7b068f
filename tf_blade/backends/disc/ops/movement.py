"""Ops that move elements: transpose, joining, splitting, padding, tiling, reversing."""

from __future__ import annotations

from collections.abc import Sequence

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.backends.disc.ops.shape import INDEX, sizes_of
from tf_blade.dtypes import ALL, DType
from tf_blade.symbolic import Dim

# TensorFlow's Reverse takes no more.
_MAX_REVERSE_RANK = 8


@op("Transpose", types={"T": ALL, "Tperm": INDEX})
def transpose(ctx: OpContext) -> Value:
    x = ctx.inputs[0]
    perm = [ctx.axis(int(item), x.rank) for item in ctx.const(1).reshape(-1)]
    ctx.require(sorted(perm) == list(range(x.rank)), f"{perm} is no permutation of rank {x.rank}")
    return ctx.b.transpose(x, perm)


# --- joining ----------------------------------------------------------------------------------------------------------
@op("Concat", types={"T": ALL})
def concat(ctx: OpContext) -> Value:
    return _concat(ctx, ctx.inputs[1:], ctx.const_int(0))


@op("ConcatV2", types={"T": ALL, "Tidx": INDEX})
def concat_v2(ctx: OpContext) -> Value:
    return _concat(ctx, ctx.inputs[:-1], ctx.const_int(len(ctx.inputs) - 1))


def _concat(ctx: OpContext, operands: Sequence[Value], axis: int) -> Value:
    ctx.require(all(item.rank == operands[0].rank for item in operands), "operands of different ranks")
    return ctx.b.concat(operands, ctx.axis(axis, operands[0].rank))


@op("Pack", types={"T": ALL})
def pack(ctx: OpContext) -> Value:
    first = ctx.inputs[0]
    axis = ctx.axis(int(ctx.attr("axis", 0)), first.rank + 1)
    ctx.require(all(item.rank == first.rank for item in ctx.inputs), "operands of different ranks")
    return ctx.b.concat([ctx.b.reshape(x, (*x.shape[:axis], 1, *x.shape[axis:])) for x in ctx.inputs], axis)


# --- splitting --------------------------------------------------------------------------------------------------------
@op("Unpack", types={"T": ALL})
def unpack(ctx: OpContext) -> Sequence[Value]:
    x = ctx.inputs[0]
    axis, count = ctx.axis(int(ctx.attr("axis", 0)), x.rank), int(ctx.attr("num"))
    ctx.b.require_equal(x.shape[axis], count)
    pieces = _pieces(ctx, x, axis, [1] * count)
    return [ctx.b.reshape(piece, (*x.shape[:axis], *x.shape[axis + 1 :])) for piece in pieces]


@op("Split", types={"T": ALL})
def split(ctx: OpContext) -> Sequence[Value]:
    x, count = ctx.inputs[1], int(ctx.attr("num_split"))
    axis = ctx.axis(ctx.const_int(0), x.rank)
    size = symbolic.floordiv(x.shape[axis], count)
    ctx.b.require_equal(symbolic.mul(size, count), x.shape[axis])
    return _pieces(ctx, x, axis, [size] * count)


@op("SplitV", types={"T": ALL, "Tlen": INDEX})
def split_v(ctx: OpContext) -> Sequence[Value]:
    x, sizes = ctx.inputs[0], list(ctx.dims(1))
    axis = ctx.axis(ctx.const_int(2), x.rank)
    unknown = [i for i, size in enumerate(sizes) if size == -1]
    ctx.require(len(unknown) <= 1, "more than one size is -1")
    if unknown:
        rest = symbolic.add(0, *(size for size in sizes if size != -1))
        sizes[unknown[0]] = symbolic.sub(x.shape[axis], rest)
    for size in sizes:
        # A size that is -1 only at run time means "the rest": that call is TensorFlow's.
        ctx.b.require_at_least(size, 0)
    ctx.b.require_equal(symbolic.add(0, *sizes), x.shape[axis])
    return _pieces(ctx, x, axis, sizes)


def _pieces(ctx: OpContext, x: Value, axis: int, sizes: Sequence[Dim]) -> list[Value]:
    """Slices of the given sizes along the axis, one after the other."""
    pieces = []
    start: Dim = 0
    for size in sizes:
        starts = [start if i == axis else 0 for i in range(x.rank)]
        pieces.append(ctx.b.slice(x, starts, [size if i == axis else dim for i, dim in enumerate(x.shape)]))
        start = symbolic.add(start, size)
    return pieces


# --- padding, tiling --------------------------------------------------------------------------------------------------
@op("Pad", "PadV2", types={"T": ALL, "Tpaddings": INDEX})
def pad(ctx: OpContext) -> Value:
    low, high = _paddings(ctx)
    value = ctx.inputs[2] if ctx.node.op == "PadV2" else None
    ctx.require(value is None or value.rank == 0, "the padding value is a scalar")
    return ctx.b.pad(ctx.inputs[0], low, high, value=value)


def _paddings(ctx: OpContext) -> tuple[list[Dim], list[Dim]]:
    x, paddings = ctx.inputs[0], ctx.inputs[1]
    ctx.require(paddings.rank == 2 and symbolic.same_shape(paddings.shape, (x.rank, 2)), "paddings are [rank, 2]")
    content = sizes_of_matrix(ctx, 1)
    return list(content[0::2]), list(content[1::2])


def sizes_of_matrix(ctx: OpContext, index: int) -> tuple[Dim, ...]:
    """The content of a matrix of sizes, row by row; nonnegative as in `sizes_of`."""
    content = ctx.dims(index)
    for size in content:
        ctx.b.require_at_least(size, 0)
    return content


@op("MirrorPad", types={"T": ALL, "Tpaddings": INDEX})
def mirror_pad(ctx: OpContext) -> Value:
    return mirrored(ctx, ctx.inputs[0], ctx.inputs[1], 1)


def mirrored(ctx: OpContext, x: Value, paddings: Value, index: int) -> Value:
    """x padded by input `index` in the node's mode."""
    mode = str(ctx.attr("mode")).lower()
    ctx.require(paddings.rank == 2 and symbolic.same_shape(paddings.shape, (x.rank, 2)), "paddings are [rank, 2]")
    content = sizes_of_matrix(ctx, index)
    low, high = content[0::2], content[1::2]
    edge = 1 if mode == "reflect" else 0
    for dim, *widths in zip(x.shape, low, high, strict=True):
        for width in widths:
            ctx.b.require_at_least(dim, symbolic.add(width, edge))
    return ctx.b.pad(x, low, high, mode=mode)


@op("Tile", types={"T": ALL, "Tmultiples": INDEX})
def tile(ctx: OpContext) -> Value:
    x, multiples = ctx.inputs[0], sizes_of(ctx, 1)
    ctx.require(len(multiples) == x.rank, "multiples have one number for each dimension")
    wide: list[Dim] = []
    axes = []
    for dim, multiple in zip(x.shape, multiples, strict=True):
        if multiple != 1:
            wide.append(multiple)
        axes.append(len(wide))
        wide.append(dim)
    shape = [symbolic.mul(dim, multiple) for dim, multiple in zip(x.shape, multiples, strict=True)]
    return ctx.b.reshape(ctx.b.broadcast(x, wide, axes), shape)


# --- reversing --------------------------------------------------------------------------------------------------------
@op("Reverse", types={"T": ALL})
def reverse(ctx: OpContext) -> Value:
    x, flags = ctx.inputs[0], ctx.const(1).reshape(-1)
    ctx.require(len(flags) == x.rank, "one flag for each dimension")
    if x.rank:
        # Reverse, unlike ReverseV2, refuses these.
        ctx.b.require_at_least(x.shape[0], 1)
    return _reverse(ctx, [i for i, flag in enumerate(flags) if flag])


@op("ReverseV2", types={"T": ALL, "Tidx": INDEX})
def reverse_v2(ctx: OpContext) -> Value:
    axes = [ctx.axis(int(item), ctx.inputs[0].rank) for item in ctx.const(1).reshape(-1)]
    ctx.require(len(set(axes)) == len(axes), "an axis is named twice")
    return _reverse(ctx, axes)


def _reverse(ctx: OpContext, axes: Sequence[int]) -> Value:
    ctx.require(ctx.inputs[0].rank <= _MAX_REVERSE_RANK, f"rank above {_MAX_REVERSE_RANK}")
    ctx.require(ctx.inputs[0].dtype in ALL - {DType.UINT64}, "TensorFlow reverses no uint64")
    return ctx.b.reverse(ctx.inputs[0], axes) if axes else ctx.inputs[0]
