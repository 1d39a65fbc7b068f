"""The memory plan: no two buffers that matter at once share a byte, whatever the sizes; and it is tight."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

from absl.testing import absltest, parameterized

from tf_blade import symbolic
from tf_blade.backends.disc.codegen import memory
from tf_blade.backends.disc.codegen.memory import Lifetime
from tf_blade.symbolic import Dim

_SYMBOLS = tuple(symbolic.symbol(name) for name in ("batch", "height", "width"))
_VALUES = (0, 1, 2, 3, 7, 16, 65, 1000)


def _dim(rng: random.Random, depth: int = 2) -> Dim:
    """What convolutions, reshapes and concatenations make of dimensions; never negative."""
    if depth == 0 or rng.random() < 0.2:
        return rng.choice([*_SYMBOLS, rng.randrange(1, 300)])
    a, b = _dim(rng, depth - 1), _dim(rng, depth - 1)
    makers: list[Callable[[], symbolic.Dim]] = [
        lambda: symbolic.mul(a, b),
        lambda: symbolic.add(a, b),
        lambda: symbolic.maximum(a, b),
        lambda: symbolic.ceildiv(a, rng.randrange(2, 5)),
        lambda: symbolic.maximum(symbolic.sub(a, rng.randrange(1, 4)), 0),
    ]
    return rng.choice(makers)()


def _lifetimes(rng: random.Random) -> list[Lifetime]:
    steps = rng.randrange(1, 25)
    sizes = [symbolic.mul(4, _dim(rng)) for _ in range(rng.randrange(1, 8))]
    found = []
    for _ in range(rng.randrange(0, 25)):
        first = rng.randrange(steps)
        found.append(Lifetime(rng.choice(sizes), first, min(steps - 1, first + rng.choice((0, 1, 1, 2, 3, 20)))))
    return found


def _values(rng: random.Random) -> dict[str, int]:
    return {str(item.name): rng.choice(_VALUES) for item in _SYMBOLS}


class MemoryTest(parameterized.TestCase):
    @parameterized.parameters(range(40))
    def test_live_buffers_are_apart(self, seed: int) -> None:
        rng = random.Random(seed)
        lifetimes = _lifetimes(rng)
        arena = memory.arrange(lifetimes)
        self.assertEqual(arena, memory.arrange(lifetimes))
        for number, place in enumerate(arena.places):
            self.assertTrue(all(item < number for item in place.below))
        for values in [dict.fromkeys(map(str, _SYMBOLS), 0), *(_values(rng) for _ in range(6))]:
            begins, total = arena.offsets(values)
            spans = []
            for item, index in zip(lifetimes, arena.of, strict=True):
                size = symbolic.evaluate(item.bytes_, values)
                self.assertGreaterEqual(size, 0)
                self.assertEqual(begins[index] % memory.ALIGNMENT, 0)
                self.assertLessEqual(begins[index] + size, total)
                spans.append((item, begins[index], begins[index] + size))
            for (a, a_begin, a_end), (b, b_begin, b_end) in itertools.combinations(spans, 2):
                if a.first <= b.last and b.first <= a.last and a_end > a_begin and b_end > b_begin:
                    self.assertTrue(a_end <= b_begin or b_end <= a_begin, f"{a} and {b} for {values}")
            self.assertLessEqual(total, symbolic.evaluate(arena.most(), values))

    @parameterized.parameters(range(20))
    def test_slots_have_room(self, seed: int) -> None:
        rng = random.Random(seed)
        lifetimes = _lifetimes(rng)
        found, sizes = memory.slots(lifetimes)
        for values in [_values(rng) for _ in range(6)]:
            rooms = [symbolic.evaluate(size, values) for size in sizes]
            for item, slot in zip(lifetimes, found, strict=True):
                self.assertLessEqual(symbolic.evaluate(item.bytes_, values), rooms[slot])
        for (i, a), (j, b) in itertools.combinations(enumerate(lifetimes), 2):
            if found[i] == found[j]:
                self.assertTrue(a.last < b.first or b.last < a.first)

    def test_a_chain_of_shrinking_layers_needs_its_largest_pair(self) -> None:
        """Each layer's result lives until the next one; strides make sizes that no two of are equal."""
        batch, height, width = _SYMBOLS
        shapes = []
        for channels in (64, 96, 192, 384, 768):
            shapes.append(symbolic.mul(4 * channels, batch, height, width))
            height, width = symbolic.ceildiv(height, 2), symbolic.ceildiv(width, 2)
        arena = memory.arrange([Lifetime(size, step, step + 1) for step, size in enumerate(shapes)])
        for values in ({"batch": 1, "height": 224, "width": 224}, {"batch": 7, "height": 33, "width": 60}):
            first, second = (symbolic.evaluate(size, values) for size in shapes[:2])
            self.assertLessEqual(arena.offsets(values)[1], first + second + 2 * memory.ALIGNMENT)

    def test_static_sizes_share_gaps(self) -> None:
        """A large buffer's memory holds two small ones at once after it."""
        arena = memory.arrange([Lifetime(1024, 0, 1), Lifetime(512, 2, 4), Lifetime(512, 3, 4), Lifetime(64, 1, 3)])
        self.assertEqual(arena.offsets({})[1], 1024 + 64)
        self.assertEqual(arena.most(), 1024 + 64)

    def test_formula_of_proportional_sizes_is_one_term(self) -> None:
        batch = _SYMBOLS[0]
        sizes = [symbolic.mul(4 * factor, batch) for factor in (100, 300, 50, 200, 10)]
        arena = memory.arrange([Lifetime(size, step, step + 1) for step, size in enumerate(sizes)])
        self.assertEqual(symbolic.sub(arena.most(), symbolic.mul(1600, batch)), 128)


if __name__ == "__main__":
    absltest.main()
