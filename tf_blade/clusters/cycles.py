"""A DAG whose vertices can be merged one pair at a time, refusing every merge that would close a cycle.

The vertices are held in a topological order. Merging a before b is legal exactly when no path but the edge a→b itself
leads from a to b; such a path only visits vertices between them in the order, so the search is bounded by it. Two
searches, forward from a and backward from b, advance in turn, and the first to run dry proves that there is no path:

    order:  … a  f  g  h  b …         a→f→h, g→b:  forward from a finds f, h, backward from b finds g
              └──forward──▶
                    ◀─backward─┘      afterwards (forward finished):  … g  ab  f  h …

so a merge costs about twice the smaller side. The order is kept as in the dynamic topological sort of Pearce and Kelly
(2006): the finished side alone moves, past the merged vertex. Positions are labels of a linked list with gaps, so that
moving touches nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tf_blade.clusters.union_find import UnionFind

_GAP = 1 << 32


class MergingDag:
    """A DAG over the representatives of a UnionFind. `merge` joins two vertices here and there.

    Attributes:
        sets: the partition.
        visits: edges looked at so far by all searches; the cost of everything done, in one number.
    """

    def __init__(self, sets: UnionFind, order: Sequence[int], edges: Iterable[tuple[int, int]]) -> None:
        """`order` is a topological order of the representatives; `edges` are between items of `sets`."""
        self.sets = sets
        self.visits = 0
        self._out: dict[int, dict[int, None]] = {vertex: {} for vertex in order}
        self._in: dict[int, dict[int, None]] = {vertex: {} for vertex in order}
        for a, b in edges:
            a, b = sets.find(a), sets.find(b)
            if a != b:
                self._out[a][b] = None
                self._in[b][a] = None
        self._label: dict[int, int] = {}
        self._next: dict[int, int] = {}
        self._previous: dict[int, int] = {}
        self._link(order)

    def successors(self, item: int) -> tuple[int, ...]:
        """Representatives that an edge leads to from the item's set."""
        return tuple(self._out[self.sets.find(item)])

    def order(self) -> list[int]:
        """The representatives in a topological order."""
        return sorted(self._label, key=self._label.__getitem__)

    def merge(self, a: int, b: int, *, limit: int) -> bool:
        """Merges the sets of two items unless that closes a cycle; whether they are one set now.

        `limit` bounds the edges that this search looks at. A search that reaches it refuses, which is always safe.
        """
        a, b = self.sets.find(a), self.sets.find(b)
        if a == b:
            return True
        if self._label[a] > self._label[b]:
            a, b = b, a
        search = self._search(a, b, limit)
        if search is None:
            return False
        moved, is_forward = search
        self._reorder(a, b, moved, is_forward=is_forward)
        self._join(a, b)
        return True

    def _search(self, a: int, b: int, limit: int) -> tuple[list[int], bool] | None:
        """None when another path leads from a to b (or nobody knows), else what to move, and whether it is behind a."""
        behind: dict[int, None] = {}
        ahead: dict[int, None] = {}
        forward = self._walk(a, b, self._out, behind, is_forward=True)
        backward = self._walk(b, a, self._in, ahead, is_forward=False)
        for _ in range(max(1, limit // 2)):
            self.visits += 2
            for step, found, is_forward in ((forward, behind, True), (backward, ahead, False)):
                state = next(step, None)
                if state is None:
                    return list(found), is_forward
                if state:
                    return None
        return None

    def _walk(
        self, start: int, goal: int, edges: dict[int, dict[int, None]], found: dict[int, None], *, is_forward: bool
    ) -> Iterator[bool]:
        """One edge a step; True when it reached the goal by another way than the edge start→goal. Fills `found`."""
        label = self._label
        bound = label[goal]
        stack = [start]
        while stack:
            vertex = stack.pop()
            for other in edges[vertex]:
                if other == goal:
                    yield vertex != start
                    continue
                between = label[other] < bound if is_forward else label[other] > bound
                if between and other not in found:
                    found[other] = None
                    stack.append(other)
                yield False

    def _reorder(self, a: int, b: int, moved: list[int], *, is_forward: bool) -> None:
        """Brings what is behind a behind b (or what is ahead of b ahead of a), so that a and b can be neighbours."""
        moved.sort(key=self._label.__getitem__)
        for vertex in moved:
            self._unlink(vertex)
        self._insert_after(b if is_forward else self._previous[a], moved)
        keep, drop = (b, a) if is_forward else (a, b)
        self._unlink(drop)
        self._label[drop] = self._label[keep]  # until _join removes the one that is no representative

    def _join(self, a: int, b: int) -> None:
        """Gives the edges of the smaller set to the larger one."""
        root = self.sets.union(a, b)
        gone = b if root == a else a
        for mine, theirs in ((self._out, self._in), (self._in, self._out)):
            for other in mine.pop(gone):
                del theirs[other][gone]
                if other != root:
                    mine[root][other] = None
                    theirs[other][root] = None
        if gone in self._next:
            self._replace(gone, root)
        del self._label[gone]

    # --- the linked list: -1 is both ends ---------------------------------------------------------------------------
    def _link(self, order: Sequence[int]) -> None:
        self._next, self._previous = {}, {}
        previous = -1
        for position, vertex in enumerate(order):
            self._label[vertex] = (position + 1) * _GAP
            self._next[previous], self._previous[vertex] = vertex, previous
            previous = vertex
        self._next[previous], self._previous[-1] = -1, previous

    def _unlink(self, vertex: int) -> None:
        before, after = self._previous.pop(vertex), self._next.pop(vertex)
        self._next[before], self._previous[after] = after, before

    def _replace(self, old: int, new: int) -> None:
        before, after = self._previous.pop(old), self._next.pop(old)
        self._next[before] = self._previous[after] = new
        self._previous[new], self._next[new] = before, after

    def _insert_after(self, position: int, vertices: list[int]) -> None:
        after = self._next[position]
        low = self._label[position] if position != -1 else 0
        high = self._label[after] if after != -1 else low + _GAP * (len(vertices) + 1)
        step = (high - low) // (len(vertices) + 1)
        for count, vertex in enumerate(vertices, start=1):
            self._label[vertex] = low + count * step
            self._next[position], self._previous[vertex] = vertex, position
            position = vertex
        self._next[position], self._previous[after] = after, position
        if step == 0:
            self._relabel()

    def _relabel(self) -> None:
        """Makes the gaps even again; rare, since each insertion divides one gap of 2^32."""
        order = []
        vertex = self._next[-1]
        while vertex != -1:
            order.append(vertex)
            vertex = self._next[vertex]
        self._link(order)
