"""Folds a multiplication by weights into the convolution or product before it: conv(x, w) * s becomes conv(x, w * s).

`s` is a vector along the output channels, or a number, that depends on weights alone, so w * s is computed once by the
init program. This is how an inference batch norm disappears: its scale goes here, its shift stays as a fused epilogue.
A bias in between is scaled too: (conv(x, w) + b) * s = conv(x, w * s) + b * s.
"""

from __future__ import annotations

from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Module, Op, Value
from tf_blade.backends.disc.passes.rewriter import is_weight_only, last_axis_vector, rewrite
from tf_blade.dtypes import DType


def run(module: Module) -> Module:
    counts: dict[Value, int] = {}
    memo: dict[Op, bool] = {}

    def rule(b: Builder, op: Op) -> Value | None:
        return _fold(b, op, counts, memo)

    return rewrite(module, rule, counts)


def _fold(b: Builder, op: Op, counts: dict[Value, int], memo: dict[Op, bool]) -> Value | None:
    if op.kind != "elementwise" or op.attrs["fn"] != "mul" or op.result.dtype != DType.FLOAT:
        return None
    for product, factor in (op.operands, op.operands[::-1]):
        scale = last_axis_vector(factor)
        if scale is None or not is_weight_only(scale, memo) or counts.get(product, 1) > 1:
            continue
        folded = _scaled(b, product, scale, counts, memo)
        if folded is not None:
            return folded
    return None


def _scaled(b: Builder, product: Value, scale: Value, counts: dict[Value, int], memo: dict[Op, bool]) -> Value | None:
    """product * scale with the scale inside, or None when product is no linear op of weights."""
    op = product.op
    if op.kind == "elementwise" and op.attrs["fn"] == "add":
        for inner, bias in (op.operands, op.operands[::-1]):
            vector = last_axis_vector(bias)
            if vector is None or not is_weight_only(vector, memo) or counts.get(inner, 1) > 1:
                continue
            scaled = _scaled(b, inner, scale, counts, memo)
            if scaled is not None:
                return b.binary("add", scaled, b.elementwise("mul", vector, scale))
        return None
    if op.kind not in ("conv2d", "dot") or not is_weight_only(op.operands[1], memo):
        return None
    weights = op.operands[1]
    axis = weights.rank - 1
    if op.kind == "dot":
        if weights.rank != 2:
            return None
        axis = 0 if op.attrs["transpose_b"] else 1
    scaled_weights = b.elementwise("mul", weights, b.broadcast(scale, weights.shape, (axis,)))
    return b.rebuild(op, [op.operands[0], scaled_weights]).result
