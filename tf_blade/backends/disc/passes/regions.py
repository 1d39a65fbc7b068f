"""Passes and regions: what a region computes anew each time and need not goes to the outer module.

`hoist` takes out of a loop what is computed from captured values alone, and out of a branch what is computed from
weights alone (the branch may not be taken). What may fail stays: a loop of no turns, or a branch not taken, does not.
`prune` drops captured values that nobody reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.scalar import FNS
from tf_blade.backends.disc.ir.values import Module, Op, Value
from tf_blade.backends.disc.passes.rewriter import is_weight_only, splat_value

# As cheap to compute again as to read.
_STAYS = frozenset({"broadcast", "constant", "dims", "iota"})
# An index, or other content, may be one that the op reports an error for.
_MAY_FAIL = frozenset(
    {
        "combined_nms",
        "gather_nd",
        "nms",
        "partition",
        "ragged_gather",
        "ragged_range",
        "ragged_to_dense",
        "ragged_to_sparse",
        "scatter",
        "segment_reduce",
        "sparse_fill_rows",
        "sparse_reshape",
        "stitch",
        "update_row",
    }
)
Pass = Callable[[Module], Module]


def rebuild_regions(module: Module, change: Callable[[Builder, Op], Sequence[Value] | None]) -> Module:
    """Replaces the results of ops that have regions; None keeps the op as it is."""
    builder = Builder()
    builder.parameters = list(module.parameters)
    builder.constraints = list(module.constraints)
    values: dict[Value, Value] = {value: value for value in module.parameters}
    for op in module.ops():
        if op.kind == "parameter":
            continue
        operands = [values[item] for item in op.operands]
        same = all(new is old for new, old in zip(operands, op.operands, strict=True))
        current = op if same else builder.rebuild(op, operands)
        replaced = change(builder, current) if op.regions() else None
        values.update(zip(op.results, replaced if replaced is not None else current.results, strict=True))
    builder.binders = [values[item] for item in module.binders]
    return builder.module(module.name, [values[item] for item in module.results])


def map_regions(attrs: Mapping[str, Any], change: Pass) -> dict[str, Any]:
    """The attributes with every region replaced."""

    def mapped(value: Any) -> Any:
        if isinstance(value, Module):
            return change(value)
        if isinstance(value, tuple) and any(isinstance(item, Module) for item in value):
            return tuple(change(item) for item in value)
        return value

    return {name: mapped(value) for name, value in attrs.items()}


def run_inside(module: Module, run: Pass) -> Module:
    """Runs passes on all regions. What they rely on becomes a constraint of the module."""

    def change(builder: Builder, op: Op) -> Sequence[Value]:
        def inner(region: Module) -> Module:
            result = run(region)
            builder.constraints += [item for item in result.constraints if item not in builder.constraints]
            return Module(result.name, result.parameters, result.results)

        return builder.rebuild(op, op.operands, **map_regions(op.attrs, inner)).results

    return rebuild_regions(module, change)


# --- hoisting -------------------------------------------------------------------------------------------------------
def hoist(module: Module) -> Module:
    """Moves what does not change out of loops, innermost first, and weights' arithmetic out of branches."""
    return rebuild_regions(module, _hoist_op)


def _hoist_op(builder: Builder, op: Op) -> Sequence[Value]:
    attrs = map_regions(op.attrs, hoist)
    first = int(attrs["carried"]) if op.kind == "while" else 1
    skipped = first if op.kind == "while" else 0  # parameters that are no captured values
    captured = list(op.operands[first:])
    hoister = _Hoister(builder, captured, skipped, weights_only=op.kind != "while")
    # A region needs a parameter for what another has had taken out: parameters are added when all are known.
    map_regions(attrs, hoister.examine)
    done = map_regions(attrs, hoister.rewrite)
    operands = [*op.operands[:first], *captured, *hoister.added]
    return builder.rebuild(op, operands, **done).results


class _Hoister:
    """Moves ops of an op's regions into the outer module."""

    def __init__(self, builder: Builder, captured: Sequence[Value], skipped: int, *, weights_only: bool) -> None:
        self.builder = builder
        self.captured = captured
        self.skipped = skipped
        self.weights_only = weights_only
        self.added: list[Value] = []
        self.outside: dict[Value, Value] = {}
        self._memo: dict[Op, bool] = {}

    def examine(self, region: Module) -> Module:
        """Makes the outer copies of what the region need not compute; the region stays."""
        for parameter, value in zip(region.parameters[self.skipped :], self.captured, strict=True):
            if not self.weights_only or is_weight_only(value, self._memo):
                self.outside[parameter] = value
        fixed = self._fixed(region)
        for value in self._frontier(region, fixed):
            if value.kind != "parameter":
                self.added.append(self._copy(value))
        return region

    def _fixed(self, region: Module) -> set[Value]:
        fixed: set[Value] = {value for value in region.parameters if value in self.outside}
        for op in region.ops():
            if op.kind == "parameter" or op.regions() or _may_fail(op):
                continue
            if all(value in fixed for value in op.operands):
                fixed.update(op.results)
        return fixed

    def _frontier(self, region: Module, fixed: set[Value]) -> list[Value]:
        """Values worth keeping that something which changes reads, in order."""
        found: dict[Value, None] = {}
        users = [op for op in region.ops() if op.kind != "parameter" and not any(v in fixed for v in op.results)]
        stack = [value for op in users for value in op.operands if value in fixed]
        stack += [value for value in region.results if value in fixed]
        seen: set[Value] = set()
        while stack:
            value = stack.pop(0)
            if value in seen:
                continue
            seen.add(value)
            if value.kind in _STAYS:
                stack.extend(value.op.operands)
            else:
                found.setdefault(value)
        return list(found)

    def _copy(self, value: Value) -> Value:
        known = self.outside.get(value)
        if known is None:
            op = value.op
            copied = self.builder.rebuild(op, [self._copy(item) for item in op.operands])
            self.outside.update(zip(op.results, copied.results, strict=True))
            known = self.outside[value]
        return known

    def rewrite(self, region: Module) -> Module:
        """The region with parameters for all that was moved, read instead of computed."""
        inner = Builder()
        inner.parameters = list(region.parameters)
        given = {}
        for value in self.added:
            weight = is_weight_only(value, self._memo)
            given[value] = inner.parameter(value.dtype, value.shape, weight=weight, value=value.sym)
        values: dict[Value, Value] = {value: value for value in region.parameters}
        for op in region.ops():
            if op.kind == "parameter":
                continue
            moved = [self.outside.get(item) for item in op.results]
            if all(item in given for item in moved):
                values.update((old, given[new]) for old, new in zip(op.results, moved, strict=True) if new is not None)
                continue
            rebuilt = inner.rebuild(op, [values[item] for item in op.operands])
            values.update(zip(op.results, rebuilt.results, strict=True))
        return Module(region.name, list(inner.parameters), [values[item] for item in region.results])


def _may_fail(op: Op) -> bool:
    """Whether an op can report an error, for some content of its operands."""
    if op.kind == "elementwise":
        divides = FNS[op.attrs["fn"]].may_fail and not np.issubdtype(op.result.dtype.numpy, np.inexact)
        return divides and not splat_value(op.operands[1])
    if op.kind == "gather":
        x, index = op.operands
        limit = x.shape[op.attrs["axis"]]
        if index.kind != "constant" or not isinstance(limit, int):
            return True
        array = index.op.attrs["array"]
        return bool(np.any((array < 0) | (array >= limit)))
    return op.kind in _MAY_FAIL


# --- pruning --------------------------------------------------------------------------------------------------------
def prune(module: Module) -> Module:
    """Drops captured values that no region reads."""
    return rebuild_regions(module, _prune_op)


def _prune_op(builder: Builder, op: Op) -> Sequence[Value]:
    attrs = map_regions(op.attrs, prune)
    regions = Op(op.kind, (), attrs, ()).regions()
    carried = int(attrs["carried"]) if op.kind == "while" else 0
    first = carried if op.kind == "while" else 1
    read = [{value for inner in region.ops() for value in inner.operands} | {*region.results} for region in regions]
    kept = [
        position
        for position in range(len(op.operands) - first)
        if any(region.parameters[carried + position] in used for region, used in zip(regions, read, strict=True))
    ]
    if len(kept) == len(op.operands) - first:
        return builder.rebuild(op, op.operands, **attrs).results

    def shrink(region: Module) -> Module:
        wanted = [*region.parameters[:carried], *(region.parameters[carried + position] for position in kept)]
        return with_parameters(region, wanted)

    operands = [*op.operands[:first], *(op.operands[first + position] for position in kept)]
    return builder.rebuild(op, operands, **map_regions(attrs, shrink)).results


def with_parameters(region: Module, parameters: Sequence[Value]) -> Module:
    """The region with these of its parameters, in this order; the others must not be read."""
    inner = Builder()
    values: dict[Value, Value] = {}
    for old in parameters:
        attrs = old.op.attrs
        values[old] = inner.parameter(old.dtype, old.shape, name=attrs["name"], weight=attrs["weight"], value=old.sym)
    for op in region.ops():
        if op.kind != "parameter":
            rebuilt = inner.rebuild(op, [values[item] for item in op.operands])
            values.update(zip(op.results, rebuilt.results, strict=True))
    return Module(region.name, list(inner.parameters), [values[item] for item in region.results])
