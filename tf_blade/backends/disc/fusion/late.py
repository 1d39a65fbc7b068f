"""Which ops name dimensions that other ops find when they run: an order that no operand shows."""

from __future__ import annotations

from collections.abc import Sequence

import sympy

from tf_blade.backends.disc.ir.spec import SPECS
from tf_blade.backends.disc.ir.values import Op, Value
from tf_blade.symbolic import Dim, free_symbols


def found_symbols(order: Sequence[Op]) -> dict[sympy.Symbol, Op]:
    """The symbols that ops find, each with the op that finds it first. Ops come in an order in which they can run."""
    found: dict[sympy.Symbol, Op] = {}
    for op in order:
        if op.kind == "parameter":
            content = () if op.result.sym is None else op.result.sym.reshape(-1)
            for dim in (*op.result.shape, *content):
                if isinstance(dim, sympy.Symbol):
                    found.setdefault(dim, op)
        elif SPECS[op.kind].found is not None:
            for dim in op.attrs["found"]:
                if isinstance(dim, sympy.Symbol):
                    found.setdefault(dim, op)
    return {symbol: op for symbol, op in found.items() if op.kind != "parameter"}


def named_dims(op: Op) -> list[Dim]:
    """All Dims that code for an op may use, its operands' apart."""
    dims = [dim for value in op.results for dim in value.shape]
    for name in SPECS[op.kind].dim_attrs:
        attr = op.attrs[name]
        dims.extend(attr if isinstance(attr, tuple) else (attr,))
    dims.extend(dim for region in op.regions() for inner in region.ops() for dim in named_dims(inner))
    return dims


class LateUses:
    """For a program's ops, who finds the dimensions that they name."""

    def __init__(self, order: Sequence[Op], binders: Sequence[Value]) -> None:
        self._binders: dict[Op, list[Value]] = {}
        self._users: dict[Op, list[Op]] = {}
        if not binders:
            return
        parameters = {item.op for op in order for item in op.operands if item.kind == "parameter"}
        found = found_symbols([*parameters, *order])
        for op in order:
            finders = dict.fromkeys(found[symbol] for symbol in free_symbols(named_dims(op)) if symbol in found)
            self._binders[op] = [finder.results[0] for finder in finders if finder is not op]
            for finder in finders:
                if finder is not op:
                    self._users.setdefault(finder, []).append(op)

    def binders(self, op: Op) -> list[Value]:
        """The results of the ops that find what `op` names."""
        return self._binders.get(op, [])

    def users(self, op: Op) -> list[Op]:
        """The ops that name what `op` finds."""
        return self._users.get(op, [])
