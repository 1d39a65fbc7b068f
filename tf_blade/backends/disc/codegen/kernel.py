"""What a kernel is to the program that calls it, and the parts that all kernel builders share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence

from tf_blade.backends.disc.codegen.body import Body, Renderer
from tf_blade.backends.disc.codegen.ctypes_ import storage
from tf_blade.backends.disc.codegen.dims import DimTable, KernelDims
from tf_blade.backends.disc.ir.values import Op, Value
from tf_blade.symbolic import Dim

NAME = "@NAME@"


class Misfit(Exception):
    """Ops cannot share the kernel that was asked for; fusion then keeps them apart."""


@dataclasses.dataclass(frozen=True, eq=False)
class WorkSpace:
    """Scratch memory that a kernel needs besides its buffers, or that several share: `count` elements of a C++ type."""

    ctype: str
    count: Dim
    size: int


@dataclasses.dataclass(frozen=True)
class Kernel:
    """One parallel loop.

    Attributes:
        text: the function's definition, with NAME for its name.
        comment: the IR that it implements, as comment lines.
        arguments: what its pointer parameters are: values (of inputs, buffers or outputs), or scratch memory.
        units: number of steps of the parallel loop.
        cost: C++ expression for the nanoseconds of a step; Dims are spelled `d.field`.
        moved: see `Call`.
    """

    text: str
    comment: tuple[str, ...]
    arguments: tuple[Value | WorkSpace, ...]
    units: Dim
    cost: str
    moved: tuple[Value, Value, Dim] | None = None


class Pointers:
    """The pointer parameters of a kernel, in order of first use."""

    def __init__(self, resolve: Callable[[Value], Value]) -> None:
        self._resolve = resolve
        self._names: dict[Value, str] = {}
        self._written: set[Value] = set()
        self._spaces: dict[str, WorkSpace] = {}

    def read(self, value: Value) -> str:
        """The pointer of a value that the kernel reads; views share their root's."""
        root = self._resolve(value)
        return self._names.setdefault(root, f"p{len(self._names)}")

    def written(self, value: Value) -> str:
        """The pointer of a value that the kernel writes."""
        root = self._resolve(value)
        self._written.add(root)
        return self._names.setdefault(root, f"p{len(self._names)}")

    def space(self, space: WorkSpace) -> str:
        """The pointer of scratch memory."""
        name = f"w{len(self._spaces)}"
        self._spaces[name] = space
        return name

    def parameters(self) -> list[str]:
        texts = []
        for value, name in self._names.items():
            const = "" if value in self._written else "const "
            texts.append(f"{const}{storage(value.dtype)}* __restrict {name}")
        return texts + [f"{space.ctype}* __restrict {name}" for name, space in self._spaces.items()]

    def arguments(self) -> tuple[Value | WorkSpace, ...]:
        return (*self._names, *self._spaces.values())


@dataclasses.dataclass
class Context:
    """What kernel builders need to know of the program.

    Attributes:
        table: the program's Dims.
        resolve: the value whose buffer holds a materialised value's elements (views share buffers).
    """

    table: DimTable
    resolve: Callable[[Value], Value]


def describe(ops: Sequence[Op], outputs: Collection[Value]) -> tuple[str, ...]:
    """The IR of a kernel as comment lines; values are numbered from 0."""
    numbers: dict[Value, int] = {}

    def name(value: Value) -> str:
        return f"%{numbers.setdefault(value, len(numbers))}"

    lines = []
    for op in ops:
        operands = ", ".join(f"{name(value)}" for value in op.operands)
        fn = op.attrs.get("fn") or op.attrs.get("kind") or ""
        results = ", ".join(name(value) for value in op.results)
        mark = " -> memory" if any(value in outputs for value in op.results) else ""
        lines.append(f"// {results} = {op.kind}{':' + fn if fn else ''}({operands}) : {op.results[0].type}{mark}")
    return tuple(lines)


def assemble(body_lines: list[str], dims: KernelDims, pointers: Pointers) -> str:
    """The function's text around its body (already indented by one step)."""
    parameters = ", ".join(["const Dims& d", "int32_t* error", *pointers.parameters(), "int64_t begin", "int64_t end"])
    head = [f"static BLADE_NOINLINE void {NAME}({parameters}) {{", "  (void)d, (void)error;"]
    return "\n".join([*head, *(f"  {line}" for line in dims.locals()), *body_lines, "}"])


def renderer(table: DimTable) -> tuple[Renderer, KernelDims]:
    dims = KernelDims(table)
    return Renderer(dims), dims


__all__ = [
    "NAME",
    "Body",
    "Context",
    "Kernel",
    "Misfit",
    "Pointers",
    "WorkSpace",
    "assemble",
    "describe",
    "renderer",
]
