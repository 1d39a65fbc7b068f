"""Ops that move elements to computed places: rolling, reversing parts, layouts, writing into slices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.backends.disc.ops.shape import INDEX, sizes_of
from tf_blade.backends.disc.ops.slicing import Window, window_of_slice
from tf_blade.backends.disc.ops.term import Term, constant, iota, size_term, stack, term
from tf_blade.dtypes import ALL, FLOATS, NUMERIC, DType
from tf_blade.symbolic import Dim


@op("Roll", types={"T": ALL, "Tshift": INDEX, "Taxis": INDEX})
def roll(ctx: OpContext) -> Value:
    """The shifts may come as data; the axes are known."""
    x, shift = term(ctx, 0), term(ctx, 1)
    axes = [ctx.axis(int(item), x.rank) for item in ctx.const(2).reshape(-1)]
    ctx.require(shift.rank <= 1 and ctx.inputs[2].rank == shift.rank, "one shift for each axis")
    ctx.b.require_equal(shift.value.type.num_elements, len(axes))
    shifts = shift.reshape(len(axes)).to(DType.INT64)
    for number, axis in enumerate(axes):
        size = x.shape[axis]
        places = (iota(ctx.b, (size,)) - shifts.part(0, number, 1)) % size_term(ctx.b, size)
        x = x.take(places, axis=axis)
    return x.value


@op("ReverseSequence", types={"T": ALL, "Tlen": INDEX})
def reverse_sequence(ctx: OpContext) -> Value:
    """The first `lengths[b]` elements along the sequence's axis backwards, the rest as they are."""
    x, lengths = ctx.inputs[0], term(ctx, 1)
    sequence, batch = ctx.axis(int(ctx.attr("seq_dim")), x.rank), ctx.axis(int(ctx.attr("batch_dim", 0)), x.rank)
    ctx.require(sequence != batch and lengths.rank == 1, "two axes and a vector of lengths")
    rest = [axis for axis in range(x.rank) if axis not in (sequence, batch)]
    perm = [batch, sequence, *rest]
    moved = Term(ctx.b, ctx.b.transpose(x, perm))
    size = moved.shape[1]
    ctx.b.require_equal(lengths.shape[0], moved.shape[0])
    lengths = lengths.reshape(moved.shape[0]).to(DType.INT64)
    # A length that is too large, or negative, leads out of range: an error of the call, as in TensorFlow.
    lengths = lengths.checked((lengths >= 0) & (lengths <= size_term(ctx.b, size)))
    ctx.b.require_at_least(size, 1)
    line, ends = iota(ctx.b, moved.shape[:2], 1), Term(ctx.b, ctx.b.broadcast(lengths.value, moved.shape[:2], (0,)))
    result = moved.take((line < ends).where(ends - 1 - line, line), axis=1, batch_dims=1)
    return ctx.b.transpose(result.value, [perm.index(axis) for axis in range(x.rank)])


@op("Cross", types={"T": NUMERIC})
def cross(ctx: OpContext) -> Value:
    """Cross products of vectors in the last axis."""
    a, c = term(ctx, 0), term(ctx, 1)
    ctx.require(a.rank == c.rank and a.rank >= 1, "vectors of one rank")
    for x, y in zip(a.shape, c.shape, strict=True):
        ctx.b.require_equal(x, y)
    ctx.b.require_equal(a.shape[-1], 3)
    u = [a.part(-1, i, 1) for i in range(3)]
    v = [c.part(-1, i, 1).reshape(*a.shape[:-1], 1) for i in range(3)]
    parts = [u[(i + 1) % 3] * v[(i + 2) % 3] - u[(i + 2) % 3] * v[(i + 1) % 3] for i in range(3)]
    return ctx.b.concat([item.value for item in parts], a.rank - 1)


@op("LinSpace", types={"T": FLOATS, "Tidx": INDEX})
def lin_space(ctx: OpContext) -> Value:
    start, stop = term(ctx, 0), term(ctx, 1)
    ctx.require(start.rank == stop.rank == 0 and ctx.inputs[2].rank == 0, "start, stop and number are scalars")
    ctx.require(start.dtype in (DType.FLOAT, DType.DOUBLE), "of half types")
    (count,) = ctx.dims(2)
    ctx.b.require_at_least(count, 1)
    last = size_term(ctx.b, symbolic.sub(count, 1))
    step = (stop - start) / last.maximum(1).to(start.dtype)
    line = iota(ctx.b, (count,))
    inner = line.to(start.dtype) * step + start
    return (line.equals(last) & (line > 0)).where(stop, inner).value


# --- layouts ----------------------------------------------------------------------------------------------------------
def _formats(ctx: OpContext, length: Dim) -> tuple[str, str]:
    """Source and destination format; of vectors of two numbers the spatial part."""
    pair = str(ctx.attr("src_format", "NHWC")), str(ctx.attr("dst_format", "NCHW"))
    ctx.require(len(pair[0]) == len(pair[1]) and sorted(pair[0]) == sorted(pair[1]), f"formats {pair}")
    ctx.require(len(set(pair[0])) == len(pair[0]), f"format {pair[0]}")
    if length == len(pair[0]) - 2 and len(pair[0]) in (4, 5):
        spatial = [item.replace("N", "").replace("C", "") for item in pair]
        return spatial[0], spatial[1]
    return pair


@op("DataFormatVecPermute", types={"T": INDEX})
def data_format_vec_permute(ctx: OpContext) -> Value:
    """A vector, or a matrix of pairs, that lists something for each dimension, for another format."""
    x = term(ctx, 0)
    ctx.require(1 <= x.rank <= 2, f"of rank {x.rank}")
    source, target = _formats(ctx, x.shape[0])
    ctx.b.require_equal(x.shape[0], len(source))
    return x.take(constant(ctx.b, np.array([source.index(item) for item in target], np.int64))).value


@op("DataFormatDimMap", types={"T": INDEX})
def data_format_dim_map(ctx: OpContext) -> Value:
    """Axes, maybe negative, for another format."""
    x = term(ctx, 0)
    source, target = _formats(ctx, -1)
    table = np.array([target.index(item) for item in source], x.dtype.numpy)
    return constant(ctx.b, table).take((x < 0).where(x + len(source), x)).value


@op("BroadcastArgs", types={"T": INDEX})
def broadcast_args(ctx: OpContext) -> Value:
    ctx.require(all(item.rank == 1 for item in ctx.inputs), "shapes are vectors")
    shape = ctx.b.common_shape(sizes_of(ctx, 0), sizes_of(ctx, 1))
    return ctx.b.dims(np.array(shape, dtype=object), ctx.inputs[0].dtype)


@op("ConcatOffset", types={"shape_type": INDEX})
def concat_offset(ctx: OpContext) -> Sequence[Value]:
    """Where each operand of a concatenation starts."""
    axis, shapes = ctx.const_int(0), [sizes_of(ctx, i) for i in range(1, len(ctx.inputs))]
    rank = len(shapes[0])
    ctx.require(all(len(item) == rank for item in shapes), "shapes of different ranks")
    axis = ctx.axis(axis, rank)
    start: Dim = 0
    results = []
    for item in shapes:
        for i, (a, c) in enumerate(zip(item, shapes[0], strict=True)):
            if i != axis:
                ctx.b.require_equal(a, c)
        content = np.array([start if i == axis else 0 for i in range(rank)], dtype=object)
        results.append(ctx.b.dims(content, ctx.inputs[1].dtype))
        start = symbolic.add(start, item[axis])
    return results


@op("UnravelIndex", types={"Tidx": INDEX})
def unravel_index(ctx: OpContext) -> Value:
    """Flat indices as coordinates, one row for each dimension."""
    indices = term(ctx, 0)
    ctx.require(indices.rank <= 1 and ctx.inputs[1].rank == 1, "a scalar or vector, and a vector of dimensions")
    sizes = sizes_of(ctx, 1)
    ctx.b.require_at_least(indices.value.type.num_elements, 1)  # none are an error
    total = size_term(ctx.b, symbolic.num_elements(sizes), indices.dtype)
    rest = indices.checked((indices >= 0) & (indices < total))
    rows = []
    for size in reversed(sizes):
        limit = size_term(ctx.b, size, indices.dtype)
        rows.append(rest % limit)
        rest = rest // limit
    return stack(rows[::-1], 0).value


# --- writing into slices ----------------------------------------------------------------------------------------------
@op("TensorStridedSliceUpdate", types={"T": ALL, "Index": INDEX})
def strided_slice_update(ctx: OpContext) -> Value:
    """The input with a slice of it replaced."""
    x, window = term(ctx, 0), window_of_slice(ctx, ctx.inputs[0].shape)
    inside, value = _placed(ctx, x.shape, window, ctx.inputs[4])
    return value.value if inside is None else inside.where(value, x).value


@op("StridedSliceGrad", types={"T": ALL, "Index": INDEX})
def strided_slice_grad(ctx: OpContext) -> Value:
    """Zeros with a slice written."""
    shape = sizes_of(ctx, 0)
    _, value = _placed(ctx, shape, window_of_slice(ctx, shape), ctx.inputs[4])
    return value.value


def _placed(ctx: OpContext, shape: symbolic.Shape, window: Window, value: Value) -> tuple[Term | None, Term]:
    """The value with zeros around, of the given shape; and where it lies, None for everywhere."""
    ctx.require(all(item == 1 for item in window.strides), "writes with a stride")
    ctx.require(value.rank == len(window.result), f"a value of rank {value.rank} for a slice of {len(window.result)}")
    for a, c in zip(value.shape, window.result, strict=True):
        ctx.b.require_equal(a, c)
    block = ctx.b.reshape(value, window.sizes)
    # Of an empty slice the start means nothing.
    low = [symbolic.minimum(start, symbolic.sub(dim, size)) for start, dim, size in
           zip(window.starts, shape, window.sizes, strict=True)]  # fmt: skip
    high = [symbolic.sub(dim, symbolic.add(start, size)) for start, dim, size in
            zip(low, shape, window.sizes, strict=True)]  # fmt: skip
    inside: Term | None = None
    for axis, (start, size, dim) in enumerate(zip(low, window.sizes, shape, strict=True)):
        if symbolic.equal(size, dim):
            continue
        line = iota(ctx.b, shape, axis)
        here = (line >= size_term(ctx.b, start)) & (line < size_term(ctx.b, symbolic.add(start, size)))
        inside = here if inside is None else inside & here
    return inside, Term(ctx.b, ctx.b.reshape(ctx.b.pad(block, low, high), shape))
