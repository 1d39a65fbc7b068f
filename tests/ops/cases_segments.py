"""Rows of scatters, segments, histograms and sparse matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tests.ops.harness import Arg, OpCase, cycle, f32, i32, i64, integers, positive

raw = tf.raw_ops
FLOATS = (tf.float32, tf.float64, tf.float16, tf.bfloat16)
INTEGERS = (tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32, tf.uint64)
TOLERANCE = {tf.float16: 4e-3, tf.bfloat16: 3e-2}
SIZES = (0, 1, 5)


def _sorted(low: int, high: int) -> Callable[..., np.ndarray]:
    """Ascending integers in [low, high)."""
    return lambda rng, shape, dtype: np.sort(rng.integers(low, high, shape)).astype(dtype)


def _permutation(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return rng.permutation(shape[0]).astype(dtype)


# --- scatters ---------------------------------------------------------------------------------------------------------
def _scatters() -> Iterator[OpCase]:
    for name in ("TensorScatterAdd", "TensorScatterSub", "TensorScatterMax", "TensorScatterMin"):

        def fn(x: Any, i: Any, u: Any, name: str = name) -> Any:
            return getattr(raw, name)(tensor=x, indices=i, updates=u)

        types = (tf.float32, tf.int32, tf.float16) if name == "TensorScatterAdd" else (tf.float32, tf.int64)
        for t in types:
            args = (Arg(t, (4, "m")), i32("n", 1, make=integers(0, 4)), Arg(t, ("n", "m")))
            yield OpCase(f"{name}_{t.name}", fn, args, TOLERANCE.get(t, 1e-5), sizes=SIZES)
        yield OpCase(f"{name}_points", fn, (f32(4, 3, 2), i64("n", 2, make=integers(0, 3)), f32("n", 2)), sizes=SIZES)
        yield OpCase(f"{name}_range", fn, (f32(4), i32("n", 1, make=cycle(0, 7)), f32("n")), sizes=(1, 3))
    yield OpCase(
        "ScatterNdNonAliasingAdd",
        lambda x, i, u: raw.ScatterNdNonAliasingAdd(input=x, indices=i, updates=u),
        (f32(4, "m"), i32("n", 1, make=integers(0, 4)), f32("n", "m")),
        sizes=SIZES,
    )


# --- segments ---------------------------------------------------------------------------------------------------------
def _unsorted(name: str, count: int) -> Callable[..., Any]:
    fn = getattr(raw, f"UnsortedSegment{name}")
    return lambda x, ids: fn(data=x, segment_ids=ids, num_segments=count)


def _segments() -> Iterator[OpCase]:
    for name, types in (
        ("Sum", (tf.float32, tf.float64, tf.float16, tf.bfloat16, tf.int32)),
        ("Prod", (tf.float32, tf.int64)),
        ("Max", (tf.float32, tf.bfloat16, tf.int8, tf.uint16)),
        ("Min", (tf.float32, tf.float16, tf.int64)),
    ):
        op = f"UnsortedSegment{name}"
        for t in types:
            yield OpCase(
                f"{op}_{t.name}",
                _unsorted(name, 4),
                (Arg(t, ("n", "m"), positive), i32("n", make=integers(-1, 4))),
                TOLERANCE.get(t, 1e-5),
                sizes=SIZES,
            )
        yield OpCase(
            f"{op}_matrix", _unsorted(name, 3), (f32("n", 2, 3), i64("n", 2, make=integers(0, 3))), sizes=SIZES
        )
        yield OpCase(f"{op}_range", _unsorted(name, 2), (f32("n"), i32("n", make=cycle(0, 1, 2))), sizes=(1, 3))
    yield OpCase(
        "UnsortedSegmentSum_given",
        lambda x, ids, count: raw.UnsortedSegmentSum(data=x, segment_ids=ids, num_segments=count),
        (f32("n", 3), i32("n", make=integers(-1, 2)), i32(make=integers(2, 6), known=True)),
        sizes=SIZES,
    )
    for name in ("Sum", "Mean", "SqrtN"):
        op = f"SparseSegment{name}WithNumSegments"

        def sparse(x: Any, i: Any, ids: Any, name: str = op) -> Any:
            return getattr(raw, name)(data=x, indices=i, segment_ids=ids, num_segments=5)

        for t in FLOATS if name == "Mean" else (tf.float32, tf.float64):
            yield OpCase(
                f"{op}_{t.name}",
                sparse,
                (Arg(t, (7, "m")), i32("n", make=integers(0, 7)), i32("n", make=_sorted(0, 5))),
                TOLERANCE.get(t, 1e-5),
                sizes=SIZES,
            )
        yield OpCase(
            f"{op}_range", sparse, (f32(7), i64("n", make=integers(0, 7)), i64("n", make=cycle(0, 4, 5))), sizes=(1, 3)
        )
        yield OpCase(
            f"{op}_order", sparse, (f32(7), i64("n", make=integers(0, 7)), i64("n", make=cycle(1, 0))), sizes=(1, 3)
        )


# --- histograms -------------------------------------------------------------------------------------------------------
def _histograms() -> Iterator[OpCase]:
    for t in (tf.int32, tf.int64, tf.float32, tf.float64):
        yield OpCase(
            f"Bincount_{t.name}",
            lambda x, w: raw.Bincount(arr=x, size=5, weights=w),
            (i32("n", 2, make=integers(0, 8)), Arg(t, ("n", 2))),
            sizes=SIZES,
            may_guard=lambda sizes: sizes["n"] == 0,
        )
    yield OpCase(
        "Bincount_ones",
        lambda x: raw.Bincount(arr=x, size=5, weights=tf.zeros([0], tf.float32)),
        (i32("n", make=integers(0, 8)),),
    )
    yield OpCase(
        "Bincount_negative",
        lambda x: raw.Bincount(arr=x, size=5, weights=tf.zeros([0], tf.int32)),
        (i32("n", make=integers(-3, 0)),),
        sizes=(0, 3),
    )
    for binary in (False, True):
        for rank, shape in ((1, ("n",)), (2, ("n", "m"))):

            def dense(x: Any, binary: bool = binary) -> Any:
                return raw.DenseBincount(input=x, size=5, weights=tf.zeros([0], tf.float32), binary_output=binary)

            yield OpCase(
                f"DenseBincount_{rank}_{'binary' if binary else 'count'}",
                dense,
                (i32(*shape, make=integers(0, 8)),),
                sizes=SIZES,
            )
    yield OpCase(
        "DenseBincount_weights",
        lambda x, w: raw.DenseBincount(input=x, size=tf.constant(4, tf.int64), weights=w),
        (i64("n", 3, make=integers(0, 6)), f32("n", 3)),
        sizes=SIZES,
        may_guard=lambda sizes: sizes["n"] == 0,
    )
    for t in (tf.float32, tf.float64, tf.int32, tf.int64):
        yield OpCase(
            f"HistogramFixedWidth_{t.name}",
            lambda x, t=t: raw.HistogramFixedWidth(values=x, value_range=tf.constant([-3, 2], t), nbins=7),
            (Arg(t, ("n", 3)),),
        )
    yield OpCase(
        "HistogramFixedWidth_empty_range",
        lambda x, r: raw.HistogramFixedWidth(values=x, value_range=r, nbins=tf.constant(3), dtype=tf.int64),
        (f32("n"), f32(2, make=lambda rng, shape, dtype: rng.permutation([-1, 1]).astype(dtype))),
        sizes=(1, 2, 3, 4),
    )


# --- sparse matrices --------------------------------------------------------------------------------------------------
def _sparse() -> Iterator[OpCase]:
    for a in (False, True):
        for b in (False, True):

            def product(i: Any, v: Any, d: Any, a: bool = a, b: bool = b) -> Any:
                return raw.SparseTensorDenseMatMul(
                    a_indices=i, a_values=v, a_shape=tf.constant([4, 3], tf.int64), b=d, adjoint_a=a, adjoint_b=b
                )

            inner = 4 if a else 3
            for t in (tf.float32, tf.float64, tf.int32) if a == b else (tf.float32,):
                yield OpCase(
                    f"SparseTensorDenseMatMul_{int(a)}{int(b)}_{t.name}",
                    product,
                    (
                        i64("n", 2, make=integers(0, 3)),
                        Arg(t, ("n",)),
                        Arg(t, ("m", inner) if b else (inner, "m")),
                    ),
                    sizes=SIZES,
                )
    yield OpCase(
        "SparseTensorDenseMatMul_given",
        lambda i, v, s, d: raw.SparseTensorDenseMatMul(a_indices=i, a_values=v, a_shape=s, b=d),
        (i64("n", 2, make=integers(0, 3)), f32("n"), i64(2, make=cycle(6, 3), known=True), f32(3, 5)),
        sizes=SIZES,
    )
    yield OpCase(
        "SparseTensorDenseMatMul_range",
        lambda i, v, d: raw.SparseTensorDenseMatMul(
            a_indices=i, a_values=v, a_shape=tf.constant([3, 3], tf.int64), b=d
        ),
        (i64("n", 2, make=integers(3, 4)), f32("n"), f32(3, 2)),
        sizes=(0, 3),
    )

    def to_dense(i: Any, v: Any, d: Any, check: bool = True) -> Any:
        return raw.SparseToDense(
            sparse_indices=i, output_shape=[7, 3], sparse_values=v, default_value=d, validate_indices=check
        )

    for t in (tf.float32, tf.int64, tf.bool, tf.bfloat16):
        yield OpCase(
            f"SparseToDense_{t.name}", to_dense, (i32("n", 2, make=_pairs), Arg(t, ("n",)), Arg(t, ())), sizes=SIZES
        )
    yield OpCase("SparseToDense_scalar", to_dense, (i64("n", 2, make=_pairs), f32(), f32()), sizes=SIZES)
    yield OpCase("SparseToDense_order", to_dense, (i64("n", 2, make=integers(1, 2)), f32("n"), f32()), sizes=(1, 3))
    yield OpCase(
        "SparseToDense_unchecked",
        lambda i, v, d: to_dense(i, v, d, check=False),
        (i64("n", 2, make=integers(0, 3)), f32("n"), f32()),
        sizes=SIZES,
    )
    yield OpCase(
        "SparseToDense_vector",
        lambda i, v: raw.SparseToDense(sparse_indices=i, output_shape=[9], sparse_values=v, default_value=0.0),
        (i32("n", make=lambda rng, shape, dtype: np.arange(shape[0], dtype=dtype)), f32("n")),
        sizes=SIZES,
    )
    for t in (tf.int32, tf.int64):
        yield OpCase(
            f"InvertPermutation_{t.name}", lambda x: raw.InvertPermutation(x=x), (Arg(t, ("n",), _permutation),)
        )
    yield OpCase("InvertPermutation_twice", lambda x: raw.InvertPermutation(x=x), (i32("n", make=integers(0, 1)),))


def _pairs(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Different places of a 7 x 3 matrix in row-major order."""
    flat = np.sort(rng.permutation(21)[: shape[0]])
    return np.stack([flat // 3, flat % 3], 1).astype(dtype)


CASES = (*_scatters(), *_segments(), *_histograms(), *_sparse())
