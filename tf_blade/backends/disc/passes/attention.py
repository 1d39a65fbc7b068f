"""Recognizes scaled dot-product attention: softmax(scale * q k^T + mask) v, scale before or after the product.

A mask may be added, or choose between a score and a number.
"""

from __future__ import annotations

import dataclasses

from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Module, Op, Value
from tf_blade.backends.disc.passes import masks, projections
from tf_blade.backends.disc.passes.rewriter import rewrite, splat_value
from tf_blade.dtypes import DType


@dataclasses.dataclass
class _Scores:
    """scale * q k^T + mask, taken apart."""

    q: Value
    k: Value
    scale: float
    mask: Value | None
    fill: bool = False


# [batch, heads, T, D] <-> [batch, T, heads, D]
_SWAP_HEADS = (0, 2, 1, 3)


def run(module: Module) -> Module:
    """Finds attention, then takes the transposes that split and merge heads into its layout."""
    counts: dict[Value, int] = {}

    def layout(b: Builder, op: Op) -> Value | None:
        return _take_operands(b, op) if op.kind == "attention" else _take_result(b, op, counts)

    return rewrite(rewrite(module, _rule), layout, counts)


def _take_operands(b: Builder, op: Op) -> Value | None:
    operands, swapped, parts = list(op.operands), list(op.attrs["swapped"]), list(op.attrs["parts"])
    for i, value in enumerate(operands[:3]):
        if value.kind == "transpose" and value.op.attrs["perm"] == _SWAP_HEADS and not swapped[i]:
            operands[i], swapped[i] = value.op.operands[0], True
        found = projections.part(b, operands[i]) if parts[i] is None else None
        if found is not None:
            operands[i], parts[i] = found.value, (found.axis, found.index)
            swapped[i] = swapped[i] != found.swapped
    if operands == list(op.operands):
        return None
    return b.rebuild(op, operands, swapped=tuple(swapped), parts=tuple(parts)).result


def _take_result(b: Builder, op: Op, counts: dict[Value, int]) -> Value | None:
    if op.kind != "transpose" or op.attrs["perm"] != _SWAP_HEADS:
        return None
    (value,) = op.operands
    if value.kind != "attention" or value.op.attrs["swapped"][3] or counts.get(value, 0) > 1:
        return None
    return b.rebuild(value.op, value.op.operands, swapped=(*value.op.attrs["swapped"][:3], True)).result


def _rule(b: Builder, op: Op) -> Value | None:
    if op.kind != "dot" or op.attrs["transpose_a"] or op.result.rank not in (3, 4) or op.result.dtype != DType.FLOAT:
        return None
    weights, v = op.operands
    if weights.kind != "softmax" or weights.op.attrs["log"] or v.rank != weights.rank:
        return None
    scores = _scores(b, weights.op.operands[0])
    if scores is None or scores.q.rank != v.rank or scores.k.rank != v.rank:
        return None
    if op.attrs["transpose_b"]:
        v = _swap_last_two(b, v)
    return b.attention(scores.q, scores.k, v, scores.mask, scores.scale, fill=scores.fill)


def _scores(b: Builder, value: Value) -> _Scores | None:
    """Peels the mask's addition or selection, then scales, down to the product."""
    mask: Value | None = None
    product = value
    filled = masks.filled(b, value)
    if filled is not None:
        product, mask = filled
    elif _is(value, "add"):
        for candidate, other in (value.op.operands, value.op.operands[::-1]):
            inner, _ = _peel_scale(candidate)
            if inner.kind == "dot":
                product, mask = candidate, masks.narrow(b, other)
                break
    product, scale = _peel_scale(product)
    if product.kind != "dot" or product.op.operands[0].rank != product.op.operands[1].rank:
        return None
    q, k = product.op.operands
    if product.op.attrs["transpose_a"]:
        q = _swap_last_two(b, q)
    if not product.op.attrs["transpose_b"]:
        k = _swap_last_two(b, k)
    q, scale_q = _peel_scale(q)
    k, scale_k = _peel_scale(k)
    return _Scores(q, k, scale * scale_q * scale_k, mask, filled is not None)


def _peel_scale(value: Value) -> tuple[Value, float]:
    """Takes multiplications and divisions by constants off."""
    scale = 1.0
    while value.kind == "elementwise" and value.op.attrs["fn"] in ("mul", "div"):
        a, c = value.op.operands
        number = splat_value(c)
        if number is None and value.op.attrs["fn"] == "mul":
            a, number = c, splat_value(a)
        if number is None or number == 0.0:
            break
        scale = scale * number if value.op.attrs["fn"] == "mul" else scale / number
        value = a
    return value, scale


def _swap_last_two(b: Builder, value: Value) -> Value:
    rank = value.rank
    perm = (*range(rank - 2), rank - 1, rank - 2)
    if value.kind == "transpose":
        inner = value.op.attrs["perm"]
        return b.transpose(value.op.operands[0], [inner[axis] for axis in perm])
    return b.transpose(value, perm)


def _is(value: Value, fn: str) -> bool:
    return value.kind == "elementwise" and value.op.attrs["fn"] == fn
