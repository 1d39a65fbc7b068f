"""Rules of ops that move elements: transposes, joins, splits, pads, tiles, slices."""

from __future__ import annotations

from collections.abc import Sequence

from tf_blade import symbolic
from tf_blade.backends.tensorrt.ops.base import ALL, INDEX, OpContext, op
from tf_blade.backends.tensorrt.values import Value
from tf_blade.symbolic import Dim


@op("Transpose", types={"T": ALL, "Tperm": INDEX})
def transpose(ctx: OpContext) -> Value:
    x = ctx.inputs[0]
    axes = [ctx.axis(int(axis), x.rank) for axis in ctx.const(1).reshape(-1)]
    ctx.require(sorted(axes) == list(range(x.rank)), "no permutation of the axes")
    return ctx.net.transpose(x, axes)


@op("ConcatV2", types={"T": ALL, "Tidx": INDEX})
def concat_v2(ctx: OpContext) -> Value:
    *values, _ = ctx.inputs
    return _concat(ctx, values, ctx.const_int(len(values)))


@op("Concat", types={"T": ALL})
def concat(ctx: OpContext) -> Value:
    return _concat(ctx, ctx.inputs[1:], ctx.const_int(0))


def _concat(ctx: OpContext, values: Sequence[Value], axis: int) -> Value:
    ctx.require(len({item.rank for item in values}) == 1, "operands of several ranks")
    return ctx.net.concat(values, ctx.axis(axis, values[0].rank))


@op("Pack", types={"T": ALL})
def pack(ctx: OpContext) -> Value:
    first = ctx.inputs[0]
    ctx.require(all(item.rank == first.rank for item in ctx.inputs), "operands of several ranks")
    axis = ctx.axis(int(ctx.attr("axis", 0)), first.rank + 1)
    parts = [ctx.net.reshape(item, (*item.shape[:axis], 1, *item.shape[axis:])) for item in ctx.inputs]
    return ctx.net.concat(parts, axis)


@op("Unpack", types={"T": ALL})
def unpack(ctx: OpContext) -> Sequence[Value]:
    (x,) = ctx.inputs
    axis = ctx.axis(int(ctx.attr("axis", 0)), x.rank)
    number = int(ctx.attr("num"))
    ctx.require(x.shape[axis] == number, "the number of parts is not known to be right")
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    return [ctx.net.reshape(item, shape) for item in _pieces(ctx, x, axis, [1] * number)]


def _pieces(ctx: OpContext, x: Value, axis: int, sizes: Sequence[Dim]) -> list[Value]:
    pieces, start = [], 0
    for size in sizes:
        starts: list[Dim] = [0] * x.rank
        starts[axis] = start
        pieces.append(ctx.net.slice(x, starts, (*x.shape[:axis], size, *x.shape[axis + 1 :])))
        start = symbolic.add(start, size)
    return pieces


@op("Split", types={"T": ALL})
def split(ctx: OpContext) -> Sequence[Value]:
    x, number = ctx.inputs[1], int(ctx.attr("num_split"))
    axis = ctx.axis(ctx.const_int(0), x.rank)
    ctx.require(symbolic.mod(x.shape[axis], number) == 0, "the parts are not known to be equal")
    return _pieces(ctx, x, axis, [symbolic.floordiv(x.shape[axis], number)] * number)


@op("SplitV", types={"T": ALL, "Tlen": INDEX})
def split_v(ctx: OpContext) -> Sequence[Value]:
    x, sizes = ctx.inputs[0], list(ctx.dims(1))
    axis = ctx.axis(ctx.const_int(2), x.rank)
    unknown = [index for index, size in enumerate(sizes) if size == -1]
    ctx.require(len(unknown) <= 1, "more than one size is -1")
    if unknown:
        sizes[unknown[0]] = symbolic.sub(x.shape[axis], symbolic.add(1, *sizes))
    ctx.require(symbolic.equal(symbolic.add(0, *sizes), x.shape[axis]), "the sizes are not known to add up")
    return _pieces(ctx, x, axis, sizes)


@op("Pad", "PadV2", types={"T": ALL, "Tpaddings": INDEX})
def pad(ctx: OpContext) -> Value:
    x = ctx.inputs[0]
    number = ctx.net.cast(ctx.inputs[2], x.dtype) if ctx.node.op == "PadV2" else ctx.net.like(0, x)
    return _padded(ctx, x, "FILL", number)


@op("MirrorPad", types={"T": ALL, "Tpaddings": INDEX})
def mirror_pad(ctx: OpContext) -> Value:
    """Layers reflect without the edge; with it, what is added lies backwards beside the rest."""
    if ctx.attr("mode") == "REFLECT":
        return _padded(ctx, ctx.inputs[0], "REFLECT", None)
    x, paddings = ctx.inputs[0], ctx.dims(1)
    ctx.require(len(paddings) == 2 * x.rank, "paddings of another rank")
    for axis, (before, after) in enumerate(zip(paddings[::2], paddings[1::2], strict=True)):
        dim = x.shape[axis]
        first = [_backwards(ctx, x, axis, symbolic.sub(before, 1), before)] if before != 0 else []
        last = [_backwards(ctx, x, axis, symbolic.sub(dim, 1), after)] if after != 0 else []
        x = ctx.net.concat([*first, x, *last], axis)
    return x


def _backwards(ctx: OpContext, x: Value, axis: int, start: Dim, size: Dim) -> Value:
    """So many elements of an axis, from one towards the first."""
    starts = [start if k == axis else 0 for k in range(x.rank)]
    sizes = [size if k == axis else dim for k, dim in enumerate(x.shape)]
    return ctx.net.slice(x, starts, sizes, [-1 if k == axis else 1 for k in range(x.rank)])


def _padded(ctx: OpContext, x: Value, mode: str, fill: Value | None) -> Value:
    paddings = ctx.dims(1)
    ctx.require(len(paddings) == 2 * x.rank, "paddings of another rank")
    before, after = paddings[::2], paddings[1::2]
    sizes = [symbolic.add(a, dim, b) for a, dim, b in zip(before, x.shape, after, strict=True)]
    if fill is not None:
        fill = ctx.net.reshape(fill, ())
    return ctx.net.slice(x, [symbolic.mul(-1, dim) for dim in before], sizes, mode=mode, fill=fill)


@op("Tile", types={"T": ALL, "Tmultiples": INDEX})
def tile(ctx: OpContext) -> Value:
    """A window that wraps around."""
    x, multiples = ctx.inputs[0], ctx.dims(1)
    ctx.require(len(multiples) == x.rank, "multiples of another rank")
    sizes = [symbolic.mul(dim, count) for dim, count in zip(x.shape, multiples, strict=True)]
    return ctx.net.slice(x, [0] * x.rank, sizes, mode="WRAP")


@op("ReverseV2", types={"T": ALL, "Tidx": INDEX})
def reverse(ctx: OpContext) -> Value:
    """A window that goes backwards."""
    x = ctx.inputs[0]
    axes = ctx.axes(1, x.rank)
    starts = [symbolic.sub(dim, 1) if axis in axes else 0 for axis, dim in enumerate(x.shape)]
    return ctx.net.slice(x, starts, x.shape, [-1 if axis in axes else 1 for axis in range(x.rank)])
