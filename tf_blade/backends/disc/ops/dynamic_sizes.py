"""Ops whose outputs' sizes depend on data."""

from __future__ import annotations

from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.dtypes import ALL, DType


@op("Where", types={"T": ALL - {DType.HALF}})
def where(ctx: OpContext) -> Value:
    (x,) = ctx.inputs
    ctx.require(1 <= x.rank <= 8, f"Where of rank {x.rank}")
    if x.dtype != DType.BOOL:
        x = ctx.b.binary("not_equal", x, ctx.b.scalar(0, x.dtype))
    return ctx.b.find("where", (x,), (ctx.late_dim("count"),))[0]
