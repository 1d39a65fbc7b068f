"""Rewriting of modules: visits ops operands first and lets a rule replace each one's results."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Module, Op, Value

# Given the builder and an op whose operands are rewritten already: its results' replacement, or None to keep the op.
Rule = Callable[[Builder, Op], "Value | None"]


def rewrite(module: Module, rule: Rule, counts: dict[Value, int] | None = None) -> Module:
    """Applies the rule to every op, operands first. Ops with several results are kept as they are.

    `counts`, when given, is filled as the rewriting goes: how often each value (of the new module) is read.
    """
    builder = Builder()
    builder.parameters = list(module.parameters)
    builder.constraints = list(module.constraints)
    values: dict[Value, Value] = {}
    uses = num_uses(module)
    for op in module.ops():
        if op.kind == "parameter":
            results: tuple[Value, ...] = op.results
        else:
            rebuilt = _with_operands(builder, op, values)
            if counts is not None:
                counts.update({new: uses.get(old, 0) for new, old in zip(rebuilt.results, op.results, strict=True)})
            replacement = rule(builder, rebuilt) if len(op.results) == 1 else None
            results = (replacement,) if replacement is not None else rebuilt.results
        values.update(zip(op.results, results, strict=True))
        if counts is not None:
            counts.update({values[old]: uses.get(old, 0) for old in op.results})
    builder.binders = [values[item] for item in module.binders]
    return builder.module(module.name, [values[item] for item in module.results])


def num_uses(module: Module) -> dict[Value, int]:
    """How often each value is read, by ops and as a result."""
    counts: dict[Value, int] = {}
    for value in [*(item for op in module.ops() for item in op.operands), *module.results]:
        counts[value] = counts.get(value, 0) + 1
    return counts


def _with_operands(builder: Builder, op: Op, values: Mapping[Value, Value]) -> Op:
    operands = [values[item] for item in op.operands]
    if all(new is old for new, old in zip(operands, op.operands, strict=True)):
        return op
    return builder.rebuild(op, operands)


def splat_value(value: Value) -> float | None:
    """The number that all elements of a constant are, seen through broadcasts and reshapes; None when it is no such."""
    while value.kind in ("broadcast", "reshape"):
        value = value.op.operands[0]
    if value.kind != "constant":
        return None
    array: np.ndarray = value.op.attrs["array"]
    return float(array.reshape(())) if array.size == 1 and array.dtype != np.bool_ else None


def is_weight_only(value: Value, memo: dict[Op, bool]) -> bool:
    """Whether a value depends on weights and constants alone, so that the init program can compute it."""
    known = memo.get(value.op)
    if known is not None:
        return known
    if value.kind == "parameter":
        result = bool(value.op.attrs["weight"])
    elif value.kind == "constant":
        result = True
    else:
        result = (
            bool(value.op.operands)
            and not value.op.regions()
            and all(is_weight_only(item, memo) for item in value.op.operands)
        )
        result = result and all(isinstance(dim, int) for dim in value.shape)
    memo[value.op] = result
    return result


def last_axis_vector(value: Value) -> Value | None:
    """The rank-1 value that a broadcast spreads along the last axis, or None. A splat is none."""
    if value.kind != "broadcast" or value.rank == 0:
        return None
    (source,) = value.op.operands
    if source.rank == 1 and value.op.attrs["axes"] == (value.rank - 1,) and source.shape == value.shape[-1:]:
        return source
    return None
