"""A SavedModel as it lies on disk: found, parsed, and asked for its functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from google.protobuf.message import DecodeError
from tensorflow.core.framework import function_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from tf_blade import observe
from tf_blade.errors import InvalidSavedModelError
from tf_blade.graph.graphdef import OpCatalog

SAVED_MODEL_FILE = "saved_model.pb"
FINGERPRINT_FILE = "fingerprint.pb"
SERVE_TAG = "serve"
_log = observe.logger("saved_model")

FunctionDef: TypeAlias = function_pb2.FunctionDef
MetaGraphDef: TypeAlias = meta_graph_pb2.MetaGraphDef


@dataclasses.dataclass(frozen=True)
class SavedModel:
    """A parsed SavedModel.

    Attributes:
        path: its folder.
        message: all of saved_model.pb.
        meta_graph: the one of `message` that is served.
        position: its position in `message`.
        functions: the meta graph's functions by name.
        catalog: the ops that the model uses.
    """

    path: Path
    message: saved_model_pb2.SavedModel
    meta_graph: MetaGraphDef
    position: int
    functions: dict[str, FunctionDef]
    catalog: OpCatalog

    @property
    def has_objects(self) -> bool:
        """Whether it was saved by TensorFlow 2, with an object graph."""
        return len(self.meta_graph.object_graph_def.nodes) > 0

    @property
    def tags(self) -> tuple[str, ...]:
        """Of the meta graph that is served, in order: what loaders are asked for."""
        return tuple(sorted(self.meta_graph.meta_info_def.tags))

    def signatures(self) -> Iterator[tuple[str, meta_graph_pb2.SignatureDef]]:
        """Signatures that somebody can call, by name, in a fixed order."""
        for name in sorted(self.meta_graph.signature_def):
            if not name.startswith("__saved_model"):
                yield name, self.meta_graph.signature_def[name]


def read_saved_model(path: Path | str) -> SavedModel:
    """Reads a SavedModel's saved_model.pb; weights and assets are left alone.

    Raises:
        InvalidSavedModelError: it is missing, unreadable, or has nothing to serve.
    """
    folder = Path(path)
    message = saved_model_pb2.SavedModel()
    try:
        message.ParseFromString(_read_bytes(folder))
    except DecodeError as error:
        raise InvalidSavedModelError(f"{folder / SAVED_MODEL_FILE} is corrupt: {error}") from error
    model = saved_model_from(folder, message, _serving_position(folder, message))
    nodes = len(model.meta_graph.graph_def.node)
    _log.info("%s: %d functions, %d nodes in the main graph", folder, len(model.functions), nodes)
    return model


def saved_model_from(folder: Path, message: saved_model_pb2.SavedModel, position: int) -> SavedModel:
    """A model around a message that was read or made.

    Raises:
        InvalidSavedModelError: two functions have one name, or one captures an object that does not exist.
    """
    meta_graph = message.meta_graphs[position]
    library = meta_graph.graph_def.library
    functions = {item.signature.name: item for item in library.function}
    if len(functions) != len(library.function):
        raise InvalidSavedModelError(f"{folder / SAVED_MODEL_FILE} is corrupt: two functions have one name")
    objects = meta_graph.object_graph_def
    for name, function in objects.concrete_functions.items():
        if any(not 0 <= index < len(objects.nodes) for index in function.bound_inputs):
            raise InvalidSavedModelError(
                f"{folder / SAVED_MODEL_FILE} is corrupt: function {name} captures an object that does not exist"
            )
    catalog = OpCatalog(library, meta_graph.meta_info_def.stripped_op_list.op)
    return SavedModel(folder, message, meta_graph, position, functions, catalog)


def _read_bytes(folder: Path) -> bytes:
    if not folder.exists():
        raise InvalidSavedModelError(f"{folder} does not exist")
    if not folder.is_dir():
        raise InvalidSavedModelError(f"{folder} is a file; a SavedModel is the folder that holds {SAVED_MODEL_FILE}")
    file = folder / SAVED_MODEL_FILE
    if not file.exists():
        for other, advice in _OTHER_FORMS.items():
            if (folder / other).exists():
                raise InvalidSavedModelError(f"{folder} holds {other}, not {SAVED_MODEL_FILE}: {advice}")
        raise InvalidSavedModelError(f"{folder} is no SavedModel: there is no {SAVED_MODEL_FILE} in it")
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidSavedModelError(f"{file} cannot be read: {error.strerror}") from error


_OTHER_FORMS = {
    "saved_model.pbtxt": "load it and save it again in binary form",
    "saved_model.cpb": "models above 2 GB in chunks are not supported; save the weights as variables",
    "config.json": "this looks like a Keras archive; call model.export(...) to get a SavedModel",
}


def _serving_position(folder: Path, message: saved_model_pb2.SavedModel) -> int:
    tags = [sorted(item.meta_info_def.tags) for item in message.meta_graphs]
    for wanted in ([SERVE_TAG], None):
        for position, names in enumerate(tags):
            if names == wanted or (wanted is None and SERVE_TAG in names):
                return position
    there = ", ".join("{" + ", ".join(names) + "}" for names in tags) or "none at all"
    raise InvalidSavedModelError(f"{folder} has no meta graph tagged {SERVE_TAG!r}; there are: {there}")
