"""From verdicts to clusters: partition, trim, weigh, name."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Collection, Mapping, Sequence

from tf_blade import observe, symbolic
from tf_blade.clusters import cost, device, merge
from tf_blade.dtypes import DType
from tf_blade.graph.graph import Graph, Node, Tensor
from tf_blade.settings import Settings
from tf_blade.stages import Cluster, Verdict
from tf_blade.symbolic import Dim

_log = observe.logger("clusters")


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Supported nodes that stay TensorFlow because an engine of them would not pay.

    Attributes:
        nodes: in topological order, without constants and reads of variables.
        reason: why, in a short sentence.
    """

    nodes: tuple[Node, ...]
    reason: str


@dataclasses.dataclass(frozen=True)
class Clustering:
    """A graph's clusters, in topological order of their first nodes, and what was not worth one."""

    clusters: tuple[Cluster, ...]
    refusals: tuple[Refusal, ...]
    visits: int = 0


def find_clusters(
    graph: Graph, verdicts: Sequence[Verdict], settings: Settings, *, prefix: str = "", taken: Collection[str] = ()
) -> Clustering:
    """The clusters of a graph.

    A cluster's `nodes` hold copies: constants of at most `settings.weight_bytes`, and `ReadVariableOp`s, belong to
    every cluster that reads them, and stay in the graph for whoever else does. A larger constant is an input. Every
    output of a node that `graph.keep` names is an output of its cluster. Lists stay inside clusters: a node whose list
    another one reads that is not in the same cluster is in none.

    Args:
        graph: with shapes (see graph/shape_inference.py).
        verdicts: one for each node.
        settings: thresholds.
        prefix: makes the names unique among graphs; the graph's name when not given.
        taken: names that others have already.
    """
    by_node = {verdict.node: verdict for verdict in verdicts}
    leaving: dict[Node, None] = {}
    while True:
        found = _find(graph, by_node, settings, prefix, taken)
        fresh = [node for node in _with_open_lists(found.clusters) if node not in leaving]
        if not fresh:
            break
        leaving.update(dict.fromkeys(fresh))
        for node in fresh:
            by_node[node] = dataclasses.replace(by_node[node], backend="")
    refusals = found.refusals
    if leaving:
        refusals = (*refusals, Refusal(tuple(leaving), "a list, or a variable's handle, would leave the engine"))
    _log.info("%s: %d clusters, %d given up", graph.name or "main graph", len(found.clusters), len(refusals))
    return dataclasses.replace(found, refusals=refusals)


def _with_open_lists(clusters: Sequence[Cluster]) -> list[Node]:
    """The nodes at which a cluster takes or gives what no engine can: a list, or the handle of a variable."""
    found: dict[Node, None] = {}
    for cluster in clusters:
        inside = set(cluster.nodes)
        for tensor in cluster.inputs:
            if tensor.dtype == DType.VARIANT:
                found.update((node, None) for node in tensor.consumers if node in inside)
        for tensor in cluster.outputs:
            if tensor.dtype in (DType.VARIANT, DType.RESOURCE):
                found[tensor.node] = None
    return list(found)


def _find(
    graph: Graph, by_node: Mapping[Node, Verdict], settings: Settings, prefix: str, taken: Collection[str]
) -> Clustering:
    parts = merge.partition(graph, by_node, settings)
    maker = _Maker(graph, by_node, settings, parts)
    clusters: list[Cluster] = []
    refusals: list[Refusal] = []
    first = identifier(prefix or graph.name or "main")
    names = (name for name in map(f"{first}_{{}}".format, itertools.count()) if name not in taken)
    name = next(names)
    for group in parts.groups:
        members = maker.trim([parts.order[item] for item in group])
        if not members:
            continue
        cluster = maker.make(members, name)
        reason = maker.why_not_alive(cluster) or _why_not(cluster, settings)
        if reason:
            refusals.append(Refusal(tuple(members), reason))
            _log.debug("%d nodes from %s to %s get none: %s", len(members), members[0].name, members[-1].name, reason)
        else:
            clusters.append(cluster)
            name = next(names)
            _log.info("%s: %d nodes, %s FLOPs", cluster.name, len(cluster.nodes), cluster.flops)
    return Clustering(tuple(clusters), tuple(refusals), parts.visits)


def cluster_device(cluster: Cluster) -> str:
    """The device that the engine op asks for: what all nodes of the cluster agree with."""
    merged = ""
    for node in cluster.nodes:
        merged = device.merge(merged, node.device) or merged
    return merged


def identifier(text: str) -> str:
    """A C identifier for a name; different names give different ones."""
    spelled = re.sub(r"[^A-Za-z0-9_]", lambda match: f"_x{ord(match.group()):x}_", text)
    return spelled if re.match(r"[A-Za-z_]", spelled) else f"_{spelled}"


def _why_not(cluster: Cluster, settings: Settings) -> str:
    """Why the cluster is not worth an engine, or ""."""
    computing = sum(1 for node in cluster.nodes if cost.is_computing(node))
    if computing < settings.min_cluster_nodes:
        return f"{computing} computing nodes are fewer than {settings.min_cluster_nodes}"
    gain = cost.gain_us(cluster.nodes, cluster.inputs, cluster.outputs, cluster.flops)
    if gain < settings.min_cluster_gain_us:
        return f"an engine saves an estimated {gain:.1f} us, less than {settings.min_cluster_gain_us:.1f}"
    return ""


class _Maker:
    """Makes the clusters of one graph."""

    def __init__(
        self, graph: Graph, verdicts: Mapping[Node, Verdict], settings: Settings, parts: merge.Partition
    ) -> None:
        self._graph = graph
        self._verdicts = verdicts
        self._settings = settings
        self._contexts = parts.contexts
        self._position = {node: position for position, node in enumerate(parts.order)}
        self._fetched = {output.tensor for output in graph.outputs}

    def trim(self, members: list[Node]) -> list[Node]:
        """Without the nodes at the border that compute nothing and hang on nothing inside that does.

        Such a node would cost the engine a copy where TensorFlow forwards a buffer. Only what no member follows, or
        what follows no member, is taken away: no path through it can then leave the cluster and come back.
        """
        kept = dict.fromkeys(members)
        after_work: set[Node] = set()
        before_work: set[Node] = set()
        for node in members:
            if cost.is_computing(node) or any(item in after_work for item in node.predecessors()):
                after_work.add(node)
        for node in reversed(members):
            if cost.is_computing(node) or any(item in before_work for item in node.successors()):
                before_work.add(node)
        idle = [node for node in members if node not in after_work and node not in before_work]
        for node in reversed(idle):
            if not any(item in kept for item in node.successors()):
                del kept[node]
        for node in idle:
            if node in kept and not any(item in kept for item in node.predecessors()):
                del kept[node]
        return list(kept)

    def make(self, members: list[Node], name: str) -> Cluster:
        inputs: dict[Tensor, None] = {}
        nodes = dict.fromkeys(members)
        inside = set(members)
        for node in members:
            for tensor in node.inputs:
                if tensor.node in inside:
                    continue
                if self._is_copied(tensor.node, node):
                    nodes[tensor.node] = None
                    inputs.update(dict.fromkeys(tensor.node.inputs))
                else:
                    inputs[tensor] = None
        flops: Dim = symbolic.add(0, *(self._verdicts[node].flops for node in members))
        ordered = tuple(sorted(nodes, key=self._position.__getitem__))
        backend = self._verdicts[members[0]].backend
        return Cluster(name, backend, ordered, tuple(inputs), tuple(self._outputs(members, inside)), flops)

    def why_not_alive(self, cluster: Cluster) -> str:
        """Why an engine would run when its nodes do not, or "".

        Copied constants lose the control edges that tie them to a branch or an iteration; the rest must do so too.
        """
        inside = set(cluster.nodes)
        members = [node for node in cluster.nodes if node.op != "Const"]
        control = [item for node in members for item in node.control_inputs if item not in inside]
        if self._contexts.of_reader(cluster.inputs, control) != self._contexts[members[-1]]:
            return "only constants tell when its nodes run"
        return ""

    def _is_copied(self, node: Node, reader: Node) -> bool:
        if not merge.is_copied(node, self._verdicts.get(node)) or merge.is_weight(node, self._settings):
            return False
        same_backend = self._verdicts[node].backend == self._verdicts[reader].backend
        return same_backend and self._contexts[node] == self._contexts[reader]

    def _outputs(self, members: list[Node], inside: set[Node]) -> list[Tensor]:
        return [
            tensor
            for node in members
            for tensor in node.outputs
            if tensor in self._fetched
            or node.name in self._graph.keep
            or any(reader not in inside for reader in tensor.consumers)
        ]
