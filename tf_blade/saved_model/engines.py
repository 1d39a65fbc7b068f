"""The engine ops of a SavedModel that was optimized before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tensorflow.core.framework import node_def_pb2

from tf_blade.report.engines import EngineOpReport, engine_file_report
from tf_blade.saved_model.model import SavedModel
from tf_blade.saved_model.selection import signature_nodes
from tf_blade.saved_model.sessions import SUFFIX

ENGINE_OP = "BladeEngineOp"


def engine_reports(model: SavedModel) -> Iterator[EngineOpReport]:
    """A record of each engine op, in the order of the functions."""
    for node in model.meta_graph.graph_def.node:
        if node.op == ENGINE_OP:
            yield _report(model, "", node)
    for name, function in model.functions.items():
        original, suffix, _ = name.rpartition(SUFFIX)
        if suffix and original in model.functions:
            continue  # a copy for sessions
        for node in function.node_def:
            if node.op == ENGINE_OP:
                yield _report(model, name, node)


def signature_clusters(model: SavedModel, signature: str) -> set[str]:
    """Names of the clusters whose engines a call of a signature may run."""
    nodes = signature_nodes(model, signature)
    return {node.attr["cluster"].s.decode(errors="replace") for node in nodes if node.op == ENGINE_OP}


def _report(model: SavedModel, function: str, node: node_def_pb2.NodeDef) -> EngineOpReport:
    fallback = node.attr["fallback"].func.name
    body = model.functions.get(fallback)
    ops = Counter(item.op for item in body.node_def) if body is not None else Counter[str]()
    return EngineOpReport(
        name=node.attr["cluster"].s.decode(errors="replace") or node.name,
        function=function,
        node=node.name,
        fallback=fallback,
        fallback_nodes=sum(ops.values()),
        ops=dict(sorted(ops.items())),
        engines=[engine_file_report(data) for data in node.attr["engines"].list.s],
    )
