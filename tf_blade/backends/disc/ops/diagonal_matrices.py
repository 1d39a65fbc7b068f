"""Matrices made of diagonals."""

from __future__ import annotations

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.backends.disc.ops.diagonals import alignment, band_of
from tf_blade.backends.disc.ops.term import Term, iota, size_term, term
from tf_blade.dtypes import ALL
from tf_blade.symbolic import Dim, Shape


@op("MatrixDiag", types={"T": ALL})
def matrix_diag_v1(ctx: OpContext) -> Value:
    x = term(ctx, 0)
    ctx.require(x.rank >= 1, "of a scalar")
    plane = (x.shape[-1], x.shape[-1])
    zeros = Term(ctx.b, ctx.b.full(0, x.dtype, (*x.shape[:-1], *plane)))
    return _placed(zeros, x, (0, 0), ("LEFT", "LEFT"))


@op("Diag", types={"T": ALL})
def diag(ctx: OpContext) -> Value:
    """A tensor of shape [d.., d..] with the input in the diagonal."""
    x = term(ctx, 0)
    ctx.require(x.rank >= 1, "of a scalar")
    side = x.value.type.num_elements
    zeros = Term(ctx.b, ctx.b.full(0, x.dtype, (side, side)))
    plane = _placed(zeros, x.reshape(side), (0, 0), ("LEFT", "LEFT"))
    return ctx.b.reshape(plane, (*x.shape, *x.shape))


@op("MatrixDiagV2", "MatrixDiagV3", types={"T": ALL})
def matrix_diag(ctx: OpContext) -> Value:
    x, padding = term(ctx, 0), ctx.inputs[4]
    low, high = band_of(ctx, 1)
    ctx.require(x.rank >= (1 if low == high else 2) and padding.rank == 0, "diagonals, and a scalar")
    if low != high:
        ctx.b.require_equal(x.shape[-2], high - low + 1)
    rows, columns = _sides(ctx, x.shape[-1], low, high)
    lead = x.shape[: -1 if low == high else -2]
    around = Term(ctx.b, ctx.b.broadcast(padding, (*lead, rows, columns), ()))
    return _placed(around, x, (low, high), alignment(ctx))


def _sides(ctx: OpContext, length: Dim, low: int, high: int) -> tuple[Dim, Dim]:
    """Rows and columns of the matrix whose longest diagonal is `length`; -1 leaves a side to what fits."""
    least = symbolic.sub(length, min(high, 0)), symbolic.add(length, max(low, 0))
    given = ctx.dim(2), ctx.dim(3)
    if given == (-1, -1):
        side = symbolic.maximum(*least)
        return side, side
    sides = []
    for size, smallest in zip(given, least, strict=True):
        if size != -1:
            ctx.b.require_at_least(size, smallest)
        sides.append(smallest if size == -1 else size)
    # One of the sides is what the diagonal needs; the diagonals lie inside the matrix.
    ctx.require(any(symbolic.equal(a, c) for a, c in zip(sides, least, strict=True)), "sides that do not fit")
    _require_inside(ctx, (sides[0], sides[1]), low, high)
    return sides[0], sides[1]


def _require_inside(ctx: OpContext, plane: Shape, low: int, high: int) -> None:
    for offset in (low, high):
        if offset < 0:
            ctx.b.require_at_least(plane[0], 1 - offset)
        elif offset > 0:
            ctx.b.require_at_least(plane[1], offset + 1)


@op("MatrixSetDiag", types={"T": ALL})
def matrix_set_diag_v1(ctx: OpContext) -> Value:
    return _set_diagonals(ctx, (0, 0), ("LEFT", "LEFT"))


@op("MatrixSetDiagV2", "MatrixSetDiagV3", types={"T": ALL})
def matrix_set_diag(ctx: OpContext) -> Value:
    return _set_diagonals(ctx, band_of(ctx, 2), alignment(ctx))


def _set_diagonals(ctx: OpContext, band: tuple[int, int], align: tuple[str, str]) -> Value:
    x, diagonals = term(ctx, 0), term(ctx, 1)
    low, high = band
    ctx.require(x.rank >= 2, "of a matrix")
    _require_inside(ctx, x.shape[-2:], low, high)
    rows, columns = x.shape[-2:]
    longest = symbolic.minimum(symbolic.add(rows, min(high, 0)), symbolic.sub(columns, max(low, 0)))
    wanted = (*x.shape[:-2], *(() if low == high else (high - low + 1,)), longest)
    ctx.require(diagonals.rank == len(wanted), f"diagonals of rank {diagonals.rank}")
    for a, c in zip(diagonals.shape, wanted, strict=True):
        ctx.b.require_equal(a, c)
    return _placed(x, diagonals.reshape(*wanted), band, align)


def _placed(x: Term, diagonals: Term, band: tuple[int, int], align: tuple[str, str]) -> Value:
    """The matrix x with diagonals, [.., length] or [.., number, length] from the highest down, in their places.

    Shorter ones than the longest start at the left or end at the right, as `align` says of those above and below.
    """
    b, (low, high) = x.b, band
    rows, columns = x.shape[-2:]
    length = diagonals.shape[-1]
    number = 1 if low == high else high - low + 1
    flat = diagonals.reshape(*x.shape[:-2], symbolic.mul(number, length))
    row, column = iota(b, (rows, columns), 0), iota(b, (rows, columns), 1)
    offset = column - row
    inside = (offset >= low) & (offset <= high)
    place = row.minimum(column)
    if align != ("LEFT", "LEFT"):
        own = (size_term(b, rows) + offset.minimum(0)).minimum(size_term(b, columns) - offset.maximum(0))
        missing = size_term(b, length) - own
        for side, condition in zip(align, (offset >= 0, offset < 0), strict=True):
            if side == "RIGHT":
                place = place + condition.where(missing, 0)
    place = (offset * -1 + high) * size_term(b, length) + place
    # Outside of the band anything may be read.
    limit = size_term(b, symbolic.sub(symbolic.mul(number, length), 1))
    picked = flat.take(inside.where(place, 0).minimum(limit).maximum(0), axis=flat.rank - 1)
    everywhere = Term(b, b.broadcast_to(inside.value, x.shape))
    return everywhere.where(picked, x).value
