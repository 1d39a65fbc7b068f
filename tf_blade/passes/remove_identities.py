"""Takes away nodes that give what they get.

    x ─► Identity ─► relu      =>      x ─► relu

An identity stays that orders something (it has control inputs; those that order nothing are gone by now), that reads a
reference (it takes a snapshot), or that names a branch or an iteration of TF1's control flow.
"""

from __future__ import annotations

from tf_blade.graph.graph import Graph, Node
from tf_blade.passes.effects import Effects, has_tf1_control_flow

# CheckNumerics and Assert are no identities: they are how a model reports errors.
IDENTITIES = frozenset({"Identity", "IdentityN", "PreventGradient", "Snapshot", "StopGradient"})


def remove_identities(graph: Graph, effects: Effects) -> int:
    """Makes readers of identities read what these read; the nodes themselves go unless they must stay addressable."""
    del effects  # an identity has none
    has_control_flow = has_tf1_control_flow(graph)
    count = 0
    for node in graph.nodes:
        if node.op not in IDENTITIES or node.control_inputs or node.name in graph.keep:
            continue
        if any(tensor.dtype.is_ref for tensor in node.inputs) or (has_control_flow and _is_pivot(node)):
            continue
        for old, new in zip(node.outputs, node.inputs, strict=True):
            graph.replace_uses(old, new)
        for waiting in node.control_uses:
            graph.remove_control_input(waiting, node)
            for producer in dict.fromkeys(tensor.node for tensor in node.inputs):
                graph.add_control_input(waiting, producer)
        if any(item is node for _, item in graph.control_outputs):
            continue
        graph.remove_node(node)
        count += 1
    return count


def _is_pivot(node: Node) -> bool:
    """Whether control edges from here say when something runs: a Switch itself cannot say which side is alive."""
    return bool(node.control_uses)
