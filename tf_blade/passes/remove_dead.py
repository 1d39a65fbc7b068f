"""Removes what nobody reads, waits for or must see happen."""

from __future__ import annotations

from tf_blade.graph.graph import Graph, Node
from tf_blade.passes.effects import Effect, Effects


def remove_dead(graph: Graph, effects: Effects) -> int:
    """Removes nodes that no output, no control output, no kept node and no change of state needs.

    A control output that neither changes state nor waits for what does is none any more: traced functions list every
    read of a variable there, and a read for nobody is no effect. Only where callers write, the reads count as well.
    """
    least = Effect.READS if effects.is_ordered(graph) else Effect.WRITES
    graph.control_outputs = [(name, node) for name, node in graph.control_outputs if _matters(node, effects, least)]
    needed: set[Node] = set()
    stack = [output.tensor.node for output in graph.outputs]
    stack += [node for _, node in graph.control_outputs]
    stack += [node for node in graph.nodes if node.name in graph.keep or effects.of(node) == Effect.WRITES]
    stack += graph.inputs
    while stack:
        node = stack.pop()
        if node not in needed:
            needed.add(node)
            stack.extend(item for item in node.predecessors() if item not in needed)
    dead = [node for node in graph.nodes if node not in needed]
    _remove(graph, dead)
    return len(dead)


def _matters(node: Node, effects: Effects, least: Effect) -> bool:
    """Whether the node has at least this effect, or has to wait for a node that does."""
    seen = {node}
    stack = [node]
    while stack:
        item = stack.pop()
        if effects.of(item) >= least:
            return True
        for before in item.predecessors():
            if before not in seen:
                seen.add(before)
                stack.append(before)
    return False


def _remove(graph: Graph, dead: list[Node]) -> None:
    """All edges first: dead loops read themselves."""
    for node in dead:
        graph.clear_inputs(node)
        for control in node.control_inputs:
            graph.remove_control_input(node, control)
    for node in dead:
        graph.remove_node(node)
