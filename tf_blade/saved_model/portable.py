"""Portable models: each engine op as a plain call of its fallback function that carries the engine as attributes.

    BladeEngineOp(x, w)                        StatefulPartitionedCall(x, w)
      fallback = f, engines = [...]     =>       f = f, _blade_engines = [...]

TensorFlow ignores attributes that begin with an underscore: without the op library such a model is an ordinary one.
The library has a graph pass that turns the calls back into engine ops when a graph is prepared
(custom_ops/engine_op/portable_pass.cc).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from tensorflow.core.framework.attr_value_pb2 import AttrValue
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tf_blade.errors import TfBladeError
from tf_blade.graph.graphdef import GraphDef

ENGINE_OP = "BladeEngineOp"
# Stateful like the engine op, so that what waits for the one waits for the other.
CALL_OP = "StatefulPartitionedCall"
PORTABLE_ENGINES, _CLUSTER = "_blade_engines", "_blade_cluster"


@dataclasses.dataclass(frozen=True)
class EngineNode:
    """What a node says that runs engines: an engine op, or a portable call."""

    cluster: str
    fallback: str
    engines: tuple[bytes, ...]
    portable: bool


def engines_attribute(node: NodeDef) -> str | None:
    """The name of the attribute that holds a node's engines; None for a node that runs none."""
    if node.op == ENGINE_OP:
        return "engines"
    return PORTABLE_ENGINES if node.op == CALL_OP and PORTABLE_ENGINES in node.attr else None


def engine_attributes(message: SavedModel) -> Iterator[AttrValue]:
    """The attributes of a SavedModel's message that hold engines."""
    for meta_graph in message.meta_graphs:
        for node in (node for body in _bodies(meta_graph.graph_def) for node in body):
            name = engines_attribute(node)
            if name is not None:
                yield node.attr[name]


def engine_node(node: NodeDef) -> EngineNode | None:
    """The node's engines; None for any other node."""
    engines = engines_attribute(node)
    if engines is None:
        return None
    fallback, cluster = ("fallback", "cluster") if node.op == ENGINE_OP else ("f", _CLUSTER)
    name = node.attr[cluster].s.decode(errors="replace") if cluster in node.attr else ""
    files = tuple(node.attr[engines].list.s)
    return EngineNode(name or node.name, node.attr[fallback].func.name, files, portable=node.op == CALL_OP)


def is_portable(graph_def: GraphDef) -> bool:
    """Whether a graph or a function of its library has portable calls."""
    return any(node.op == CALL_OP and PORTABLE_ENGINES in node.attr for body in _bodies(graph_def) for node in body)


def make_portable(graph_def: GraphDef) -> None:
    """Turns all engine ops of a graph and its functions into calls."""
    for node in graph_def.node:
        if node.op == ENGINE_OP:
            _to_call(node)
    for function in graph_def.library.function:
        engines = {node.name for node in function.node_def if node.op == ENGINE_OP}
        for node in function.node_def:
            if node.name in engines:
                _to_call(node)
            if engines:
                node.input[:] = [_renamed(text, engines) for text in node.input]
        for name, text in list(function.ret.items()):
            function.ret[name] = _renamed(text, engines)


def check_portable(graph_def: GraphDef) -> None:
    """Checks that a model may become portable: that it holds no engine ops so far, of which some find variables by
    their names, as no call does.

    Raises:
        TfBladeError: it holds some.
    """
    if any(node.op == ENGINE_OP for body in _bodies(graph_def) for node in body):
        raise TfBladeError(
            "the model holds engine ops of an earlier optimization, which cannot become portable;"
            " make a portable model from the original"
        )


def _bodies(graph_def: GraphDef) -> Iterator[Iterable[NodeDef]]:
    yield graph_def.node
    for function in graph_def.library.function:
        yield function.node_def


def _renamed(tensor: str, engines: set[str]) -> str:
    """A function's body names tensors by the op's outputs ("node:outputs:0"), of which a call's has another name."""
    name, _, rest = tensor.partition(":")
    return f"{name}:{rest.replace('outputs', 'output', 1)}" if name in engines else tensor


def _to_call(node: NodeDef) -> None:
    found = engine_node(node)
    assert found is not None
    types = [list(node.attr[name].list.type) for name in ("Tin", "Tout")]
    node.op = CALL_OP
    node.attr.clear()
    for name, values in zip(("Tin", "Tout"), types, strict=True):
        node.attr[name].list.SetInParent()
        node.attr[name].list.type.extend(values)
    node.attr["f"].func.name = found.fallback
    for name in ("config", "config_proto", "executor_type"):
        node.attr[name].s = b""
    node.attr[PORTABLE_ENGINES].list.SetInParent()
    node.attr[PORTABLE_ENGINES].list.s.extend(found.engines)
    node.attr[_CLUSTER].s = found.cluster.encode()
