"""Rows of ops that move elements to computed places, and of matrices made of diagonals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tests.ops.harness import Arg, OpCase, cycle, f32, i32, i64, integers

raw = tf.raw_ops
SOME = (tf.float32, tf.int64, tf.bool, tf.bfloat16, tf.uint8)
_TABLE = tf.Variable(np.arange(60, dtype=np.float32).reshape(3, 4, 5))


def _moves() -> Iterator[OpCase]:
    for t in SOME:
        yield OpCase(f"Roll_{t.name}", lambda x: raw.Roll(input=x, shift=2, axis=0), (Arg(t, ("n", 3)),))
    yield OpCase(
        "Roll_two", lambda x: raw.Roll(input=x, shift=[-1, 5], axis=[1, -1]), (f32(2, "n", "m"),), sizes=(0, 1, 4)
    )
    yield OpCase(
        "Roll_data",
        lambda x, s: raw.Roll(input=x, shift=s, axis=[1, 1]),
        (f32("m", "n"), i64(2)),
        sizes=(1, 4),
    )
    for t in (tf.int32, tf.int64):
        yield OpCase(
            f"ReverseSequence_{t.name}",
            lambda x, n: raw.ReverseSequence(input=x, seq_lengths=n, seq_dim=1, batch_dim=0),
            (f32("n", 4, "m"), Arg(t, ("n",), integers(0, 5))),
            sizes=(0, 1, 3),
        )
    yield OpCase(
        "ReverseSequence_time_first",
        lambda x, n: raw.ReverseSequence(input=x, seq_lengths=n, seq_dim=0, batch_dim=2),
        (i32(4, 3, "n"), i64("n", make=integers(0, 5))),
    )
    yield OpCase(
        "ReverseSequence_range",
        lambda x, n: raw.ReverseSequence(input=x, seq_lengths=n, seq_dim=1, batch_dim=0),
        (f32("n", 4), i64("n", make=cycle(3, 5, -1))),
        sizes=(1, 2, 3),
    )
    for t in (tf.float32, tf.int32, tf.float64, tf.float16):
        yield OpCase(
            f"Cross_{t.name}",
            lambda a, b: raw.Cross(a=a, b=b),
            (Arg(t, ("n", 3)), Arg(t, ("n", 3))),
            4e-3 if t == tf.float16 else 1e-5,
        )
    for t in (tf.float32, tf.float64):
        for count in (1, 2, 7):
            yield OpCase(
                f"LinSpace_{t.name}_{count}",
                lambda a, b, count=count: raw.LinSpace(start=a, stop=b, num=count),
                (Arg(t, ()), Arg(t, ())),
            )
    yield OpCase(
        "LinSpace_given",
        lambda a, b, n: raw.LinSpace(start=a, stop=b, num=n),
        (f32(), f32(), i32(make=integers(1, 9), known=True)),
    )


def _layouts() -> Iterator[OpCase]:
    for shape in ((4,), (4, 2), (2,), (2, 2)):
        for pair in (("NHWC", "NCHW"), ("NCHW", "NHWC")):
            yield OpCase(
                f"DataFormatVecPermute_{'x'.join(map(str, shape))}_{pair[0]}",
                lambda x, pair=pair: raw.DataFormatVecPermute(x=x, src_format=pair[0], dst_format=pair[1]),
                (i32(*shape),),
            )
    yield OpCase(
        "DataFormatVecPermute_sizes",
        lambda x: raw.Reshape(tensor=x, shape=raw.DataFormatVecPermute(x=tf.shape(x))),
        (f32("n", 2, 3, "m"),),
    )
    yield OpCase("DataFormatDimMap", lambda x: raw.DataFormatDimMap(x=x), (i32("n", make=integers(-4, 4)),))
    yield OpCase(
        "DataFormatDimMap_volume",
        lambda x: raw.DataFormatDimMap(x=x, src_format="NCDHW", dst_format="NDHWC"),
        (i64("n", make=integers(-5, 5)),),
    )
    yield OpCase(
        "BroadcastArgs",
        lambda x, y: raw.BroadcastTo(input=x, shape=raw.BroadcastArgs(s0=tf.shape(x), s1=tf.shape(y))),
        (f32(1, 3), f32("n", 2, 1)),
    )
    yield OpCase(
        "ConcatOffset",
        lambda x, y: raw.ConcatOffset(concat_dim=1, shape=[tf.shape(x), tf.shape(y), tf.shape(x)]),
        (f32(2, "n"), f32(2, "m")),
    )
    for t in (tf.int32, tf.int64):
        yield OpCase(
            f"UnravelIndex_{t.name}",
            lambda x: raw.UnravelIndex(indices=x, dims=tf.constant([2, 5, 3], x.dtype)),
            (Arg(t, ("n",), integers(0, 30)),),
            sizes=(0, 1, 7),
        )
    yield OpCase(
        "UnravelIndex_scalar",
        lambda x, y: raw.UnravelIndex(indices=x, dims=tf.shape(y)),
        (i32(make=integers(0, 1)), f32("n", "m")),
        sizes=(1, 3),
    )
    yield OpCase(
        "UnravelIndex_range",
        lambda x: raw.UnravelIndex(indices=x, dims=[2, 2]),
        (i32("n", make=cycle(3, 4)),),
        sizes=(1, 2),
    )
    yield OpCase("EnsureShape", lambda x: raw.EnsureShape(input=x, shape=[None, 3]), (f32("n", "m"),), sizes=(1, 3))
    yield OpCase("GuaranteeConst", lambda x: raw.GuaranteeConst(input=x), (f32("n"),))
    yield OpCase("DebugGradientIdentity", lambda x: raw.DebugGradientIdentity(input=x), (f32("n"),), traced=True)
    yield OpCase(
        "VariableShape", lambda x: x + tf.cast(raw.VariableShape(input=_TABLE.handle), tf.float32), (f32("n", 3),)
    )
    yield OpCase(
        "ResourceGatherNd",
        lambda i: raw.ResourceGatherNd(resource=_TABLE.handle, indices=i, dtype=tf.float32),
        (i32("n", 2, make=integers(0, 3)),),
    )
    yield OpCase(
        "ResourceGatherNd_range",
        lambda i: raw.ResourceGatherNd(resource=_TABLE.handle, indices=i, dtype=tf.float32),
        (i64("n", 2, make=integers(3, 5)),),
        sizes=(0, 2),
    )


def _blocks() -> Iterator[OpCase]:
    yield OpCase(
        "SpaceToBatch",
        lambda x: raw.SpaceToBatch(input=x, paddings=[[1, 1], [0, 2]], block_size=2),
        (f32("n", 4, "w", 3),),
        sizes=(0, 2, 4),
    )
    yield OpCase(
        "BatchToSpace",
        lambda x: raw.BatchToSpace(input=x, crops=[[1, 0], [0, 1]], block_size=2),
        (f32(8, "h", "w", 3),),
        sizes=(1, 3),
    )


def _slices() -> Iterator[OpCase]:
    def update(x: Any, v: Any) -> Any:
        return raw.TensorStridedSliceUpdate(input=x, begin=[1, 0], end=[3, 0], strides=[1, 1], value=v, end_mask=2)

    for t in SOME:
        yield OpCase(f"TensorStridedSliceUpdate_{t.name}", update, (Arg(t, (4, "m")), Arg(t, (2, "m"))))
    yield OpCase(
        "TensorStridedSliceUpdate_column",
        lambda x, v: raw.TensorStridedSliceUpdate(
            input=x, begin=[0, 1], end=[0, 2], strides=[1, 1], value=v, begin_mask=1, end_mask=1, shrink_axis_mask=2
        ),
        (f32("n", 3), f32("n")),
    )
    yield OpCase(
        "TensorStridedSliceUpdate_stride",
        lambda x, v: raw.TensorStridedSliceUpdate(input=x, begin=[0], end=[4], strides=[2], value=v),
        (f32(4), f32(2)),
        refusal="writes with a stride",
    )
    yield OpCase(
        "StridedSliceGrad",
        lambda x, dy: raw.StridedSliceGrad(
            shape=tf.shape(x), begin=[0, 1], end=[0, 3], strides=[1, 1], dy=dy, begin_mask=1, end_mask=1
        ),
        (f32("n", 4), f32("n", 2)),
    )


# --- diagonals --------------------------------------------------------------------------------------------------------
BANDS = ((0, 0), (1, 1), (-2, -2), (-1, 1), (0, 2), (-2, 0), (1, 2))
ALIGNMENTS = ("LEFT_RIGHT", "RIGHT_LEFT", "LEFT_LEFT", "RIGHT_RIGHT")


def _diagonals() -> Iterator[OpCase]:
    for t in SOME:
        yield OpCase(f"MatrixDiag_{t.name}", lambda x: raw.MatrixDiag(diagonal=x), (Arg(t, (2, "n")),))
        yield OpCase(f"MatrixDiagPart_{t.name}", lambda x: raw.MatrixDiagPart(input=x), (Arg(t, ("n", 3, 4)),))
        yield OpCase(
            f"MatrixSetDiag_{t.name}",
            lambda x, d: raw.MatrixSetDiag(input=x, diagonal=d),
            (Arg(t, ("n", 3, 5)), Arg(t, ("n", 3))),
        )
    for t in (tf.float32, tf.int64):
        yield OpCase(f"Diag_{t.name}", lambda x: raw.Diag(diagonal=x), (Arg(t, (2, "n")),))
        yield OpCase(f"DiagPart_{t.name}", lambda x: raw.DiagPart(input=x), (Arg(t, (2, "n", 2, "n")),))
    yield OpCase("DiagPart_vector", lambda x: raw.DiagPart(input=x), (f32("n", "n"),))
    for number, band in enumerate(BANDS):
        align = ALIGNMENTS[number % len(ALIGNMENTS)]
        label = f"{band[0]}_{band[1]}_{align}"
        length = 4 - max(band[0], 0) if band[0] >= 0 else 4 + min(band[1], 0)
        count = band[1] - band[0] + 1
        diagonals = (length,) if count == 1 else (count, length)
        yield OpCase(f"MatrixSetDiagV3_{label}", _set_diagonals(band, align), (f32(4, 4), f32(*diagonals)))
        yield OpCase(
            f"MatrixDiagV3_{label}", _diagonal_matrix(band, align), (f32("n", *diagonals), f32()), sizes=(0, 2)
        )
    yield OpCase(
        "MatrixDiagV3_rows",
        lambda x, p: raw.MatrixDiagV3(diagonal=x, k=1, num_rows=3, num_cols=6, padding_value=p),
        (f32("n", 3), f32()),
    )
    yield OpCase(
        "MatrixDiagV3_unknown",
        lambda x, p: raw.MatrixDiagV3(diagonal=x, k=[-1, 0], num_rows=-1, num_cols=-1, padding_value=p),
        (f32(2, "n"), f32()),
        sizes=(1, 2, 5),
    )
    yield OpCase(
        "MatrixDiagV2",
        lambda x, p: raw.MatrixDiagV2(diagonal=x, k=[-1, 1], num_rows=-1, num_cols=-1, padding_value=p),
        (f32("n", 3, 4), f32()),
    )
    yield OpCase(
        "MatrixSetDiagV2",
        lambda x, d: raw.MatrixSetDiagV2(input=x, diagonal=d, k=[-1, 1]),
        (f32(4, 3), f32(3, 3)),
    )
    yield OpCase(
        "MatrixDiagPartV2",
        lambda x: raw.MatrixDiagPartV2(input=x, k=[-1, 1], padding_value=-7.0),
        (f32("n", 4, "m"),),
        sizes=(2, 3, 5),
    )
    yield OpCase(
        "MatrixSetDiagV3_unknown",
        lambda x, d: raw.MatrixSetDiagV3(input=x, diagonal=d, k=0),
        (f32("n", "m", "m"), f32("n", "m")),
    )


def _set_diagonals(band: tuple[int, int], align: str) -> Callable[..., Any]:
    return lambda x, d: raw.MatrixSetDiagV3(input=x, diagonal=d, k=band, align=align)


def _diagonal_matrix(band: tuple[int, int], align: str) -> Callable[..., Any]:
    return lambda d, p: raw.MatrixDiagV3(diagonal=d, k=band, num_rows=4, num_cols=4, padding_value=p, align=align)


CASES = (*_moves(), *_layouts(), *_blocks(), *_slices(), *_diagonals())
