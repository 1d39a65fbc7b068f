"""Loop kernels: elementwise computations and data movement, one pass over the result's elements."""

from __future__ import annotations

import dataclasses
import math

from tf_blade.backends.disc.codegen.affine import Atom, Lin, count, dim_mul, variable
from tf_blade.backends.disc.codegen.body import Body, Item, Renderer, merge_loops, widen
from tf_blade.backends.disc.codegen.elements import Elements, wide_store
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
    body.emit(2, f"{pointer}[", flat, f"] = {text};", wide=wide_store(value.dtype, pointer, flat, text))


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
    elements.expect_rows(variables[:-1])
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
    widen(inner)
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
    """The loop over steps [begin, end). A step is a row, or a block of at most `block` of its `blocks` columns."""
    digits = [(atom.name, render.dim(atom.extent)) for atom in variables if atom.extent is not None]
    head, inside = [], []
    if isinstance(blocks, int) and blocks <= block:
        inside = [f"const int64_t first = 0, last = {blocks};"]
    elif blocks is not None:
        size = render.dim(blocks)
        head = [f"const int64_t blocks = ({size} + {block - 1}) / {block};"]
        inside = [
            f"const int64_t first = part * {block};",
            f"const int64_t last = min64(first + {block}, {size});",
        ]
        digits.append(("part", "blocks"))
    start, current, advance = count_up(digits)
    return [
        *(f"  {line}" for line in [*head, *start]),
        "  for (int64_t unit = begin; unit < end; ++unit) {",
        *(f"    {line}" for line in [*current, *inside]),
        *render.items(row, 2),
        *(f"    {line}" for line in advance),
        "  }",
    ]


def count_up(digits: list[tuple[str, str]]) -> tuple[list[str], list[str], list[str]]:
    """The digits of `unit`, (name, extent) from the highest down: before a loop, inside it, and at its end.

    Divisions are done once, before the loop.
    """
    if len(digits) < 2:
        return [], [f"const int64_t {name} = unit;" for name, _ in digits] or ["(void)unit;"], []
    start = ["int64_t rest = begin;"]
    for name, extent in reversed(digits[1:]):
        start += [f"int64_t at_{name} = rest % {extent};", f"rest /= {extent};"]
    start.append(f"int64_t at_{digits[0][0]} = rest;")
    advance = f"++at_{digits[0][0]};"
    for name, extent in digits[1:]:
        advance = f"if (++at_{name} == {extent}) {{ at_{name} = 0; {advance} }}"
    return start, [f"const int64_t {name} = at_{name};" for name, _ in digits], [advance]


def picoseconds(ops: dict[Op, None] | list[Op], outputs: list[Value]) -> int:
    """Estimated time of one element: arithmetic, and 0.1 ns for each value written and something for reads."""
    total = 200.0 * len(outputs)
    for op in ops:
        total += 1000 * FNS[op.attrs["fn"]].cost if op.kind == "elementwise" else 20
    return max(1, math.ceil(total))
