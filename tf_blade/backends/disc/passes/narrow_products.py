"""Makes products with one column reductions: [m, k] x [k, 1] is a sum of k products for each row.

A product's kernel computes tiles of many columns, of which all but one would be wasted. As a reduction it reads its
left operand once, and shares a kernel with whatever computes the operand and whatever is done with the m results.
"""

from __future__ import annotations

from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Module, Op, Value
from tf_blade.backends.disc.passes.rewriter import rewrite
from tf_blade.dtypes import DType


def run(module: Module) -> Module:
    return rewrite(module, _rule)


def _rule(b: Builder, op: Op) -> Value | None:
    if op.kind != "dot" or op.result.dtype != DType.FLOAT or op.attrs["transpose_a"]:
        return None
    left, right = op.operands
    if op.result.shape[-1] != 1 or right.rank not in (2, left.rank):
        return None
    lead = right.shape[:-2]
    vector = b.reshape(right, (*lead, left.shape[-1]))
    wide = b.broadcast(vector, left.shape, (*range(len(lead)), left.rank - 1))
    return b.reduce("sum", b.elementwise("mul", left, wide), (left.rank - 1,), keepdims=True)
