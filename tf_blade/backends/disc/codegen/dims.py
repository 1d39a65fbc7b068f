"""The executable's dimensions: each Dim that generated code needs is a field of `struct Dims`, computed once."""

from __future__ import annotations

import re

import sympy

from tf_blade import symbolic
from tf_blade.errors import BuildFailure
from tf_blade.symbolic import Dim


class DimTable:
    """Fields of `struct Dims`, in the order in which they are computed."""

    def __init__(self) -> None:
        self._fields: dict[sympy.Expr, str] = {}
        self._lines: list[tuple[str, str, str]] = []
        self._symbols: dict[str, str] = {}
        self._raw: dict[str, sympy.Symbol] = {}
        self._needs: dict[str, frozenset[sympy.Symbol]] = {}

    def bind_late(self, symbol: sympy.Symbol) -> None:
        """Makes a symbol known whose value a step of the program finds."""
        name = self.bind(symbol, "found by a step")
        self._needs[name] = frozenset([symbol])

    def late_symbols(self, dim: Dim) -> frozenset[sympy.Symbol]:
        """The symbols of a Dim whose values steps find."""
        fields = [self._fields[item] for item in symbolic.free_symbols([dim]) if item in self._fields]
        return frozenset().union(*(self._needs.get(name, ()) for name in fields))

    def needs(self, name: str) -> frozenset[sympy.Symbol]:
        """The late symbols that a field's value follows from."""
        return self._needs.get(name, frozenset())

    def fork(self) -> DimTable:
        """A copy, for trials whose fields are not wanted."""
        copy = DimTable()
        copy._fields, copy._lines = dict(self._fields), list(self._lines)
        copy._symbols, copy._raw, copy._needs = dict(self._symbols), dict(self._raw), dict(self._needs)
        return copy

    def bind(self, symbol: sympy.Symbol, source: str) -> str:
        """Makes a symbol known, read from the C++ expression `source`."""
        name = re.sub(r"\W", "_", str(symbol.name))
        while name in self._symbols.values() or not re.match(r"(?![ex]\d)[A-Za-z]", name):
            name = f"s_{name}"
        self._symbols[str(symbol.name)] = name
        self._fields[symbol] = name
        self._lines.append((name, "", source))
        return name

    def is_bound(self, symbol: sympy.Symbol) -> bool:
        return symbol in self._fields

    def raw(self, text: str, comment: str = "") -> sympy.Symbol:
        """A nonnegative symbol whose value is the C++ expression `text` over fields (see `c`)."""
        if text not in self._raw:
            symbol = symbolic.symbol(f"${len(self._lines)}")
            self._raw[text] = symbol
            self._fields[symbol] = f"x{len(self._lines)}"
            self._symbols[str(symbol.name)] = self._fields[symbol]
            self._needs[self._fields[symbol]] = self._needed_by(text)
            self._lines.append((self._fields[symbol], text, comment or text))
        return self._raw[text]

    def field(self, dim: sympy.Expr) -> str:
        """The field that holds a Dim."""
        known = self._fields.get(dim)
        if known is None:
            known = f"e{len(self._lines)}"
            try:
                text = symbolic.to_c(dim, self.spelled)
            except TypeError as error:
                raise BuildFailure(f"dimension {dim} is no integer expression", "disc") from error
            self._fields[dim] = known
            self._needs[known] = self._needed_by(text)
            self._lines.append((known, text, str(dim)))
        return known

    def _needed_by(self, text: str) -> frozenset[sympy.Symbol]:
        return frozenset().union(*(self._needs.get(word, ()) for word in re.findall(r"\w+", text)))

    def spelled(self, name: str) -> str:
        """The field of a bound symbol.

        Raises:
            BuildFailure: nothing binds the symbol.
        """
        if name not in self._symbols:
            raise BuildFailure(f"dimension {name} does not follow from the inputs", "disc")
        return self._symbols[name]

    def c(self, dim: Dim, prefix: str = "d.") -> str:
        """The Dim as a C++ expression outside of kernels."""
        return f"INT64_C({dim})" if isinstance(dim, int) else f"{prefix}{self.field(dim)}"

    def lines(self, start: int = 0) -> list[tuple[str, str, str]]:
        """(field, C++ text over earlier fields, comment) from position `start` on."""
        return self._lines[start:]

    def __len__(self) -> int:
        return len(self._lines)


class KernelDims:
    """The Dims of one kernel: each becomes a local constant, so that the compiler keeps it in a register."""

    def __init__(self, table: DimTable) -> None:
        self._table = table
        self._used: dict[str, None] = {}

    def __call__(self, dim: Dim) -> str:
        if isinstance(dim, int):
            return str(dim) if abs(dim) < 2**31 else f"INT64_C({dim})"
        name = self._table.field(dim)
        self._used.setdefault(name)
        return name

    def locals(self) -> list[str]:
        """Their definitions."""
        return [f"const int64_t {name} = d.{name};" for name in sorted(self._used)]
