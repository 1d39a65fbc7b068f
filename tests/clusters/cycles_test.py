"""Merging vertices of a DAG against reachability computed from scratch."""

from __future__ import annotations

import random

from absl.testing import absltest, parameterized

from tf_blade.clusters.cycles import MergingDag
from tf_blade.clusters.union_find import UnionFind

Edges = set[tuple[int, int]]


def reachable(edges: Edges, start: int) -> set[int]:
    found = {start}
    stack = [start]
    while stack:
        vertex = stack.pop()
        for a, b in edges:
            if a == vertex and b not in found:
                found.add(b)
                stack.append(b)
    return found


def closes_cycle(edges: Edges, a: int, b: int) -> bool:
    """Whether a path of two edges or more joins a and b."""
    rest = edges - {(a, b), (b, a)}
    return b in reachable(rest, a) or a in reachable(rest, b)


def contract(edges: Edges, gone: int, root: int) -> Edges:
    moved = {(root if a == gone else a, root if b == gone else b) for a, b in edges}
    return {(a, b) for a, b in moved if a != b}


class MergingDagTest(parameterized.TestCase):
    @parameterized.parameters(range(40))
    def test_refuses_exactly_the_merges_that_close_a_cycle(self, seed: int) -> None:
        generator = random.Random(seed)
        n = generator.randrange(2, 24)
        density = generator.choice([0.1, 0.2, 0.4])
        edges = {(a, b) for a in range(n) for b in range(a + 1, n) if generator.random() < density}
        dag = MergingDag(UnionFind(n), list(range(n)), sorted(edges))
        refused = 0
        for _ in range(4 * n):
            a, b = (dag.sets.find(generator.randrange(n)) for _ in range(2))
            if a == b:
                continue
            legal = not closes_cycle(edges, a, b)
            self.assertEqual(dag.merge(a, b, limit=10**6), legal, f"{a}, {b} in {sorted(edges)}")
            if legal:
                root = dag.sets.find(a)
                edges = contract(edges, b if root == a else a, root)
            refused += not legal
            order = {vertex: position for position, vertex in enumerate(dag.order())}
            self.assertEqual({(x, y) for x in order for y in dag.successors(x)}, edges)
            for x, y in edges:
                self.assertLess(order[x], order[y])

    def test_a_search_that_reaches_its_limit_refuses(self) -> None:
        #  0 ─► 1 ─► … ─► 9     10 hangs on 0, and 8 reads 10's sibling: merging 0 and 9 must look at the whole chain
        edges = [(i, i + 1) for i in range(9)] + [(0, 9)]
        dag = MergingDag(UnionFind(10), list(range(10)), edges)
        self.assertFalse(dag.merge(0, 9, limit=10**6))
        self.assertFalse(dag.merge(0, 9, limit=2))
        free = MergingDag(UnionFind(10), list(range(10)), [*edges[:4], *edges[5:]])
        self.assertFalse(free.merge(0, 9, limit=2))
        self.assertTrue(free.merge(0, 9, limit=10**6))

    def test_gaps_run_out_and_are_made_anew(self) -> None:
        # Each merge moves one vertex into the same gap.
        n = 200
        edges = [(i, n) for i in range(n)] + [(0, i) for i in range(1, n)]
        dag = MergingDag(UnionFind(n + 1), list(range(n + 1)), edges)
        for i in range(1, n - 1):
            self.assertTrue(dag.merge(0, i, limit=10**6))
            position = {vertex: k for k, vertex in enumerate(dag.order())}
            root = dag.sets.find(0)
            self.assertTrue(all(position[root] < position[y] for y in dag.successors(root)))
        self.assertFalse(dag.merge(0, n, limit=10**6))

    def test_a_growing_hub_costs_its_small_side(self) -> None:
        # A set with thousands of readers swallows small neighbours: each search ends at the neighbour's few edges.
        n = 3000
        edges = [(0, i) for i in range(1, n)]
        dag = MergingDag(UnionFind(n), list(range(n)), edges)
        for i in range(1, n):
            self.assertTrue(dag.merge(0, i, limit=10**6))
        self.assertLess(dag.visits, 10 * n)


if __name__ == "__main__":
    absltest.main()
