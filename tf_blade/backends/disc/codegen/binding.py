"""The guard: binds symbols from the inputs, checks what the executable was compiled for."""

from __future__ import annotations

from collections.abc import Callable

import sympy

from tf_blade import symbolic
from tf_blade.backends.disc.codegen.ctypes_ import storage
from tf_blade.backends.disc.codegen.dims import DimTable
from tf_blade.backends.disc.fusion.late import found_symbols
from tf_blade.backends.disc.ir.values import Constraint, Module, Value
from tf_blade.symbolic import Dim

_CONDITIONS = {"equal": "{a} == {b}", "broadcast": "{a} == {b} || {a} == 1 || {b} == 1", "at_least": "{a} >= {b}"}


def bind_symbols(module: Module, table: DimTable) -> list[str]:
    """Registers the module's symbols as fields, and gives the statements that bind and check them.

    The statements use `inputs`, `d`, and `return "reason"` where the guard refuses. What depends on dimensions that
    steps of the program find is left to `late_checks`.
    """
    lines: list[str] = []
    later: list[tuple[Dim, str, str]] = []
    for number, parameter in enumerate(module.parameters):
        lines.append(
            _require(
                f"inputs[{number}].dtype == {int(parameter.dtype)} && inputs[{number}].rank == {parameter.rank}",
                f"input {number} is not {parameter.type}",
            )
        )
        for axis, dim in enumerate(parameter.shape):
            _meet(dim, f"inputs[{number}].dims[{axis}]", f"dimension {axis} of input {number}", table, lines, later)
    static = [item for item in later if isinstance(item[0], int)]
    lines += [_check(item, table) for item in static]
    for number, parameter in enumerate(module.parameters):
        _bind_content(number, parameter, table, lines, later)
    lines += [_check(item, table) for item in later if item not in static]
    for symbol in found_symbols(module.ops()):
        table.bind_late(symbol)
    lines += [_constraint(item, table) for item in module.constraints if not _late(item, table)]
    return lines


def late_checks(module: Module, table: DimTable) -> list[tuple[frozenset[sympy.Symbol], str]]:
    """The statements that check what depends on dimensions found by steps, each with these dimensions."""
    return [(_late(item, table), _constraint(item, table)) for item in module.constraints if _late(item, table)]


def _late(item: Constraint, table: DimTable) -> frozenset[sympy.Symbol]:
    return table.late_symbols(item.a) | table.late_symbols(item.b)


def _bind_content(
    number: int, parameter: Value, table: DimTable, lines: list[str], later: list[tuple[Dim, str, str]]
) -> None:
    if parameter.sym is None:
        return
    pointer = f"static_cast<const {storage(parameter.dtype)}*>(inputs[{number}].data)"
    for place, dim in enumerate(parameter.sym.reshape(-1)):
        _meet(dim, f"{pointer}[{place}]", f"element {place} of input {number}", table, lines, later)


def _meet(
    dim: Dim, source: str, what: str, table: DimTable, lines: list[str], later: list[tuple[Dim, str, str]]
) -> None:
    if isinstance(dim, sympy.Symbol) and not table.is_bound(dim):
        lines.append(f"d.{table.bind(dim, source)} = {source};  // {what}")
    else:
        later.append((dim, source, what))


def _spell(table: DimTable) -> Callable[[str], str]:
    return lambda name: f"d.{table.spelled(name)}"


def _check(item: tuple[Dim, str, str], table: DimTable) -> str:
    dim, source, what = item
    return _require(f"{source} == {symbolic.to_c(dim, _spell(table))}", f"{what} is not {dim}")


def _constraint(item: Constraint, table: DimTable) -> str:
    a, b = (symbolic.to_c(dim, _spell(table)) for dim in (item.a, item.b))
    return _require(_CONDITIONS[item.kind].format(a=a, b=b), f"{item.kind}({item.a}, {item.b}) does not hold")


def _require(condition: str, reason: str) -> str:
    return f'if (!({condition})) return "{reason}";'
