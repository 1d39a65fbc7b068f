"""Rows of the ops whose outputs' sizes depend on data, and of what may follow them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tests.ops.cases_state import TYPES
from tests.ops.harness import Arg, Make, OpCase, cycle, f32, i32, i64, integers, uniform

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


def _ascending(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return np.sort(rng.integers(0, 9, shape)).astype(dtype)


def _unique() -> Iterator[OpCase]:
    for t in (tf.float32, tf.float64, tf.int8, tf.uint8, tf.int16, tf.uint16, tf.int32, tf.int64):
        yield OpCase(
            f"Unique_{t.name}", lambda x: tuple(raw.Unique(x=x)), (Arg(t, ("n",), integers(0, 9)),), sizes=(0, 1, 30)
        )
    numbers = (i32("n", make=integers(-9, 9)),)
    many = (Arg(tf.int64, ("n",), integers(-900, 900)),)
    yield OpCase("Unique_special", lambda x: tuple(raw.Unique(x=x)), (f32("n", make=_SPECIAL),), sizes=(0, 1, 30))
    yield OpCase("Unique_many", lambda x: tuple(raw.Unique(x=x, out_idx=tf.int64)), many, sizes=(0, 1, 3000))
    yield OpCase("UniqueV2", lambda x: tuple(raw.UniqueV2(x=x, axis=[0])), numbers, sizes=(0, 1, 30))
    yield OpCase(
        "UniqueV2_no_axis", lambda x: tuple(raw.UniqueV2(x=x, axis=tf.constant([], tf.int64))), numbers, sizes=(1, 30)
    )
    yield OpCase(
        "UniqueV2_rows", lambda x: tuple(raw.UniqueV2(x=x, axis=[0])), (i32("n", 2),), refusal="a tensor of rank 2"
    )
    yield OpCase("UniqueWithCounts", lambda x: tuple(raw.UniqueWithCounts(x=x)), numbers, sizes=(0, 1, 30))
    yield OpCase(
        "UniqueWithCountsV2", lambda x: tuple(raw.UniqueWithCountsV2(x=x, axis=[0])), numbers, sizes=(0, 1, 30)
    )
    # as embeddings are looked up: each row once
    yield OpCase("Unique_embedding", _embedding, (f32(18, 4), i32("n", make=integers(0, 18))), sizes=(0, 1, 30))


def _embedding(table: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
    distinct, places = tf.unique(ids)
    return tf.gather(tf.gather(table, distinct), places) * 2


def _segments() -> Iterator[OpCase]:
    ids = i32("n", make=_ascending)
    for name in ("Sum", "Mean", "Prod", "Max", "Min"):
        fn = getattr(raw, f"Segment{name}")
        for t in (tf.float32, tf.float64, *((tf.int32, tf.int64) if name != "Mean" else ())):
            yield OpCase(
                f"Segment{name}_{t.name}", lambda x, i, fn=fn: fn(data=x, segment_ids=i), (Arg(t, ("n", 5)), ids)
            )
        yield OpCase(f"Segment{name}_vector", lambda x, i, fn=fn: fn(data=x, segment_ids=i), (f32("n"), ids))

    def total(x: tf.Tensor, i: tf.Tensor) -> tf.Tensor:
        return raw.SegmentSum(data=x, segment_ids=i)

    yield OpCase("SegmentSum_wide", total, (f32("n", 3, "m"), Arg(tf.int64, ("n",), _ascending)))
    yield OpCase("SegmentSum_order", total, (f32("n", 2), i32("n", make=integers(-3, 9))))
    yield OpCase("SegmentSum_after", lambda x, i: tf.nn.softmax(total(tf.exp(x), i) + 1), (f32("n", 5), ids))
    places = Arg(tf.int64, ("n",), integers(0, 7))
    for name in ("Sum", "Mean", "SqrtN"):
        fn = getattr(raw, f"SparseSegment{name}")
        for t in (tf.float32, tf.float64):
            yield OpCase(
                f"SparseSegment{name}_{t.name}",
                lambda x, p, i, fn=fn: fn(data=x, indices=p, segment_ids=i),
                (Arg(t, (7, 5)), places, ids),
            )
    yield OpCase(
        "SparseSegmentSum_range",
        lambda x, p, i: raw.SparseSegmentSum(data=x, indices=p, segment_ids=i),
        (f32("m", 2), i32("n", make=integers(0, 6)), ids),
    )


def _partitions() -> Iterator[OpCase]:
    def parts(x: tf.Tensor, places: tf.Tensor) -> Any:
        return raw.DynamicPartition(data=x, partitions=places, num_partitions=3)

    places = i32("n", make=integers(0, 3))
    for t in TYPES:
        yield OpCase(f"DynamicPartition_{t.name}", parts, (Arg(t, ("n", 3)), places))
    yield OpCase("DynamicPartition_matrix", parts, (f32("n", "m", 3), i32("n", "m", make=integers(0, 3))))
    yield OpCase("DynamicPartition_elements", parts, (f32("n"), places))
    yield OpCase("DynamicPartition_range", parts, (f32("n"), i32("n", make=integers(-1, 5))))
    yield OpCase("DynamicPartition_experts", _experts, (f32("n", 4), places, f32(3, 4, 4)), 1e-4)
    for name in ("DynamicStitch", "ParallelDynamicStitch"):
        fn = getattr(raw, name)
        yield OpCase(
            f"{name}_places",
            lambda x, y, fn=fn: fn(indices=[[3, 1], [[0], [2]], 4], data=[x, y, x[0]]),
            (f32(2, "n"), f32(2, 1, "m")),
            may_guard=lambda sizes: sizes["n"] != sizes["m"],
        )
    yield OpCase(
        "DynamicStitch_negative",
        lambda x, p: raw.DynamicStitch(indices=[p], data=[x]),
        (
            f32("n", 2),
            i32("n", make=_downward),
        ),
    )


def _downward(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """n - 1, …, 0; one less where n is 3."""
    del rng
    return np.arange(shape[0])[::-1].astype(dtype) - (shape[0] == 3)


def _experts(x: tf.Tensor, places: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Each row multiplied by its own expert's matrix, and put back in its place."""
    rows = raw.DynamicPartition(data=x, partitions=places, num_partitions=3)
    order = raw.DynamicPartition(data=tf.range(tf.size(places)), partitions=places, num_partitions=3)
    return raw.DynamicStitch(indices=order, data=[tf.nn.relu(row @ weights[k]) for k, row in enumerate(rows)])


def _splitting(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Row splits of twelve values."""
    inner = np.sort(rng.integers(0, 13, max(shape[0] - 2, 0)))
    return np.array([0, *inner, 12][: shape[0]], dtype)


def _ragged() -> Iterator[OpCase]:
    splits = Arg(tf.int64, ("n",), _splitting)
    sizes = (2, 3, 6)
    for t in (tf.int32, tf.int64, tf.float32, tf.float64):
        yield OpCase(
            f"RaggedRange_{t.name}",
            lambda a, b, c: tuple(raw.RaggedRange(starts=a, limits=b, deltas=c)),
            (Arg(t, ("n",), integers(-9, 9)), Arg(t, ("n",), integers(-9, 9)), Arg(t, ("n",), cycle(1, -2, 3))),
        )
    yield OpCase("RaggedRange_float", _float_ranges, (f32("n", make=uniform(0, 3)),))
    yield OpCase("RaggedRange_scalars", lambda n: tuple(raw.RaggedRange(starts=0, limits=n, deltas=2)), (i32("n"),))
    yield OpCase("RaggedRange_zero", lambda n: tuple(raw.RaggedRange(starts=0, limits=9, deltas=n)), (i32("n"),))

    def dense(v: tf.Tensor, s: tf.Tensor, shape: Any, missing: Any = -1) -> tf.Tensor:
        return raw.RaggedTensorToTensor(
            shape=tf.constant(shape, tf.int64),
            values=v,
            default_value=tf.cast(missing, v.dtype),
            row_partition_tensors=[s],
            row_partition_types=["ROW_SPLITS"],
        )

    for t in TYPES:
        yield OpCase(
            f"RaggedTensorToTensor_{t.name}", lambda v, s: dense(v, s, [-1, -1]), (Arg(t, (12,)), splits), sizes=sizes
        )
    values = f32(12, 2)
    for name, shape in (("rows", [4, -1, -1]), ("columns", [-1, 3, 2]), ("unknown", -1)):
        yield OpCase(
            f"RaggedTensorToTensor_{name}", lambda v, s, shape=shape: dense(v, s, shape), (values, splits), sizes=sizes
        )
    yield OpCase(
        "RaggedTensorToTensor_after",
        lambda v, s: tf.nn.softmax(dense(tf.exp(v), s, [-1, -1, -1]) + 1),
        (values, splits),
        sizes=sizes,
    )
    yield OpCase("RaggedTensorToTensor_two", _two_ragged_dimensions, (f32(4),), refusal="row partitions")
    yield OpCase(
        "RaggedTensorToSparse",
        lambda s, v: tuple(raw.RaggedTensorToSparse(rt_nested_splits=[s], rt_dense_values=v)),
        (splits, f32(12)),
        sizes=sizes,
    )
    yield OpCase(
        "RaggedGather",
        lambda s, v, i: tf.nest.flatten(
            raw.RaggedGather(params_nested_splits=[s], params_dense_values=v, indices=i, OUTPUT_RAGGED_RANK=1)
        ),
        (Arg(tf.int32, (5,), _splitting), f32(12, 2), i32("n", make=integers(0, 4))),
    )
    yield OpCase(
        "RaggedGather_range",
        lambda s, v, i: tf.nest.flatten(
            raw.RaggedGather(params_nested_splits=[s], params_dense_values=v, indices=i, OUTPUT_RAGGED_RANK=1)
        ),
        (Arg(tf.int32, (5,), _splitting), f32(12, 2), i32("n", make=integers(-1, 6))),
    )


def _float_ranges(limits: tf.Tensor) -> Any:
    return tuple(raw.RaggedRange(starts=0.25, limits=limits, deltas=0.125))


def _two_ragged_dimensions(values: tf.Tensor) -> tf.Tensor:
    return tf.RaggedTensor.from_nested_row_splits(values, [[0, 1, 2], [0, 1, 4]], validate=False).to_tensor()


def _entries(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Coordinates in a matrix of 9 by 4, in any order."""
    return np.stack([rng.integers(0, 9, shape[0]), rng.integers(0, 4, shape[0])], 1).astype(dtype)


def _sparse() -> Iterator[OpCase]:
    entries = Arg(tf.int64, ("n", 2), _entries)
    shape = Arg(tf.int64, (2,), lambda rng, shape, dtype: np.array([9, 4], dtype))

    def filled(i: tf.Tensor, v: tf.Tensor, s: tf.Tensor) -> Any:
        return tuple(raw.SparseFillEmptyRows(indices=i, values=v, dense_shape=s, default_value=tf.cast(-1, v.dtype)))

    for t in TYPES:
        yield OpCase(f"SparseFillEmptyRows_{t.name}", filled, (entries, Arg(t, ("n",)), shape))
    yield OpCase(
        "SparseFillEmptyRows_static", lambda i, v: filled(i, v, tf.constant([9, 4], tf.int64)), (entries, f32("n"))
    )
    few = Arg(tf.int64, (2,), lambda rng, shape, dtype: np.array([5, 4], dtype))
    yield OpCase("SparseFillEmptyRows_range", filled, (entries, f32("n"), few))
    yield OpCase("SparseFillEmptyRows_lookup", _lookup, (f32(20, 3), entries, i64("n", make=integers(0, 20)), shape))
    for name, target in (("", [6, 6]), ("_inferred", [-1, 3, 2]), ("_same", [9, 4]), ("_flat", [-1])):
        yield OpCase(
            f"SparseReshape{name}",
            lambda i, s, target=target: tuple(
                raw.SparseReshape(input_indices=i, input_shape=s, new_shape=tf.constant(target, tf.int64))
            ),
            (entries, shape),
        )
    yield OpCase(
        "SparseReshape_wrong",
        lambda i, s, t: tuple(raw.SparseReshape(input_indices=i, input_shape=s, new_shape=t)),
        (entries, shape, Arg(tf.int64, (2,), lambda rng, shape, dtype: np.array([6, rng.integers(5, 7)], dtype))),
    )


def _lookup(table: tf.Tensor, entries: tf.Tensor, ids: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """What safe_embedding_lookup_sparse does."""
    indices, values, empty, _ = raw.SparseFillEmptyRows(
        indices=entries, values=ids, dense_shape=shape, default_value=tf.constant(0, tf.int64)
    )
    distinct, places = tf.unique(values)
    rows = tf.gather(table, distinct)
    means = raw.SparseSegmentMean(data=rows, indices=places, segment_ids=tf.cast(indices[:, 0], tf.int32))
    return tf.where(empty[:, None], tf.zeros_like(means), means)


def _found() -> Iterator[OpCase]:
    """Sizes that are elements of integer tensors."""
    x, number = f32("n", 3), i32(make=integers(0, 4))
    yield OpCase("Range_found", lambda n: tf.range(1, n * 3 + 1, 2), (number,))
    yield OpCase(
        "Range_found_lengths", lambda n: tf.sequence_mask(n, dtype=tf.float32), (i32("n", make=integers(0, 7)),)
    )
    yield OpCase("Fill_found", lambda n: tf.fill([n, 2], 1.5) * 2, (number,))
    yield OpCase("Fill_found_negative", lambda x, n: tf.fill([n - 2, tf.size(x)], 1.5), (x, number))
    yield OpCase(
        "Reshape_found", lambda x, n: tf.reshape(x, tf.stack([3, tf.reduce_sum(n)])), (x, i32("n", make=cycle(1)))
    )
    yield OpCase("Reshape_found_other", lambda x, n: tf.reshape(x, [n, 3]), (x, i32(make=cycle(3))))
    yield OpCase("Slice_found", lambda x, n: tf.slice(x, [n, 0], [1, n]), (x, number))
    yield OpCase("StridedSlice_found", lambda x, n: tf.nn.relu(x[:n]) + 1, (x, i32(make=integers(-4, 5))))
    yield OpCase("StridedSlice_found_range", lambda x, n: x[n : 2 * n, ::-1], (x, i32(make=integers(-4, 5))))
    yield OpCase("StridedSlice_found_row", lambda x, n: x[tf.argmax(n)], (f32(4, "n"), f32(4)))
    yield OpCase("StridedSlice_found_twice", lambda x, n: (x[:n], x[:n] * 2, tf.reduce_sum(x[:n], 0)), (x, number))
    yield OpCase("Range_found_large", lambda n: tf.range(tf.reduce_max(n)), (i32("n", make=integers(-3, 9)),))


def _boxes(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Corners in any order, some outside of the unit square; a few boxes of no area."""
    corners = rng.uniform(-0.2, 1.2, shape)
    corners[..., 2:] = corners[..., :2] + rng.uniform(-0.5, 0.5, corners[..., 2:].shape)
    flat = corners.reshape(-1, 4)
    flat[::7, 2] = flat[::7, 0]
    return corners.astype(dtype)


_N = f32("n", 4, make=_boxes)
_UNIT = uniform(0, 1)
_SCORES = f32("n", make=_UNIT)
_SIZES = (0, 1, 5, 60)
# equal scores: which comes first is TensorFlow's business
_EQUAL = cycle(0.5, 0.9, 0.9, 0.25)
_UNCOMPARED = cycle(0.5, float("nan"), float("inf"), 0.25, -float("inf"), 0.75, 0.5)


def _nms() -> Iterator[OpCase]:
    def case(name: str, fn: Callable[..., Any], *more: Arg, scores: Arg = _SCORES, **keys: Any) -> OpCase:
        return OpCase(f"NonMaxSuppression{name}", fn, (_N, scores, *more), sizes=_SIZES, **keys)

    def v3(b: tf.Tensor, s: tf.Tensor, most: Any = 10, iou: Any = 0.3, score: Any = 0.2) -> tf.Tensor:
        return raw.NonMaxSuppressionV3(
            boxes=b, scores=s, max_output_size=most, iou_threshold=iou, score_threshold=score
        )

    yield case("_v1", lambda b, s: raw.NonMaxSuppression(boxes=b, scores=s, max_output_size=8, iou_threshold=0.4))
    yield case("V2", lambda b, s: raw.NonMaxSuppressionV2(boxes=b, scores=s, max_output_size=8, iou_threshold=0.4))
    yield case("V3", v3)
    yield case("V3_limits", v3, i32(make=integers(0, 9)), f32(make=uniform(0, 1)), f32(make=uniform(0, 1)))
    yield case("V3_all", lambda b, s: v3(b, s, 1000, 1.0, -1.0))
    yield case("V3_none", lambda b, s: v3(b, s, 10, 0.5, 2.0))
    yield case("V3_negative_size", lambda b, s, m: v3(b, s, -m), i32(make=integers(0, 2)))
    yield case("V3_threshold", lambda b, s, t: v3(b, s, 5, t), f32(make=uniform(0, 2)))
    yield case("V3_equal", v3, scores=f32("n", make=_EQUAL))
    yield case("V3_special", v3, scores=f32("n", make=_UNCOMPARED))
    yield case("V3_gather", lambda b, s: tf.gather(b, v3(b, s)) * 2)
    yield case("V3_rows", lambda b, s: tf.reduce_sum(tf.gather(tf.nn.relu(b), v3(b, s)), 0))
    yield case("V3_unify", v3, scores=f32("m", make=uniform(0, 1)), may_guard=lambda sizes: sizes["n"] != sizes["m"])
    for pad in (False, True):
        v4 = {"max_output_size": 7, "iou_threshold": 0.3, "score_threshold": 0.2, "pad_to_max_output_size": pad}
        yield case(f"V4_{pad}", lambda b, s, v4=v4: raw.NonMaxSuppressionV4(boxes=b, scores=s, **v4))
        for sigma in (0.0, 0.4):
            v5 = {**v4, "soft_nms_sigma": sigma}
            yield case(f"V5_{pad}_{sigma}", lambda b, s, v5=v5: raw.NonMaxSuppressionV5(boxes=b, scores=s, **v5))
    yield case(
        "V4_padded_by_input",
        lambda b, s, m: raw.NonMaxSuppressionV4(
            boxes=b, scores=s, max_output_size=m, iou_threshold=0.3, score_threshold=0.2, pad_to_max_output_size=True
        ),
        i32(make=integers(0, 9)),
    )
    yield OpCase(
        "NonMaxSuppressionWithOverlaps",
        lambda o, s: raw.NonMaxSuppressionWithOverlaps(
            overlaps=o, scores=s, max_output_size=5, overlap_threshold=0.6, score_threshold=0.2
        ),
        (f32("n", "n", make=uniform(0, 1)), _SCORES),
        sizes=_SIZES,
    )


def _combined_case(name: str, *, sets: int | str = 1, scores: Make = _UNIT, **keys: Any) -> OpCase:
    attrs = {"max_output_size_per_class": 4, "max_total_size": 9, "iou_threshold": 0.3, "score_threshold": 0.2, **keys}
    return OpCase(
        f"CombinedNonMaxSuppression{name}",
        lambda b, s: tuple(raw.CombinedNonMaxSuppression(boxes=b, scores=s, **attrs)),
        (f32("b", "n", sets, 4, make=_boxes), f32("b", "n", 3, make=scores)),
        sizes=(0, 1, 5, 60),
    )


def _combined() -> Iterator[OpCase]:
    yield _combined_case("")
    yield _combined_case("_sets", sets=3)
    yield _combined_case("_pad", pad_per_class=True, max_total_size=50)
    yield _combined_case("_no_clip", clip_boxes=False)
    yield _combined_case("_none", score_threshold=1.5)
    yield _combined_case("_large", max_output_size_per_class=100, max_total_size=200, iou_threshold=1.0)


def _combined_equal() -> Iterator[OpCase]:
    yield _combined_case("_equal", scores=_EQUAL)
    yield _combined_case("_equal_large", scores=_EQUAL, max_output_size_per_class=100, max_total_size=200)
    yield _combined_case("_equal_all", scores=cycle(0.5), max_output_size_per_class=100, iou_threshold=1.0)
    yield _combined_case("_special", scores=_UNCOMPARED, max_output_size_per_class=100, max_total_size=200)


CASES: tuple[OpCase, ...] = (
    *_where(),
    *_after(),
    *_nms(),
    *_combined(),
    *_unique(),
    *_segments(),
    *_partitions(),
    *_ragged(),
    *_sparse(),
    *_found(),
)
# The interpreter orders equal scores in a way of its own.
COMPILED: tuple[OpCase, ...] = tuple(_combined_equal())
