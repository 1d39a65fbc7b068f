"""What an engine takes and gives: element types, ranks, and dimensions as programs over shared symbols."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tf_blade.errors import EngineFormatError
from tf_blade.symbolic import DimProgram

InputKind = Literal["data", "weight"]

# What nothing is known of: allowed for outputs whose dimensions the inputs do not determine.
UNKNOWN: DimProgram = ()


@dataclass(frozen=True)
class SymbolInfo:
    """An unknown dimension and the range it may lie in, bounds included.

    Attributes:
        max: None where there is no bound.
    """

    name: str
    min: int = 0
    max: int | None = None


@dataclass(frozen=True)
class EngineInput:
    """An input of an engine.

    A dimension that is a bare symbol binds it where it comes first; all others are compared with what their program
    gives, once all symbols are bound.

    Attributes:
        dtype: TensorFlow's DataType number; for a variable, that of its value.
        kind: "weight" for what the init program may read: variables and constants that seldom change.
    """

    name: str
    dtype: int
    dims: tuple[DimProgram, ...]
    kind: InputKind = "data"


@dataclass(frozen=True)
class EngineOutput:
    """An output of an engine, always a dense tensor of this element type and these dimensions."""

    name: str
    dtype: int
    dims: tuple[DimProgram, ...]


@dataclass(frozen=True)
class EngineSignature:
    """The inputs and outputs in the order in which BladeEngineOp has them. ("sym", i) in a program is symbols[i]."""

    symbols: tuple[SymbolInfo, ...]
    inputs: tuple[EngineInput, ...]
    outputs: tuple[EngineOutput, ...]

    def restricted(self, ranges: Mapping[str, tuple[int, int | None]]) -> EngineSignature:
        """The same signature for less: symbols by name, each with its least and greatest value (None: no bound).

        Symbols stay symbols even where a range leaves one value. A constant would tell TensorFlow that no call has any
        other, and calls outside of the range go to the next engine.

        Raises:
            EngineFormatError: there is no such symbol, or nothing is left of its range.
        """
        unknown = sorted(set(ranges) - {symbol.name for symbol in self.symbols})
        if unknown:
            raise EngineFormatError(f"the signature has no symbol {unknown[0]!r}")
        symbols = tuple(_within(symbol, *ranges.get(symbol.name, (symbol.min, symbol.max))) for symbol in self.symbols)
        return dataclasses.replace(self, symbols=symbols)

    def difference(self, other: EngineSignature) -> str:
        """Why two engines cannot serve the same engine op; "" when they can. Ranges and names of symbols may differ."""
        for what, mine, theirs in (
            ("input", _kinds(self.inputs), _kinds(other.inputs)),
            ("output", _kinds(self.outputs), _kinds(other.outputs)),
        ):
            if len(mine) != len(theirs):
                return f"{len(mine)} {what}s against {len(theirs)}"
            for number, (a, b) in enumerate(zip(mine, theirs, strict=True)):
                if a != b:
                    return f"{what} {number} has dtype {a[0]} and rank {a[1]} against dtype {b[0]} and rank {b[1]}"
        return ""


def _kinds(tensors: tuple[EngineInput, ...] | tuple[EngineOutput, ...]) -> list[tuple[int, int]]:
    return [(item.dtype, len(item.dims)) for item in tensors]


def _within(symbol: SymbolInfo, low: int, high: int | None) -> SymbolInfo:
    low = max(low, symbol.min)
    bounds = [bound for bound in (high, symbol.max) if bound is not None]
    high = min(bounds) if bounds else None
    if high is not None and high < low:
        raise EngineFormatError(f"nothing is left of the range of symbol {symbol.name!r}")
    return SymbolInfo(symbol.name, low, high)
