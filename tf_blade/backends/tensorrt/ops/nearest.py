"""The rule of nearest neighbours: rows and columns of an image are picked as TensorFlow's floats pick them.

Layers compute indices in whole numbers where sizes are unknown. TensorFlow's float32 rounds, so for a few pixels of a
few sizes it picks the neighbour of the nearest one: these are found when converting, over all sizes up to `LARGEST`,
and corrected. The network's limits keep plans from larger sizes.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tf_blade import symbolic
from tf_blade.backends.tensorrt.ops.base import FLOATS, OpContext, op
from tf_blade.backends.tensorrt.ops.images import image_and_size, resized
from tf_blade.backends.tensorrt.ops.windows import from_first, to_first
from tf_blade.backends.tensorrt.values import Value
from tf_blade.dtypes import DType
from tf_blade.symbolic import Dim

# Whole factors by which a nearest neighbour is the same however it is rounded: floor(i * (1 / factor)) is i // factor
# in float32 for each i of an image.
_MAX_FACTOR = 8
# Sizes, and corrections of pixels, up to which unknown sizes are taken.
LARGEST = 4096
_MAX_CORRECTIONS = 1024
PLAIN, CENTERS, CORNERS = "plain", "centers", "corners"


@op("ResizeNearestNeighbor", types={"T": FLOATS | {DType.INT32}})
def resize_nearest(ctx: OpContext) -> Value:
    """A layer for whole factors; else rows and columns are picked, by constant or computed indices."""
    x, size = image_and_size(ctx)
    if not ctx.attr("align_corners", False) and x.dtype in FLOATS:
        factors = [_factor(old, new) for old, new in zip(x.shape[1:3], size, strict=True)]
        if all(1 <= factor <= _MAX_FACTOR for factor in factors):
            return from_first(ctx, resized(ctx, to_first(ctx, x), size, "NEAREST", "HALF_PIXEL"))
    for axis, new in enumerate(size, start=1):
        if not symbolic.equal(x.shape[axis], new):
            x = ctx.net.gather(x, _indices(ctx, x.shape[axis], new), axis)
    return x


def _factor(old: Dim, new: Dim) -> int:
    """By how much a size grows, where that is a whole number; else 0."""
    if isinstance(old, int) and isinstance(new, int):
        return new // old if old and new % old == 0 else 0
    return next((k for k in range(1, _MAX_FACTOR + 1) if symbolic.equal(symbolic.mul(old, k), new)), 0)


def _mode(ctx: OpContext) -> str:
    if ctx.attr("half_pixel_centers", False):
        return CENTERS
    return CORNERS if ctx.attr("align_corners", False) else PLAIN


def _indices(ctx: OpContext, old: Dim, new: Dim) -> Value:
    mode = _mode(ctx)
    if isinstance(old, int) and isinstance(new, int):
        ctx.require(old >= 1 and new >= 1, "an empty image")
        return ctx.net.constant(chosen(old, new, np.arange(new), mode))
    symbols = symbolic.free_symbols([old, new])
    ctx.require(len(symbols) == 1, "nearest neighbours between sizes of several unknown dimensions")
    same = {symbols[0]: symbolic.symbol("size")}
    largest, wrong = corrections(symbolic.substitute(old, same), symbolic.substitute(new, same), mode)
    ctx.require(largest >= 1 and len(wrong) <= _MAX_CORRECTIONS, f"nearest neighbours of {old} pixels for {new}")
    ctx.net.limit(symbols[0], largest)
    return _computed(ctx, symbols[0], (old, new), mode, wrong)


def chosen(old: Any, new: Any, position: np.ndarray, mode: str) -> np.ndarray:
    """TensorFlow's choice, in its arithmetic: tensorflow/core/kernels/image/resize_nearest_neighbor_op.cc."""
    old, new = np.asarray(old), np.asarray(new)
    scale = old.astype(np.float32) / new.astype(np.float32)
    place = position.astype(np.float32)
    if mode == CENTERS:
        place = np.floor((place + np.float32(0.5)) * scale)
    elif mode == CORNERS:
        corners = (old - 1).astype(np.float32) / np.maximum(new - 1, 1).astype(np.float32)
        place = place * np.where(new > 1, corners, scale)
        place = np.floor(place.astype(np.float64) + 0.5)  # roundf: in float32 the sum would be rounded too
    else:
        place = np.floor(place * scale)
    return np.clip(place.astype(np.int32), 0, old - 1)


def _fraction(old: Any, new: Any, mode: str) -> tuple[Any, Any, Any]:
    """(a, b, c): the neighbour of pixel i is (a * i + b) // c, were nothing rounded."""
    if mode == CENTERS:
        return 2 * old, old, 2 * new
    if mode == PLAIN:
        return old, 0, new
    return 2 * (old - 1), new - 1, 2 * (new - 1)


@functools.lru_cache(maxsize=256)
def corrections(old: Dim, new: Dim, mode: str) -> tuple[int, np.ndarray]:
    """Sizes of one symbol: its largest value that was looked at, and rows of (value, pixel, what TensorFlow adds)."""
    names = [str(item.name) for item in symbolic.free_symbols([old, new])]
    programs = [symbolic.to_rpn(dim, names) for dim in (old, new)]
    values = np.arange(1, LARGEST + 1)
    sizes = np.array(
        [
            [symbolic.run_program(item, values={names[0]: value}, names=names) for item in programs]
            for value in values.tolist()
        ]
    )
    beyond = np.nonzero(sizes.max(axis=1) > LARGEST)[0]
    largest = int(beyond[0]) if len(beyond) else LARGEST
    # TensorFlow reports an error of empty images.
    seen = values[:largest][sizes[:largest].min(axis=1) >= 1]
    found = [np.zeros((0, 3), np.int64)]
    for some in np.array_split(seen, max(len(seen) // 128, 1)):
        before, after = sizes[some - 1].T[:, :, None]
        pixels = np.arange(int(after.max(initial=0)))[None, :]
        a, b, c = _fraction(before, after, mode)
        added = chosen(before, after, pixels, mode) - (pixels * a + b) // np.maximum(c, 1)
        rows, columns = np.nonzero((added != 0) & (pixels < after))
        found.append(np.stack([some[rows], columns, added[rows, columns]], axis=1))
    return largest, np.concatenate(found).astype(np.int32)


def _computed(ctx: OpContext, symbol: Dim, sizes: tuple[Dim, Dim], mode: str, wrong: np.ndarray) -> Value:
    """The indices as a vector that layers compute."""
    net = ctx.net
    a, b, c = (symbolic.simplify(dim) for dim in _fraction(*sizes, mode))
    a, b, c = net.size(a), net.size(b), net.size(symbolic.maximum(c, 1) if mode == CORNERS else c)
    line = net.line(sizes[1])
    indices = net.binary("FLOOR_DIV", net.binary("SUM", net.binary("PROD", line, a), b), c)
    if not len(wrong):
        return indices
    keys = net.binary("SUM", net.binary("PROD", net.size(symbol), net.size(LARGEST)), line)
    known = net.constant(wrong[None, :, 0] * LARGEST + wrong[None, :, 1])
    hits = net.compare("EQUAL", net.reshape(keys, (sizes[1], 1)), known)
    added = net.select(hits, net.constant(wrong[None, :, 2]), net.constant(np.zeros((1, 1), np.int32)))
    return net.binary("SUM", indices, net.reduce("SUM", added, (1,), keepdims=False))
