"""Matrix products."""

from __future__ import annotations

from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.dtypes import DType

PRODUCTS = frozenset({DType.FLOAT, DType.INT32, DType.INT64})


def matmul_of(ctx: OpContext) -> Value:
    """The product of inputs 0 and 1, matrices, as `transpose_a` and `transpose_b` say."""
    a, b = ctx.inputs[:2]
    ctx.require(a.rank == 2 and b.rank == 2, "operands are matrices")
    transpose_a, transpose_b = bool(ctx.attr("transpose_a", False)), bool(ctx.attr("transpose_b", False))
    return ctx.b.dot(a, b, transpose_a=transpose_a, transpose_b=transpose_b)


@op("MatMul", types={"T": PRODUCTS})
def matmul(ctx: OpContext) -> Value:
    return matmul_of(ctx)


@op("SparseMatMul", types={"Ta": frozenset({DType.FLOAT}), "Tb": frozenset({DType.FLOAT})})
def sparse_matmul(ctx: OpContext) -> Value:
    """Of dense matrices that may hold many zeros."""
    return matmul_of(ctx)


@op("BatchMatMul", types={"T": PRODUCTS})
def batch_matmul(ctx: OpContext) -> Value:
    a, b = ctx.inputs
    ctx.require(a.rank == b.rank, "operands of different ranks")
    for x, y in zip(a.shape[:-2], b.shape[:-2], strict=True):
        ctx.b.require_equal(x, y)
    return _batch_matmul(ctx)


@op("BatchMatMulV2", types={"T": PRODUCTS})
def batch_matmul_v2(ctx: OpContext) -> Value:
    return _batch_matmul(ctx)


@op("BatchMatMulV3", types={"Ta": PRODUCTS, "Tb": PRODUCTS, "Tout": PRODUCTS})
def batch_matmul_v3(ctx: OpContext) -> Value:
    ctx.require(ctx.attr("Ta") == ctx.attr("Tb") == ctx.attr("Tout"), "operands and result of different types")
    return _batch_matmul(ctx)


def _batch_matmul(ctx: OpContext) -> Value:
    """Products of the last two dimensions; the ones before are broadcast as NumPy does."""
    a, b = ctx.inputs
    transpose_a, transpose_b = bool(ctx.attr("adj_x", False)), bool(ctx.attr("adj_y", False))
    ctx.require(a.rank >= 2 and b.rank >= 2, "operands of rank below 2")
    batch_b = b.shape[:-2]
    if all(dim == 1 for dim in batch_b) and b.rank <= a.rank:
        # One matrix for the whole batch: the form that becomes a single large product.
        return ctx.b.dot(a, ctx.b.reshape(b, b.shape[-2:]), transpose_a=transpose_a, transpose_b=transpose_b)
    batch = ctx.b.common_shape(a.shape[:-2], batch_b)
    return ctx.b.dot(
        ctx.b.broadcast_to(a, (*batch, *a.shape[-2:])),
        ctx.b.broadcast_to(b, (*batch, *b.shape[-2:])),
        transpose_a=transpose_a,
        transpose_b=transpose_b,
    )
