"""Specs of composites: patterns that are kept whole until code generation because one kernel serves them best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tf_blade.backends.disc.ir.spec import Attrs, flops_scaled, register, require
from tf_blade.backends.disc.ir.values import Op, TensorType
from tf_blade.symbolic import Dim, Shape, mul, same_shape

Types = Sequence[TensorType]
Arrays = Sequence[np.ndarray]


# softmax {log: bool}: along the last axis; log gives log(softmax)
def _softmax(types: Types, attrs: Attrs) -> Types:
    require(types[0].rank >= 1 and types[0].dtype.is_float, "softmax: of a float tensor with an axis")
    return [types[0]]


def softmax_reference(x: np.ndarray, log: bool = False) -> np.ndarray:
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        shifted = wide - wide.max(-1, keepdims=True, initial=-np.inf)
        total = np.exp(shifted).sum(-1, keepdims=True)
        return (shifted - np.log(total) if log else np.exp(shifted) / total).astype(x.dtype)


register(
    "softmax", _softmax, lambda operands, attrs: [softmax_reference(operands[0], attrs["log"])], flops=flops_scaled(5)
)


# layer_norm(x, gamma?, beta?) {epsilon: float, scale: bool, center: bool}: normalizes the last axis:
# (x - mean) / sqrt(variance + epsilon) [* gamma] [+ beta]; gamma and beta are [last dimension]. `scale` and `center`
# say whether gamma and beta are there.
def _layer_norm(types: Types, attrs: Attrs) -> Types:
    require(types[0].rank >= 1 and types[0].dtype.is_float, "layer_norm: of a float tensor with an axis")
    require(len(types) == 1 + attrs["scale"] + attrs["center"], "layer_norm: operands")
    require(all(same_shape(item.shape, types[0].shape[-1:]) for item in types[1:]), "layer_norm: gamma, beta shapes")
    return [types[0]]


def _layer_norm_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    wide = [item.astype(np.float64) for item in operands]
    with np.errstate(all="ignore"):
        centered = wide[0] - wide[0].mean(-1, keepdims=True)
        result = centered / np.sqrt((centered * centered).mean(-1, keepdims=True) + attrs["epsilon"])
        rest = wide[1:]
        if attrs["scale"]:
            result = result * rest.pop(0)
        if attrs["center"]:
            result = result + rest.pop(0)
    return [result.astype(operands[0].dtype)]


register("layer_norm", _layer_norm, _layer_norm_reference, flops=flops_scaled(8))


# attention(q [.., Tq, D], k [.., Tk, D], v [.., Tk, Dv], mask?)
#   {scale: float, mask: bool, fill: bool, swapped: 4 bools, parts: 3 times (axis, index) or None}:
# softmax(scale * q k^T + mask) v. Rank 3 or 4. The batch dimensions are the same for q, k and v; the mask has the rank
# of the scores [.., Tq, Tk], and each of its dimensions is the scores' or 1. With `fill` it is not added: where it is
# not 0 it takes the score's place. `swapped` says of q, k, v and the result whether it is laid out
# [batch, T, heads, D] instead of [batch, heads, T, D] (rank 4 only). `parts` says of q, k and v which index along which
# axis of the operand is meant: what projections computed together can be read where it lies.
def _straight(types: Types, attrs: Attrs) -> list[TensorType]:
    """q, k, v as [.., T, D], whatever their layout."""
    shapes = [
        t.shape if part is None else (*t.shape[: part[0]], *t.shape[part[0] + 1 :])
        for t, part in zip(types, attrs["parts"], strict=True)
    ]
    swapped = attrs["swapped"][:3]
    return [TensorType(t.dtype, _swap(x) if s else x) for t, x, s in zip(types, shapes, swapped, strict=True)]


def _swap(shape: Shape) -> Shape:
    return (*shape[:-3], shape[-2], shape[-3], shape[-1])


def _attention(types: Types, attrs: Attrs) -> Types:
    require(len(types) == 3 + attrs["mask"], "attention: operands")
    ranks = [t.rank - (part is not None) for t, part in zip(types, attrs["parts"], strict=False)]
    require(ranks[0] == ranks[1] == ranks[2] and ranks[0] in (3, 4), "attention: ranks")
    require(ranks[0] == 4 or not any(attrs["swapped"]), "attention: only rank 4 can be swapped")
    parts = [part for part in attrs["parts"] if part is not None]
    require(all(0 <= axis < ranks[0] and index >= 0 for axis, index in parts), "attention: parts")
    require(attrs["mask"] or not attrs["fill"], "attention: a mask to fill with")
    q, k, v = _straight(types[:3], attrs)
    require(same_shape(q.shape[:-2], k.shape[:-2]) and same_shape(q.shape[:-2], v.shape[:-2]), "attention: batch")
    require(not attrs["mask"] or types[3].rank == q.rank, "attention: the mask has the rank of the scores")
    shape = (*q.shape[:-1], v.shape[-1])
    return [TensorType(q.dtype, _swap(shape) if attrs["swapped"][3] else shape)]


def _attention_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    swapped = attrs["swapped"]
    whole = [
        item.astype(np.float64) if part is None else np.take(item.astype(np.float64), part[1], part[0])
        for item, part in zip(operands[:3], attrs["parts"], strict=True)
    ]
    q, k, v = (np.swapaxes(item, -2, -3) if swap else item for item, swap in zip(whole, swapped, strict=False))
    scores = np.matmul(q, np.swapaxes(k, -1, -2)) * attrs["scale"]
    if attrs["mask"]:
        mask = operands[3].astype(np.float64)
        scores = np.where(mask == 0.0, scores, mask) if attrs["fill"] else scores + mask
    result = np.matmul(softmax_reference(scores), v).astype(operands[0].dtype)
    return [np.swapaxes(result, -2, -3) if swapped[3] else result]


def _attention_flops(op: Op) -> Dim:
    q, k, v = (item.shape for item in _straight([item.type for item in op.operands[:3]], op.attrs))
    scores = mul(1, *q[:-1], k[-2])
    return mul(scores, 2 * (q[-1] + v[-1]) + 5)


register("attention", _attention, _attention_reference, flops=_attention_flops)
