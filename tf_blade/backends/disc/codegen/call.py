"""One step of a program: definitions (functions, functors) and the statements that run it."""

from __future__ import annotations

import dataclasses

from tf_blade.backends.disc.codegen.kernel import NAME, Kernel, WorkSpace
from tf_blade.backends.disc.ir.values import Op, Value
from tf_blade.symbolic import Dim


@dataclasses.dataclass(frozen=True)
class Definition:
    """A function or struct, spelled with NAME for its name; the same text is emitted once.

    Attributes:
        prefix: of the names it is given.
        text: the C++ text.
        comment: lines put above it.
    """

    prefix: str
    text: str
    comment: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Packed:
    """Something made once from a weight, in the state: `bytes_` and `fill` are C++ texts.

    Attributes:
        key: equal keys of one source are made once.
        source: the weight-only value it is made of.
        bytes_: expression of its size.
        fill: statement that fills it; `$src` is the source's pointer, `$dst` the destination (char*).
    """

    key: str
    source: Value
    bytes_: str
    fill: str


Argument = Value | WorkSpace | Packed


@dataclasses.dataclass(frozen=True)
class Call:
    """One step.

    Attributes:
        statements: C++ lines; `$[0]`, … stand for the arguments' pointers and `@0@`, … for the definitions' names.
            They may use `ral`, `d` (the Dims), `error` (an int32_t) and `code` (an int32_t that, when set to anything
            but BLADE_OK, ends the run).
        arguments: what the pointers point to.
        definitions: what the statements use.
        heavy: whether to look for cancellation first.
        found: Dims whose values the statements leave in `found[0]`, `found[1]`, … (see `OpSpec.found`).
        tag: the library op that the call computes; None for generated kernels.
        moved: of a call that does no more than copy a value into another one: both, and the element where it goes.
    """

    statements: tuple[str, ...]
    arguments: tuple[Argument, ...]
    definitions: tuple[Definition, ...]
    heavy: bool = False
    found: tuple[Dim, ...] = ()
    tag: Op | None = None
    moved: tuple[Value, Value, Dim] | None = None


def call_of(kernel: Kernel, units: str) -> Call:
    """The parallel loop over a kernel's steps."""
    pointers = "".join(f", $[{number}]" for number in range(len(kernel.arguments)))
    statement = (
        f"parallel_for(ral, {units}, {kernel.cost}, [&](int64_t begin, int64_t end) "
        f"{{ @0@(d, &error{pointers}, begin, end); }});"
    )
    definition = Definition("kernel", kernel.text, kernel.comment)
    return Call((statement,), kernel.arguments, (definition,), moved=kernel.moved)


__all__ = ["NAME", "Argument", "Call", "Definition", "Packed", "call_of"]
