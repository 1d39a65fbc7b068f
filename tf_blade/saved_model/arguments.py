"""Which inputs of signatures the arguments of functions are: followed through calls, whatever the arguments' names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tensorflow.core.framework import node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from tf_blade.saved_model.bodies import MAIN
from tf_blade.saved_model.model import FunctionDef, SavedModel

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
Inputs = Mapping[str, frozenset[str]]


def arguments_of(model: SavedModel) -> dict[str, Inputs]:
    """For each body that signatures reach through calls, the inputs that each of its arguments is, unchanged.

    An argument that is one input of one signature and another of the next has both; one that is computed has none.
    """
    found: dict[str, Inputs] = {MAIN: _placeholders(item for _, item in model.signatures())}
    stack = [MAIN]
    while stack:
        body = stack.pop()
        nodes = model.functions[body].node_def if body != MAIN else model.meta_graph.graph_def.node
        for callee, given in _calls(nodes, model.functions, found[body]):
            before = found.get(callee, {})
            merged = {**before, **{name: inputs | before.get(name, frozenset()) for name, inputs in given.items()}}
            if callee not in found or merged != before:
                found[callee] = merged
                stack.append(callee)
    return found


def _placeholders(signatures: Iterable[meta_graph_pb2.SignatureDef]) -> Inputs:
    found: dict[str, frozenset[str]] = {}
    for signature in signatures:
        for name, info in signature.inputs.items():
            if info.name:
                node = info.name.partition(":")[0]
                found[node] = found.get(node, frozenset()) | {name}
    return found


def _calls(
    nodes: Iterable[node_def_pb2.NodeDef], functions: Mapping[str, FunctionDef], known: Inputs
) -> Iterator[tuple[str, Inputs]]:
    """The functions that nodes call, with the inputs that their arguments are there."""
    nodes = list(nodes)
    same = {node.name: node.input[0] for node in nodes if node.op == "Identity" and node.input}
    for node in nodes:
        callee = node.attr["f"].func.name if node.op in _CALLS and "f" in node.attr else node.op
        if callee not in functions:
            continue
        given = [_inputs_of(text, known, same) for text in node.input if not text.startswith("^")]
        names = [arg.name for arg in functions[callee].signature.input_arg]
        yield callee, dict(zip(names, given, strict=False))


def _inputs_of(text: str, known: Inputs, same: Mapping[str, str]) -> frozenset[str]:
    """The inputs that a tensor is, "node:0" or "node:output:0"."""
    name = text.partition(":")[0]
    for _ in same:
        if name not in same:
            break
        name = same[name].partition(":")[0]
    return known.get(name, frozenset())
