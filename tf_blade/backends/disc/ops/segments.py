"""Sums by segment, histograms, and sparse matrices: rows of data combined at places that come as data.

Only ops whose result has a size that is known before the data is: the others size their result by the last segment.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, Rule, op
from tf_blade.backends.disc.ops.shape import INDEX, sizes_of
from tf_blade.backends.disc.ops.term import Term, iota, size_term, term
from tf_blade.dtypes import ALL, FLOATS, NUMERIC, DType
from tf_blade.symbolic import Dim

_COUNTS = frozenset({DType.INT32, DType.INT64, DType.FLOAT, DType.DOUBLE})


def _scattered(start: Term, places: Term, updates: Term, mode: str) -> Term:
    """Rows of updates combined with the rows of `start` that `places`, a vector, names."""
    indices = places.reshape(*places.shape, 1)
    return Term(start.b, start.b.scatter(start.value, indices.value, updates.value, mode))


def _size(ctx: OpContext, index: int) -> Dim:
    """A scalar number of rows, nonnegative."""
    ctx.require(ctx.inputs[index].rank == 0, "a number of rows is a scalar")
    (size,) = sizes_of(ctx, index)
    return size


# --- segments ---------------------------------------------------------------------------------------------------------
def _identity(kind: str, dtype: DType) -> float:
    """What an empty segment gives."""
    if kind in ("add", "mul"):
        return float(kind == "mul")
    info = np.iinfo(dtype.numpy) if dtype.is_integer else ml_dtypes.finfo(dtype.numpy)  # type: ignore[no-untyped-call]
    return info.min if kind == "max" else info.max  # type: ignore[return-value]


def _unsorted_segment(kind: str) -> Rule:
    def rule(ctx: OpContext) -> Value:
        data, ids = term(ctx, 0), term(ctx, 1)
        count = _size(ctx, 2)
        ctx.require(ids.rank <= data.rank, f"segment ids of rank {ids.rank} for data of rank {data.rank}")
        for a, c in zip(data.shape, ids.shape, strict=False):
            ctx.b.require_equal(a, c)
        inner, total = data.shape[ids.rank :], ids.value.type.num_elements
        rows, flat = data.reshape(total, *inner), ids.reshape(total)
        # Row 0 takes what has a negative id, which TensorFlow drops.
        places = (flat.to(DType.INT64) + 1).maximum(0)
        start = Term(ctx.b, ctx.b.full(_identity(kind, data.dtype), data.dtype, (symbolic.add(count, 1), *inner)))
        return _scattered(start, places, rows, kind).part(0, 1, count).value

    return rule


for _name, _kind in (("Sum", "add"), ("Prod", "mul"), ("Max", "max"), ("Min", "min")):
    op(f"UnsortedSegment{_name}", types={"T": NUMERIC, "Tindices": INDEX, "Tnumsegments": INDEX})(
        _unsorted_segment(_kind)
    )


def _sparse_segment(kind: str) -> Rule:
    def rule(ctx: OpContext) -> Value:
        data, places, ids = (term(ctx, i) for i in range(3))
        ctx.require(not ctx.attr("sparse_gradient", False), "a sparse gradient")
        ctx.require(data.rank >= 1 and places.rank == 1 and ids.rank == 1, "vectors of indices and segment ids")
        ctx.b.require_equal(places.shape[0], ids.shape[0])
        count = _size(ctx, 3)
        rows = data.widened().take(places)
        shape = (count, *data.shape[1:])
        ids = _ascending(Term(ctx.b, ctx.b.reshape(ids.value, places.shape)), strict=False)
        total = _scattered(Term(ctx.b, ctx.b.full(0, rows.dtype, shape)), ids, rows, "add")
        if kind == "sum":
            return total.to(data.dtype).value
        ones = Term(ctx.b, ctx.b.full(1, rows.dtype, places.shape))
        number = _scattered(Term(ctx.b, ctx.b.full(0, rows.dtype, (count,))), ids, ones, "add").maximum(1)
        divisor = number if kind == "mean" else number.fn("sqrt")
        wide = Term(ctx.b, ctx.b.broadcast(divisor.value, shape, (0,)))
        return (total / wide).to(data.dtype).value

    return rule


def _ascending(ids: Term, *, strict: bool) -> Term:
    """The vector, for which not to ascend is an error of the call."""
    line = iota(ids.b, ids.shape)
    before = ids.take((line - 1).maximum(0))
    return ids.checked(line.equals(0) | (before < ids if strict else before <= ids))


for _name, _kind in (("Sum", "sum"), ("Mean", "mean"), ("SqrtN", "sqrt_n")):
    op(
        f"SparseSegment{_name}WithNumSegments",
        types={"T": FLOATS, "Tidx": INDEX, "Tnumsegments": INDEX, "Tsegmentids": INDEX},
    )(_sparse_segment(_kind))


# --- histograms -------------------------------------------------------------------------------------------------------
@op("Bincount", types={"T": _COUNTS})
def bincount(ctx: OpContext) -> Value:
    return _bincount(ctx, term(ctx, 0), binary=False)


@op("DenseBincount", types={"T": _COUNTS, "Tidx": INDEX})
def dense_bincount(ctx: OpContext) -> Value:
    """Of a vector, or of each row of a matrix."""
    return _bincount(ctx, term(ctx, 0), binary=bool(ctx.attr("binary_output", False)))


def _bincount(ctx: OpContext, values: Term, *, binary: bool) -> Value:
    weights, count = term(ctx, 2), _size(ctx, 1)
    ctx.require(ctx.node.op == "Bincount" or 1 <= values.rank <= 2, f"values of rank {values.rank}")
    total = values.value.type.num_elements
    dtype = weights.dtype
    if binary or weights.value.type.num_elements == 0:
        rows = Term(ctx.b, ctx.b.full(1, dtype, (total,)))
    else:
        ctx.b.require_equal(weights.value.type.num_elements, total)
        ctx.b.require_at_least(total, 1)  # no weights stand for ones
        rows = weights.reshape(total)
    # What is too large falls into a last place, which is cut off; what is negative is an error of the call.
    places = values.to(DType.INT64).minimum(size_term(ctx.b, count))
    mode = "update" if binary else "add"
    wide = symbolic.add(count, 1)
    if ctx.node.op == "Bincount" or values.rank == 1:
        start = Term(ctx.b, ctx.b.full(0, dtype, (wide,)))
        return _scattered(start, places.reshape(total), rows, mode).part(0, 0, count).value
    start = Term(ctx.b, ctx.b.full(0, dtype, (values.shape[0], wide)))
    line = iota(ctx.b, values.shape, 0)
    pairs = ctx.b.concat([line.reshape(total, 1).value, places.reshape(total, 1).value], 1)
    return Term(ctx.b, ctx.b.scatter(start.value, pairs, rows.value, mode)).part(1, 0, count).value


@op("HistogramFixedWidth", types={"T": _COUNTS, "dtype": INDEX})
def histogram(ctx: OpContext) -> Value:
    """Bins of equal width; what lies outside counts in the first or last one."""
    values, limits = term(ctx, 0), term(ctx, 1)
    count = _size(ctx, 2)
    ctx.b.require_at_least(count, 1)
    ctx.require(symbolic.same_shape(limits.shape, (2,)), "the range has two ends")
    low, high = limits.part(0, 0, 1).reshape(), limits.part(0, 1, 1).reshape()
    step = (high - low).to(DType.DOUBLE) / size_term(ctx.b, count, DType.DOUBLE)
    flat = values.reshape(values.value.type.num_elements)
    place = (flat.maximum(low) - low).to(DType.DOUBLE) / step
    bins = place.minimum(size_term(ctx.b, symbolic.sub(count, 1), DType.DOUBLE)).to(DType.INT32).checked(low < high)
    dtype = ctx.attr("dtype", DType.INT32)
    ones = Term(ctx.b, ctx.b.full(1, dtype, flat.shape))
    return _scattered(Term(ctx.b, ctx.b.full(0, dtype, (count,))), bins, ones, "add").value


# --- sparse matrices --------------------------------------------------------------------------------------------------
@op(
    "SparseTensorDenseMatMul",
    types={"T": frozenset({DType.FLOAT, DType.DOUBLE, DType.INT32}), "Tindices": INDEX},
)
def sparse_dense_matmul(ctx: OpContext) -> Value:
    """The product of a matrix of coordinates and a dense one, entry by entry in the order given."""
    indices, values, _, dense = (term(ctx, i) for i in range(4))
    size = sizes_of(ctx, 2)
    ctx.require(len(size) == 2 and indices.rank == 2 and values.rank == 1 and dense.rank == 2, "matrices")
    ctx.b.require_equal(indices.shape[1], 2)
    ctx.b.require_equal(indices.shape[0], values.shape[0])
    if ctx.attr("adjoint_b", False):
        dense = Term(ctx.b, ctx.b.transpose(dense.value, (1, 0)))
    adjoint = bool(ctx.attr("adjoint_a", False))
    rows, inner = (size[1], size[0]) if adjoint else (size[0], size[1])
    ctx.b.require_equal(inner, dense.shape[0])
    columns = [indices.part(1, i, 1).reshape(indices.shape[0]) for i in range(2)]
    row, column = (columns[1], columns[0]) if adjoint else (columns[0], columns[1])
    picked = dense.take(column)
    weights = ctx.b.broadcast(ctx.b.reshape(values.value, picked.shape[:1]), picked.shape, (0,))
    start = Term(ctx.b, ctx.b.full(0, dense.dtype, (rows, dense.shape[1])))
    return _scattered(start, row, picked * Term(ctx.b, weights), "add").value


@op("SparseToDense", types={"T": ALL, "Tindices": INDEX})
def sparse_to_dense(ctx: OpContext) -> Value:
    indices, values, default = term(ctx, 0), term(ctx, 2), term(ctx, 3)
    shape = sizes_of(ctx, 1)
    ctx.require(indices.rank <= 2 and default.rank == 0 and values.rank <= 1, "a matrix of indices, a vector of values")
    ctx.require(ctx.inputs[1].rank == 1, "the shape is a vector")
    number = symbolic.num_elements(indices.shape[:1])
    depth = indices.shape[1] if indices.rank == 2 else 1
    ctx.b.require_equal(depth, len(shape))
    ctx.require(len(shape) >= 1, "of a scalar")
    places = indices.reshape(number, len(shape))
    if ctx.attr("validate_indices", True):
        places = _in_order(places, shape)
    if values.rank == 1:
        ctx.b.require_equal(values.shape[0], number)
        updates = ctx.b.reshape(values.value, (number,))
    else:
        updates = ctx.b.broadcast(values.value, (number,), ())
    start = ctx.b.broadcast(default.value, shape, ())
    return ctx.b.scatter(start, places.value, updates, "update")


def _in_order(places: Term, shape: symbolic.Shape) -> Term:
    """The index vectors, for which not to ascend in row-major order is an error of the call."""
    flat = places.part(1, 0, 1).reshape(places.shape[0]).to(DType.INT64)
    for axis in range(1, len(shape)):
        column = places.part(1, axis, 1).reshape(places.shape[0]).to(DType.INT64)
        flat = flat * size_term(places.b, shape[axis]) + column
    line = iota(places.b, flat.shape)
    good = line.equals(0) | (flat.take((line - 1).maximum(0)) < flat)
    return places.checked(Term(places.b, places.b.broadcast(good.value, places.shape, (0,))))


@op("InvertPermutation", types={"T": INDEX})
def invert_permutation(ctx: OpContext) -> Value:
    """A number that is missing, because another is there twice, is an error of the call."""
    x = term(ctx, 0)
    ctx.require(x.rank == 1, "of a vector")
    start = Term(ctx.b, ctx.b.full(-1, x.dtype, x.shape))
    result = _scattered(start, x, iota(ctx.b, x.shape, dtype=x.dtype), "update")
    return result.checked(result >= 0).value
