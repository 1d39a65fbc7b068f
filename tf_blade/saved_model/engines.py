"""The engine ops of a SavedModel that was optimized before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tensorflow.core.framework.node_def_pb2 import NodeDef

from tf_blade.report.engines import EngineOpReport, engine_file_report
from tf_blade.saved_model.model import SavedModel
from tf_blade.saved_model.portable import EngineNode, engine_node
from tf_blade.saved_model.selection import signature_nodes
from tf_blade.saved_model.sessions import SUFFIX


def engine_nodes(model: SavedModel) -> Iterator[tuple[str, str, EngineNode]]:
    """Each engine op and portable call: the function it is in ("" for the main graph), its name there, what it runs.

    They come in the order of the functions. Copies of functions for sessions run the engines of what they are copies
    of, and are left out; but engines that only a copy has come last.
    """
    found = [("", node) for node in model.meta_graph.graph_def.node]
    copies: list[tuple[str, NodeDef]] = []
    for name, function in model.functions.items():
        original, suffix, _ = name.rpartition(SUFFIX)
        kind = copies if suffix and original in model.functions else found
        kind += [(name, node) for node in function.node_def]
    clusters: set[str] = set()
    for name, node in found:
        item = engine_node(node)
        if item is not None:
            clusters.add(item.cluster)
            yield name, node.name, item
    for name, node in copies:
        item = engine_node(node)
        if item is not None and item.cluster not in clusters:
            clusters.add(item.cluster)
            yield name, node.name, item


def engine_reports(model: SavedModel) -> Iterator[EngineOpReport]:
    """A record of each engine op, in the order of `engine_nodes`."""
    for function, node, found in engine_nodes(model):
        yield _report(model, function, node, found)


def signature_engines(model: SavedModel, signature: str) -> dict[str, tuple[bytes, ...]]:
    """The engines that a call of a signature may run, by cluster."""
    found = (engine_node(node) for node in signature_nodes(model, signature))
    return {item.cluster: item.engines for item in found if item is not None}


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
