"""The partition into clusters: which nodes can share an engine, and the merges that make few and large ones.

Three steps, each deterministic and near linear in nodes and edges:

1. *Levels.* A node's level counts how often a path to it leaves what its key (backend, context, demand) can hold.
   Nodes of one key and one level that an edge joins are merged without any search: a path that leaves such a set comes
   back at a higher level, so no cycle can arise.
2. *Edges.* The sets that are left are merged along data edges, each after a search for a cycle (`cycles.MergingDag`),
   with short searches for all edges before longer ones for those refused.
3. *Siblings.* Small sets that read one tensor are merged, since two calls cost more than one.

    level 0: a1   b1        X and Y stay TensorFlow. a2 waits for X, which waits for b1: level 1, and so is b2.
             │ ╲ ╱ │        Step 2 may merge a1 with a2, after which b1 with b2 is refused: X and Y would wait for
             │  ╳  │        each other's engine. Levels alone keep both apart.
             │ Y X │
    level 1: a2   b2
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence

from tf_blade.clusters import control_flow, cost, demand, device
from tf_blade.clusters.cycles import MergingDag
from tf_blade.clusters.union_find import UnionFind
from tf_blade.graph.attributes import TensorAttr
from tf_blade.graph.graph import BACK_EDGE_OPS, Graph, Node
from tf_blade.settings import Settings
from tf_blade.stages import Verdict

# Edges that one search may look at, round after round; and all searches together, per node and edge of the graph.
SEARCH_LIMITS = (64, 1024, 16384)
SEARCH_BUDGET = 6
MIN_SEARCH_BUDGET = 1_000_000
MAX_EXTRA_ROUNDS = 3


def is_copied(node: Node, verdict: Verdict | None) -> bool:
    """Whether clusters take a copy of the node instead of sharing it: a constant, or a read of a variable."""
    if verdict is None or not verdict.backend:
        return False
    return node.op == "Const" or (node.op == "ReadVariableOp" and not node.control_inputs)


def is_weight(node: Node, settings: Settings) -> bool:
    """Whether a node is a constant so large that engines take it as an input."""
    if node.op != "Const":
        return False
    value = node.attrs["value"]
    return isinstance(value, TensorAttr) and value.num_bytes > settings.weight_bytes


@dataclasses.dataclass(frozen=True)
class Partition:
    """What `partition` gives.

    Attributes:
        order: the graph's nodes in topological order.
        groups: for each set of mergeable nodes their positions in `order`, ascending; singletons included.
        contexts: each node's control flow context (`control_flow.Contexts`).
        visits: edges that the searches looked at.
    """

    order: list[Node]
    groups: list[list[int]]
    contexts: control_flow.Contexts
    visits: int


def partition(graph: Graph, verdicts: Mapping[Node, Verdict], settings: Settings) -> Partition:
    """Merges all it can. Nodes that no backend takes are in no group, and neither are those that `is_copied` tells."""
    merger = _Merger(graph, verdicts, settings)
    merger.merge_levels()
    merger.start_search()
    merger.merge_edges()
    merger.merge_siblings()
    groups = [items for items in merger.sets.sets() if merger.keys[items[0]] is not None]
    return Partition(merger.order, groups, merger.contexts, merger.dag.visits)


class _Merger:
    def __init__(self, graph: Graph, verdicts: Mapping[Node, Verdict], settings: Settings) -> None:
        self.order = graph.topological_order()
        self.index = {node: position for position, node in enumerate(self.order)}
        self.contexts = control_flow.Contexts(graph)
        self.demanded = demand.demanded_by(graph, self.order)
        self.settings = settings
        self.is_copied = [is_copied(node, verdicts.get(node)) for node in self.order]
        self.keys = [self._key(node, verdicts.get(node)) for node in self.order]
        self.devices = {position: node.device for position, node in enumerate(self.order)}
        self.sets = UnionFind(len(self.order))
        self.dag: MergingDag

    def _key(self, node: Node, verdict: Verdict | None) -> tuple[str, int, int] | None:
        """What two nodes must have in common; None for nodes that are not merged."""
        if verdict is None or not verdict.backend or is_copied(node, verdict):
            return None
        return verdict.backend, self.contexts[node], self.demanded.get(node, 0)

    def _edges(self) -> Iterator[tuple[int, int]]:
        """All edges that order the engines, but for back edges of loops and what copies of constants do without."""
        for position, node in enumerate(self.order):
            if self._is_free_constant(node):
                continue
            for other in node.predecessors():
                if other.op not in BACK_EDGE_OPS:
                    yield self.index[other], position

    def _is_free_constant(self, node: Node) -> bool:
        """A constant that each reader has a copy of: what it waits for does not matter."""
        if node.op != "Const" or not node.control_inputs or is_weight(node, self.settings):
            return False
        context = self.contexts[node]
        return all(self.contexts[reader] == context for reader in node.outputs[0].consumers)

    def _inner_edges(self, *, control: bool) -> Iterator[tuple[int, int]]:
        """Edges between nodes of one key."""
        for position, node in enumerate(self.order):
            key = self.keys[position]
            if key is None:
                continue
            for before in node.predecessors() if control else (tensor.node for tensor in node.inputs):
                other = self.index[before]
                if self.keys[other] == key:
                    yield other, position

    def merge_levels(self) -> None:
        levels = [-1] * len(self.order)
        for a, b in self._edges():
            crosses = self.keys[b] is not None and (self.keys[a] != self.keys[b] or self.devices[a] != self.devices[b])
            levels[b] = max(levels[b], levels[a] + crosses, 0 if self.keys[b] is not None else -1)
        for position, key in enumerate(self.keys):
            if key is not None:
                levels[position] = max(levels[position], 0)
        for a, b in self._inner_edges(control=True):
            if levels[a] == levels[b] and self.devices[a] == self.devices[b]:
                self.sets.union(a, b)

    def start_search(self) -> None:
        edges = [(self.sets.find(a), self.sets.find(b)) for a, b in self._edges()]
        self.devices = {self.sets.find(position): self.devices[position] for position in range(len(self.order))}
        self.budget = max(MIN_SEARCH_BUDGET, SEARCH_BUDGET * (len(self.order) + len(edges)))
        self.dag = MergingDag(self.sets, _contracted_order(self.sets, edges), edges)

    def merge_edges(self) -> None:
        edges = list(dict.fromkeys(self._inner_edges(control=False)))
        for limit in (*SEARCH_LIMITS, *[SEARCH_LIMITS[-1]] * MAX_EXTRA_ROUNDS):
            left = self._merge_round(edges, limit)
            if not left or (limit == SEARCH_LIMITS[-1] and len(left) == len(edges)):
                return
            edges = left

    def _merge_round(self, edges: Sequence[tuple[int, int]], limit: int) -> list[tuple[int, int]]:
        """Tries each pair of sets once; gives the edges between those refused, one for each pair."""
        refused: dict[tuple[int, int], tuple[int, int]] = {}
        for a, b in edges:
            pair = self.sets.find(a), self.sets.find(b)
            if pair not in refused and not self._try(a, b, limit):
                refused[pair] = a, b
        return list(refused.values())

    def merge_siblings(self) -> None:
        threshold = cost.CALL_US + max(self.settings.min_cluster_gain_us, 0.0)
        for node in self.order:
            if self.is_copied[self.index[node]]:
                continue
            for tensor in node.outputs:
                readers = [self.index[item] for item in tensor.consumers]
                readers = [item for item in readers if self.keys[item] is not None]
                for a, b in itertools.pairwise(readers):
                    small = min(self.sets.size(a), self.sets.size(b)) * cost.LAUNCH_US < threshold
                    if small and self.keys[a] == self.keys[b]:
                        self._try(a, b, SEARCH_LIMITS[0])

    def _try(self, a: int, b: int, limit: int) -> bool:
        a, b = self.sets.find(a), self.sets.find(b)
        if a == b:
            return True
        merged = device.merge(self.devices[a], self.devices[b])
        if merged is None or self.dag.visits > self.budget or not self.dag.merge(a, b, limit=limit):
            return False
        self.devices[self.sets.find(a)] = merged
        return True


def _contracted_order(sets: UnionFind, edges: Sequence[tuple[int, int]]) -> list[int]:
    """A topological order of the representatives."""
    waiting = {position: 0 for position in range(len(sets)) if sets.find(position) == position}
    out: dict[int, list[int]] = {}
    for a, b in edges:
        if a != b:
            out.setdefault(a, []).append(b)
            waiting[b] += 1
    ready = [vertex for vertex, count in waiting.items() if count == 0]
    for vertex in ready:  # grows while it is walked
        for other in out.get(vertex, ()):
            waiting[other] -= 1
            if waiting[other] == 0:
                ready.append(other)
    return ready
