"""Masks of attention: as small as what they depend on, and those that put a number in a score's place."""

from __future__ import annotations

from tf_blade import symbolic
from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.passes.rewriter import splat_value
from tf_blade.dtypes import DType
from tf_blade.symbolic import Dim


def filled(b: Builder, scores: Value) -> tuple[Value, Value] | None:
    """(x, mask) of select(condition, x, number): the mask is 0 where x is kept, elsewhere the number."""
    if scores.kind != "elementwise" or scores.op.attrs["fn"] != "select":
        return None
    condition, kept, other = scores.op.operands
    number, inverted = splat_value(other), False
    if number is None:
        kept, number, inverted = other, splat_value(kept), True
    # 0 says that a score is kept; and a NaN is no number that a row's largest score could be compared with
    if number is None or number == 0.0 or number != number:
        return None
    narrowed = narrow(b, condition)
    values = [b.full(value, DType.FLOAT, narrowed.shape) for value in (0.0, number)]
    return kept, b.elementwise("select", narrowed, *(values[::-1] if inverted else values))


def narrow(b: Builder, mask: Value) -> Value:
    """The mask, of the same rank, with dimensions of 1 instead of a broadcast along them."""
    if mask.kind == "broadcast":
        return _unspread(b, mask)
    if mask.kind == "constant" and mask.op.attrs["array"].size == 1:
        return mask
    if mask.kind != "elementwise":
        return mask
    if mask.op.attrs["fn"] == "logical_and":
        for value, other in (mask.op.operands, mask.op.operands[::-1]):
            if _is_true(other):
                return narrow(b, value)
    operands = [narrow(b, item) for item in mask.op.operands]
    shape = [_varying([item.shape[axis] for item in operands]) for axis in range(mask.rank)]
    if symbolic.same_shape(tuple(shape), mask.shape):
        return mask
    together = [b.broadcast(item, shape, tuple(range(mask.rank))) for item in operands]
    return b.rebuild(mask.op, together).result


def _varying(dims: list[Dim]) -> Dim:
    """Of dimensions that are equal or 1, the one that is not 1."""
    return next((dim for dim in dims if dim != 1), 1)


def _unspread(b: Builder, mask: Value) -> Value:
    (source,) = mask.op.operands
    axes = mask.op.attrs["axes"]
    # a dimension that is 1 or not as decided at run time would need strides of its own
    if any(
        dim != 1 and not symbolic.equal(dim, mask.shape[axis]) for dim, axis in zip(source.shape, axes, strict=True)
    ):
        return mask
    shape: list[Dim] = [1] * mask.rank
    for dim, axis in zip(source.shape, axes, strict=True):
        shape[axis] = dim
    return b.reshape(source, shape)


def _is_true(value: Value) -> bool:
    while value.kind in ("broadcast", "reshape"):
        value = value.op.operands[0]
    return value.kind == "constant" and value.dtype == DType.BOOL and bool(value.op.attrs["array"].all())
