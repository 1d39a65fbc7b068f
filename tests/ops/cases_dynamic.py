"""Rows of the ops whose outputs' sizes depend on data, and of what may follow them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tests.ops.cases_state import TYPES
from tests.ops.harness import Arg, OpCase, cycle, f32

raw = tf.raw_ops
# no denormals: TensorFlow's threads take them for zeros
_SPECIAL = cycle(float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1.0, -1.0, 1e-30)


def _all(value: float) -> Arg:
    return f32("n", 3, make=lambda rng, shape, dtype: np.full(shape, value, dtype))


def _where() -> Iterator[OpCase]:
    for t in (t for t in TYPES if t != tf.float16):
        yield OpCase(f"Where_{t.name}", lambda x: raw.Where(condition=x), (Arg(t, ("n", 5)),))
    yield OpCase("Where_special", lambda x: raw.Where(condition=x), (f32("n", make=_SPECIAL),), sizes=(0, 1, 40))
    yield OpCase("Where_none", lambda x: raw.Where(condition=x), (_all(0),))
    yield OpCase("Where_all", lambda x: raw.Where(condition=x), (_all(1),))
    yield OpCase("Where_rank5", lambda x: raw.Where(condition=x > 0), (f32(2, "n", 3, "m", 2),))
    yield OpCase("Where_static", lambda x: raw.Where(condition=x > 0), (f32(3, 4),))
    yield OpCase("Where_blocks", lambda x: raw.Where(condition=x > 1), (f32("n", 7),), sizes=(0, 2000))
    yield OpCase("Where_scalar", lambda x: raw.Where(condition=x > 0), (f32(),), refusal="rank 0")


def _after() -> Iterator[OpCase]:
    """What reads a result of unknown size, and what names the size without reading it."""
    x = f32("n", 3)
    yield OpCase("Where_mask", lambda x: tf.boolean_mask(x, x[:, 0] > 0), (x,))
    yield OpCase("Where_gather_nd", lambda x: tf.gather_nd(x, tf.where(x > 0)) * 2, (x,))
    yield OpCase("Where_cast", lambda x: tf.cast(tf.where(x > 0), tf.float32) + 0.5, (x,))
    yield OpCase("Where_zeros", lambda x: tf.zeros_like(tf.where(x > 0)), (x,))
    yield OpCase("Where_shape", lambda x: tf.shape(tf.where(x > 0)), (x,))
    yield OpCase("Where_size", lambda x: x + tf.cast(tf.size(tf.where(x > 0)), tf.float32), (x,))
    yield OpCase("Where_sum", lambda x: tf.reduce_sum(tf.boolean_mask(x, x[:, 0] > 0), 0), (x,))
    yield OpCase("Where_rows", lambda x: tf.nn.softmax(tf.boolean_mask(x, x[:, 0] > 0)), (x,))
    yield OpCase("Where_total", lambda x: tf.reduce_sum(tf.boolean_mask(x, x > 0)), (x,))
    yield OpCase("Where_dot", lambda x, w: tf.nn.relu(tf.boolean_mask(x, x[:, 0] > 0) @ w), (x, f32(3, 5)), 1e-4)
    yield OpCase("Where_twice", lambda x: tf.where(tf.boolean_mask(x, x[:, 0] > 0) > 0.5), (x,))
    yield OpCase("Where_two", lambda x, y: (tf.where(x > 0), tf.where(y > 0)), (x, f32("m")))
    yield OpCase(
        "Where_consumers",
        lambda x: (tf.where(x > 0), tf.where(x > 0) + 1, tf.reduce_sum(x * 2 + tf.nn.relu(x), 1)),
        (x,),
    )
    yield OpCase("Where_concat", lambda x: tf.concat([tf.where(x > 0), tf.where(x < 0)], 0), (x,))
    yield OpCase("Where_scatter", _scattered, (x,))
    yield OpCase(
        "Where_equal_sizes", lambda x: tf.boolean_mask(x, x[:, 0] > 0) + tf.boolean_mask(2 * x, x[:, 0] > 0), (x,)
    )
    # as many true elements as rows, or TensorFlow's call
    yield OpCase(
        "Where_guard",
        lambda x, y: tf.boolean_mask(x, x > 0) + y,
        (f32("n"), f32("m")),
        may_guard=lambda sizes: sizes["m"] == 1 or sizes["n"] != sizes["m"],
    )
    # a value that both the mask and a later kernel need
    yield OpCase("Where_shared", lambda x: _shared(tf.tanh(x)), (x,))


def _scattered(x: tf.Tensor) -> tf.Tensor:
    places = tf.where(x > 0)
    return tf.scatter_nd(places, tf.gather_nd(x, places), tf.shape(x, tf.int64))


def _shared(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    count = tf.cast(tf.shape(tf.where(x > 0))[0], tf.float32)
    return x * count, tf.exp(x)


CASES: tuple[OpCase, ...] = (*_where(), *_after())
