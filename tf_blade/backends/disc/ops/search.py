"""Places in sorted sequences."""

from __future__ import annotations

import numpy as np

from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, Rule, op
from tf_blade.backends.disc.ops.shape import INDEX
from tf_blade.dtypes import FLOATS, NUMERIC, DType


def _bound(upper: bool) -> Rule:
    def rule(ctx: OpContext) -> Value:
        sequence, values = ctx.inputs
        ctx.require(sequence.rank == 2 and values.rank == 2, "matrices")
        ctx.b.require_equal(sequence.shape[0], values.shape[0])
        return ctx.b.search_sorted(sequence, values, ctx.attr("out_type", DType.INT32), upper=upper)

    return rule


for _name, _upper in (("LowerBound", False), ("UpperBound", True)):
    op(_name, types={"T": NUMERIC, "out_type": INDEX})(_bound(_upper))


@op("Bucketize", types={"T": frozenset({DType.INT32, DType.INT64, DType.FLOAT, DType.DOUBLE})})
def bucketize(ctx: OpContext) -> Value:
    """How many of the boundaries, which are float32, are not above each value."""
    x = ctx.inputs[0]
    boundaries = np.array(ctx.attr("boundaries", []), np.float32)
    ctx.require(bool(np.all(boundaries[1:] >= boundaries[:-1])), "boundaries that are not sorted")
    # TensorFlow compares values with float32 numbers in the type that C++ makes of both.
    wide = DType.DOUBLE if x.dtype == DType.DOUBLE else DType.FLOAT
    values = ctx.b.reshape(ctx.b.convert(x, wide), (1, x.type.num_elements))
    table = ctx.b.constant(boundaries.astype(wide.numpy).reshape(1, -1))
    return ctx.b.reshape(ctx.b.search_sorted(table, values, DType.INT32, upper=True), x.shape)


@op("CumulativeLogsumexp", types={"T": FLOATS, "Tidx": INDEX})
def cumulative_logsumexp(ctx: OpContext) -> Value:
    x = ctx.inputs[0]
    ctx.require(x.rank >= 1, "of a scalar")
    axis = ctx.axis(ctx.const_int(1), x.rank)
    exclusive, reverse = bool(ctx.attr("exclusive", False)), bool(ctx.attr("reverse", False))
    return ctx.b.cumulative("logsumexp", x, axis, exclusive=exclusive, reverse=reverse)
