"""One program (init or run): groups become calls, calls get their pointers, buffers their memory."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection

from tf_blade.backends.disc.codegen import (
    dynamic,
    library,
    library_attention,
    library_dot,
    library_image,
    library_search,
    ragged,
    segments,
    special,
    suppression,
)
from tf_blade.backends.disc.codegen.affine import dim_mul
from tf_blade.backends.disc.codegen.call import Argument, Call, Definition, Packed, call_of
from tf_blade.backends.disc.codegen.columns import build_columns
from tf_blade.backends.disc.codegen.ctypes_ import storage
from tf_blade.backends.disc.codegen.dims import DimTable
from tf_blade.backends.disc.codegen.joined import build_concat
from tf_blade.backends.disc.codegen.kernel import NAME, Context, WorkSpace
from tf_blade.backends.disc.codegen.loop import build_loop
from tf_blade.backends.disc.codegen.memory import Arena, Lifetime, arrange
from tf_blade.backends.disc.codegen.rows import build_rows
from tf_blade.backends.disc.codegen.split import build_split, is_split
from tf_blade.backends.disc.fusion.groups import Group
from tf_blade.backends.disc.fusion.plan import Plan
from tf_blade.backends.disc.ir.values import Value
from tf_blade.errors import BuildFailure
from tf_blade.symbolic import Dim, num_elements

del (
    dynamic,
    library_attention,
    library_dot,
    library_image,
    library_search,
    ragged,
    segments,
    special,
    suppression,
)  # imported for their emitters


class Definitions:
    """Functions and structs of the translation unit; equal texts become one."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}
        self.texts: list[str] = []

    def name(self, item: Definition) -> str:
        key = (item.prefix, item.text)
        known = self._names.get(key)
        if known is None:
            self._counts[item.prefix] = self._counts.get(item.prefix, -1) + 1
            known = f"{item.prefix}{self._counts[item.prefix]}"
            self._names[key] = known
            self.texts.append("\n".join([*item.comment, item.text.replace(NAME, known)]))
        return known


@dataclasses.dataclass
class Program:
    """Calls in order, and where values without a buffer of the arena live.

    Attributes:
        calls: the steps.
        plan: the fusion plan they come from.
    """

    calls: list[Call]
    plan: Plan

    def resolve(self, value: Value) -> Value:
        """The value whose buffer holds the value's elements."""
        while value in self.plan.views:
            value = self.plan.views[value]
        return value

    def arguments(self) -> list[Argument]:
        """All arguments of all calls, in order of first use."""
        return list(dict.fromkeys(item for call in self.calls for item in call.arguments))


def resolver(plan: Plan) -> Callable[[Value], Value]:
    return Program([], plan).resolve


def build_program(plan: Plan, table: DimTable, weights: Collection[Value]) -> Program:
    """Generates the calls of a plan.

    Raises:
        BuildFailure: there is no kernel for an op.
    """
    context = Context(table, resolver(plan))
    calls: list[Call] = []
    for group in plan.groups:
        calls.extend(_calls(group, context, weights))
    return Program(calls, plan)


def _calls(group: Group, context: Context, weights: Collection[Value]) -> list[Call]:
    if group.kind == "loop":
        kernels = [build_loop(group, context)]
    elif group.kind == "rows":
        kernels = build_split(group, context) if is_split(group) else [build_rows(group, context)]
    elif group.kind == "columns":
        kernels = [build_columns(group, context)]
    elif group.kind == "concat":
        kernels = build_concat(group, context)
    else:
        emit = library.EMITTERS.get(group.kind)
        if emit is None:
            raise BuildFailure(f"no kernel for {group.kind}", "disc")
        emitted = emit(library.LibraryContext(group, context, weights))
        return emitted if isinstance(emitted, list) else [emitted]
    return [call_of(kernel, context.table.c(kernel.units)) for kernel in kernels]


@dataclasses.dataclass(frozen=True)
class Layout:
    """The arenas of a program.

    Attributes:
        arenas: by the stage at which the sizes of all that is in it are known.
        places: the stage and the place of each buffer.
    """

    arenas: dict[int, Arena]
    places: dict[Argument, tuple[int, int]]


def lifetimes(
    program: Program, elsewhere: Collection[Value], to_end: Collection[Value] = ()
) -> dict[Argument, Lifetime]:
    """The buffers of a program that are not kept elsewhere (inputs, outputs, state).

    Those in `to_end` are read once more after all calls.
    """
    spans: dict[Argument, list[int]] = {}
    sizes: dict[Argument, Dim] = {}
    for step, call in enumerate(program.calls):
        for item in call.arguments:
            if isinstance(item, Packed) or item in elsewhere:
                continue
            if isinstance(item, WorkSpace):
                sizes[item] = dim_mul(item.count, item.size)
            elif item.kind in ("parameter", "constant"):
                continue
            else:
                sizes[item] = dim_mul(num_elements(item.shape), item.dtype.size)
            span = spans.setdefault(item, [step, step])
            span[1] = len(program.calls) if item in to_end else step
    return {item: Lifetime(sizes[item], first, last) for item, (first, last) in spans.items()}


def lay_out(
    program: Program, elsewhere: Collection[Value], stage_of: Callable[[Dim], int], to_end: Collection[Value] = ()
) -> Layout:
    """Plans memory for the buffers of a program that are not kept elsewhere; see `lifetimes`."""
    stages: dict[int, dict[Argument, Lifetime]] = {}
    for item, life in lifetimes(program, elsewhere, to_end).items():
        stages.setdefault(stage_of(life.bytes_), {})[item] = life
    arenas = {stage: arrange(list(found.values())) for stage, found in stages.items()}
    places = {
        item: (stage, place)
        for stage, found in stages.items()
        for item, place in zip(found, arenas[stage].of, strict=True)
    }
    return Layout(arenas, places)


_REFERENCE = re.compile(r"\$\[(\d+)\]|@(\d+)@")


def step(call: Call, pointer: Callable[[Argument], str], definitions: Definitions) -> str:
    """The call as one statement that sets `code`: its statements are a function of the pointers. So layers that differ
    in their buffers alone share one function, and the compiler sees it once.
    """
    given = [pointer(item) for item in call.arguments]
    names = {item: f"at{number}" for number, item in enumerate(call.arguments)}
    parameters = "".join(f", {_type(item, text)} {names[item]}" for item, text in zip(names, given, strict=True))
    lines = [
        f"BLADE_NOINLINE int32_t {NAME}(const BladeRal* ral, const Dims& d, int32_t& error{parameters}) {{",
        "  int32_t code = BLADE_OK;",
        *(f"  {line}" for line in statements(call, names.__getitem__, definitions)),
        "  return code;",
        "}",
    ]
    name = definitions.name(Definition("step", "\n".join(lines)))
    return f"code = {name}({', '.join(['ral', 'd', 'error', *given])});"


def _type(item: Argument, text: str) -> str:
    """The type of a pointer, whose text says by what it is that nothing may be written through it."""
    constant = "const " if text.startswith(("static_cast<const ", "constant")) else ""
    if isinstance(item, Packed):
        return f"{constant}float*"
    return f"{constant}{item.ctype if isinstance(item, WorkSpace) else storage(item.dtype)}*"


def statements(call: Call, pointer: Callable[[Argument], str], definitions: Definitions) -> list[str]:
    """The call's statements with names and pointers put in."""
    names = [definitions.name(item) for item in call.definitions]

    def replace(match: re.Match[str]) -> str:
        if match[1] is not None:
            return pointer(call.arguments[int(match[1])])
        return names[int(match[2])]

    return [_REFERENCE.sub(replace, line) for line in call.statements]
