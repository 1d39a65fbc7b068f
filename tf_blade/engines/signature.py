"""What an engine takes and gives: element types, ranks, and dimensions as programs over shared symbols."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
