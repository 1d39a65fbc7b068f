"""Verdicts: asks the backends about every node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tf_blade import observe
from tf_blade.clusters.device import device_type
from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported
from tf_blade.graph.graph import ARG_OP, Graph, Node
from tf_blade.passes.effects import HANDLES, Effect, Effects
from tf_blade.stages import Backend, Verdict
from tf_blade.support.state import contested_reads

# What no engine takes whatever a backend says: these values live on the host and have no size.
_HOST_TYPES = frozenset({DType.STRING, DType.VARIANT})
_log = observe.logger("support")
_READS = frozenset({"ReadVariableOp", "ResourceGather", "ResourceGatherNd"})


def examine(graph: Graph, backends: Sequence[Backend], effects: Effects) -> list[Verdict]:
    """A verdict for each node, in the graph's order.

    Args:
        graph: with shapes (see graph/shape_inference.py).
        backends: in order of preference.
        effects: what nodes do to state.
    """
    contested = contested_reads(graph, effects)
    verdicts = [_examine_node(node, backends, effects, contested) for node in graph.nodes]
    taken = sum(1 for item in verdicts if item.backend)
    _log.info("%s: %d of %d nodes can be in engines", graph.name or "main graph", taken, len(verdicts))
    for item in verdicts:
        for backend, error in item.refusals:
            _log.debug("%s refuses %s (%s): %s", backend, item.node.name, item.node.op, error.reason)
    return verdicts


def _examine_node(node: Node, backends: Sequence[Backend], effects: Effects, contested: Mapping[Node, str]) -> Verdict:
    reason = _why_never(node, effects, contested)
    if reason:
        return Verdict(node, "", tuple((item.name, Unsupported(reason, node.name)) for item in backends), 0)
    refusals: list[tuple[str, Unsupported]] = []
    for backend in backends:
        try:
            flops = backend.examine(node)
        except Unsupported as error:
            refusals.append((backend.name, error if error.node else Unsupported(error.reason, node.name)))
        else:
            return Verdict(node, backend.name, tuple(refusals), flops)
    return Verdict(node, "", tuple(refusals), 0)


def _why_never(node: Node, effects: Effects, contested: Mapping[Node, str]) -> str:
    """Why the node can be part of no engine whoever builds it, or ""."""
    if node.op == ARG_OP:
        return "it is an argument"
    if node.op in HANDLES:
        return "it only names a resource or an input"
    tensors = (*node.inputs, *node.outputs)
    if any(tensor.dtype.is_ref for tensor in tensors):
        return "it works on references"
    if any(True for _ in node.functions()):
        return "it calls functions"
    for tensor in tensors:
        if tensor.dtype in _HOST_TYPES:
            return f"tensor {tensor.name} is of type {tensor.dtype.name.lower()}"
    if effects.of(node) == Effect.WRITES:
        return "it changes state"
    if effects.of(node) == Effect.READS and node.op not in _READS:
        return "it reads state that is no variable"
    if node in contested:
        return f"{contested[node]} may write the variable that it reads"
    if device_type(node.device) not in ("", "CPU"):
        return f"the model places it on {node.device}"
    return ""
