"""Disjoint sets of integers 0..n-1, with union by size and path compression (Tarjan, 1975)."""

from __future__ import annotations


class UnionFind:
    """A partition of range(n). Both operations take near constant amortized time."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))
        self._size = [1] * n

    def __len__(self) -> int:
        return len(self._parent)

    def find(self, item: int) -> int:
        """The representative of the item's set."""
        parent = self._parent
        root = item
        while parent[root] != root:
            root = parent[root]
        while parent[item] != root:
            parent[item], item = root, parent[item]
        return root

    def union(self, a: int, b: int) -> int:
        """Joins two sets and gives the representative: the larger set's, or `a`'s where they are equal."""
        a, b = self.find(a), self.find(b)
        if a == b:
            return a
        if self._size[a] < self._size[b]:
            a, b = b, a
        self._parent[b] = a
        self._size[a] += self._size[b]
        return a

    def size(self, item: int) -> int:
        """How many items the item's set has."""
        return self._size[self.find(item)]

    def sets(self) -> list[list[int]]:
        """All sets, ordered by their smallest item; items ascending."""
        groups: dict[int, list[int]] = {}
        for item in range(len(self._parent)):
            groups.setdefault(self.find(item), []).append(item)
        return list(groups.values())
