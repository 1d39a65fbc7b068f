"""What a function's callers wait for: its control results.

TensorFlow inlines a call into the graph that it runs only if every stateful node of the function comes before one of
the function's control results; any other call costs a function call at run time, with every argument a node of its own.
Engine ops are stateful. Whoever waits for a call that was inlined waits for the control results alone.
"""

from __future__ import annotations

from collections.abc import Callable

from tf_blade.graph.graph import ARG_OP, Graph

# Stateful for TensorFlow, but not among the effects that it guarantees.
_EXEMPT = frozenset({ARG_OP, "ReadVariableOp"})


def end_after_effects(graph: Graph, is_stateful: Callable[[str], bool]) -> None:
    """Adds control results until each stateful node comes before one.

    Args:
        graph: a function's body.
        is_stateful: whether an op is.
    """
    reached = {node for _, node in graph.control_outputs}
    stack = list(reached)
    names = {name for name, _ in graph.control_outputs}
    for node in [None, *reversed(graph.topological_order())]:
        if node is not None:
            if node in reached or node.op in _EXEMPT or node.name in names or not is_stateful(node.op):
                continue
            graph.control_outputs.append((node.name, node))
            reached.add(node)
            stack.append(node)
        while stack:
            for before in stack.pop().predecessors():
                if before not in reached:
                    reached.add(before)
                    stack.append(before)
