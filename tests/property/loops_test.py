"""Random loops against TensorFlow: several carried values, invariants, trips that data decide, branches and loops.

Hypothesis varies loops that the interpreter runs; a few more are compiled, together, with all passes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest
from hypothesis import given, settings, strategies

from tests.ops.functions import Lowered

WIDTH = 3
SPECS = [tf.TensorSpec([None, WIDTH], tf.float32), tf.TensorSpec([], tf.int32)]
# Every value is of one of these; what is computed stays within [-2, 2], so that rounding cannot grow from turn to turn.
KINDS = ("matrix", "vector", "scalar")
COMPILED_SEEDS = range(8)
TURNS = (0, 1, 2, 5)


class _Scope:
    """Values that an expression may read, and the choices that make it."""

    def __init__(self, rng: random.Random, index: tf.Tensor, values: dict[str, list[tf.Tensor]]) -> None:
        self.rng, self.index, self.values = rng, index, values

    def expression(self, kind: str, depth: int) -> tf.Tensor:
        rng = self.rng
        if depth == 0:
            return rng.choice(self.values[kind])
        inner = depth - 1
        choices: list[Callable[[], tf.Tensor]] = [
            lambda: tf.tanh(self.expression(kind, inner) + self.expression(kind, inner)),
            lambda: tf.maximum(self.expression(kind, inner), -self.expression(kind, inner)) * 0.5,
            lambda: tf.where(self.index % 3 == 1, self.expression(kind, inner), self.expression(kind, inner)),
            lambda: self._branch(kind, inner),
            lambda: tf.constant(0.25) - 0.5 * self.expression(kind, inner),
        ]
        if kind == "matrix":
            weights = np.random.default_rng(rng.randrange(100)).uniform(-0.3, 0.3, (WIDTH, WIDTH)).astype(np.float32)
            choices.append(lambda: tf.tanh(self.expression(kind, inner) @ tf.constant(weights)))
            choices.append(lambda: 0.5 * (self.expression(kind, inner) + self.expression("vector", inner)))
            choices.append(lambda: self._inner_loop(inner))
        elif kind == "vector":
            choices.append(lambda: tf.tanh(tf.reduce_sum(self.expression("matrix", inner), 0)))
            choices.append(lambda: self._row(inner))
        else:
            choices.append(lambda: tf.reduce_max(self.expression("vector", inner)))
        return rng.choice(choices)()

    def _branch(self, kind: str, depth: int) -> tf.Tensor:
        condition = self.expression("scalar", 0) > self.rng.uniform(-0.5, 0.5)

        def side(seed: int) -> tf.Tensor:
            return _Scope(random.Random(seed), self.index, self.values).expression(kind, depth)

        first, second = self.rng.randrange(1000), self.rng.randrange(1000)
        return tf.cond(condition, lambda: side(first), lambda: side(second))

    def _inner_loop(self, depth: int) -> tf.Tensor:
        start, step = self.expression("matrix", depth), self.expression("vector", 0)
        limit = self.index % 3
        return tf.while_loop(lambda j, _: j < limit, lambda j, y: (j + 1, tf.tanh(y - step)), [0, start])[1]

    def _row(self, depth: int) -> tf.Tensor:
        whole = self.expression("matrix", depth)
        return tf.gather(whole, self.index % tf.maximum(tf.shape(whole)[0], 1))


def random_loop(seed: int, x: tf.Tensor, n: tf.Tensor) -> Sequence[tf.Tensor]:
    """A loop of up to n turns over x."""
    rng = random.Random(seed)
    kinds = [rng.choice(KINDS) for _ in range(rng.randrange(1, 5))]
    bounded = tf.tanh(x)
    captured = {"matrix": bounded, "vector": tf.reduce_mean(bounded, 0), "scalar": tf.reduce_mean(bounded)}
    starts = [captured[kind] * rng.uniform(-1, 1) for kind in kinds]
    plans = [(rng.randrange(1000), rng.choice(["expression"] * 4 + ["same", "swapped", "constant"])) for _ in kinds]
    limit = rng.choice([None, rng.uniform(0.2, 1.0)])
    tested = rng.randrange(len(kinds))

    def more(index: tf.Tensor, *values: tf.Tensor) -> tf.Tensor:
        if limit is None:
            return index < n
        return tf.logical_and(index < n, tf.reduce_mean(tf.abs(values[tested])) < limit)

    def body(index: tf.Tensor, *values: tf.Tensor) -> list[tf.Tensor]:
        known = {kind: [captured[kind]] for kind in KINDS}
        for kind, value in zip(kinds, values, strict=True):
            known[kind].append(value)
        return [index + 1, *(_next(number, values, known, index) for number in range(len(kinds)))]

    def _next(number: int, values: Sequence[Any], known: dict[str, list[tf.Tensor]], index: tf.Tensor) -> tf.Tensor:
        (inner_seed, plan), kind = plans[number], kinds[number]
        if plan == "same":
            return values[number]
        if plan == "constant":
            return tf.zeros_like(values[number]) + 0.125
        if plan == "swapped":
            return values[next(i for i in range(len(kinds) - 1, -1, -1) if kinds[i] == kind)]
        return _Scope(random.Random(inner_seed), index, known).expression(kind, 2)

    return tf.while_loop(more, body, [0, *starts])


def arrays(rows: int, turns: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(rows + 10 * turns).standard_normal((rows, WIDTH)).astype(np.float32)
    return x, np.array(turns, np.int32)


class RandomLoopsTest(absltest.TestCase):
    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(strategies.integers(0, 10**6), strategies.sampled_from(TURNS), strategies.integers(1, 4))
    def test_lowered(self, seed: int, turns: int, rows: int) -> None:
        lowered = Lowered(lambda x, n: random_loop(seed, x, n), SPECS)
        given_ = arrays(rows, turns)
        self._compare(lowered.interpret(*given_), lowered.expected(*given_), f"loop {seed}")

    def test_compiled(self) -> None:
        """One module of several loops: compiling is what takes long."""
        lowered = Lowered(lambda x, n: [random_loop(seed, x, n) for seed in COMPILED_SEEDS], SPECS)
        compiled = lowered.compile()
        for rows in (1, 4, 33):
            for turns in TURNS:
                given_ = arrays(rows, turns)
                self._compare(compiled(*given_), lowered.expected(*given_), f"{rows} rows, {turns} turns")

    def _compare(self, got: Sequence[np.ndarray], wanted: Sequence[np.ndarray], what: str) -> None:
        self.assertLen(got, len(wanted))
        for number, (mine, other) in enumerate(zip(got, wanted, strict=True)):
            # Means of many values may be near zero, where rounding shows: values themselves are up to 2.
            np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-5, err_msg=f"{what}, result {number}")


if __name__ == "__main__":
    absltest.main()
