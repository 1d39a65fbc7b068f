"""Puts engine ops in the places of clusters.

      ╭──────── cluster ────────╮
x ──► │ matmul ─► add ─► relu   │ ─► y            x ──► BladeEngineOp ──► y
w ──► │  read ─╯       ╰────────│─► z      =>     w ──►     │      ╰────► z
      ╰─────────────────────────╯                       fallback = the cluster as a function
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tf_blade import observe
from tf_blade.clusters.cluster import cluster_device
from tf_blade.dtypes import DType
from tf_blade.graph.attributes import Attr, FunctionAttr
from tf_blade.graph.graph import Graph, Node, Tensor
from tf_blade.stages import BuiltEngine, Cluster

_log = observe.logger("rewrite")
ENGINE_OP = "BladeEngineOp"


@dataclasses.dataclass(frozen=True)
class Replacement:
    """A cluster with its engines, in order of preference, and the name of its fallback function."""

    cluster: Cluster
    engines: tuple[BuiltEngine, ...]
    fallback: str


def replace_clusters(graph: Graph, replacements: Sequence[Replacement]) -> list[Node]:
    """Replaces clusters by engine ops, one each, and gives these.

    A cluster may hold copies of constants and reads of variables that others share: such a node goes only when nobody
    is left who reads it.

    Args:
        graph: is changed.
        replacements: clusters of the graph.
    """
    ops = [_add_engine_op(graph, item) for item in replacements]
    # All engine ops come first, since a cluster may read what another one makes.
    for item, op in zip(replacements, ops, strict=True):
        for mine, theirs in zip(op.outputs, item.cluster.outputs, strict=True):
            mine.shape, mine.value, mine.handle = theirs.shape, theirs.value, theirs.handle
            graph.replace_uses(theirs, mine)
    gone: dict[Node, Node] = {}
    kept = {output.tensor for output in graph.outputs}
    for item, op in zip(replacements, ops, strict=True):
        _remove_members(graph, item.cluster, op, kept, gone)
    # Several of them may have become one engine op, which TensorFlow's loader accepts once only.
    ends: dict[Node, str] = {}
    for name, node in graph.control_outputs:
        ends.setdefault(gone.get(node, node), name)
    graph.control_outputs = [(name, node) for node, name in ends.items()]
    _forget_colocation(graph, {node.name for node in gone})
    for item, op in zip(replacements, ops, strict=True):
        _log.info("%s: %s in place of %d nodes, else %s", graph.name, op.name, len(item.cluster.nodes), item.fallback)
    return ops


def _add_engine_op(graph: Graph, item: Replacement) -> Node:
    cluster = item.cluster
    attrs: dict[str, Attr] = {
        "Tin": [tensor.dtype for tensor in cluster.inputs],
        "Tout": [tensor.dtype for tensor in cluster.outputs],
        "fallback": FunctionAttr(item.fallback),
        "engines": [engine.engine for engine in item.engines],
        "cluster": cluster.name.encode(),
    }
    attrs.update(_host_memory(cluster.inputs, cluster.outputs))
    dtypes: list[DType] = [tensor.dtype for tensor in cluster.outputs]
    # A node's name must not begin with an underscore, which a function's may.
    name = graph.unique_name(cluster.name.lstrip("_") or "engine")
    op = graph.add_node(ENGINE_OP, name, cluster.inputs, attrs, dtypes, device=cluster_device(cluster))
    inside = set(cluster.nodes)
    for node in cluster.nodes:
        for control in node.control_inputs:
            # Clusters are formed as if constants, of which each has its own, waited for nothing.
            if control not in inside and node.op != "Const":
                graph.add_control_input(op, control)
    return op


def _host_memory(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> dict[str, Attr]:
    """What TensorFlow must know to place the op on a GPU: like a function, it takes and gives int32 in the machine's
    memory. Other kernels than those of functions would have it on the device.
    """
    places: dict[str, Attr] = {}
    for name, tensors in (("_input_hostmem", inputs), ("_output_hostmem", outputs)):
        found = [place for place, tensor in enumerate(tensors) if tensor.dtype is DType.INT32]
        if found:
            places[name] = list(found)
    return places


def _remove_members(graph: Graph, cluster: Cluster, op: Node, kept: set[Tensor], gone: dict[Node, Node]) -> None:
    """Removes the nodes that nobody reads any more, last first; what waited for one of them waits for the engine."""
    for node in reversed(cluster.nodes):
        if node in gone or any(tensor.uses or tensor in kept for tensor in node.outputs):
            continue
        before = node.control_inputs if node.op == "Const" else (op,)
        for waiting in node.control_uses:
            graph.remove_control_input(waiting, node)
            for item in before:
                if waiting is not op:
                    graph.add_control_input(waiting, item)
        graph.remove_node(node)
        gone[node] = op


def _forget_colocation(graph: Graph, gone: set[str]) -> None:
    """Nodes that asked to be placed beside one that went away ask no more."""
    for node in graph.nodes:
        groups = node.attrs.get("_class")
        if not isinstance(groups, list):
            continue
        kept = [group for group in groups if bytes(group).removeprefix(b"loc:@").decode() not in gone]
        if len(kept) == len(groups):
            continue
        if kept:
            node.attrs["_class"] = kept
        else:
            del node.attrs["_class"]
