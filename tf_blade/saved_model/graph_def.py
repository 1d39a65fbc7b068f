"""A bare GraphDef, treated as the main graph of a SavedModel with one signature."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import saved_model_pb2

from tf_blade.errors import InvalidSavedModelError
from tf_blade.graph.graphdef import GraphDef
from tf_blade.saved_model.model import SERVE_TAG, SavedModel, saved_model_from
from tf_blade.saved_model.writer import Edit, apply_edit

_SIGNATURE = "serving_default"
# Ops that are fed when the caller names no inputs.
_FED_OPS = ("Placeholder", "PlaceholderWithDefault")


def model_of_graph_def(graph_def: GraphDef, *, inputs: Sequence[str] | None, outputs: Sequence[str]) -> SavedModel:
    """The GraphDef as a model.

    Args:
        graph_def: a copy is taken.
        inputs: tensors that are fed ("node" or "node:index"); all placeholders when None.
        outputs: tensors that are fetched.

    Raises:
        InvalidSavedModelError: a named tensor does not exist.
    """
    message = saved_model_pb2.SavedModel()
    meta_graph = message.meta_graphs.add()
    meta_graph.meta_info_def.tags.append(SERVE_TAG)
    meta_graph.graph_def.CopyFrom(graph_def)
    nodes = {node.name: node for node in graph_def.node}
    if inputs is None:
        inputs = [name for name, node in nodes.items() if node.op in _FED_OPS]
    signature = meta_graph.signature_def[_SIGNATURE]
    for names, infos in ((inputs, signature.inputs), (outputs, signature.outputs)):
        for name in names:
            if name.partition(":")[0] not in nodes:
                raise InvalidSavedModelError(f"the graph has no node {name.partition(':')[0]!r}")
            infos[name].name = name
            # Any type but none: an output without one would be a node to run.
            infos[name].dtype = 1
    return saved_model_from(Path(), message, 0)


def parse_graph_def(data: bytes) -> GraphDef:
    """A GraphDef from its bytes.

    Raises:
        InvalidSavedModelError: they are something else.
    """
    graph_def = graph_pb2.GraphDef()
    try:
        graph_def.ParseFromString(data)
    except DecodeError as error:
        raise InvalidSavedModelError(f"this is no GraphDef: {error}") from error
    return graph_def


def edited_graph_def(model: SavedModel, edit: Edit) -> GraphDef:
    """The model's GraphDef with the edit applied."""
    result = graph_pb2.GraphDef()
    result.CopyFrom(apply_edit(model, edit).meta_graphs[0].graph_def)
    return result
