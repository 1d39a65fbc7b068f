"""Runs a module in NumPy, op by op, by the specs' references: the IR's meaning, and what generated code is tested
against.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_blade import symbolic
from tf_blade.backends.disc.ir.spec import SPECS, CallRefusedError
from tf_blade.backends.disc.ir.values import Constraint, Module, Op, Value
from tf_blade.symbolic import Dim


class GuardError(CallRefusedError):
    """The inputs break a constraint of the module; the executable would refuse the call."""


def run(module: Module, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The results of the module for one array a parameter.

    Raises:
        CallRefusedError: the inputs do not have the parameters' shapes, break a constraint, or an op refuses them.
    """
    env = bind(module, inputs)
    pending = check_known(module.constraints, env)
    return _execute(module, inputs, env, pending)


def _execute(
    module: Module, inputs: Sequence[np.ndarray], env: dict[str, int], pending: list[Constraint]
) -> list[np.ndarray]:
    values: dict[Value, np.ndarray] = {}
    for op in module.ops():
        if op.kind == "parameter":
            values[op.result] = np.asarray(inputs[op.attrs["index"]])
            continue
        results = SPECS[op.kind].reference([values[item] for item in op.operands], _evaluated(op, env))
        found = SPECS[op.kind].found
        if found is not None:
            _bind_found(op, found(results), env)
            pending = check_known(pending, env)
        for value, array in zip(op.results, results, strict=True):
            _check_type(op, value, array, env)
            values[value] = array
    return [values[item] for item in module.results]


def bind(module: Module, inputs: Sequence[np.ndarray]) -> dict[str, int]:
    """The values of the symbols: dimensions of the inputs, and elements of integer inputs with symbolic content.

    Raises:
        GuardError: dimensions of the inputs contradict the parameters' types.
    """
    env: dict[str, int] = {}
    checks: list[tuple[Dim, int]] = []
    for parameter, array in zip(module.parameters, inputs, strict=True):
        if array.ndim != parameter.rank or array.dtype != parameter.dtype.numpy:
            raise GuardError(f"{parameter} given {array.dtype}{list(array.shape)}")
        pairs = list(zip(parameter.shape, array.shape, strict=True))
        if parameter.sym is not None:
            pairs += list(zip(parameter.sym.reshape(-1), array.reshape(-1).tolist(), strict=True))
        for dim, size in pairs:
            if isinstance(dim, int) or not dim.is_Symbol or str(dim.name) in env:
                checks.append((dim, size))
            else:
                env[str(dim.name)] = size
    for dim, size in checks:
        if symbolic.evaluate(dim, env) != size:
            raise GuardError(f"dimension {dim} is {size}")
    return env


def _bind_found(op: Op, sizes: Sequence[int], env: dict[str, int]) -> None:
    for dim, size in zip(op.attrs["found"], sizes, strict=True):
        if not isinstance(dim, int) and dim.is_Symbol and str(dim.name) not in env:
            env[str(dim.name)] = int(size)
        elif symbolic.evaluate(dim, env) != size:
            raise GuardError(f"{op.kind} found {size} for {dim}")


def check_known(constraints: Sequence[Constraint], env: Mapping[str, int]) -> list[Constraint]:
    """Checks the constraints whose symbols have values; gives the others.

    Raises:
        GuardError: one does not hold.
    """
    pending = []
    for item in constraints:
        if all(str(symbol.name) in env for symbol in symbolic.free_symbols((item.a, item.b))):
            check(item, env)
        else:
            pending.append(item)
    return pending


def check(item: Constraint, env: Mapping[str, int]) -> None:
    """Raises GuardError when the constraint does not hold."""
    a, b = symbolic.evaluate(item.a, env), symbolic.evaluate(item.b, env)
    holds = {"equal": a == b, "broadcast": a == b or 1 in (a, b), "at_least": a >= b}[item.kind]
    if not holds:
        raise GuardError(f"{item} with {a}, {b}")


def _evaluated(op: Op, env: dict[str, int]) -> dict[str, Any]:
    attrs = {name: _runnable(value, env) for name, value in op.attrs.items()}
    for name in SPECS[op.kind].dim_attrs:
        value = attrs[name]
        if isinstance(value, tuple):
            attrs[name] = tuple(symbolic.evaluate(dim, env) for dim in value)
        else:
            attrs[name] = symbolic.evaluate(value, env)
    return attrs


def _runnable(value: Any, env: dict[str, int]) -> Any:
    """A region as a function of arrays; everything else as it is."""
    if isinstance(value, Module):
        return functools.partial(_execute, value, env=env, pending=[])
    if isinstance(value, tuple):
        return tuple(_runnable(item, env) for item in value)
    return value


def _check_type(op: Op, value: Value, array: np.ndarray, env: Mapping[str, int]) -> None:
    shape = tuple(symbolic.evaluate(dim, env) for dim in value.shape)
    if array.shape != shape or array.dtype != value.dtype.numpy:
        raise AssertionError(f"{op} gave {array.dtype}{list(array.shape)}, its type says {shape}")
