"""The engine ops of a SavedModel that was optimized before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tf_blade.report.engines import EngineOpReport, engine_file_report
from tf_blade.saved_model.model import SavedModel
from tf_blade.saved_model.portable import EngineNode, engine_node
from tf_blade.saved_model.selection import signature_nodes
from tf_blade.saved_model.sessions import SUFFIX


def count_engine_nodes(model: SavedModel) -> int:
    """Engine ops and portable calls, copies of functions for sessions included."""
    graph = model.meta_graph.graph_def
    bodies = (graph.node, *(function.node_def for function in graph.library.function))
    return sum(engine_node(node) is not None for body in bodies for node in body)


def engine_reports(model: SavedModel) -> Iterator[EngineOpReport]:
    """A record of each engine op, in the order of the functions."""
    for node in model.meta_graph.graph_def.node:
        found = engine_node(node)
        if found is not None:
            yield _report(model, "", node.name, found)
    for name, function in model.functions.items():
        original, suffix, _ = name.rpartition(SUFFIX)
        if suffix and original in model.functions:
            continue  # a copy for sessions
        for node in function.node_def:
            found = engine_node(node)
            if found is not None:
                yield _report(model, name, node.name, found)


def signature_clusters(model: SavedModel, signature: str) -> set[str]:
    """Names of the clusters whose engines a call of a signature may run."""
    found = (engine_node(node) for node in signature_nodes(model, signature))
    return {item.cluster for item in found if item is not None}


def _report(model: SavedModel, function: str, node: str, found: EngineNode) -> EngineOpReport:
    body = model.functions.get(found.fallback)
    ops = Counter(item.op for item in body.node_def) if body is not None else Counter[str]()
    return EngineOpReport(
        name=found.cluster,
        function=function,
        node=node,
        fallback=found.fallback,
        fallback_nodes=sum(ops.values()),
        ops=dict(sorted(ops.items())),
        engines=[engine_file_report(data) for data in found.engines],
        portable=found.portable,
    )
