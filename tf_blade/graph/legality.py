"""What makes a graph legal: a table of rules, checked after each pass in debug mode and in tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from tf_blade.errors import LegalityError
from tf_blade.graph.attributes import TensorAttr
from tf_blade.graph.graph import ARG_OP, Graph, Node
from tf_blade.graph.printer import print_neighbourhood


@dataclasses.dataclass(frozen=True)
class Rule:
    """A condition on each node: `broken` says what is wrong with it, or ""."""

    name: str
    broken: Callable[[Graph, Node], str]


def check(graph: Graph, *, after: str = "") -> None:
    """Examines a graph.

    Args:
        graph: the graph.
        after: the pass that ran last, for the message.

    Raises:
        LegalityError: a rule is broken; shows the node with its neighbours.
    """
    suffix = f" after {after}" if after else ""
    for node in graph.nodes:
        for rule in RULES:
            problem = rule.broken(graph, node)
            if problem:
                raise LegalityError(
                    f"graph {graph.name!r}{suffix}: {rule.name}: {node.name}: {problem}\n{print_neighbourhood(node)}"
                )
    for problem in _broken_borders(graph):
        raise LegalityError(f"graph {graph.name!r}{suffix}: {problem}")
    try:
        graph.topological_order()
    except ValueError as error:
        raise LegalityError(f"{error}{suffix}") from error


def _belongs(graph: Graph, node: Node) -> Node | None:
    """The node itself if the graph holds it."""
    return node if node.name in graph and graph.node(node.name) is node else None


def _foreign_input(graph: Graph, node: Node) -> str:
    foreign = next((item for item in node.predecessors() if _belongs(graph, item) is None), None)
    return f"reads {foreign.name}, which is not in the graph" if foreign is not None else ""


def _one_sided_use(graph: Graph, node: Node) -> str:
    for index, tensor in enumerate(node.inputs):
        if (node, index) not in tensor._uses:
            return f"input {index} is {tensor.name}, which does not know"
    for tensor in node.outputs:
        for user, index in tensor.uses:
            if _belongs(graph, user) is None or index >= len(user.inputs) or user.inputs[index] is not tensor:
                return f"{tensor.name} believes that {user.name} reads it as input {index}"
    return ""


def _one_sided_control(graph: Graph, node: Node) -> str:
    for item in node.control_inputs:
        if node not in item.control_uses:
            return f"waits for {item.name}, which does not know"
    for item in node.control_uses:
        if _belongs(graph, item) is None or node not in item.control_inputs:
            return f"believes that {item.name} waits for it"
    return "waits for itself" if node in node.control_inputs else ""


def _output_positions(graph: Graph, node: Node) -> str:
    del graph
    wrong = any(tensor.node is not node or tensor.index != index for index, tensor in enumerate(node.outputs))
    return "an output belongs to another node" if wrong else ""


def _argument(graph: Graph, node: Node) -> str:
    if node.op != ARG_OP:
        return "is listed as an argument" if node in graph.inputs else ""
    index = node.attrs.get("index")
    if not isinstance(index, int) or index >= len(graph.inputs) or graph.inputs[index] is not node:
        return f"is not argument number {index!r}"
    return "an argument reads something" if node.inputs else ""


def _constant(graph: Graph, node: Node) -> str:
    del graph
    if node.op != "Const":
        return ""
    value = node.attrs.get("value")
    if not isinstance(value, TensorAttr):
        return "has no value"
    if value.dtype != node.outputs[0].dtype or value.dtype != node.attrs.get("dtype"):
        return "the value is of another type than the output"
    return "the value has another shape" if value.array is not None and value.array.shape != value.dims else ""


def _content(graph: Graph, node: Node) -> str:
    del graph
    for tensor in node.outputs:
        if tensor.value is not None and (tensor.shape is None or tensor.value.shape != tensor.shape):
            return f"the known content of {tensor.name} has shape {tensor.value.shape}, the tensor {tensor.shape}"
    return ""


RULES = (
    Rule("inputs are in the graph", _foreign_input),
    Rule("data edges are known on both sides", _one_sided_use),
    Rule("control edges are known on both sides", _one_sided_control),
    Rule("outputs are the node's own", _output_positions),
    Rule("arguments are sources, in order", _argument),
    Rule("constants agree with their type", _constant),
    Rule("content has the tensor's shape", _content),
)


def _broken_borders(graph: Graph) -> Iterator[str]:
    names = [item.name for item in graph.outputs]
    if len(set(names)) != len(names):
        yield "two outputs have one name"
    for item in graph.outputs:
        if _belongs(graph, item.tensor.node) is None:
            yield f"output {item.name} is {item.tensor.name}, which is not in the graph"
    for name, node in graph.control_outputs:
        if _belongs(graph, node) is None:
            yield f"control output {name} is {node.name}, which is not in the graph"
    for name in sorted(graph.keep):
        if name not in graph:
            yield f"{name} must be kept and is gone"
    for node in graph.inputs:
        if _belongs(graph, node) is None:
            yield f"argument {node.name} is not in the graph"
