"""Rows of image resizing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tests.ops.harness import Arg, OpCase, f32

raw = tf.raw_ops
OPS: dict[str, Callable[..., Any]] = {
    "ResizeBilinear": raw.ResizeBilinear,
    "ResizeNearestNeighbor": raw.ResizeNearestNeighbor,
}
MODES: tuple[dict[str, bool], ...] = ({}, {"align_corners": True}, {"half_pixel_centers": True})
TYPES = (tf.float32, tf.float64, tf.float16, tf.uint8, tf.int8, tf.int16, tf.uint16, tf.int32, tf.int64, tf.bfloat16)
EXTENTS = (0, 1, 2, 3, 7)


def _resize(op: Callable[..., Any], size: tuple[int, int], **attrs: Any) -> Callable[..., Any]:
    return lambda x: op(images=x, size=size, **attrs)


def _double(op: Callable[..., Any], **attrs: Any) -> Callable[..., Any]:
    """Twice the size, computed as UpSampling2D does for images of unknown size."""
    return lambda x: op(images=x, size=tf.shape(x)[1:3] * 2, **attrs)


def _cases() -> Iterator[OpCase]:
    for name, op in OPS.items():
        for mode in MODES:
            label = next(iter(mode), "plain")
            for size in [(1, 1), (5, 9), (14, 3), (7, 6)]:
                yield OpCase(
                    f"{name}_{label}_{size[0]}x{size[1]}",
                    _resize(op, size, **mode),
                    (f32(2, "h", 6, 3),),
                    sizes=EXTENTS,
                )
            yield OpCase(f"{name}_{label}_double", _double(op, **mode), (f32("n", "h", "w", 2),), sizes=(1, 3, 5))
            yield OpCase(f"{name}_{label}_batch", _resize(op, (8, 10), **mode), (f32("n", 4, 5, 3),))
        for t in TYPES:
            yield OpCase(f"{name}_{t.name}", _resize(op, (5, 4), half_pixel_centers=True), (Arg(t, (2, 3, 6, 2)),))
        yield OpCase(
            f"{name}_both",
            _resize(op, (5, 4), half_pixel_centers=True, align_corners=True),
            (f32(2, 3, 6, 2),),
            refusal="exclude each other",
        )
        yield OpCase(f"{name}_channels", _resize(op, (5, 4)), (f32(2, 3, 6, "c"),))


CASES = tuple(_cases())
