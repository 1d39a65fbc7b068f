"""What a function's callers wait for: its control results.

TensorFlow inlines a call into the graph that it runs only if every stateful node of the function comes before one of
the function's control results; any other call costs a function call at run time, with every argument a node of its own.
Engine ops are stateful. Whoever waits for a call that was inlined waits for the control results alone.
"""

from __future__ import annotations

from collections.abc import Callable

from tf_blade.graph.graph import ARG_OP, Graph
from tf_blade.passes.effects import READERS

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


def end_after_reads(graph: Graph) -> None:
    """Adds a control result that comes after every input and every read of state, as an engine op's end does.

    A call that TensorFlow inlines lets whoever waits for it go on when its control results are there. Without them, a
    write behind the call would overtake its reads, and those of calls that its inputs come from.

    Args:
        graph: a function's body that is called where an engine might run.
    """
    before = [node for node in graph.nodes if node.op == ARG_OP or node.op in READERS]
    end = graph.add_node("NoOp", graph.unique_name("end"), (), {}, ())
    for node in before:
        graph.add_control_input(end, node)
    graph.control_outputs.append((end.name, end))
