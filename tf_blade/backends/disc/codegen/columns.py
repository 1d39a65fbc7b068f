"""Columns kernels: reductions whose innermost axis stays, vectorized over that axis."""

from __future__ import annotations

import functools

from tf_blade.backends.disc.codegen.affine import Atom, Lin, count, dim_mul, flatten, variable
from tf_blade.backends.disc.codegen.body import Body, Scalar, merge_loops, widen
from tf_blade.backends.disc.codegen.ctypes_ import register_type
from tf_blade.backends.disc.codegen.elements import Elements, wide_load
from tf_blade.backends.disc.codegen.index import Index
from tf_blade.backends.disc.codegen.kernel import Context, Kernel, Misfit, Pointers, assemble, describe, renderer
from tf_blade.backends.disc.codegen.loop import picoseconds, row_loop, store
from tf_blade.backends.disc.codegen.reduction import reducer_of
from tf_blade.backends.disc.fusion.groups import Group
from tf_blade.backends.disc.ir.values import Op, Value
from tf_blade.symbolic import ceildiv

COLUMNS = 512  # that one step of the parallel loop reduces, in accumulators on its stack


class _Frame:
    """The domain's variables: kept outer ones, reduced ones, and the innermost, in the two loop nests it occurs in."""

    def __init__(self, group: Group) -> None:
        assert group.domain is not None
        domain = group.domain
        self.domain = domain
        self.kept: list[Atom] = []
        self.reduced: list[Atom] = []
        depth = sum(domain.reduced)
        last = domain.shape[-1]
        self.column = Atom("j", last, 2 + depth)
        self.final = Atom("j", last, 2)
        lins: list[Lin] = []
        for axis, (dim, gone) in enumerate(zip(domain.shape[:-1], domain.reduced[:-1], strict=True)):
            atom = Atom(f"k{axis}", dim, 2 + len(self.reduced)) if gone else Atom(f"i{axis}", dim, 1)
            (self.reduced if gone else self.kept).append(atom)
            lins.append(variable(atom))
        self.full = flatten((*lins, variable(self.column)), domain.shape)
        self.multi = (*lins, variable(self.column))
        self.row_multi = (*(variable(atom) for atom in self.kept), variable(self.final))
        self.row = flatten(self.row_multi, domain.kept_shape)


def _index(value: Value, lins: tuple[Lin, ...], flat: Lin) -> Index:
    if sum(dim != 1 for dim in value.shape) != len(lins):
        return Index(value.shape, None, flat)
    rest = iter(lins)
    return Index(value.shape, tuple(Lin() if dim == 1 else next(rest) for dim in value.shape), flat)


def build_columns(group: Group, context: Context) -> Kernel:
    """The kernel of a columns group.

    Raises:
        Misfit: its ops need more than one pass, or a reduction's result for other columns.
    """
    frame, body, pointers = _Frame(group), Body(), Pointers(context.resolve)
    elements = Elements(body, group.ops, pointers, context.table)
    reductions = [op for op in group.ops if op.kind == "reduce"]
    names = {op: body.name("r") for op in reductions}

    def reduced(op: Op, index: Index) -> Scalar:
        if index.flat != frame.row:
            raise Misfit("a reduction is used for another column than its own")
        reducer, name = reducer_of(op), f"{names[op]}[j - first]"
        wide = wide_load(op.result.dtype, names[op], "j - first")
        return body.define(register_type(op.result.dtype), 2, reducer.result(name), wide=wide)

    for op in reductions:
        elements.providers[op.result] = functools.partial(reduced, op)
    accumulate = body.begin_pass([*frame.reduced, frame.column])
    accumulate.bounds, accumulate.bounded = ("first", "last"), len(frame.reduced)
    for op in reductions:
        x, reducer = op.operands[0], reducer_of(op)
        element = elements.element(x, _index(x, frame.multi, frame.full))
        total, wide = body.name("a"), None
        if reducer.ctype == "float":
            load = f"const Lanes {total} = at.load({names[op]} + (j - first));"
            step = reducer.combine.format(a=total, b=element.text)
            wide = (f"{load} at.store({names[op]} + (j - first), {step});",)
        body.emit(frame.column.level, reducer.step(f"{names[op]}[j - first]", element.text), wide=wide)
        body.emit(1, f"{reducer.ctype} {names[op]}[{COLUMNS}];")
        body.emit(1, f"for (int64_t x = 0; x < last - first; ++x) {names[op]}[x] = {reducer.identity};")
    body.end_pass()
    widen(accumulate)
    final = body.begin_pass([frame.final])
    final.bounds = ("first", "last")
    for value in group.outputs:
        index = _index(value, frame.row_multi, frame.row)
        text = elements.element(value, index).text
        store(body, pointers.written(value), value, index.flat, text)
    body.end_pass()
    widen(final)
    return _finish(group, context, frame, body, pointers)


def _finish(group: Group, context: Context, frame: _Frame, body: Body, pointers: Pointers) -> Kernel:
    kept = merge_loops([*body.kernel, *body.row], frame.kept)
    render, dims = renderer(context.table)
    width = frame.domain.shape[-1]
    lines = render.items(body.kernel, 1) + row_loop(render, kept, body.row, blocks=width, block=COLUMNS)
    rows = count(tuple(atom.extent for atom in kept))
    table = context.table
    size = f"min64({table.c(width)}, {COLUMNS}) * {table.c(count(frame.domain.inner_shape))}"
    cost = f"{size} * {picoseconds(group.ops, group.outputs)} / 1000 + 10"
    units = dim_mul(rows, ceildiv(width, COLUMNS))
    comment = describe(list(group.ops), group.outputs)
    return Kernel(assemble(lines, dims, pointers), comment, pointers.arguments(), units, cost)
