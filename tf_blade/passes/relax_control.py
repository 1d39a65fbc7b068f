"""Takes away control edges that order nothing.

Traced functions end with a NoOp that waits for every read of a variable, and results that wait for the NoOp. Where
nobody writes, such edges order nothing, yet they would keep layers that were inlined one after the other in engines of
their own:

    read ──► matmul ──► Identity ──► next layer          read ──► matmul ──► Identity ──► next layer
      ╰╌╌► NoOp ╌╌╌╌╌╌╌╌╌╌╯                        =>

An edge A → B matters if a writer is at or before A, or if a reader is at or before A and a writer at or behind B. All
others go. What orders a pair of nodes through several edges is kept whole: each edge of that path matters by itself.
Behind a control output are the writers of whoever calls the function.

What a constant waits for (TF1 code lets constants carry `tf.control_dependencies`), its readers wait for themselves
from here on: every engine has constants of its own, which wait for nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from tf_blade.graph.graph import Graph, Node
from tf_blade.passes.effects import TF1_CONTROL_FLOW, Effect, Effects, has_tf1_control_flow


def relax_control(graph: Graph, effects: Effects) -> bool:
    """Removes the edges; tells whether there were any."""
    if has_tf1_control_flow(graph):
        _pass_on(graph)
        return False
    order = graph.topological_order()
    own = {node: effects.of(node) for node in order}
    before = _accumulate(order, own, Node.predecessors)
    ends = dict(own)
    if effects.is_ordered(graph):
        ends.update((node, Effect.WRITES) for _, node in graph.control_outputs)
    behind = _accumulate(reversed(order), ends, Node.successors)
    idle = [
        (node, control)
        for node in order
        for control in node.control_inputs
        if before[control] == Effect.NONE or (before[control] == Effect.READS and behind[node] != Effect.WRITES)
    ]
    for node, control in idle:
        graph.remove_control_input(node, control)
    _pass_on(graph)
    return bool(idle)


def _pass_on(graph: Graph) -> None:
    """Gives the control inputs of constants to their readers, too.

    The nodes of TF1's control flow have rules of their own about control inputs, and are never part of an engine.
    """
    for node in graph.nodes:
        if node.op != "Const":
            continue
        readers = [item for item in node.outputs[0].consumers if item.op not in TF1_CONTROL_FLOW]
        for reader, control in itertools.product(readers, node.control_inputs):
            graph.add_control_input(reader, control)


def _accumulate(
    order: Iterable[Node], own: dict[Node, Effect], neighbours: Callable[[Node], Iterator[Node]]
) -> dict[Node, Effect]:
    """The largest effect of each node and all that come before it in `order`'s direction."""
    result: dict[Node, Effect] = {}
    for node in order:
        result[node] = max((own[node], *(result[item] for item in neighbours(node))))
    return result
