"""Reads of variables that something in the same graph may write: they stay where TensorFlow put them.

An engine reads its variables when it starts. That is the value which TensorFlow would read as long as no node of the
graph writes the variable; with a write, only control edges say which of the two comes first, and a read that several
nodes share must see one value.
"""

from __future__ import annotations

from tf_blade import symbolic
from tf_blade.dtypes import DType
from tf_blade.graph.graph import Graph, Node, Tensor
from tf_blade.passes.effects import Effect, Effects

# Ops that change a resource that is no variable.
_OTHER_RESOURCES = ("Lookup", "MutableHashTable", "MutableDenseHashTable", "TensorArray", "Stack", "Queue", "Iterator")


def contested_reads(graph: Graph, effects: Effects) -> dict[Node, str]:
    """Nodes that read a variable which another node may write, with that node's name."""
    writes = _Writes(effects)
    written: list[tuple[Tensor | None, str]] = []
    for node in graph.nodes:
        if writes.by(node):
            written += [(handle, node.name) for handle in writes.handles(node)]
    if not written:
        return {}
    found: dict[Node, str] = {}
    for node in graph.nodes:
        if effects.of(node) != Effect.READS:
            continue
        for handle in (_root(tensor) for tensor in node.inputs if tensor.dtype == DType.RESOURCE):
            for other, writer in written:
                if other is None or _may_be_same(handle, other):
                    found.setdefault(node, writer)
    return found


class _Writes:
    """Which nodes may write variables, through functions they call too. Assert and Print have effects, but not that."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self._bodies: dict[Graph, tuple[bool, bool]] = {}

    def by(self, node: Node) -> bool:
        """Whether the node may write a variable."""
        if self._effects.of(node) != Effect.WRITES or node.op.startswith(_OTHER_RESOURCES):
            return False
        if _has_refs(node):
            return True
        bodies = self._effects.bodies_of(node)
        if bodies is None:
            return True
        if bodies:
            return any(self._of(body)[0] for body in bodies)
        return any(tensor.dtype == DType.RESOURCE for tensor in node.inputs)

    def handles(self, node: Node) -> list[Tensor | None]:
        """The variables that a node which writes may reach; None stands for any."""
        bodies = self._effects.bodies_of(node)
        if _has_refs(node) or bodies is None or any(self._of(body)[1] for body in bodies):
            return [None]
        return [_root(tensor) for tensor in node.inputs if tensor.dtype == DType.RESOURCE]

    def _of(self, body: Graph) -> tuple[bool, bool]:
        """Whether a body may write variables, and whether it reaches others than its arguments."""
        known = self._bodies.get(body)
        if known is None:
            self._bodies[body] = (True, True)  # what a recursive call of it counts as
            writes = any(self.by(node) for node in body.nodes)
            others = any(
                node.op == "VarHandleOp" or (self.by(node) and None in self.handles(node)) for node in body.nodes
            )
            known = self._bodies[body] = (writes, others)
        return known


def _has_refs(node: Node) -> bool:
    return any(tensor.dtype.is_ref for tensor in (*node.inputs, *node.outputs))


def _root(tensor: Tensor) -> Tensor:
    while tensor.node.op in ("Identity", "Enter") and tensor.node.inputs:
        tensor = tensor.node.inputs[0]
    return tensor


def _may_be_same(a: Tensor, b: Tensor) -> bool:
    """Two handles with types that differ are two variables; and so are two VarHandleOps with two names."""
    if a is b:
        return True
    if a.node.op == b.node.op == "VarHandleOp":
        return all(a.node.attrs.get(name) == b.node.attrs.get(name) for name in ("container", "shared_name"))
    if a.handle is None or b.handle is None:
        return True
    (a_type, a_shape), (b_type, b_shape) = a.handle, b.handle
    if a_type != b_type:
        return False
    if a_shape is None or b_shape is None:
        return True
    if len(a_shape) != len(b_shape):
        return False
    return not any(symbolic.different(x, y) for x, y in zip(a_shape, b_shape, strict=True))
