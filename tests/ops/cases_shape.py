"""Rows of the ops about shapes, slices among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tests.ops.cases_state import TYPES
from tests.ops.harness import Arg, OpCase, cycle, f32, i32, i64, integers

raw = tf.raw_ops
INDEX = (tf.int32, tf.int64)


def reshape_to(*dims: int, dtype: tf.DType = tf.int32) -> Callable[..., Any]:
    return lambda x: raw.Reshape(tensor=x, shape=tf.constant(dims, dtype, (len(dims),)))


def _chained_reshape(x: tf.Tensor) -> tf.Tensor:
    """What Keras makes of Reshape((-1, 4)): the shape comes from Shape, StridedSlice and Pack."""
    batch = tf.shape(x)[0]
    return raw.Reshape(tensor=x, shape=raw.Pack(values=[batch, tf.shape(x)[1] * 3, 4]))


def _flatten(x: tf.Tensor) -> tf.Tensor:
    return raw.Reshape(tensor=x, shape=raw.Pack(values=[tf.shape(x)[0], -1]))


def _split_heads(x: tf.Tensor) -> tf.Tensor:
    return raw.Reshape(tensor=x, shape=raw.Pack(values=[tf.shape(x)[0], -1, 3, 4]))


def _infer_other(x: tf.Tensor) -> tf.Tensor:
    return raw.Reshape(tensor=x, shape=raw.Pack(values=[-1, tf.shape(x)[0]]))


def _infer_indivisible(x: tf.Tensor) -> tf.Tensor:
    return raw.Reshape(tensor=x, shape=raw.Pack(values=[tf.shape(x)[0] + 1, -1]))


def _reshapes() -> Iterator[OpCase]:
    for t in TYPES:
        yield OpCase(f"Reshape_{t.name}", reshape_to(-1, 6), (Arg(t, ("n", 2, 3)),))
    yield OpCase("Reshape_by_int64", reshape_to(3, -1, dtype=tf.int64), (f32("n", 3),))
    yield OpCase("Reshape_scalar", reshape_to(), (f32(1, 1),))
    yield OpCase("Reshape_from_scalar", reshape_to(1, -1), (f32(),))
    yield OpCase("Reshape_divides", reshape_to(-1, 4), (f32("n", 2),), sizes=(0, 1, 2, 3, 4))
    yield OpCase("Reshape_zero", reshape_to(0, 5), (f32("n", 5),), sizes=(0, 1))
    yield OpCase("Reshape_empty", reshape_to(-1, 0), (f32("n", 0),), refusal="0 is less than 1")
    yield OpCase("Reshape_fixed", reshape_to(2, 3), (f32("n", 3),), sizes=(0, 1, 2))
    yield OpCase("Reshape_two_unknown", reshape_to(-1, -1), (f32(3, "n"),), refusal="more than one")
    yield OpCase("Reshape_chain", _chained_reshape, (f32("n", "m", 12),))
    yield OpCase("Reshape_flatten", _flatten, (f32("n", "m", 4),), may_guard=lambda sizes: not any(sizes.values()))
    yield OpCase("Reshape_heads", _split_heads, (f32("n", "m", 12),), may_guard=lambda sizes: not any(sizes.values()))
    yield OpCase("Reshape_rest", _infer_other, (f32("n", 3, "m"),), may_guard=lambda sizes: not any(sizes.values()))
    yield OpCase("Reshape_indivisible", _infer_indivisible, (f32("n", 4),), sizes=(0, 1, 2, 3))
    yield OpCase("Reshape_merge", reshape_to(-1, 8), (f32("n", "m", 8),))
    yield OpCase(
        "Reshape_value",
        lambda x, s: raw.Reshape(tensor=x, shape=s),
        (f32(2, 6), i32(2, make=integers(3, 5), known=True)),
        may_guard=lambda sizes: True,
    )
    yield OpCase("Reshape_unknown", lambda x, s: raw.Reshape(tensor=x, shape=s), (f32(2, 6), i32(2, make=cycle(4, 3))))
    for t in (tf.float32, tf.int32, tf.bool):
        for axis in (0, 1, 2, -1, -3):
            yield OpCase(
                f"ExpandDims_{axis}_{t.name}",
                lambda x, axis=axis: raw.ExpandDims(input=x, axis=axis),
                (Arg(t, ("n", 3)),),
            )
    yield OpCase("Squeeze_all", lambda x: raw.Squeeze(input=x), (f32(1, 3, 1),))
    yield OpCase("Squeeze_axes", lambda x: raw.Squeeze(input=x, axis=[0, -1]), (f32(1, "n", 1),))
    yield OpCase("Squeeze_int64", lambda x: raw.Squeeze(input=x, axis=[1]), (i64("n", 1),))
    yield OpCase("Squeeze_unknown", lambda x: raw.Squeeze(input=x, axis=[0]), (f32("n", 3),))
    yield OpCase("Squeeze_rank", lambda x: raw.Squeeze(input=x), (f32("n", 1),), refusal="some sizes are unknown")


def _queries() -> Iterator[OpCase]:
    for out in INDEX:
        yield OpCase(f"Shape_{out.name}", lambda x, out=out: raw.Shape(input=x, out_type=out), (f32("n", 4, "m"),))
        yield OpCase(f"Size_{out.name}", lambda x, out=out: raw.Size(input=x, out_type=out), (f32("n", 4, "m"),))
        yield OpCase(
            f"ShapeN_{out.name}", lambda x, y, out=out: raw.ShapeN(input=[x, y], out_type=out), (f32("n", 4), f32("m"))
        )
    for t in TYPES:
        yield OpCase(f"Shape_of_{t.name}", lambda x: raw.Shape(input=x), (Arg(t, ("n", 2)),))
    yield OpCase("Shape_scalar", lambda x: raw.Shape(input=x), (f32(),))
    yield OpCase("Size_scalar", lambda x: raw.Size(input=x), (f32(),))
    yield OpCase("Size_static", lambda x: raw.Size(input=x), (f32(3, 4),))
    yield OpCase("Rank", lambda x: raw.Rank(input=x), (f32("n", 3, 2),))
    yield OpCase("Rank_scalar", lambda x: raw.Rank(input=x), (f32(),))


def _makers() -> Iterator[OpCase]:
    for t in TYPES:
        yield OpCase(f"ZerosLike_{t.name}", lambda x: raw.ZerosLike(x=x), (Arg(t, ("n", 3)),))
        yield OpCase(f"OnesLike_{t.name}", lambda x: raw.OnesLike(x=x), (Arg(t, ("n", 3)),))
        yield OpCase(f"Fill_{t.name}", lambda x, v: raw.Fill(dims=tf.shape(x), value=v), (f32("n", 3), Arg(t, ())))
        yield OpCase(
            f"BroadcastTo_{t.name}",
            lambda x, s: raw.BroadcastTo(input=x, shape=tf.shape(s)),
            (Arg(t, ("n", 1)), f32(2, "n", 3)),
        )
    yield OpCase("Fill_by_int64", lambda v: raw.Fill(dims=tf.constant([2, 3], tf.int64), value=v), (f32(),))
    yield OpCase("Fill_scalar", lambda v: raw.Fill(dims=tf.constant([], tf.int32), value=v), (f32(),))
    yield OpCase("Fill_value", lambda s, v: raw.Fill(dims=s, value=v), (i32(2, make=integers(0, 4), known=True), f32()))
    yield OpCase(
        "Fill_negative",
        lambda s, v: raw.Fill(dims=s, value=v),
        (i32("n", make=integers(-3, -1)), f32()),
        refusal="not known",
    )
    yield OpCase("BroadcastTo_rank", lambda x: raw.BroadcastTo(input=x, shape=[4, 2, 3]), (f32(3),))
    yield OpCase("BroadcastTo_scalar", lambda x: raw.BroadcastTo(input=x, shape=[4, 0]), (f32(),))
    yield OpCase(
        "BroadcastTo_fixed", lambda x: raw.BroadcastTo(input=x, shape=tf.constant([3, 4], tf.int64)), (f32("n", 4),)
    )
    yield OpCase("BroadcastTo_one", lambda x: raw.BroadcastTo(input=x, shape=[1, 4]), (f32("n", 1),))
    yield OpCase(
        "BroadcastTo_unknown",
        lambda x, s: raw.BroadcastTo(input=x, shape=tf.shape(s)),
        (f32("n"), f32("m")),
        may_guard=lambda sizes: sizes["n"] == 1,
    )


def _constant_range(dtype: tf.DType, start: float, limit: float, delta: float) -> Callable[..., Any]:
    def fn(x: tf.Tensor) -> Any:
        bounds = {"start": start, "limit": limit, "delta": delta}
        return x, raw.Range(**{name: tf.constant(value, dtype) for name, value in bounds.items()})

    return fn


def _ranges() -> Iterator[OpCase]:
    for t in (tf.int32, tf.int64, tf.float32, tf.float64):
        for start, limit, delta in [(0, 5, 1), (2, 11, 3), (5, 0, -2), (3, 3, 1), (-4, 4, 8)]:
            name = f"Range_{t.name}_{start}_{limit}_{delta}".replace("-", "m")
            yield OpCase(name, _constant_range(t, start, limit, delta), (f32(),))
    yield OpCase("Range_fraction", _constant_range(tf.float32, 0.5, 1.7, 0.2), (f32(),))
    yield OpCase("Range_dim", lambda x: raw.Range(start=0, limit=tf.shape(x)[0], delta=1), (f32("n"),))
    yield OpCase("Range_step", lambda x: raw.Range(start=1, limit=tf.shape(x)[0], delta=3), (f32("n"),))
    yield OpCase("Range_down", lambda x: raw.Range(start=tf.shape(x)[0] - 1, limit=-1, delta=-1), (f32("n"),))
    yield OpCase(
        "Range_values",
        lambda a, b: raw.Range(start=a, limit=b, delta=2),
        (i32(make=integers(-5, 2), known=True), i32(make=integers(0, 9), known=True)),
        sizes=(0,),
    )
    yield OpCase("Range_unknown", lambda a: raw.Range(start=0, limit=a, delta=1), (i32(make=integers(0, 9)),))


# Python spellings of StridedSlice; the masks follow from them.
SLICES: dict[str, Callable[[Any], Any]] = {
    "all": lambda x: x[:, :],
    "index": lambda x: x[1],
    "index_last": lambda x: x[-1],
    "column": lambda x: x[:, 2],
    "column_negative": lambda x: x[:, -3],
    "begin": lambda x: x[1:],
    "begin_negative": lambda x: x[-2:],
    "begin_beyond": lambda x: x[9:],
    "end": lambda x: x[:2],
    "end_negative": lambda x: x[:-1],
    "end_far_negative": lambda x: x[:-9],
    "end_beyond": lambda x: x[:9],
    "both": lambda x: x[1:4, 1:3],
    "crossed": lambda x: x[3:1],
    "stride": lambda x: x[::2],
    "stride_offset": lambda x: x[1::3],
    "stride_bounds": lambda x: x[1:5:2],
    "reverse": lambda x: x[::-1],
    "reverse_both": lambda x: x[::-1, ::-2],
    "reverse_begin": lambda x: x[2::-1],
    "reverse_begin_negative": lambda x: x[-2::-1],
    "reverse_begin_beyond": lambda x: x[9::-2],
    "reverse_begin_far_negative": lambda x: x[-9::-2],
    "reverse_end": lambda x: x[:1:-1],
    "reverse_end_negative": lambda x: x[:-4:-1],
    "reverse_end_far_negative": lambda x: x[:-9:-1],
    "reverse_bounds": lambda x: x[4:0:-3],
    "reverse_crossed": lambda x: x[0:3:-1],
    "ellipsis": lambda x: x[..., 1],
    "ellipsis_middle": lambda x: x[1:, ..., 1:],
    "ellipsis_front": lambda x: x[..., 1:, 0],
    "ellipsis_empty": lambda x: x[1:, ..., 0:2],
    "new_axis": lambda x: x[tf.newaxis],
    "new_axis_last": lambda x: x[..., tf.newaxis],
    "new_axis_middle": lambda x: x[:, tf.newaxis, 1:],
    "new_axes": lambda x: x[tf.newaxis, ..., tf.newaxis, 0, tf.newaxis],
    "ellipsis_new_axis": lambda x: x[0, ..., tf.newaxis, 1:],
}


def _strided(**masks: int) -> Callable[..., Any]:
    return lambda x: raw.StridedSlice(input=x, begin=[1, 2], end=[5, 1], strides=[1, 1], **masks)


def _slices() -> Iterator[OpCase]:
    for name, fn in SLICES.items():
        yield OpCase(f"StridedSlice_{name}", fn, (f32("n", 5),), sizes=(0, 1, 2, 3, 6))
        if "empty" not in name:
            yield OpCase(f"StridedSlice_{name}_rank3", fn, (i32(4, "n", 3),), sizes=(0, 1, 3, 6), may_guard=None)
    for t in TYPES:
        yield OpCase(f"StridedSlice_{t.name}", lambda x: x[1:, ::-2], (Arg(t, ("n", 5)),))
        yield OpCase(f"Slice_{t.name}", lambda x: raw.Slice(input=x, begin=[0, 1], size=[-1, 2]), (Arg(t, ("n", 5)),))
    for masks in [
        {"begin_mask": 3},
        {"end_mask": 2},
        {"shrink_axis_mask": 1},
        {"shrink_axis_mask": 3, "begin_mask": 3},
        {"new_axis_mask": 2, "shrink_axis_mask": 2},
        {"ellipsis_mask": 1, "shrink_axis_mask": 2},
    ]:
        name = "_".join(f"{key}{value}" for key, value in masks.items())
        yield OpCase(f"StridedSlice_{name}", _strided(**masks), (f32("n", 5),))
    yield OpCase(
        "StridedSlice_by_int64",
        lambda x: raw.StridedSlice(
            input=x,
            begin=tf.constant([1], tf.int64),
            end=tf.constant([3], tf.int64),
            strides=tf.constant([1], tf.int64),
        ),
        (f32("n"),),
    )
    yield OpCase("StridedSlice_scalar_input", lambda x: x[...], (f32(),))
    yield from _computed_slices()


def _computed_slices() -> Iterator[OpCase]:
    yield OpCase("StridedSlice_positions", lambda x: tf.reshape(tf.range(32), [8, 4])[: tf.shape(x)[1]], (f32(2, "n"),))
    yield OpCase("StridedSlice_other_dim", lambda x, y: x[: tf.shape(y)[0]], (f32("n", 2), f32("m")))
    yield OpCase("StridedSlice_offset", lambda x, y: x[tf.shape(y)[0] :], (f32("n", 2), f32("m")))
    yield OpCase("StridedSlice_last", lambda x: x[:, tf.shape(x)[1] - 1], (f32(2, "n"),))
    yield OpCase(
        "StridedSlice_before_last", lambda x: x[: tf.shape(x)[0] - 1], (f32("n", 2),), may_guard=lambda s: s["n"] == 0
    )
    for low, high in [(-9, -5), (-4, 0), (0, 4), (4, 9)]:
        name = f"{low}_{high}".replace("-", "m")
        scalar = i32(make=integers(low, high), known=True)
        yield OpCase(f"StridedSlice_value_begin_{name}", lambda x, i: x[i:], (f32("n", 3), scalar))
        yield OpCase(f"StridedSlice_value_end_{name}", lambda x, i: x[:, :i], (f32(2, "n"), scalar))
        yield OpCase(f"StridedSlice_value_reverse_{name}", lambda x, i: x[i::-1], (f32("n", 3), scalar))
        yield OpCase(f"StridedSlice_value_reverse_end_{name}", lambda x, i: x[:i:-2], (f32("n", 3), scalar))
    yield OpCase("StridedSlice_value_index", lambda x, i: x[i], (f32("n", 3), i32(make=integers(-3, 3), known=True)))
    yield OpCase("StridedSlice_value_unknown", lambda x, i: x[i:], (f32("n", 3), i32()))
    yield OpCase("Slice_sizes", lambda x: raw.Slice(input=x, begin=[1, 0], size=[2, -1]), (f32("n", "m"),))
    yield OpCase(
        "Slice_by_int64",
        lambda x: raw.Slice(input=x, begin=tf.constant([0, 2], tf.int64), size=tf.constant([-1, 0], tf.int64)),
        (f32("n", 3),),
    )
    yield OpCase(
        "Slice_values",
        lambda x, b, s: raw.Slice(input=x, begin=b, size=s),
        (f32(8, "n"), i32(2, make=integers(0, 2), known=True), i32(2, make=integers(0, 3), known=True)),
    )
    yield OpCase(
        "Slice_rest_value",
        lambda x, s: raw.Slice(input=x, begin=[1], size=s),
        (f32("n"), i32(1, make=integers(-1, 2), known=True)),
        sizes=(0, 1, 3, 4, 5, 6, 7),
        may_guard=lambda sizes: True,
    )
    yield OpCase(
        "Slice_range", lambda x: raw.Slice(input=x, begin=[2], size=tf.identity([3])), (f32(4),), refusal="less than"
    )


CASES = (*_queries(), *_reshapes(), *_makers(), *_ranges(), *_slices())
