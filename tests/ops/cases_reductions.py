"""Rows of reductions, scans, softmax and top-k."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tests.ops.cases_elementwise import FLOATS, INF, INTEGERS, NAN, tolerance
from tests.ops.harness import Arg, Make, OpCase, cycle, f32, i32, numbers, uniform

raw = tf.raw_ops
SIZES = (0, 1, 5, 40)


def distinct(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A permutation of small numbers along the last axis, exact in every type."""
    if not shape:
        return np.zeros(shape, dtype)
    order = np.argsort(rng.random(shape), axis=-1)
    return (order - (0 if dtype.kind == "u" else shape[-1] // 2)).astype(dtype)


def near_one(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Factors whose products stay in range."""
    if dtype.kind in "iu":
        return np.asarray(rng.integers(1, 3, shape)).astype(dtype)
    return np.asarray(rng.uniform(0.8, 1.2, shape)).astype(dtype)


def _reduce(name: str, axis: Any, keep_dims: bool = False) -> Callable[..., Any]:
    fn = getattr(raw, name)
    return lambda x: fn(input=x, axis=tf.constant(axis, tf.int32), keep_dims=keep_dims)


def _computes(fn: Callable[..., Any], t: tf.DType) -> bool:
    try:
        fn(tf.ones([2, 3, 4], t))
    except (tf.errors.NotFoundError, tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, TypeError):
        return False
    return True


def _loose(t: tf.DType) -> float:
    """Sums accumulate roundings, which TensorFlow makes at each step in half types."""
    return (16 if t.size == 2 else 4) * tolerance(t)


def _axis_rows() -> Iterator[OpCase]:
    makes: dict[str, Make] = {"Prod": near_one}
    for name in ("Sum", "Mean", "Prod", "Max", "Min", "EuclideanNorm"):
        make = makes.get(name, numbers)
        types = {"EuclideanNorm": FLOATS, "Mean": (*FLOATS, tf.int32, tf.int64)}.get(name, (*FLOATS, *INTEGERS))
        for t in types:
            if not _computes(_reduce(name, [1]), t):
                continue
            # The mean of no integers is left to TensorFlow.
            guard = (lambda s: 0 in s.values()) if name == "Mean" and t in INTEGERS else None
            for label, axis in (("last", [-1]), ("first", [0]), ("middle", [1]), ("ends", [0, 2]), ("all", [2, 0, 1])):
                shape: tuple[int | str, ...] = ("n", 3, "m") if label != "middle" else (2, "n", 5)
                # A long product in a half type drifts.
                sizes = (0, 1, 5, 7) if name == "Prod" else SIZES
                yield OpCase(
                    f"{name}_{label}_{t.name}",
                    _reduce(name, axis),
                    (Arg(t, shape, make),),
                    _loose(t),
                    may_guard=guard,
                    sizes=sizes,
                )
        yield OpCase(f"{name}_keep", _reduce(name, [-1], True), (f32("n", 4, "m", make=make),), 8e-6, sizes=SIZES)
        yield OpCase(f"{name}_none", _reduce(name, np.zeros(0, np.int32)), (f32("n", 4, make=make),), 8e-6)
        yield OpCase(f"{name}_scalar_axis", _reduce(name, 0), (f32("n", 4, make=make),), 8e-6)
        yield OpCase(f"{name}_of_scalar", _reduce(name, np.zeros(0, np.int32)), (f32(make=make),), 8e-6)
        yield OpCase(
            f"{name}_infinite", _reduce(name, [1]), (f32(4, 5, make=cycle(1, INF, 2, 3, 4, 5, -INF, 0)),), 8e-6
        )
        fn = getattr(raw, name)
        yield OpCase(
            f"{name}_unknown_axis",
            lambda x, a, fn=fn: fn(input=x, axis=a),
            (f32("n", 3), i32(1)),
            refusal="not constant",
        )
    for name in ("Sum", "Mean", "Prod"):
        yield OpCase(f"{name}_nan", _reduce(name, [1]), (f32(4, 5, make=cycle(1, 2, 3, NAN, 4, 5, 6)),), 8e-6)
    for name in ("All", "Any"):
        for label, axis in (("last", [1]), ("all", [0, 1]), ("first", [0])):
            yield OpCase(f"{name}_{label}", _reduce(name, axis), (Arg(tf.bool, ("n", "m")),), sizes=SIZES)
        yield OpCase(f"{name}_keep", _reduce(name, [-1], True), (Arg(tf.bool, ("n", "m")),))
        yield OpCase(
            f"{name}_sparse",
            _reduce(name, [-1]),
            (Arg(tf.bool, ("n", 20), cycle(*[name == "All"] * 66, name != "All")),),
        )
    for t in FLOATS:
        yield OpCase(f"L2Loss_{t.name}", lambda x: raw.L2Loss(t=x), (Arg(t, ("n", 3)),), _loose(t), sizes=SIZES)
    yield OpCase("L2Loss_scalar", lambda x: raw.L2Loss(t=x), (f32(),))


def _arg_rows() -> Iterator[OpCase]:
    for name in ("ArgMax", "ArgMin"):
        fn = getattr(raw, name)
        for t in (*FLOATS, *INTEGERS):
            for axis in (-1, 0):
                yield OpCase(
                    f"{name}_{axis}_{t.name}",
                    lambda x, fn=fn, a=axis: fn(input=x, dimension=a),
                    (Arg(t, ("n", 3, "m"), distinct),),
                    may_guard=lambda s: 0 in s.values(),
                    sizes=SIZES,
                )
        yield OpCase(
            f"{name}_index_int32", lambda x, fn=fn: fn(input=x, dimension=1, output_type=tf.int32), (f32("n", 7),)
        )
        yield OpCase(
            f"{name}_ties", lambda x, fn=fn: fn(input=x, dimension=1), (f32("n", 40, make=cycle(1, 2, 0, 2, 0)),)
        )
        yield OpCase(
            f"{name}_infinite", lambda x, fn=fn: fn(input=x, dimension=0), (f32(4, 5, make=cycle(-INF, INF, 0)),)
        )
        for t in FLOATS:
            for first in (NAN, -INF, INF):
                make = cycle(NAN, first, 1.0, NAN, INF, 0.5, first, -INF, 2.0, NAN, 2.0, -1.0, -1.0)
                yield OpCase(
                    f"{name}_nan_{first}_{t.name}",
                    lambda x, fn=fn: [fn(input=x[:, :size], dimension=1) for size in (1, 2, 3, 5, 17)],
                    (Arg(t, ("n", 17), make),),
                )


def _softmax_rows() -> Iterator[OpCase]:
    for t in FLOATS:
        for name in ("Softmax", "LogSoftmax"):
            fn = getattr(raw, name)
            yield OpCase(
                f"{name}_{t.name}", lambda x, fn=fn: fn(logits=x), (Arg(t, ("n", "m")),), _loose(t), sizes=SIZES
            )
            yield OpCase(f"{name}_deep_{t.name}", lambda x, fn=fn: fn(logits=x), (Arg(t, (2, "n", 3, 17)),), _loose(t))
    for name in ("Softmax", "LogSoftmax"):
        fn = getattr(raw, name)
        yield OpCase(f"{name}_vector", lambda x, fn=fn: fn(logits=x), (f32("n"),), 8e-6, sizes=SIZES)
        large = (f32("n", 33, make=uniform(-500, 500)),)
        yield OpCase(f"{name}_large", lambda x, fn=fn: fn(logits=x), large, 8e-6)
        yield OpCase(f"{name}_masked", lambda x, fn=fn: fn(logits=x), (f32("n", 5, make=cycle(1, -INF, 2)),), 8e-6)


def _scan_rows() -> Iterator[OpCase]:
    def scan(name: str, axis: int, **attrs: bool) -> Callable[..., Any]:
        return lambda x: getattr(raw, name)(x=x, axis=tf.constant(axis), **attrs)

    for name, make in (("Cumsum", numbers), ("Cumprod", near_one)):
        for t in (*FLOATS, *INTEGERS):
            if _computes(scan(name, 0), t):
                loose = _loose(t) if t in (tf.float32, tf.float64) else 8 * tolerance(t)
                yield OpCase(f"{name}_{t.name}", scan(name, -1), (Arg(t, ("n", "m"), make),), loose)
        for axis in (0, 1, 2):
            for exclusive in (False, True):
                for reverse in (False, True):
                    yield OpCase(
                        f"{name}_{axis}_{exclusive}_{reverse}",
                        scan(name, axis, exclusive=exclusive, reverse=reverse),
                        (f32("n", 3, "m", make=make),),
                        8e-6,
                    )


def _top_k_rows() -> Iterator[OpCase]:
    for t in (*FLOATS, *INTEGERS):
        yield OpCase(f"TopKV2_{t.name}", lambda x: raw.TopKV2(input=x, k=3), (Arg(t, ("n", 20), distinct),))
    yield OpCase("TopKV2_unknown", lambda x: raw.TopKV2(input=x, k=3), (f32("n", "m"),), sizes=(0, 1, 3, 6, 100))
    yield OpCase("TopKV2_vector", lambda x: raw.TopKV2(input=x, k=1), (f32("n"),), sizes=(0, 1, 50))
    yield OpCase("TopKV2_zero", lambda x: raw.TopKV2(input=x, k=0), (f32("n", "m"),))
    yield OpCase("TopKV2_all", lambda x: raw.TopKV2(input=x, k=tf.shape(x)[-1]), (f32("n", "m"),))
    yield OpCase("TopKV2_ties", lambda x: raw.TopKV2(input=x, k=7), (f32("n", 40, make=cycle(1, 2, 0, 2, 0, 5)),))
    yield OpCase("TopKV2_index_int64", lambda x: raw.TopKV2(input=x, k=2, index_type=tf.int64), (f32("n", 9),))
    yield OpCase("TopKV2_given", lambda x, k: raw.TopKV2(input=x, k=k), (f32("n", 9), i32(make=cycle(4), known=True)))
    yield OpCase(
        "TopKV2_unsorted", lambda x: raw.TopKV2(input=x, k=2, sorted=False), (f32("n", 9),), refusal="unsorted"
    )


CASES = (*_axis_rows(), *_arg_rows(), *_softmax_rows(), *_scan_rows(), *_top_k_rows())
