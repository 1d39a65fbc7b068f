"""Rows of the ops that move elements: joins, splits, padding, gathers, scatters, blocks, diagonals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tests.ops.cases_state import TYPES
from tests.ops.harness import Arg, OpCase, cycle, f32, i32, i64, integers

raw = tf.raw_ops
NUMBERS = tuple(t for t in TYPES if t != tf.bool)


def _joins() -> Iterator[OpCase]:
    for t in TYPES:
        two = (Arg(t, ("n", 3)), Arg(t, ("n", 2)))
        yield OpCase(f"ConcatV2_{t.name}", lambda x, y: raw.ConcatV2(values=[x, y], axis=1), two)
        yield OpCase(
            f"Pack_{t.name}", lambda x, y: raw.Pack(values=[x, y], axis=1), (Arg(t, ("n", 3)), Arg(t, ("n", 3)))
        )
        yield OpCase(f"Transpose_{t.name}", lambda x: raw.Transpose(x=x, perm=[2, 0, 1]), (Arg(t, ("n", 3, "m")),))
    rows = (f32("n", 3), f32("m", 3), f32(2, 3))
    yield OpCase("Concat", lambda x, y: raw.Concat(concat_dim=1, values=[x, y]), (f32("n", 3), f32("n", 2)))
    yield OpCase("ConcatV2_dims", lambda *v: raw.ConcatV2(values=list(v), axis=0), rows)
    yield OpCase("ConcatV2_negative", lambda *v: raw.ConcatV2(values=list(v), axis=tf.constant(-2, tf.int64)), rows)
    yield OpCase("ConcatV2_unify", lambda x, y: raw.ConcatV2(values=[x, y], axis=1), (f32("n", 3), f32("m", 2)))
    yield OpCase(
        "ConcatV2_shapes", lambda x: tf.zeros(raw.ConcatV2(values=[tf.shape(x)[:1], [4]], axis=0)), (f32("n", 3),)
    )
    for axis in (0, 1, 2, -1, -3):
        yield OpCase(
            f"Pack_axis_{axis}", lambda x, y, axis=axis: raw.Pack(values=[x, y], axis=axis), (f32("n", 3), f32("n", 3))
        )
    yield OpCase("Pack_one", lambda x: raw.Pack(values=[x]), (f32("n", 3),))
    yield OpCase("Pack_scalars", lambda x, y: raw.Pack(values=[x, y]), (f32(), f32()))
    yield OpCase("Pack_unify", lambda x, y: raw.Pack(values=[x, y]), (f32("n"), f32("m")))
    for perm in [(0, 1, 2), (0, 2, 1), (2, 1, 0), (-1, 0, 1)]:
        name = "_".join(map(str, perm))
        yield OpCase(f"Transpose_{name}", lambda x, perm=perm: raw.Transpose(x=x, perm=perm), (f32("n", 3, "m"),))
    yield OpCase(
        "Transpose_by_int64", lambda x: raw.Transpose(x=x, perm=tf.constant([1, 0], tf.int64)), (f32("n", "m"),)
    )
    yield OpCase("Transpose_rank5", lambda x: raw.Transpose(x=x, perm=[0, 3, 1, 4, 2]), (f32(2, "n", 2, 3, 2),))
    yield OpCase("Transpose_scalar", lambda x: raw.Transpose(x=x, perm=tf.constant([], tf.int32)), (f32(),))
    yield OpCase(
        "Transpose_unknown", lambda x, p: raw.Transpose(x=x, perm=p), (f32(2, 3), i32(2)), refusal="not constant"
    )


def _splits() -> Iterator[OpCase]:
    for t in TYPES:
        yield OpCase(f"Split_{t.name}", lambda x: raw.Split(axis=1, value=x, num_split=3), (Arg(t, ("n", 6)),))
        yield OpCase(
            f"SplitV_{t.name}",
            lambda x: raw.SplitV(value=x, size_splits=[1, 3, 2], axis=1, num_split=3),
            (Arg(t, ("n", 6)),),
        )
        yield OpCase(f"Unpack_{t.name}", lambda x: raw.Unpack(value=x, num=3, axis=1), (Arg(t, ("n", 3)),))
    yield OpCase(
        "Split_dynamic", lambda x: raw.Split(axis=-2, value=x, num_split=3), (f32("n", 2),), sizes=(0, 1, 3, 6)
    )
    yield OpCase("Split_one", lambda x: raw.Split(axis=0, value=x, num_split=1), (f32("n", 2),))
    yield OpCase("SplitV_rest", lambda x: raw.SplitV(value=x, size_splits=[1, -1], axis=0, num_split=2), (f32("n", 2),))
    yield OpCase(
        "SplitV_by_int64",
        lambda x: raw.SplitV(value=x, size_splits=tf.constant([0, -1, 2], tf.int64), axis=-1, num_split=3),
        (f32("n", 4),),
    )
    yield OpCase("SplitV_exact", lambda x: raw.SplitV(value=x, size_splits=[1, 2], axis=0, num_split=2), (f32("n", 2),))
    yield OpCase(
        "SplitV_values",
        lambda x, s: raw.SplitV(value=x, size_splits=s, axis=0, num_split=2),
        (f32("n", 2), i32(2, make=cycle(1, 2), known=True)),
        sizes=(0, 1, 2, 3, 4),
    )
    for axis in (0, -1):
        yield OpCase(
            f"Unpack_axis_{axis}", lambda x, axis=axis: raw.Unpack(value=x, num=2, axis=axis), (f32(2, "n", 2),)
        )
    yield OpCase("Unpack_dynamic", lambda x: raw.Unpack(value=x, num=3, axis=0), (f32("n", 2),))
    yield OpCase("Unpack_vector", lambda x: raw.Unpack(value=x, num=3), (i32(3),))


def _pads() -> Iterator[OpCase]:
    for t in TYPES:
        yield OpCase(f"Pad_{t.name}", lambda x: raw.Pad(input=x, paddings=[[1, 0], [0, 2]]), (Arg(t, ("n", 3)),))
        yield OpCase(
            f"PadV2_{t.name}",
            lambda x, v: raw.PadV2(input=x, paddings=tf.constant([[0, 1], [2, 1]], tf.int64), constant_values=v),
            (Arg(t, ("n", 3)), Arg(t, ())),
        )
        if t != tf.uint16:
            yield OpCase(f"Tile_{t.name}", lambda x: raw.Tile(input=x, multiples=[2, 3]), (Arg(t, ("n", 2)),))
    yield OpCase("Pad_nothing", lambda x: raw.Pad(input=x, paddings=[[0, 0], [0, 0]]), (f32("n", 3),))
    yield OpCase(
        "Pad_rank4", lambda x: raw.Pad(input=x, paddings=[[0, 0], [1, 2], [3, 0], [0, 0]]), (f32("n", 2, "m", 3),)
    )
    yield OpCase("Pad_scalar", lambda x: raw.Pad(input=x, paddings=tf.zeros([0, 2], tf.int32)), (f32(),))
    yield OpCase(
        "Pad_to_length", lambda x: raw.Pad(input=x, paddings=[[0, 6 - tf.shape(x)[0]], [0, 0]]), (f32("n", 2),)
    )
    yield OpCase(
        "Pad_value",
        lambda x, p: raw.Pad(input=x, paddings=p),
        (f32("n", 2), i32(2, 2, make=integers(0, 3), known=True)),
    )
    yield OpCase(
        "Pad_unknown", lambda x, p: raw.Pad(input=x, paddings=p), (f32("n", 2), i32(2, 2)), refusal="not known"
    )
    for mode in ("REFLECT", "SYMMETRIC"):
        for t in (tf.float32, tf.int32, tf.int64, tf.bool, tf.uint8):
            if t not in (tf.bool, tf.uint8):
                yield OpCase(
                    f"MirrorPad_{mode}_{t.name}",
                    lambda x, mode=mode: raw.MirrorPad(input=x, paddings=[[2, 1], [0, 2]], mode=mode),
                    (Arg(t, ("n", 3)),),
                    sizes=(0, 1, 2, 3, 6),
                )
        yield OpCase(
            f"MirrorPad_{mode}_batch",
            lambda x, mode=mode: raw.MirrorPad(input=x, paddings=[[0, 0], [2, 3], [1, 1], [0, 0]], mode=mode),
            (f32("n", 4, 5, 2),),
        )
    yield OpCase("Tile_rank1", lambda x: raw.Tile(input=x, multiples=[4]), (f32("n"),))
    yield OpCase("Tile_none", lambda x: raw.Tile(input=x, multiples=[1, 1]), (f32("n", 3),))
    yield OpCase("Tile_zero", lambda x: raw.Tile(input=x, multiples=tf.constant([1, 0], tf.int64)), (f32("n", 3),))
    yield OpCase("Tile_rank4", lambda x: raw.Tile(input=x, multiples=[1, 2, 1, 3]), (f32("n", 2, 3, "m"),))
    yield OpCase("Tile_scalar", lambda x: raw.Tile(input=x, multiples=tf.constant([], tf.int32)), (f32(),))
    yield OpCase("Tile_by_dim", lambda x, y: raw.Tile(input=x, multiples=[tf.shape(y)[0], 1]), (f32(1, "m"), f32("n")))


def _reverses() -> Iterator[OpCase]:
    for t in TYPES:
        if t != tf.uint64:
            yield OpCase(f"ReverseV2_{t.name}", lambda x: raw.ReverseV2(tensor=x, axis=[1]), (Arg(t, ("n", 3)),))
    for axes in [(), (0,), (0, 1), (-1, 0), (2,)]:
        name = "_".join(map(str, axes))
        yield OpCase(
            f"ReverseV2_axes_{name}",
            lambda x, axes=axes: raw.ReverseV2(tensor=x, axis=tf.constant(axes, tf.int64, (len(axes),))),
            (f32("n", 3, "m"),),
        )
    for flags in [(False, True), (True, True), (False, False)]:
        name = "_".join(map(str, flags))
        yield OpCase(f"Reverse_{name}", lambda x, flags=flags: raw.Reverse(tensor=x, dims=flags), (f32("n", 3),))


def _blocks() -> Iterator[OpCase]:
    for t in (tf.float32, tf.int32, tf.int64, tf.uint8, tf.float16):
        yield OpCase(
            f"SpaceToDepth_{t.name}", lambda x: raw.SpaceToDepth(input=x, block_size=2), (Arg(t, ("n", 4, 6, 3)),)
        )
        yield OpCase(
            f"DepthToSpace_{t.name}", lambda x: raw.DepthToSpace(input=x, block_size=2), (Arg(t, ("n", 2, 3, 8)),)
        )
    yield OpCase("SpaceToDepth_dynamic", lambda x: raw.SpaceToDepth(input=x, block_size=3), (f32(2, "n", "m", 1),))
    yield OpCase("DepthToSpace_dynamic", lambda x: raw.DepthToSpace(input=x, block_size=3), (f32(2, "n", "m", 9),))
    yield OpCase(
        "SpaceToDepth_nchw",
        lambda x: raw.SpaceToDepth(input=x, block_size=2, data_format="NCHW"),
        (f32(1, 1, 2, 2),),
        refusal="data_format",
    )
    for t in (tf.float32, tf.int32, tf.int64, tf.uint8):
        yield OpCase(
            f"SpaceToBatchND_{t.name}",
            lambda x: raw.SpaceToBatchND(input=x, block_shape=[2, 3], paddings=[[1, 0], [2, 1]]),
            (Arg(t, ("n", 3, 6, 2)),),
        )
        yield OpCase(
            f"BatchToSpaceND_{t.name}",
            lambda x: raw.BatchToSpaceND(input=x, block_shape=[2, 2], crops=[[1, 0], [0, 2]]),
            (Arg(t, (4, 3, "n", 2)),),
        )
    yield OpCase(
        "SpaceToBatchND_dynamic",
        lambda x: raw.SpaceToBatchND(input=x, block_shape=[2], paddings=[[0, 1]]),
        (f32(2, "n", 3),),
        sizes=(0, 1, 2, 3),
    )
    yield OpCase(
        "SpaceToBatchND_rest", lambda x: raw.SpaceToBatchND(input=x, block_shape=[2], paddings=[[0, 0]]), (f32(2, 4),)
    )
    yield OpCase(
        "BatchToSpaceND_dynamic",
        lambda x: raw.BatchToSpaceND(input=x, block_shape=[2], crops=[[1, 1]]),
        (f32("n", "m", 3),),
        sizes=(0, 1, 2, 4),
    )
    yield OpCase(
        "SpaceToBatchND_one",
        lambda x: raw.SpaceToBatchND(input=x, block_shape=[1, 2], paddings=[[0, 0], [0, 0]]),
        (f32("n", 3, 4, 2),),
    )


def _indexed() -> Iterator[OpCase]:
    rows = integers(0, 4)
    for t in TYPES:
        yield OpCase(
            f"Gather_{t.name}", lambda x, i: raw.Gather(params=x, indices=i), (Arg(t, (4, "n")), i32("m", make=rows))
        )
        yield OpCase(
            f"GatherV2_{t.name}",
            lambda x, i: raw.GatherV2(params=x, indices=i, axis=1),
            (Arg(t, ("n", 4)), i32(2, "m", make=rows)),
        )
        yield OpCase(
            f"GatherNd_{t.name}",
            lambda x, i: raw.GatherNd(params=x, indices=i),
            (Arg(t, (4, 4, "n")), i32("m", 2, make=rows)),
        )
        if t not in (tf.uint64, tf.uint32, tf.uint16, tf.int16, tf.int8):
            yield OpCase(
                f"TensorScatterUpdate_{t.name}",
                lambda x, i, u: raw.TensorScatterUpdate(tensor=x, indices=i, updates=u),
                (Arg(t, (4, "n")), i32("m", 1, make=rows), Arg(t, ("m", "n"))),
            )
    for t in (tf.int32, tf.int64, tf.int16):
        yield OpCase(
            f"GatherV2_by_{t.name}",
            lambda x, i: raw.GatherV2(params=x, indices=i, axis=0),
            (f32(4, 3), Arg(t, ("m",), rows)),
        )
        if t != tf.int16:
            yield OpCase(
                f"GatherNd_by_{t.name}",
                lambda x, i: raw.GatherNd(params=x, indices=i),
                (f32(4, 3), Arg(t, ("m", 1), rows)),
            )
            yield OpCase(
                f"Gather_by_{t.name}", lambda x, i: raw.Gather(params=x, indices=i), (f32(4, 3), Arg(t, ("m",), rows))
            )
    yield OpCase(
        "GatherV2_scalar", lambda x, i: raw.GatherV2(params=x, indices=i, axis=-1), (f32("n", 4), i32(make=rows))
    )
    yield OpCase(
        "GatherV2_range",
        lambda x, i: raw.GatherV2(params=x, indices=i, axis=0),
        (f32("n", 3), i32(2, make=integers(0, 2))),
        sizes=(0, 1, 3),
    )
    yield OpCase(
        "GatherV2_negative",
        lambda x, i: raw.GatherV2(params=x, indices=i, axis=0),
        (f32(4, 3), i32("n", make=integers(-2, 0))),
        sizes=(0, 3),
    )
    yield OpCase(
        "Gather_range",
        lambda x, i: raw.Gather(params=x, indices=i),
        (f32(4, 3), i64("n", make=integers(4, 9))),
        sizes=(0, 3),
    )
    batched = (f32("n", 4, 3), i32("n", 2, make=integers(0, 3)))
    yield OpCase("GatherV2_batch", lambda x, i: raw.GatherV2(params=x, indices=i, axis=2, batch_dims=1), batched)
    yield OpCase(
        "GatherV2_batch_negative", lambda x, i: raw.GatherV2(params=x, indices=i, axis=-2, batch_dims=-1), batched
    )
    yield OpCase(
        "GatherV2_batch_unify",
        lambda x, i: raw.GatherV2(params=x, indices=i, axis=1, batch_dims=1),
        (f32("n", 4), i32("m", 2, make=rows)),
    )
    yield OpCase(
        "GatherV2_batch_all",
        lambda x, i: raw.GatherV2(params=x, indices=i, axis=2, batch_dims=2),
        (f32("n", 2, 4), i32("n", 2, make=rows)),
    )
    yield OpCase(
        "GatherV2_shape",
        lambda x, y: tf.zeros(raw.GatherV2(params=tf.shape(x), indices=[1, 0], axis=0)) + y,
        (f32("n", "m"), f32()),
    )
    yield OpCase("GatherNd_whole", lambda x, i: raw.GatherNd(params=x, indices=i), (f32(4, 3), i32("n", 0)))
    yield OpCase(
        "GatherNd_elements", lambda x, i: raw.GatherNd(params=x, indices=i), (f32(4, 4), i32("n", 3, 2, make=rows))
    )
    yield OpCase("GatherNd_one", lambda x, i: raw.GatherNd(params=x, indices=i), (f32(4, 4), i32(1, make=rows)))
    yield OpCase(
        "GatherNd_range",
        lambda x, i: raw.GatherNd(params=x, indices=i),
        (f32("n", 4), i32(3, 1, make=integers(0, 2))),
        sizes=(0, 1, 3),
    )
    yield OpCase(
        "GatherNd_unknown_depth",
        lambda x, i: raw.GatherNd(params=x, indices=i),
        (f32(4, 4), i32(2, "n")),
        refusal="unknown",
    )


def _scatters() -> Iterator[OpCase]:
    rows = integers(0, 4)
    for t in (tf.float32, tf.float64, tf.int32, tf.int64):
        yield OpCase(
            f"ScatterNd_{t.name}",
            lambda i, u: raw.ScatterNd(indices=i, updates=u, shape=[4, 3]),
            (i32("n", 1, make=rows), Arg(t, ("n", 3))),
        )
    yield OpCase(
        "ScatterNd_by_int64",
        lambda i, u: raw.ScatterNd(indices=i, updates=u, shape=tf.constant([4, 4], tf.int64)),
        (i64("n", 2, make=rows), f32("n")),
    )
    yield OpCase(
        "ScatterNd_dims",
        lambda i, u: raw.ScatterNd(indices=i, updates=u, shape=[5, tf.shape(u)[1]]),
        (i32("n", 1, make=rows), f32("n", "m")),
    )
    yield OpCase(
        "ScatterNd_range",
        lambda i, u: raw.ScatterNd(indices=i, updates=u, shape=[2]),
        (i32("n", 1, make=integers(2, 5)), f32("n")),
        sizes=(0, 3),
    )
    yield OpCase(
        "TensorScatterUpdate_elements",
        lambda x, i, u: raw.TensorScatterUpdate(tensor=x, indices=i, updates=u),
        (f32(4, 4), i32(2, "n", 2, make=rows), f32(2, "n")),
    )
    yield OpCase(
        "TensorScatterUpdate_by_int64",
        lambda x, i, u: raw.TensorScatterUpdate(tensor=x, indices=i, updates=u),
        (f32("m", 2), i64("n", 1, make=integers(0, 1)), f32("n", 2)),
    )
    for t in (tf.float32, tf.int32, tf.int64, tf.bool):
        yield OpCase(
            f"OneHot_{t.name}",
            lambda i, on, off: raw.OneHot(indices=i, depth=5, on_value=on, off_value=off),
            (i32("n", make=integers(-1, 7)), Arg(t, ()), Arg(t, ())),
        )
    for t in (tf.int32, tf.int64, tf.uint8, tf.int8):
        for axis in (-1, 0, 1):
            yield OpCase(
                f"OneHot_of_{t.name}_{axis}",
                lambda i, axis=axis: tf.one_hot(i, 300, axis=axis),
                (Arg(t, ("n", 2), integers(0, 100)),),
            )
    yield OpCase("OneHot_scalar", lambda i: tf.one_hot(i, 4), (i32(make=rows),))
    yield OpCase("OneHot_empty", lambda i: tf.one_hot(i, 0), (i32("n", make=rows),))
    yield OpCase("OneHot_dim", lambda i, x: tf.one_hot(i, tf.shape(x)[0]), (i32("n", make=rows), f32("m")))


def _matrices() -> Iterator[OpCase]:
    for t in (tf.float32, tf.int32, tf.int64, tf.bool, tf.float16):
        yield OpCase(
            f"MatrixBandPart_{t.name}",
            lambda x: raw.MatrixBandPart(input=x, num_lower=1, num_upper=2),
            (Arg(t, (4, 5)),),
        )
        yield OpCase(
            f"MatrixDiagPartV3_{t.name}",
            lambda x, p: raw.MatrixDiagPartV3(input=x, k=[-1, 1], padding_value=p),
            (Arg(t, (3, 4)), Arg(t, ())),
        )
    for lower, upper in [(-1, 0), (0, -1), (0, 0), (-1, -1), (2, 1)]:
        name = f"{lower}_{upper}".replace("-", "m")
        yield OpCase(
            f"MatrixBandPart_{name}",
            lambda x, a=lower, b=upper: raw.MatrixBandPart(
                input=x, num_lower=tf.constant(a, tf.int64), num_upper=tf.constant(b, tf.int64)
            ),
            (f32(2, "n", "m"),),
            sizes=(0, 1, 2, 3, 6),
        )
    yield OpCase(
        "MatrixBandPart_special", lambda x: raw.MatrixBandPart(input=x / 0.0, num_lower=-1, num_upper=0), (f32(4, 4),)
    )
    yield OpCase(
        "MatrixBandPart_value",
        lambda x, a: raw.MatrixBandPart(input=x, num_lower=a, num_upper=0),
        (f32("n", 4), i32(make=integers(0, 3), known=True)),
    )
    spelling: dict[str, str | int | None] = {"-": "m", "(": "", ")": "", ",": "_", " ": ""}
    bands: list[int | tuple[int, int]] = [0, 1, -1, 2, -3, (0, 0), (0, 2), (-2, 0), (-2, 3), (1, 2), (-3, -1)]
    for k in bands:
        for align in ("RIGHT_LEFT", "LEFT_RIGHT", "LEFT_LEFT", "RIGHT_RIGHT"):
            if isinstance(k, tuple) or align == "RIGHT_LEFT":
                name = f"MatrixDiagPartV3_{k}_{align}".translate(str.maketrans(spelling))
                yield OpCase(name, _diagonals(k, align), (f32("n", "m"), f32()), sizes=(0, 1, 3, 4, 7))
    yield OpCase("MatrixDiagPartV3_batch", _diagonals((-1, 1), "LEFT_RIGHT"), (f32("n", 2, 3, 4), f32()))


def _diagonals(k: int | tuple[int, int], align: str) -> Callable[..., Any]:
    return lambda x, p: raw.MatrixDiagPartV3(input=x, k=k, padding_value=p, align=align)


CASES = (
    *_joins(),
    *_splits(),
    *_pads(),
    *_reverses(),
    *_blocks(),
    *_indexed(),
    *_scatters(),
    *_matrices(),
)
