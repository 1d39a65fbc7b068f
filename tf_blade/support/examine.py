"""Verdicts: asks the backends about every node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tf_blade import observe
from tf_blade.clusters.device import device_type
from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported
from tf_blade.graph.graph import ARG_OP, Graph, Node
from tf_blade.passes.effects import HANDLES, Effect, Effects, has_tf1_control_flow
from tf_blade.saved_model.portable import ENGINE_OP, PORTABLE_ENGINES
from tf_blade.stages import Backend, Verdict
from tf_blade.support.state import contested_reads

# Ops whose functions an engine can hold. Plain calls are none: what is called from one place has been inlined, and what
# is called from several gets engines once, for all of them.
_CONTROL = frozenset({"Case", "If", "StatelessCase", "StatelessIf", "StatelessWhile", "While"})
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
    reason = _why_not_functions(node, effects)
    if reason:
        return reason
    for tensor in tensors:
        if tensor.dtype == DType.STRING or (tensor.dtype == DType.VARIANT and tensor.handle is None):
            return f"tensor {tensor.name} is of type {tensor.dtype.name.lower()}"
    if effects.of(node) == Effect.WRITES:
        return "it changes state"
    if not _reads_variables_only(node, effects):
        return "it reads state that is no variable"
    if node in contested:
        return f"{contested[node]} may write the variable that it reads"
    if device_type(node.device) not in ("", "CPU"):
        return f"the model places it on {node.device}"
    return ""


def _why_not_functions(node: Node, effects: Effects) -> str:
    """Why an engine cannot hold the functions that a node calls, or ""."""
    called = list(node.functions())
    if not called:
        return ""
    if node.op == ENGINE_OP or PORTABLE_ENGINES in node.attrs:
        return "it runs engines: the model is optimized already"
    if node.op not in _CONTROL:
        return "it calls functions"
    missing = next((item.name for item in called if item.name not in node.bodies), "")
    if missing:
        return f"function {missing} cannot be read"
    for body in node.bodies.values():
        for inner in body.nodes:
            if device_type(inner.device) not in ("", "CPU"):
                return f"the model places {inner.name} on {inner.device}"
            if has_tf1_control_flow(body):
                return f"function {body.name} holds branches or loops made of single nodes"
            reason = _why_not_functions(inner, effects) if inner.op in _CONTROL else ""
            if reason:
                return reason
    return ""


def _reads_variables_only(node: Node, effects: Effects) -> bool:
    """Whether all that a node reads of the world, through functions too, are variables."""
    if effects.of(node) != Effect.READS or node.op in _READS:
        return True
    bodies = effects.bodies_of(node)
    if not bodies:
        return False
    return all(_reads_variables_only(inner, effects) for body in bodies for inner in body.nodes)
