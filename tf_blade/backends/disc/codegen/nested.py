"""Buffers within outputs: what is concatenated along the outermost axis is computed in its place, where it can be.

A decoder that returns its caches joined over the layers computes each layer's cache, uses it, and copies it into the
result. When the result is an output, whose memory is there from the start, the copy is not needed.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from tf_blade.backends.disc.codegen.program import Program
from tf_blade.backends.disc.ir.values import Value
from tf_blade.symbolic import Dim

# Of each value: the output's value that it lies within, and at which element it begins.
Places = dict[Value, tuple[Value, Dim]]


def find(program: Program, outputs: Mapping[Value, int], fixed: Container[Value]) -> tuple[Places, set[int]]:
    """Where parts of outputs can be computed in place, and the calls (their `id`) that would copy them.

    Args:
        program: the calls.
        outputs: values that are computed into outputs.
        fixed: values that have memory of their own for another reason.
    """
    made = {program.resolve(value) for group in program.plan.groups for value in group.outputs}
    places: Places = {}
    copies: set[int] = set()
    for call in program.calls:
        if call.moved is None:
            continue
        part, whole, offset = program.resolve(call.moved[0]), program.resolve(call.moved[1]), call.moved[2]
        if whole not in outputs or whole in places or part in places or part not in made:
            continue
        if part in outputs or part in fixed or part.op.regions() or len(part.op.results) > 1:
            continue
        places[part] = (whole, offset)
        copies.add(id(call))
    return places, copies
