"""Concatenation: each operand is computed straight into its part of the result.

Short parts share one kernel, which goes over the dimensions in front of the joined axis and writes all parts of one
place before the next: 26 rows gathered from 26 tables cost one call and one look at the identifiers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tf_blade.backends.disc.codegen.affine import Atom, Lin, count, dim_add, dim_mul, flatten, variable
from tf_blade.backends.disc.codegen.body import Body, merge_loops
from tf_blade.backends.disc.codegen.elements import Elements
from tf_blade.backends.disc.codegen.index import Index
from tf_blade.backends.disc.codegen.kernel import Context, Kernel, Pointers, assemble, describe, renderer
from tf_blade.backends.disc.codegen.loop import (
    BLOCK,
    finish_loop,
    index_of,
    loop_variables,
    picoseconds,
    row_loop,
    store,
)
from tf_blade.backends.disc.fusion.groups import Group, loop_domain
from tf_blade.backends.disc.ir.values import Op, Value
from tf_blade.symbolic import Dim


def build_concat(group: Group, context: Context) -> list[Kernel]:
    """One kernel for all operands of the group's concat where they are short, else a loop kernel for each."""
    assert group.root is not None
    axis = group.root.attrs["axis"]
    if _are_short(group.root.operands, axis):
        return [_together(group, group.root, axis, context)]
    result, kernels = group.root.result, []
    offset: Dim = 0
    for operand in group.root.operands:
        kernel = _part(group, context, operand, result, offset)
        source = _stored(operand, group)
        if source is not None and count(result.shape[:axis]) == 1:
            start = dim_mul(offset, count(result.shape[axis + 1 :]))
            kernel = dataclasses.replace(kernel, moved=(source, result, start))
        kernels.append(kernel)
        offset = dim_add(offset, operand.shape[group.root.attrs["axis"]])
    return kernels


def _stored(operand: Value, group: Group) -> Value | None:
    """The value in memory whose elements are the operand's, in order; None when the group computes them."""
    while operand.kind == "reshape" and operand.op in group.ops:
        operand = operand.op.operands[0]
    return operand if operand.op not in group.ops else None


def _are_short(operands: Sequence[Value], axis: int) -> bool:
    """Whether there are rows in front of the axis, and little behind it in each operand."""
    sizes = [count(operand.shape[axis:]) for operand in operands]
    if count(operands[0].shape[:axis]) == 1 or not all(isinstance(size, int) for size in sizes):
        return False
    return sum(size for size in sizes if isinstance(size, int)) <= BLOCK


def _together(group: Group, root: Op, axis: int, context: Context) -> Kernel:
    """A row of the result is one step: a pass for each part."""
    result = root.result
    outer = [Atom(f"i{place}", dim, 1) for place, dim in enumerate(result.shape[:axis]) if dim != 1]
    rows = iter(outer)
    place = [Lin() if dim == 1 else variable(next(rows)) for dim in result.shape[:axis]]
    ops = {op: None for op in group.ops if op is not root}
    body, pointers = Body(), Pointers(context.resolve)
    elements = Elements(body, ops, pointers, context.table)
    offset: Dim = 0
    for number, operand in enumerate(root.operands):
        dims = [(k, dim) for k, dim in enumerate(operand.shape) if k >= axis and dim != 1]
        inner = [Atom(f"j{number}_{k}", dim, 2 + level) for level, (k, dim) in enumerate(dims)]
        body.begin_pass(inner or [Atom(f"j{number}", 1, 2)])
        atoms = dict(zip((k for k, _ in dims), inner, strict=True))
        rest = [variable(atoms[k]) if k in atoms else Lin() for k in range(axis, operand.rank)]
        text = elements.element(operand, Index(operand.shape, (*place, *rest))).text
        target = flatten((*place, rest[0].shifted(offset), *rest[1:]), result.shape)
        if len(inner) > 1:
            body.emit(1 + len(inner), f"{pointers.written(result)}[", target, f"] = {text};")
        else:
            store(body, pointers.written(result), result, target, text)
        body.end_pass()
        offset = dim_add(offset, operand.shape[axis])
    elements.expect_rows(outer)
    merged = merge_loops([*body.kernel, *body.row], outer)
    render, names = renderer(context.table)
    lines = render.items(body.kernel, 1) + row_loop(render, merged, body.row)
    size = count(result.shape[axis:])
    cost = f"{size} * {picoseconds([], [result])} / 1000 + {len(root.operands)}"
    comment = (*describe([*ops, root], [result]), f"// {len(root.operands)} parts of a row at a time")
    return Kernel(assemble(lines, names, pointers), comment, pointers.arguments(), count(result.shape[:axis]), cost)


def _part(group: Group, context: Context, operand: Value, result: Value, offset: Dim) -> Kernel:
    assert group.root is not None
    axis = group.root.attrs["axis"]
    part = Group("loop", [result], _needed(operand, group), domain=loop_domain(operand))
    assert part.domain is not None
    variables = loop_variables(part.domain.shape)
    body, pointers = Body(), Pointers(context.resolve)
    elements = Elements(body, part.ops, pointers, context.table)
    body.begin_pass([variables[-1]])
    index = index_of(operand, variables, part.domain.shape)
    text = elements.element(operand, index).text
    multi = list(index.multi(body))
    multi[axis] = multi[axis].shifted(offset)
    store(body, pointers.written(result), result, flatten(tuple(multi), result.shape), text)
    elements.expect_rows(variables[:-1])
    comment = (*describe(list(part.ops), []), f"// part of concat: {operand.type} of {result.type}")
    return finish_loop(body, pointers, variables, part, context, comment)


def _needed(operand: Value, group: Group) -> dict[Op, None]:
    """The group's ops that one operand needs."""
    wanted: set[Op] = set()
    stack = [operand.op]
    while stack:
        op = stack.pop()
        if op in wanted or op not in group.ops or op is group.root:
            continue
        wanted.add(op)
        stack.extend(value.op for value in op.operands)
    return {op: None for op in group.ops if op in wanted}
