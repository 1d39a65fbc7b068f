"""What rules say of nodes, remembered: a model's layers ask the same of each op, and each node is asked about twice."""

from __future__ import annotations

from collections.abc import Hashable

from tf_blade.backends.disc.lower import NodeFacts, examine_node
from tf_blade.graph.attributes import TensorAttr, attr_key
from tf_blade.graph.graph import Node, Tensor

MAX_CONSTANT_BYTES = 1024  # larger ones are not compared


class Examiner:
    """`examine_node` for graphs whose nodes' functions do not change meanwhile."""

    def __init__(self) -> None:
        self._known: dict[Hashable, NodeFacts] = {}

    def __call__(self, node: Node) -> NodeFacts:
        """The same as `examine_node`.

        Raises:
            Unsupported: DISC cannot take the node; says why.
        """
        key = _key(node)
        facts = self._known.get(key) if key is not None else None
        if facts is None:
            facts = examine_node(node)
            # Dimensions that are found at run time are named after the node.
            if key is not None and not facts.late:
                self._known[key] = facts
        return facts


def _key(node: Node) -> Hashable:
    """All that `examine_node` reads of a node; None where comparing that would take long."""
    if any(isinstance(item, TensorAttr) and item.num_bytes > MAX_CONSTANT_BYTES for item in node.attrs.values()):
        return None
    inputs = [_input_key(tensor) for tensor in node.inputs]
    if None in inputs:
        return None
    attrs = tuple((name, attr_key(value)) for name, value in sorted(node.attrs.items()) if not name.startswith("_"))
    outputs = tuple((tensor.dtype, bool(tensor.uses)) for tensor in node.outputs)
    bodies = tuple(sorted(node.bodies.items(), key=lambda item: item[0]))
    return node.op, attrs, tuple(inputs), outputs, bodies


def _input_key(tensor: Tensor) -> Hashable:
    if tensor.node.op == "Const":
        value = tensor.node.attrs.get("value")
        small = isinstance(value, TensorAttr) and value.num_bytes <= MAX_CONSTANT_BYTES
        return ("const", attr_key(value)) if isinstance(value, TensorAttr) and small else None
    content = None if tensor.value is None else (tensor.value.shape, tuple(tensor.value.reshape(-1)))
    return tensor.dtype, tensor.shape, tensor.handle, content
