"""Which values init computes: those that depend on weights and constants alone, and are worth keeping."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tf_blade.backends.disc.ir.spec import SPECS
from tf_blade.backends.disc.ir.specs_control import REGION_KINDS
from tf_blade.backends.disc.ir.values import Op, Value
from tf_blade.symbolic import is_static

# Cheaper to compute, or to address, than to keep.
_NEVER_KEPT = frozenset({"parameter", "constant", "broadcast", "iota", "dims", "reshape"})


def weight_values(ops: Iterable[Op]) -> set[Value]:
    """The values of static shape that are the same in every call; ops come operands first."""
    found: set[Value] = set()
    for op in ops:
        if op.kind == "parameter":
            fixed = bool(op.attrs["weight"]) and is_static(op.result.shape)
        elif op.kind in REGION_KINDS:
            fixed = False  # init has no cancellation, and whoever runs a loop should be able to end it
        else:
            fixed = all(value in found for value in op.operands) and _is_static(op)
        if fixed:
            found.update(op.results)
    return found


def _is_static(op: Op) -> bool:
    if SPECS[op.kind].found is not None:
        return False
    for name in SPECS[op.kind].dim_attrs:
        attr = op.attrs[name]
        if not is_static(attr if isinstance(attr, tuple) else (attr,)):
            return False
    return all(is_static(value.shape) for value in op.results)


def boundary(results: Sequence[Value], weights: set[Value]) -> list[Value]:
    """The values that init computes and run reads, in order of first use."""
    found: dict[Value, None] = {}
    seen: set[Value] = set()
    stack = list(reversed(results))
    while stack:
        value = stack.pop()
        if value in seen:
            continue
        seen.add(value)
        if value in weights and value.kind not in _NEVER_KEPT and not _is_expansion(value, weights):
            found.setdefault(value)
            continue
        stack.extend(reversed(value.op.operands))
    return list(found)


def _is_expansion(value: Value, weights: set[Value]) -> bool:
    """Whether a value is much larger than all that it is made of, and cheap to make."""
    if value.kind != "elementwise":
        return False
    total, seen = 0, set()
    stack = [value]
    while stack:
        item = stack.pop()
        if item in seen:
            continue
        seen.add(item)
        if item.kind in ("elementwise", "broadcast", "reshape"):
            stack.extend(item.op.operands)
        else:
            total += int(item.type.num_elements)
    return int(value.type.num_elements) > 4 * total + 256
