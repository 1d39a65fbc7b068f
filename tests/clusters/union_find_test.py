"""The partition against one kept as plain sets."""

from __future__ import annotations

import random

from absl.testing import absltest, parameterized

from tf_blade.clusters.union_find import UnionFind


class UnionFindTest(parameterized.TestCase):
    @parameterized.parameters(range(5))
    def test_equals_sets(self, seed: int) -> None:
        generator = random.Random(seed)
        n = 60
        sets = UnionFind(n)
        expected = {item: {item} for item in range(n)}
        for _ in range(40):
            a, b = generator.randrange(n), generator.randrange(n)
            root = sets.union(a, b)
            self.assertEqual(root, sets.find(a))
            joined = expected[a] | expected[b]
            for item in joined:
                expected[item] = joined
        for a in range(n):
            self.assertEqual(sets.size(a), len(expected[a]))
            for b in range(n):
                self.assertEqual(sets.find(a) == sets.find(b), b in expected[a])
        distinct = {frozenset(item) for item in expected.values()}
        self.assertEqual(sets.sets(), sorted((sorted(item) for item in distinct), key=min))

    def test_the_larger_set_keeps_its_representative(self) -> None:
        sets = UnionFind(4)
        large = sets.union(0, 1)
        self.assertEqual(sets.union(3, 0), large)

    def test_long_chains_do_not_recurse(self) -> None:
        n = 100_000
        sets = UnionFind(n)
        for item in range(n - 1):
            sets.union(item + 1, item)
        self.assertEqual(sets.size(0), n)


if __name__ == "__main__":
    absltest.main()
