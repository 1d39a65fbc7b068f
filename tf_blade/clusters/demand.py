"""Which calls need a node: a call of one signature feeds and computes no more than its own results need.

An engine computes all its outputs from all its inputs. Were nodes of two signatures in one, a call of the first would
wait for inputs that only the second feeds, and would fail where the second's part fails.
"""

from __future__ import annotations

from collections.abc import Sequence

from tf_blade.graph.graph import Graph, Node


def demanded_by(graph: Graph, order: Sequence[Node]) -> dict[Node, int]:
    """For each node the demands (`Graph.demands`) that need it, as bits; empty where all are always needed together.

    Args:
        graph: the graph.
        order: its nodes, producers first.
    """
    if len(graph.demands) < 2:
        return {}
    found: dict[Node, int] = {}
    named = [(output.name, output.tensor.node) for output in graph.outputs]
    for name, node in [*named, *graph.control_outputs]:
        for bit, names in enumerate(graph.demands):
            if name in names:
                found[node] = found.get(node, 0) | 1 << bit
    changed = True
    while changed:  # again only where a loop leads back
        changed = False
        for node in reversed(order):
            bits = found.get(node, 0)
            for before in node.predecessors() if bits else ():
                if found.get(before, 0) | bits != found.get(before, 0):
                    found[before] = found.get(before, 0) | bits
                    changed = True
    return found
