"""Graphs for cluster tests, drawn as text; and an independent check of what clusters must be.

    sketch("a1 -> a2; b1 -> b2; b1 -> X -> a2")

Lower-case nodes are supported by the backend "disc", upper-case ones by none; each reads and gives one float tensor or
more. `-^` is a control edge.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tf_blade.clusters.cluster import Clustering, find_clusters
from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported
from tf_blade.graph.attributes import TensorAttr
from tf_blade.graph.graph import BACK_EDGE_OPS, Graph, Node
from tf_blade.settings import Settings
from tf_blade.stages import Cluster, Verdict

# Everything is worth an engine.
EAGER = Settings(min_cluster_nodes=1, min_cluster_gain_us=-1e9)


def sketch(text: str, *, outputs: Sequence[str] = ()) -> Graph:
    """A graph from chains of names; see the module. Nodes nobody reads are outputs, and those named."""
    graph = Graph("sketch")
    x = graph.add_input("x", DType.FLOAT, (8,))
    edges: list[tuple[str, str, str]] = []
    for chain in text.split(";"):
        names = re.findall(r"\w+", chain)
        kinds = re.findall(r"-[>^]", chain)
        for name in names:
            if name not in graph:
                add(graph, name, "Relu" if name[0].islower() else "Magic")
        edges += zip(names, kinds, names[1:], strict=False)
    for a, kind, b in edges:
        if kind == "-^":
            graph.add_control_input(graph.node(b), graph.node(a))
        else:
            graph.append_input(graph.node(b), graph.node(a).outputs[0])
    for node in graph.nodes:
        if not node.inputs and node.op != "_Arg":
            graph.append_input(node, x)
    for node in graph.nodes:
        if node.op != "_Arg" and (node.name in outputs or not list(node.successors())):
            graph.add_output(node.name, node.outputs[0])
    return graph


def add(graph: Graph, name: str, op: str, inputs: Iterable[str] = (), **attrs: object) -> Node:
    """One more node, of one float output."""
    tensors = [graph.node(item).outputs[0] for item in inputs]
    node = graph.add_node(op, name, tensors, {"T": DType.FLOAT, **attrs}, [DType.FLOAT])  # type: ignore[dict-item]
    node.outputs[0].shape = (8,)
    return node


def add_const(graph: Graph, name: str, array: object) -> Node:
    import numpy as np

    value = np.asarray(array, dtype=np.float32)
    node = graph.add_node(
        "Const", name, (), {"dtype": DType.FLOAT, "value": TensorAttr(DType.FLOAT, value.shape, value)}, [DType.FLOAT]
    )
    node.outputs[0].shape = value.shape
    return node


UNSUPPORTED_OPS = frozenset(
    {"Magic", "_Arg", "VarHandleOp", "Switch", "Merge", "Enter", "Exit", "NextIteration", "LoopCond", "While"}
)


def verdicts(graph: Graph) -> list[Verdict]:
    """By op: everything is supported but the ops above."""
    result = []
    for node in graph.nodes:
        if node.op in UNSUPPORTED_OPS:
            result.append(Verdict(node, "", (("disc", Unsupported("no rule", node.name)),), 0))
        else:
            result.append(Verdict(node, "disc", (), 8))
    return result


def find(graph: Graph, settings: Settings = EAGER) -> Clustering:
    result = find_clusters(graph, verdicts(graph), settings)
    check(graph, result.clusters)
    return result


def names(clusters: Iterable[Cluster]) -> list[str]:
    """The clusters' nodes, as text, for comparison."""
    return sorted(" ".join(sorted(node.name for node in cluster.nodes)) for cluster in clusters)


def check(graph: Graph, clusters: Sequence[Cluster]) -> None:
    """Whether clusters share nothing but copies, their borders are right, and the contracted graph has no cycle."""
    owner: dict[Node, str] = {}
    for cluster in clusters:
        for node in cluster.nodes:
            if node.op not in ("Const", "ReadVariableOp"):
                assert node not in owner, f"{node} is in two clusters"
                owner[node] = cluster.name
    for cluster in clusters:
        inside = set(cluster.nodes)
        read = {tensor for node in cluster.nodes for tensor in node.inputs if tensor.node not in inside}
        assert set(cluster.inputs) == read and len(cluster.inputs) == len(read)
        fetched = {output.tensor for output in graph.outputs}
        for node in cluster.nodes:
            for tensor in node.outputs:
                wanted = tensor in fetched or any(owner.get(item) != cluster.name for item in tensor.consumers)
                if node in owner:
                    assert (tensor in cluster.outputs) == wanted, f"{tensor} of {cluster.name}"
    assert not has_cycle(contracted(graph, clusters, owner))


def contracted(graph: Graph, clusters: Sequence[Cluster], owner: dict[Node, str]) -> dict[str, set[str]]:
    """Edges between engines and the nodes left, by name."""
    copies = {(cluster.name, node) for cluster in clusters for node in cluster.nodes}
    edges: dict[str, set[str]] = {owner.get(node, node.name): set() for node in graph.nodes}
    for node in graph.nodes:
        target = owner.get(node, node.name)
        for before in node.predecessors():
            if before.op in BACK_EDGE_OPS:
                continue
            if before not in owner and (target, before) in copies:
                for handle in before.inputs:
                    edges[owner.get(handle.node, handle.node.name)].add(target)
                continue
            if owner.get(before, before.name) != target:
                edges[owner.get(before, before.name)].add(target)
    return edges


def has_cycle(edges: dict[str, set[str]]) -> bool:
    """Whether a strongly connected component has two vertices or an edge to itself (Tarjan, 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    for root in edges:
        if root in index:
            continue
        work = [(root, iter(sorted(edges[root])))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            vertex, rest = work[-1]
            other = next(rest, None)
            if other is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[vertex])
                if low[vertex] == index[vertex]:
                    size = 0
                    while True:
                        item = stack.pop()
                        on_stack.discard(item)
                        size += 1
                        if item == vertex:
                            break
                    if size > 1 or vertex in edges[vertex]:
                        return True
            elif other not in index:
                index[other] = low[other] = len(index)
                stack.append(other)
                on_stack.add(other)
                work.append((other, iter(sorted(edges[other]))))
            elif other in on_stack:
                low[vertex] = min(low[vertex], index[other])
    return False
