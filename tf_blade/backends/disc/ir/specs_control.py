"""Specs of ops that hold modules (loops, branches), and of the update in place that lists are made of.

The modules are *regions*: they read their own parameters and nothing else, so that whoever walks the IR needs to know
nothing of them. Their dimensions are expressions over the outer module's symbols. A region has no constraints of its
own: what its ops rely on is a constraint of the outermost module.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tf_blade import symbolic
from tf_blade.backends.disc.ir.spec import SPECS, CallRefusedError, no_flops, register, require
from tf_blade.backends.disc.ir.values import Module, Op, TensorType
from tf_blade.dtypes import DType
from tf_blade.symbolic import Dim

Types = Sequence[TensorType]
Arrays = Sequence[np.ndarray]
Attrs = Mapping[str, Any]
# What a module in the attributes arrives as at a reference.
Region = Callable[[Arrays], "list[np.ndarray]"]

REGION_KINDS = frozenset({"while", "switch"})


def region_flops(module: Module) -> Dim:
    """Floating point operations of one execution of a region."""
    return symbolic.add(0, *(SPECS[op.kind].flops(op) for op in module.ops()))


def _same(a: TensorType, b: TensorType) -> bool:
    return a.dtype == b.dtype and symbolic.same_shape(a.shape, b.shape)


def _require_parameters(kind: str, module: Module, types: Types) -> None:
    require(len(module.parameters) == len(types), f"{kind}: a region of {len(module.parameters)} parameters")
    for value, type_ in zip(module.parameters, types, strict=True):
        require(_same(value.type, type_), f"{kind}: parameter {value.type} for {type_}")
    require(not module.constraints, f"{kind}: a region with constraints")


# while(carried…, captured…) {cond, body, carried, entered, trips}: while cond(…) is true, the carried values become
# body(…)'s results. Both regions have a parameter for each operand; the captured ones are the same in all iterations.
# `entered`: a call whose loop is never entered is refused. `trips`: the number of iterations where known, else None.
def _while(types: Types, attrs: Attrs) -> Types:
    cond, body, carried = attrs["cond"], attrs["body"], attrs["carried"]
    require(0 < carried <= len(types), "while: nothing is carried")
    _require_parameters("while", cond, types)
    _require_parameters("while", body, types)
    require([item.type for item in cond.results] == [TensorType(DType.BOOL, ())], "while: cond gives one bool")
    require(len(body.results) == carried, "while: body gives as many values as are carried")
    for value, type_ in zip(body.results, types[:carried], strict=True):
        require(_same(value.type, type_), f"while: {type_} becomes {value.type}")
    return list(types[:carried])


def _while_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    cond: Region = attrs["cond"]
    body: Region = attrs["body"]
    carried = attrs["carried"]
    values, captured = list(operands[:carried]), list(operands[carried:])
    entered = False
    while cond([*values, *captured])[0]:
        values, entered = body([*values, *captured]), True
    if attrs["entered"] and not entered:
        raise CallRefusedError("a loop is never entered")
    return values


def _while_flops(op: Op) -> Dim:
    once = symbolic.add(region_flops(op.attrs["body"]), region_flops(op.attrs["cond"]))
    trips = op.attrs["trips"]
    return once if trips is None else symbolic.mul(trips, once)


register("while", _while, _while_reference, flops=_while_flops)


# switch(index, captured…) {branches}: the results of branch `index`; of the last one where there is no such branch.
# Each region has a parameter for each captured value.
def _switch(types: Types, attrs: Attrs) -> Types:
    branches: tuple[Module, ...] = attrs["branches"]
    require(len(branches) > 0, "switch: no branch")
    require(types[0] == TensorType(DType.INT32, ()), "switch: the index is an int32")
    results = [item.type for item in branches[0].results]
    require(len(results) > 0, "switch: no result")
    for branch in branches:
        _require_parameters("switch", branch, types[1:])
        given = [item.type for item in branch.results]
        require(len(given) == len(results), "switch: branches of different numbers of results")
        require(all(_same(a, b) for a, b in zip(given, results, strict=True)), "switch: branches of different types")
    return results


def _switch_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    branches: Sequence[Region] = attrs["branches"]
    index = int(operands[0])
    return branches[index if 0 <= index < len(branches) else -1](operands[1:])


def _switch_flops(op: Op) -> Dim:
    return functools.reduce(symbolic.maximum, (region_flops(branch) for branch in op.attrs["branches"]))


register("switch", _switch, _switch_reference, flops=_switch_flops)


# update_row(x, index, row): x with x[index] = row. An index out of range is an error of the call.
def _update_row(types: Types, attrs: Attrs) -> Types:
    del attrs
    x, index, row = types
    require(x.rank >= 1, "update_row: x has rows")
    require(index.dtype in (DType.INT32, DType.INT64) and index.rank == 0, "update_row: the index is one integer")
    require(_same(TensorType(x.dtype, x.shape[1:]), row), f"update_row: {row} is no row of {x}")
    return [x]


def _update_row_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    del attrs
    x, index, row = operands
    if not 0 <= int(index) < x.shape[0]:
        raise IndexError("update_row: index out of range")
    result = x.copy()
    result[int(index)] = row
    return [result]


register("update_row", _update_row, _update_row_reference, flops=no_flops)
