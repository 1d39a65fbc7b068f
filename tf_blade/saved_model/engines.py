"""The engine ops of a SavedModel that was optimized before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tensorflow.core.framework import node_def_pb2

from tf_blade.engines.format import read_engine
from tf_blade.errors import EngineFormatError
from tf_blade.report.report import ClusterReport
from tf_blade.saved_model.model import SavedModel

ENGINE_OP = "BladeEngineOp"


def engine_reports(model: SavedModel) -> Iterator[ClusterReport]:
    """A record of each engine op, in the order of the functions."""
    for node in model.meta_graph.graph_def.node:
        if node.op == ENGINE_OP:
            yield _report(model, "", node)
    for name, function in model.functions.items():
        for node in function.node_def:
            if node.op == ENGINE_OP:
                yield _report(model, name, node)


def _report(model: SavedModel, function: str, node: node_def_pb2.NodeDef) -> ClusterReport:
    engines = list(node.attr["engines"].list.s)
    fallback = model.functions.get(node.attr["fallback"].func.name)
    ops = Counter(item.op for item in fallback.node_def) if fallback is not None else Counter()
    return ClusterReport(
        name=node.attr["cluster"].s.decode(errors="replace") or node.name,
        function=function,
        backend=", ".join(_backend(data) for data in engines),
        nodes=sum(ops.values()),
        ops=dict(sorted(ops.items())),
        flops="",
        nominal_flops=0,
        engine_bytes=sum(len(data) for data in engines),
    )


def _backend(data: bytes) -> str:
    try:
        engine = read_engine(data)
    except EngineFormatError as error:
        return f"unreadable ({error})"
    return f"{engine.backend} {engine.backend_version}"
