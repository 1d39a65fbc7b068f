"""Reductions of a whole tensor: cut into parts of fixed size for the threads, whose results are then combined in order.

The parts depend on dimensions alone, so the result is the same for any number of threads.
"""

from __future__ import annotations

from tf_blade.backends.disc.codegen.affine import count
from tf_blade.backends.disc.codegen.body import Line, merge_loops
from tf_blade.backends.disc.codegen.ctypes_ import register_type
from tf_blade.backends.disc.codegen.kernel import Context, Kernel, WorkSpace, assemble, describe, renderer
from tf_blade.backends.disc.codegen.loop import picoseconds, row_loop
from tf_blade.backends.disc.codegen.reduction import reducer_of
from tf_blade.backends.disc.codegen.rows import RowsBuilder, is_full, lanes_after_merging, replace_inner
from tf_blade.backends.disc.fusion.groups import Group
from tf_blade.backends.disc.ir.values import Op, Value
from tf_blade.symbolic import Dim, ceildiv

PART = 16384  # elements of one part
# Sizes of all types that reductions accumulate in.
_BYTES = {
    "bool": 1,
    "int8_t": 1,
    "uint8_t": 1,
    "int16_t": 2,
    "uint16_t": 2,
    "float": 4,
    "int32_t": 4,
    "uint32_t": 4,
    "double": 8,
    "int64_t": 8,
    "uint64_t": 8,
}


def is_split(group: Group) -> bool:
    """Whether a rows group is one row, of independent reductions, that may be long."""
    domain = group.domain
    assert domain is not None
    length = count(domain.inner_shape)
    if count(domain.kept_shape) != 1 or not domain.inner_shape or (isinstance(length, int) and length <= 2 * PART):
        return False
    reductions = [op for op in group.ops if op.kind == "reduce"]
    return _independent(group, reductions) and not any(is_full(value, domain) for value in group.outputs)


def _independent(group: Group, reductions: list[Op]) -> bool:
    """Whether no reduction's operand needs another reduction."""
    made: set[Value] = set()
    for op in group.ops:
        if any(value in made for value in op.operands):
            if op.kind == "reduce":
                return False
            made.update(op.results)
        elif op in reductions:
            made.update(op.results)
    return True


def build_split(group: Group, context: Context) -> list[Kernel]:
    """The kernel that reduces the parts, and the one that combines them."""
    reductions = [op for op in group.ops if op.kind == "reduce"]
    trial = RowsBuilder(group, context, {})
    _reduce_parts(trial, reductions)
    lanes = lanes_after_merging(trial)
    parts = RowsBuilder(group, context, {}, lanes)
    _reduce_parts(parts, reductions)
    body = parts.body
    inner = merge_loops([*body.kernel, *body.row], parts.frame.inner)
    replace_inner(parts, parts.frame.inner, inner)
    size = PART if len(inner) == 1 else 1
    extent = inner[0].extent
    assert extent is not None
    number = ceildiv(extent, size)
    spaces = {op: WorkSpace(reducer_of(op).ctype, number, _BYTES[reducer_of(op).ctype]) for op in reductions}
    for op, space in spaces.items():
        body.row.append(Line((f"{parts.pointers.space(space)}[unit] = {parts.totals[op.result]};",)))
    render, dims = renderer(context.table)
    lines = render.items(body.kernel, 1) + row_loop(render, [], body.row, blocks=extent, block=size)
    table, work = context.table, count(tuple(atom.extent for atom in inner[1:]))
    cost = f"min64({table.c(extent)}, {size}) * {table.c(work)} * {picoseconds(group.ops, [])} / 1000 + 10"
    comment = (*describe(list(group.ops), group.outputs), "// in parts")
    first = Kernel(assemble(lines, dims, parts.pointers), comment, parts.pointers.arguments(), number, cost)
    return [first, _combine(group, context, spaces, number)]


def _reduce_parts(builder: RowsBuilder, reductions: list[Op]) -> None:
    item = builder.body.begin_pass(builder.frame.inner)
    item.bounds = ("first", "last")
    builder.requests.append(set())
    reducers = [builder.accumulate(op) for op in reductions]
    builder.body.end_pass()
    builder.reduce(item, reducers)


def _combine(group: Group, context: Context, spaces: dict[Op, WorkSpace], number: Dim) -> Kernel:
    builder = RowsBuilder(group, context, {})
    body = builder.body
    for op, space in spaces.items():
        reducer, name, pointer = reducer_of(op), body.name("r"), builder.pointers.space(space)
        body.emit(1, f"{reducer.ctype} {name} = {reducer.identity};")
        body.emit(1, "for (int64_t part = 0; part < ", number, f"; ++part) {reducer.merge(name, f'{pointer}[part]')}")
        builder.results[op.result] = body.define(register_type(op.result.dtype), 1, reducer.result(name))
    builder.store_rows(group.outputs)
    render, dims = renderer(context.table)
    lines = render.items(body.kernel, 1) + row_loop(render, [], body.row)
    return Kernel(
        assemble(lines, dims, builder.pointers), ("// the parts together",), builder.pointers.arguments(), 1, "100"
    )
