"""Concatenation: each operand is computed straight into its part of the result."""

from __future__ import annotations

from tf_blade.backends.disc.codegen.affine import dim_add, flatten
from tf_blade.backends.disc.codegen.body import Body
from tf_blade.backends.disc.codegen.elements import Elements
from tf_blade.backends.disc.codegen.kernel import Context, Kernel, Pointers, describe
from tf_blade.backends.disc.codegen.loop import finish_loop, index_of, loop_variables, store
from tf_blade.backends.disc.fusion.groups import Group, loop_domain
from tf_blade.backends.disc.ir.values import Op, Value
from tf_blade.symbolic import Dim


def build_concat(group: Group, context: Context) -> list[Kernel]:
    """One loop kernel for each operand of the group's concat."""
    assert group.root is not None
    result, kernels = group.root.result, []
    offset: Dim = 0
    for operand in group.root.operands:
        kernels.append(_part(group, context, operand, result, offset))
        offset = dim_add(offset, operand.shape[group.root.attrs["axis"]])
    return kernels


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
