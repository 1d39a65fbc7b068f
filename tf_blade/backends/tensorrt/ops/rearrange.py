"""Rules of ops that keep a part of a matrix."""

from __future__ import annotations

import numpy as np

from tf_blade.backends.tensorrt.ops.base import ALL, INDEX, OpContext, op
from tf_blade.backends.tensorrt.values import Value


@op("MatrixBandPart", types={"T": ALL, "Tindex": INDEX})
def matrix_band_part(ctx: OpContext) -> Value:
    """Zeros outside of a band; sizes of the matrix must be known."""
    x, lower, upper = ctx.inputs[0], ctx.const_int(1), ctx.const_int(2)
    ctx.require(x.rank >= 2, "operands are no matrices")
    rows, columns = (ctx.static(dim, "the matrix' size") for dim in x.shape[-2:])
    ctx.require(rows > 0 and columns > 0, "an empty matrix")
    distance = np.arange(rows)[:, None] - np.arange(columns)[None, :]
    inside = ((lower < 0) | (distance <= lower)) & ((upper < 0) | (-distance <= upper))
    mask = inside.reshape((1,) * (x.rank - 2) + inside.shape)
    return ctx.net.select(ctx.net.constant(mask), x, ctx.net.like(0, x))
