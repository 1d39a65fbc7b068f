"""Writes the optimized SavedModel: the original's message with other bodies, and everything else as it was."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from google.protobuf.message import EncodeError
from tensorflow.core.framework import op_def_pb2
from tensorflow.core.protobuf import fingerprint_pb2, saved_model_pb2
from tensorflow.python.framework import op_def_registry
from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting

from tf_blade import observe
from tf_blade.errors import TfBladeError
from tf_blade.graph.graphdef import GraphDef
from tf_blade.saved_model.files import copy_files
from tf_blade.saved_model.model import FINGERPRINT_FILE, SAVED_MODEL_FILE, FunctionDef, SavedModel
from tf_blade.saved_model.portable import CALL_OP, ENGINE_OP, make_portable
from tf_blade.saved_model.sessions import Sessions, bind_sessions

MAX_BYTES = 2**31 - 1
_log = observe.logger("saved_model")


class Edit:
    """What differs from the original.

    Attributes:
        functions: bodies written anew, by name.
        removed: functions that went into their callers.
        added: new functions, in order.
        main: the main graph (its library is not looked at), None when it stays.
        sessions: what the main graph calls instead of functions with engines; empty where `main` is given.
        portable: whether engines are written as calls that TensorFlow without the op library can run.
    """

    def __init__(
        self,
        functions: Mapping[str, FunctionDef],
        removed: Sequence[str],
        added: Sequence[FunctionDef],
        main: GraphDef | None,
    ) -> None:
        self.functions = functions
        self.removed = frozenset(removed)
        self.added = tuple(added)
        self.main = main
        self.sessions = Sessions()
        self.portable = False

    @property
    def is_empty(self) -> bool:
        return not self.functions and self.main is None


def apply_edit(model: SavedModel, edit: Edit) -> saved_model_pb2.SavedModel:
    """The new message; the model's own, which stays as it is, when there is nothing to change."""
    if edit.is_empty:
        return model.message
    message = saved_model_pb2.SavedModel()
    message.CopyFrom(model.message)
    meta_graph = message.meta_graphs[model.position]
    library = meta_graph.graph_def.library
    functions = [edit.functions.get(name, function) for name, function in model.functions.items()]
    if edit.main is not None:
        del meta_graph.graph_def.node[:]
        meta_graph.graph_def.node.extend(edit.main.node)
    del library.function[:]
    library.function.extend(item for item in functions if item.signature.name not in edit.removed)
    library.function.extend(edit.added)
    if edit.portable:
        make_portable(meta_graph.graph_def)
    elif edit.main is None:
        sessions = bind_sessions(model, {item.signature.name: item for item in library.function})
        if sessions.functions and not _have_room(message, sessions.functions):
            _log.warning("no room for copies of functions: sessions hand all variables over, as they did before")
            sessions = Sessions()
        edit.sessions = sessions
        library.function.extend(edit.sessions.functions)
        for node in meta_graph.graph_def.node:
            if node.name in edit.sessions.nodes:
                node.CopyFrom(edit.sessions.nodes[node.name])
    _list_op(meta_graph.meta_info_def.stripped_op_list, CALL_OP if edit.portable else ENGINE_OP)
    return message


def _have_room(message: saved_model_pb2.SavedModel, functions: Sequence[FunctionDef]) -> bool:
    """Whether the message can be encoded with these functions in it; beside them only some names grow."""
    slack = 2**20
    try:
        return message.ByteSize() + sum(item.ByteSize() for item in functions) + slack <= MAX_BYTES
    except (EncodeError, ValueError):
        return False  # not even without them, which the writer reports


def _list_op(op_list: op_def_pb2.OpList, name: str) -> None:
    """Says that the model needs the op, as the list does for all others: in order of names."""
    definition = op_def_registry.get(name)
    if not op_list.op or definition is None or any(item.name == name for item in op_list.op):
        return
    ops = sorted([*op_list.op, _stripped(definition)], key=lambda item: item.name)
    del op_list.op[:]
    op_list.op.extend(ops)


def _stripped(definition: op_def_pb2.OpDef) -> op_def_pb2.OpDef:
    result = op_def_pb2.OpDef()
    result.CopyFrom(definition)
    result.ClearField("summary")
    result.ClearField("description")
    return result


def write_saved_model(model: SavedModel, message: saved_model_pb2.SavedModel, folder: Path) -> None:
    """Writes all files into an empty folder. The same message gives the same bytes.

    Raises:
        TfBladeError: the message is larger than protobuf allows.
    """
    try:
        content = message.SerializeToString(deterministic=True)
    except (EncodeError, ValueError) as error:
        raise TfBladeError(f"the optimized {SAVED_MODEL_FILE} cannot be encoded: {error}") from error
    if len(content) > MAX_BYTES:
        raise TfBladeError(f"the optimized {SAVED_MODEL_FILE} has {len(content)} bytes; protobuf allows {MAX_BYTES}")
    copy_files(model.path, folder)
    if message is model.message:
        content = (model.path / SAVED_MODEL_FILE).read_bytes()
    (folder / SAVED_MODEL_FILE).write_bytes(content)
    if (model.path / FINGERPRINT_FILE).exists():
        _write_fingerprint(model.path, folder, message, content)
    _log.info("%s: %d bytes of %s", folder, len(content), SAVED_MODEL_FILE)


# What TensorFlow's fingerprint looks up in the main graph without asking whether it is there: without it, it crashes.
_FINGERPRINTED = {"Const": ("dtype", "value"), "PartitionedCall": ("f",), "StatefulPartitionedCall": ("f",)}


def _write_fingerprint(src: Path, folder: Path, message: saved_model_pb2.SavedModel, content: bytes) -> None:
    """TensorFlow's own fingerprint of the new model, but for its random identifier: that comes from the model.

    TensorFlow makes none where names of functions are not as it makes them; such a model loads and runs without.
    """
    try:
        for node in message.meta_graphs[0].graph_def.node:
            missing = [name for name in _FINGERPRINTED.get(node.op, ()) if name not in node.attr]
            if missing:
                raise fingerprinting.FingerprintException(f"node {node.name} has no attribute '{missing[0]}'")
        text = fingerprinting.CreateFingerprintDef(str(folder))
    except fingerprinting.FingerprintException as error:
        _log.warning("%s: left out, as TensorFlow makes none for this model: %s", FINGERPRINT_FILE, error)
        return
    fingerprint = fingerprint_pb2.FingerprintDef.FromString(text)
    digest = hashlib.sha256((src / FINGERPRINT_FILE).read_bytes() + content).digest()
    fingerprint.uuid = str(int.from_bytes(digest[:16], "big"))
    (folder / FINGERPRINT_FILE).write_bytes(fingerprint.SerializeToString(deterministic=True))
