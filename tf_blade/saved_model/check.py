"""The lossless check: what was written is read again and compared with the original."""

from __future__ import annotations

import contextlib
import filecmp
from collections.abc import Iterator
from pathlib import Path

from tensorflow.core.framework import node_def_pb2
from tensorflow.core.protobuf import saved_model_pb2

from tf_blade.errors import LosslessCheckError, Unsupported
from tf_blade.graph.graph import Graph
from tf_blade.graph.graphdef import GraphDef, graph_from_function_def, graph_from_graph_def
from tf_blade.passes.effects import Effect, Effects
from tf_blade.saved_model.files import relative_files
from tf_blade.saved_model.model import FINGERPRINT_FILE, SAVED_MODEL_FILE, FunctionDef, SavedModel, read_saved_model
from tf_blade.saved_model.portable import CALL_OP, ENGINE_OP
from tf_blade.saved_model.selection import MainPart, referenced_names, references
from tf_blade.saved_model.writer import Edit


def check_lossless(src: Path, dst: Path, edit: Edit, main: MainPart | None) -> SavedModel:
    """Compares two SavedModels on disk: only what `edit` names may differ, and all that refers to something finds it.

    Returns:
        The second, as it was read.

    Raises:
        LosslessCheckError: they differ elsewhere, or the new one does not hold together.
    """
    original, written = read_saved_model(src), read_saved_model(dst)
    for problem in _problems(original, written, edit, main):
        raise LosslessCheckError(f"the optimized model would differ from {src}: {problem}; nothing was published")
    return written


def _problems(original: SavedModel, written: SavedModel, edit: Edit, main: MainPart | None) -> Iterator[str]:
    yield from _file_problems(original.path, written.path)
    yield from _rest_problems(original, written, edit)
    for name in edit.functions:
        yield from _function_problems(original, original.functions[name], written.functions.get(name))
    yield from _reference_problems(original, written)
    if edit.main is not None and main is not None:
        yield from _main_problems(original, written, main)


def _file_problems(src: Path, dst: Path) -> Iterator[str]:
    mine, theirs = relative_files(src), relative_files(dst)
    if FINGERPRINT_FILE not in theirs:  # TensorFlow makes none for some models; the writer has said so
        mine = [name for name in mine if name != FINGERPRINT_FILE]
    if mine != theirs:
        yield f"its files are {theirs}, not {mine}"
        return
    for name in mine:
        rewritten = name in (SAVED_MODEL_FILE, FINGERPRINT_FILE)
        if not rewritten and not filecmp.cmp(src / name, dst / name, shallow=False):
            yield f"file {name} is not the same"


def _rest_problems(original: SavedModel, written: SavedModel, edit: Edit) -> Iterator[str]:
    """Both messages without what may differ must be equal."""
    mine, theirs = (_without(model, edit) for model in (original, written))
    if mine != theirs:
        yield "more changed in saved_model.pb than the optimized bodies"


def _without(model: SavedModel, edit: Edit) -> saved_model_pb2.SavedModel:
    result = saved_model_pb2.SavedModel()
    result.CopyFrom(model.message)
    meta_graph = result.meta_graphs[model.position]
    library = meta_graph.graph_def.library
    added = {item.signature.name for item in (*edit.added, *edit.sessions.functions)}
    known = {*edit.functions, *edit.removed, *added}
    kept = [item for item in library.function if item.signature.name not in known]
    del library.function[:]
    library.function.extend(kept)
    written = {ENGINE_OP, *([CALL_OP] if edit.portable else [])}
    ops = [item for item in meta_graph.meta_info_def.stripped_op_list.op if item.name not in written]
    del meta_graph.meta_info_def.stripped_op_list.op[:]
    meta_graph.meta_info_def.stripped_op_list.op.extend(ops)
    if edit.main is not None:
        del meta_graph.graph_def.node[:]
    for node in meta_graph.graph_def.node:
        if node.name in edit.sessions.nodes:
            _forget_session(node)
    return result


def _forget_session(node: node_def_pb2.NodeDef) -> None:
    """Takes from a node what is another for sessions: a call's function and arguments, a variable's place."""
    if node.op == "VarHandleOp":
        node.ClearField("device")
        node.attr.pop("container", None)
        return
    node.ClearField("input")
    for name in ("f", "Tin", "_read_only_resource_inputs"):
        node.attr.pop(name, None)


def _function_problems(original: SavedModel, mine: FunctionDef, theirs: FunctionDef | None) -> Iterator[str]:
    """A rewritten function has another body, and results and control results that come from other nodes: no more."""
    name = mine.signature.name
    if theirs is None:
        yield f"function {name} is gone"
        return
    bare = [FunctionDef(), FunctionDef()]
    for copy, function in zip(bare, (mine, theirs), strict=True):
        copy.CopyFrom(function)
        copy.signature.ClearField("control_output")
        for field in ("node_def", "ret", "control_ret"):
            copy.ClearField(field)
    if bare[0] != bare[1]:
        yield f"function {name} is declared in another way"
    if set(mine.ret) != set(theirs.ret) or set(theirs.control_ret) != set(theirs.signature.control_output):
        yield f"function {name} has other results"
    dropped = set(mine.control_ret) - set(theirs.control_ret)
    body = {node.name for node in theirs.node_def}
    # Callers may come to wait for more of what runs anyway.
    if any(theirs.control_ret[item] not in body for item in set(theirs.control_ret) - set(mine.control_ret)):
        yield f"function {name} has control results that are no nodes"
    elif dropped:
        yield from _effect_problems(original, mine, dropped)


def _effect_problems(original: SavedModel, function: FunctionDef, dropped: set[str]) -> Iterator[str]:
    """A control result may go only if its node changed nothing but what its result says."""
    graphs: dict[str, Graph] = {}
    for name, item in original.functions.items():
        with contextlib.suppress(Unsupported):  # such a function counts as one that writes
            graphs[name] = graph_from_function_def(item, original.catalog)
    effects = Effects(graphs, original.catalog.is_stateful)
    for name, node in graphs[function.signature.name].control_outputs:
        if name in dropped and effects.of(node) == Effect.WRITES:
            yield f"function {function.signature.name} runs {node.name} no more, which changes state"


def _reference_problems(original: SavedModel, written: SavedModel) -> Iterator[str]:
    """Whatever names a function, or a tensor in a changed body, must find it."""
    changed = [f for name, f in written.functions.items() if original.functions.get(name) != f]
    known = set(written.functions)
    nodes = [(f.signature.name, node) for f in written.functions.values() for node in f.node_def]
    nodes += [("the main graph", node) for node in written.meta_graph.graph_def.node]
    for body, node in nodes:
        missing = [name for name in references(node) if name not in known and name in original.functions]
        if node.op in original.functions and node.op not in known:
            missing.append(node.op)
        if missing:
            yield f"node {node.name} of {body} refers to function {missing[0]}, which is gone"
    for function in changed:
        try:
            graph_from_function_def(function, written.catalog).topological_order()
        except (Unsupported, ValueError) as error:
            yield f"function {function.signature.name} does not hold together: {error}"


def _main_problems(original: SavedModel, written: SavedModel, main: MainPart) -> Iterator[str]:
    mine = {node.name: node for node in original.meta_graph.graph_def.node}
    theirs = {node.name: node for node in written.meta_graph.graph_def.node}
    if len(theirs) != len(written.meta_graph.graph_def.node):
        yield "two nodes of the main graph have one name"
    part = _part_names(original.meta_graph.graph_def, original, main)
    for name, node in mine.items():
        if name not in part and theirs.get(name) != node:
            yield f"node {name} of the main graph changed, which no signature needs"
    for name in referenced_names(original.meta_graph):
        node_name = name.removeprefix("^").partition(":")[0]
        if node_name in mine and node_name not in theirs:
            yield f"node {node_name} of the main graph is gone, which the model refers to"
    try:
        graph_from_graph_def(
            written.meta_graph.graph_def,
            written.catalog,
            feeds=main.feeds,
            fetches=main.fetches,
            targets=main.targets,
        ).topological_order()
    except (Unsupported, ValueError) as error:
        yield f"the main graph does not hold together: {error}"


def _part_names(graph_def: GraphDef, model: SavedModel, main: MainPart) -> set[str]:
    graph = graph_from_graph_def(graph_def, model.catalog, feeds=main.feeds, fetches=main.fetches, targets=main.targets)
    return {node.name for node in graph.nodes}
