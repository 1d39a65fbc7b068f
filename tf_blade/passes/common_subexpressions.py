"""Computes equal things once.

    x ─► shape ─► slice          x ─► shape ─► slice
    x ─► shape ─► slice    =>              ╰──► (both readers)

Two nodes are equal when they have the same op, attributes, device, inputs and control inputs, and no effect. Constants
are compared by content. Reads of one variable are equal where nobody writes any.
"""

from __future__ import annotations

from collections.abc import Hashable

from tf_blade.dtypes import DType
from tf_blade.graph.attributes import attr_key
from tf_blade.graph.graph import BACK_EDGE_OPS, Graph, Node
from tf_blade.passes.effects import Effect, Effects

# What says nothing about what a node computes.
_IGNORED_ATTRS = frozenset({"_output_shapes"})
_HANDLES = frozenset({DType.RESOURCE, DType.VARIANT})
_CONTROL_FLOW = frozenset({"Merge", "Enter", "Exit", "Switch", "LoopCond"}) | BACK_EDGE_OPS


def share_common_subexpressions(graph: Graph, effects: Effects) -> int:
    """Makes readers of equal nodes read the first; gives how many nodes lost all their readers."""
    own = {node: effects.of(node) for node in graph.nodes}
    are_reads_pure = Effect.WRITES not in own.values()
    first: dict[Hashable, Node] = {}
    count = 0
    for node in graph.topological_order():
        is_pure = own[node] == Effect.NONE or (are_reads_pure and node.op == "ReadVariableOp")
        if not is_pure or not node.outputs or node.op in _CONTROL_FLOW or node in graph.inputs:
            continue
        if any(tensor.dtype in _HANDLES or tensor.dtype.is_ref for tensor in node.outputs):
            continue
        twin = first.setdefault(_key(node), node)
        if twin is node or node.name in graph.keep:
            continue
        for old, new in zip(node.outputs, twin.outputs, strict=True):
            graph.replace_uses(old, new)
        for waiting in node.control_uses:
            graph.remove_control_input(waiting, node)
            graph.add_control_input(waiting, twin)
        count += 1
    return count


def _key(node: Node) -> Hashable:
    attrs = tuple((name, attr_key(node.attrs[name])) for name in sorted(node.attrs) if name not in _IGNORED_ATTRS)
    return node.op, node.device, node.inputs, frozenset(node.control_inputs), attrs
