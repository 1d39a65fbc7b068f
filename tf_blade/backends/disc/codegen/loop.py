"""Loop kernels: elementwise computations and data movement, one pass over the result's elements."""

from __future__ import annotations

import dataclasses
import math

from tf_blade.backends.disc.codegen.affine import Atom, Lin, count, dim_mul, variable
from tf_blade.backends.disc.codegen.body import Body, Item, Renderer, merge_loops
from tf_blade.backends.disc.codegen.ctypes_ import register_type
from tf_blade.backends.disc.codegen.elements import Elements
from tf_blade.backends.disc.codegen.index import Index
from tf_blade.backends.disc.codegen.kernel import Context, Kernel, Pointers, assemble, describe, renderer
from tf_blade.backends.disc.fusion.groups import Group
from tf_blade.backends.disc.ir.scalar import FNS
from tf_blade.backends.disc.ir.values import Op, Value
from tf_blade.symbolic import Dim, Shape, ceildiv

BLOCK = 4096  # elements of a row that one step of the parallel loop covers


def loop_variables(shape: Shape) -> list[Atom]:
    """One variable a dimension; the innermost has level 2, the others make up the row."""
    atoms = [Atom(f"i{axis}", dim, 1) for axis, dim in enumerate(shape[:-1])]
    last = shape[-1] if shape else 1
    return [*atoms, Atom("j", last, 2)]


def index_of(value: Value, variables: list[Atom], shape: Shape) -> Index:
    """The index of a value at the loop's position, for a value of the loop's elements in order."""
    flat = Lin()
    stride: Dim = 1
    for atom, dim in zip(reversed(variables), reversed(shape or (1,)), strict=True):
        flat = flat.plus(variable(atom).times(stride))
        stride = dim_mul(stride, dim)
    if not shape:
        flat = Lin()
    lins = iter(variables)
    matching = [dim for dim in value.shape if dim != 1]
    if len(matching) == len(shape):
        multi = tuple(Lin() if dim == 1 else variable(next(lins)) for dim in value.shape)
        return Index(value.shape, multi, flat)
    return Index(value.shape, None, flat)


@dataclasses.dataclass(frozen=True)
class Store:
    """Where a loop puts a value: by default in its buffer at the value's own offset."""

    value: Value
    target: Value
    offset: Dim = 0
    strides: tuple[Dim, ...] | None = None


def store(body: Body, pointer: str, value: Value, flat: Lin, text: str) -> None:
    """Writes an element; a bool becomes a byte."""
    del value
    body.emit(2, f"{pointer}[", flat, f"] = {text};")


def build_loop(group: Group, context: Context) -> Kernel:
    """The kernel of a loop group."""
    assert group.domain is not None
    variables = loop_variables(group.domain.shape)
    body, pointers = Body(), Pointers(context.resolve)
    elements = Elements(body, group.ops, pointers, context.table)
    body.begin_pass([variables[-1]])
    for value in group.outputs:
        index = index_of(value, variables, group.domain.shape)
        item = elements.element(value, index)
        store(body, pointers.written(value), value, index.flat, item.text)
    return finish_loop(body, pointers, variables, group, context, describe(list(group.ops), group.outputs))


def finish_loop(
    body: Body, pointers: Pointers, variables: list[Atom], group: Group, context: Context, comment: tuple[str, ...]
) -> Kernel:
    """Merges the loops, cuts long rows into blocks, and writes the function."""
    assert body.current is not None
    inner = body.current
    body.end_pass()
    merged = merge_loops([*body.kernel, *body.row], variables)
    inner.variables = [merged[-1]]
    inner.bounds = ("first", "last")
    render, dims = renderer(context.table)
    length, rows = merged[-1].extent, count(tuple(atom.extent for atom in merged[:-1]))
    assert length is not None
    lines = render.items(body.kernel, 1)
    lines += row_loop(render, merged[:-1], body.row, blocks=length)
    cost = picoseconds(group.ops, group.outputs)
    short = isinstance(length, int) and length <= BLOCK
    units = rows if short else dim_mul(rows, ceildiv(length, BLOCK))
    size = context.table.c(length) if short else f"min64({context.table.c(length)}, {BLOCK})"
    return Kernel(assemble(lines, dims, pointers), comment, pointers.arguments(), units, f"{size} * {cost} / 1000 + 1")


def row_loop(
    render: Renderer, variables: list[Atom], row: list[Item], blocks: Dim | None = None, block: int = BLOCK
) -> list[str]:
    """The loop over [begin, end): decomposes a step's number into the row's variables and the block of columns."""
    lines = ["  for (int64_t unit = begin; unit < end; ++unit) {"]
    if blocks is None or (isinstance(blocks, int) and blocks <= block):
        lines.append("    const int64_t row = unit;" if variables else "    (void)unit;")
        if blocks is not None:
            lines.append(f"    const int64_t first = 0, last = {render.dim(blocks)};")
    else:
        size = render.dim(blocks)
        lines += [
            f"    const int64_t blocks = ({size} + {block - 1}) / {block};",
            "    const int64_t row = unit / blocks;" if variables else "",
            f"    const int64_t first = {'unit % blocks' if variables else 'unit'} * {block};",
            f"    const int64_t last = min64(first + {block}, {size});",
        ]
    lines += [f"    {text}" for text in decompose("row", variables, render)]
    lines += render.items(row, 2)
    return [line for line in lines if line] + ["  }"]


def decompose(name: str, variables: list[Atom], render: Renderer) -> list[str]:
    """Definitions of row variables from a row's number."""
    lines = []
    for position, atom in enumerate(variables):
        assert atom.extent is not None
        below = count(tuple(item.extent for item in variables[position + 1 :]))
        text = name if below == 1 else f"{name} / {_paren(render.dim(below))}"
        if position > 0:
            text = f"{text} % {render.dim(atom.extent)}"
        lines.append(f"const int64_t {atom.name} = {text};")
    return lines


def _paren(text: str) -> str:
    return text if text.replace("_", "a").isalnum() else f"({text})"


def picoseconds(ops: dict[Op, None] | list[Op], outputs: list[Value]) -> int:
    """Estimated time of one element: arithmetic, and 0.1 ns for each value written and something for reads."""
    total = 200.0 * len(outputs)
    for op in ops:
        total += 1000 * FNS[op.attrs["fn"]].cost if op.kind == "elementwise" else 20
    return max(1, math.ceil(total))


__all__ = ["BLOCK", "Store", "build_loop", "decompose", "index_of", "picoseconds", "register_type", "row_loop", "store"]
