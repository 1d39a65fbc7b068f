"""Rules of bands and diagonals of matrices, the last two dimensions of a tensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tf_blade import symbolic
from tf_blade.backends.tensorrt.ops.base import ALL, INDEX, OpContext, op
from tf_blade.backends.tensorrt.values import Value
from tf_blade.symbolic import Dim

_TOO_MANY = 2**31 - 1


@op("MatrixBandPart", types={"T": ALL, "Tindex": INDEX})
def matrix_band_part(ctx: OpContext) -> Value:
    """Zeros outside of a band around the diagonal."""
    net, x = ctx.net, ctx.inputs[0]
    lower, upper = ctx.const_int(1), ctx.const_int(2)
    ctx.require(
        max(lower, upper) < _TOO_MANY, "more diagonals than a matrix can have, of which TensorFlow reports an error"
    )
    _matrix(ctx, x)
    below = _below(ctx, *x.shape[-2:])
    sides = []
    if lower >= 0:
        sides.append(net.compare("LESS", below, net.constant(np.full((1, 1), lower + 1, np.int32))))
    if upper >= 0:
        sides.append(net.compare("GREATER", below, net.constant(np.full((1, 1), -upper - 1, np.int32))))
    if not sides:
        return x
    inside = sides[0] if len(sides) == 1 else net.binary("AND", *sides)
    return net.select(inside, x, net.like(0, x))


def _matrix(ctx: OpContext, x: Value) -> None:
    ctx.require(x.rank >= 2, "operands are no matrices")
    ctx.require(0 not in x.shape[-2:], "an empty matrix")


def _below(ctx: OpContext, rows: Dim, columns: Dim) -> Value:
    """How far each element of a matrix is below the diagonal."""
    net = ctx.net
    down, right = net.line(rows), net.line(columns)
    return net.binary("SUB", net.reshape(down, (rows, 1)), net.reshape(right, (1, columns)))


def _offset(ctx: OpContext, index: int) -> int:
    """Which diagonal a node is about: above the main one, or below it where negative."""
    numbers = {int(item) for item in ctx.const(index).reshape(-1)}
    ctx.require(len(numbers) == 1, "several diagonals")
    return numbers.pop()


def _length(rows: Dim, columns: Dim, offset: int) -> Dim:
    return symbolic.minimum(symbolic.add(rows, min(offset, 0)), symbolic.sub(columns, max(offset, 0)))


# A diagonal of each matrix.


@op("MatrixDiagPart", types={"T": ALL})
def matrix_diag_part(ctx: OpContext) -> Value:
    return _diagonal(ctx, ctx.inputs[0], 0)


@op("MatrixDiagPartV2", "MatrixDiagPartV3", types={"T": ALL})
def matrix_diag_part_of(ctx: OpContext) -> Value:
    return _diagonal(ctx, ctx.inputs[0], _offset(ctx, 1))


@op("DiagPart", types={"T": ALL})
def diag_part(ctx: OpContext) -> Value:
    """Of a tensor that has each dimension twice."""
    (x,) = ctx.inputs
    half = x.shape[: x.rank // 2]
    ctx.require(x.rank % 2 == 0 and symbolic.same_shape(half, x.shape[x.rank // 2 :]), "dimensions that may differ")
    count = symbolic.num_elements(half)
    return ctx.net.reshape(_diagonal(ctx, ctx.net.reshape(x, (count, count)), 0), half)


def _diagonal(ctx: OpContext, x: Value, offset: int) -> Value:
    """Steps of a row and an element through the rows one after the other."""
    _matrix(ctx, x)
    rows, columns = x.shape[-2:]
    length = _length(rows, columns, offset)
    ctx.require(not isinstance(length, int) or length > 0, f"no diagonal {offset} in {rows} x {columns}")
    flat = ctx.net.reshape(x, (*x.shape[:-2], symbolic.mul(rows, columns)))
    first = offset if offset >= 0 else symbolic.mul(-offset, columns)
    outer = x.rank - 2
    starts, sizes = (*(0,) * outer, first), (*x.shape[:-2], length)
    return ctx.net.slice(flat, starts, sizes, (*(1,) * outer, symbolic.add(columns, 1)))


# Matrices that have a diagonal.


@op("MatrixDiag", types={"T": ALL})
def matrix_diag(ctx: OpContext) -> Value:
    (x,) = ctx.inputs
    return _with_diagonal(ctx, x, 0, (x.shape[-1], x.shape[-1]), ctx.net.like(0, x))


@op("Diag", types={"T": ALL})
def diag(ctx: OpContext) -> Value:
    """The reverse of DiagPart."""
    (x,) = ctx.inputs
    count = symbolic.num_elements(x.shape)
    made = _with_diagonal(ctx, ctx.net.reshape(x, (count,)), 0, (count, count), ctx.net.like(0, x))
    return ctx.net.reshape(made, (*x.shape, *x.shape))


@op("MatrixDiagV2", "MatrixDiagV3", types={"T": ALL})
def matrix_diag_of(ctx: OpContext) -> Value:
    """Sizes of -1 are the least that hold the diagonal; two of them make a square."""
    x, offset = ctx.inputs[0], _offset(ctx, 1)
    sizes = [ctx.dims(index)[0] for index in (2, 3)]
    least = [symbolic.add(x.shape[-1], max(-offset, 0)), symbolic.add(x.shape[-1], max(offset, 0))]
    if sizes == [-1, -1]:
        sizes = [symbolic.add(x.shape[-1], abs(offset))] * 2
    rows, columns = (low if size == -1 else size for size, low in zip(sizes, least, strict=True))
    return _with_diagonal(ctx, x, offset, (rows, columns), ctx.inputs[4])


@op("MatrixSetDiag", types={"T": ALL})
def matrix_set_diag(ctx: OpContext) -> Value:
    x, diagonal = ctx.inputs
    return _with_diagonal(ctx, diagonal, 0, x.shape[-2:], x)


@op("MatrixSetDiagV2", "MatrixSetDiagV3", types={"T": ALL})
def matrix_set_diag_of(ctx: OpContext) -> Value:
    x, diagonal, _ = ctx.inputs
    return _with_diagonal(ctx, diagonal, _offset(ctx, 2), x.shape[-2:], x)


def _with_diagonal(ctx: OpContext, diagonal: Value, offset: int, sizes: Sequence[Dim], rest: Value) -> Value:
    """Matrices of the diagonal's elements, and of the rest's elsewhere. Each row, or column, has one at the most."""
    net, (rows, columns) = ctx.net, sizes
    if diagonal.rank == rest.rank and rest.rank >= 2:  # one of several that is one
        diagonal = net.reshape(diagonal, (*diagonal.shape[:-2], diagonal.shape[-1]))
    ctx.require(diagonal.rank >= 1, "of a scalar")
    ctx.require(0 not in sizes, "an empty matrix")
    length = rows if offset >= 0 else columns
    if not symbolic.equal(diagonal.shape[-1], length):
        longer = (*diagonal.shape[:-1], length)
        diagonal = net.slice(diagonal, (0,) * diagonal.rank, longer, mode="FILL", fill=net.like(0, diagonal))
    inner = (length, 1) if offset >= 0 else (1, length)
    spread = net.reshape(diagonal, (*diagonal.shape[:-1], *inner))
    below = _below(ctx, rows, columns)
    here = net.compare("EQUAL", below, net.constant(np.full((1, 1), -offset, np.int32)))
    return net.select(here, spread, rest)
