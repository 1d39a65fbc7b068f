"""Bands and diagonals of matrices."""

from __future__ import annotations

import numpy as np

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.backends.disc.ops.shape import INDEX
from tf_blade.dtypes import ALL, DType
from tf_blade.symbolic import Dim, Shape

# Each diagonal is an op of its own; more than this are another kind of problem.
_MAX_DIAGONALS = 32


@op("MatrixBandPart", types={"T": ALL, "Tindex": INDEX})
def matrix_band_part(ctx: OpContext) -> Value:
    x = ctx.inputs[0]
    ctx.require(x.rank >= 2, "of a matrix")
    ctx.require(ctx.inputs[1].rank == 0 and ctx.inputs[2].rank == 0, "the numbers of diagonals are scalars")
    lower, upper = _band_limit(ctx, 1, x.shape[-2]), _band_limit(ctx, 2, x.shape[-1])
    result, zeros = x, ctx.b.full(0, x.dtype, x.shape)
    plane = x.shape[-2:]
    rows, columns = ctx.b.iota(plane, 0, DType.INT64), ctx.b.iota(plane, 1, DType.INT64)
    for limit, distance in ((lower, ("sub", rows, columns)), (upper, ("sub", columns, rows))):
        if limit is not None:
            inside = ctx.b.elementwise("less_equal", ctx.b.elementwise(*distance), _filled(ctx, limit, plane))
            result = ctx.b.elementwise("select", ctx.b.broadcast_to(inside, x.shape), result, zeros)
    return result


def _band_limit(ctx: OpContext, index: int, size: Dim) -> Dim | None:
    """How many diagonals to keep on one side; None for all."""
    limit = ctx.dim(index)
    if isinstance(limit, int) and limit < 0:
        return None
    # A limit that is negative only at run time is TensorFlow's; one above the matrix' size is its error.
    ctx.b.require_at_least(limit, 0)
    ctx.b.require_at_least(size, limit)
    return limit


def _filled(ctx: OpContext, value: Dim, shape: Shape) -> Value:
    """An int64 tensor whose elements all are the Dim."""
    content = np.empty((), dtype=object)
    content[()] = value
    return ctx.b.broadcast(ctx.b.dims(content, DType.INT64), shape, ())


@op("MatrixDiagPart", types={"T": ALL})
def matrix_diag_part_v1(ctx: OpContext) -> Value:
    ctx.require(ctx.inputs[0].rank >= 2, "of a matrix")
    return _diagonal(ctx, ctx.inputs[0], 0)


@op("DiagPart", types={"T": ALL})
def diag_part(ctx: OpContext) -> Value:
    """The diagonal of a tensor of shape [d.., d..]."""
    x = ctx.inputs[0]
    ctx.require(x.rank % 2 == 0 and x.rank >= 2, f"of rank {x.rank}")
    shape = x.shape[: x.rank // 2]
    for a, c in zip(shape, x.shape[x.rank // 2 :], strict=True):
        ctx.b.require_equal(a, c)
    side = symbolic.num_elements(shape)
    return ctx.b.reshape(_diagonal(ctx, ctx.b.reshape(x, (side, side)), 0), shape)


def band_of(ctx: OpContext, index: int) -> tuple[int, int]:
    """The lowest and highest diagonal that an input names."""
    band = [int(item) for item in ctx.const(index).reshape(-1)]
    ctx.require(1 <= len(band) <= 2, "one or two offsets")
    low, high = band[0], band[-1]
    ctx.require(low <= high, f"the lowest diagonal {low} is above the highest {high}")
    ctx.require(high - low < _MAX_DIAGONALS, f"more than {_MAX_DIAGONALS} diagonals")
    return low, high


def alignment(ctx: OpContext) -> tuple[str, str]:
    """On which side superdiagonals and subdiagonals start; version 2 of the ops knows but one way."""
    default = "RIGHT_LEFT" if ctx.node.op.endswith("V3") else "LEFT_LEFT"
    above, below = str(ctx.attr("align", default)).split("_")
    return above, below


@op("MatrixDiagPartV2", "MatrixDiagPartV3", types={"T": ALL})
def matrix_diag_part(ctx: OpContext) -> Value:
    x, padding = ctx.inputs[0], ctx.inputs[2]
    ctx.require(x.rank >= 2 and padding.rank == 0, "a matrix, a scalar")
    low, high = band_of(ctx, 1)
    rows, columns = x.shape[-2:]
    for offset in (low, high):
        # Diagonal 0 is there even in an empty matrix.
        if offset < 0:
            ctx.b.require_at_least(rows, 1 - offset)
        elif offset > 0:
            ctx.b.require_at_least(columns, offset + 1)
    if low == high:
        return _diagonal(ctx, x, low)
    longest = symbolic.minimum(symbolic.add(rows, min(high, 0)), symbolic.sub(columns, max(low, 0)))
    align = alignment(ctx)
    lines = []
    for offset in range(high, low - 1, -1):
        line = _diagonal(ctx, x, offset)
        missing = symbolic.sub(longest, line.shape[-1])
        before = missing if align[0 if offset >= 0 else 1] == "RIGHT" else 0
        after = symbolic.sub(missing, before)
        none = [0] * (x.rank - 2)
        padded = ctx.b.pad(line, [*none, before], [*none, after], value=padding)
        lines.append(ctx.b.reshape(padded, (*x.shape[:-2], 1, longest)))
    return ctx.b.concat(lines, x.rank - 2)


def _diagonal(ctx: OpContext, x: Value, offset: int) -> Value:
    """One diagonal, [.., length]: elements offset, offset + columns + 1, … of the matrix in row-major order."""
    rows, columns = x.shape[-2:]
    length = symbolic.minimum(symbolic.add(rows, min(offset, 0)), symbolic.sub(columns, max(offset, 0)))
    first = symbolic.add(max(offset, 0), symbolic.mul(columns, max(-offset, 0)))
    line = ctx.b.iota((length,), 0, DType.INT64)
    scaled = ctx.b.elementwise("mul", line, _filled(ctx, symbolic.add(columns, 1), (length,)))
    places = ctx.b.elementwise("add", scaled, _filled(ctx, first, (length,)))
    flat = ctx.b.reshape(x, (*x.shape[:-2], symbolic.mul(rows, columns)))
    return ctx.b.gather(flat, places, axis=x.rank - 2)
