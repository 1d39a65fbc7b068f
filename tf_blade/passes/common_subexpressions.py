"""Computes equal things once.

    x ─► shape ─► slice          x ─► shape ─► slice
    x ─► shape ─► slice    =>              ╰──► (both readers)

Two nodes are equal when they have the same op, attributes, device, inputs and control inputs, and no effect. Constants
are compared by content. Reads of one variable are equal where nobody writes any.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable

import numpy as np

from tf_blade.dtypes import DType
from tf_blade.graph.attributes import Attr, FunctionAttr, TensorAttr
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
    attrs = tuple((name, _attr_key(node.attrs[name])) for name in sorted(node.attrs) if name not in _IGNORED_ATTRS)
    return node.op, node.device, node.inputs, frozenset(node.control_inputs), attrs


def _attr_key(value: Attr) -> Hashable:
    """Equal keys for equal values: with their types, since 1, 1.0 and True are equal to Python."""
    if isinstance(value, list):
        return ("list", *(_attr_key(item) for item in value))
    if isinstance(value, TensorAttr):
        if value.array is None:
            return "tensor", id(value)
        content = hashlib.sha256(np.ascontiguousarray(value.array).view(np.uint8).reshape(-1).data).digest()
        return "tensor", value.dtype, value.dims, content
    if isinstance(value, FunctionAttr):
        return "function", value.name, tuple((key, _attr_key(item)) for key, item in sorted(value.attrs.items()))
    if isinstance(value, float):
        return "float", value.hex()  # NaN equals itself here, and -0.0 is not 0.0
    return type(value).__name__, value
