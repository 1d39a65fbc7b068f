"""Resizing with other kernels than the bilinear one, and crops of images."""

from __future__ import annotations

import numpy as np

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.backends.disc.ops.images import RESIZED, sizes_of_resize
from tf_blade.backends.disc.ops.term import Term, constant, iota, size_term, term
from tf_blade.dtypes import DType
from tf_blade.symbolic import Dim

# Input pixels that an output pixel of ResizeArea covers along one axis.
_MAX_AREA = 32


def _scale(size_in: Term, size_out: Term, align: bool) -> Term:
    """Input steps of one output step, in float32 as TensorFlow computes it."""
    plain = size_in.to(DType.FLOAT) / size_out.to(DType.FLOAT)
    if not align:
        return plain
    return (size_out > 1).where((size_in - 1).to(DType.FLOAT) / (size_out - 1).to(DType.FLOAT), plain)


# --- bicubic ----------------------------------------------------------------------------------------------------------
_TABLE = 1 << 10


def _cubic_table(a: float) -> np.ndarray:
    """Keys' kernel at distances i / 1024 and 1 + i / 1024, as TensorFlow tabulates it."""
    x = (np.arange(_TABLE + 1) / _TABLE).astype(np.float32).astype(np.float64)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    x += 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.stack([near, far]).astype(np.float32)


def _cubic_taps(ctx: OpContext, size_in: Dim, size_out: Dim, *, align: bool, centers: bool) -> list[tuple[Term, Term]]:
    """For each of the four pixels around an output pixel: places and weights along one axis."""
    b = ctx.b
    limit = size_term(b, size_in)
    scale = _scale(limit, size_term(b, size_out), align)
    line = iota(b, (size_out,)).to(DType.FLOAT)
    source = (line + 0.5) * scale - 0.5 if centers else line * scale
    floor = source.fn("floor")
    offset = ((source - floor) * _TABLE).fn("rint").to(DType.INT64)
    table = _cubic_table(-0.5 if centers else -0.75)
    near, far = (constant(b, row) for row in table)
    weights = [far.take(offset), near.take(offset), near.take(offset * -1 + _TABLE), far.take(offset * -1 + _TABLE)]
    wanted = [floor.to(DType.INT64) + i for i in (-1, 0, 1, 2)]
    places = [item.clip(0, limit - 1) for item in wanted]
    if centers:
        # Pixels outside of the image weigh nothing, and the others more.
        weights = [p.equals(w).where(c, 0.0) for p, w, c in zip(places, wanted, weights, strict=True)]
        total = weights[0] + weights[1] + weights[2] + weights[3]
        weights = [item / total for item in weights]
    return list(zip(places, weights, strict=True))


def _weighted(x: Term, taps: list[tuple[Term, Term]], axis: int) -> Term:
    """The weighted sum of pixels along an axis."""
    total: Term | None = None
    for places, weights in taps:
        picked = x.take(places, axis=axis)
        wide = Term(x.b, x.b.broadcast(weights.value, picked.shape, (axis,)))
        total = picked * wide if total is None else total + picked * wide
    assert total is not None
    return total


@op("ResizeBicubic", types={"T": RESIZED})
def resize_bicubic(ctx: OpContext) -> Value:
    size, align, centers = sizes_of_resize(ctx)
    x = term(ctx, 0).to(DType.FLOAT)
    rows = _cubic_taps(ctx, x.shape[1], size[0], align=align, centers=centers)
    columns = _cubic_taps(ctx, x.shape[2], size[1], align=align, centers=centers)
    return _weighted(_weighted(x, rows, 1), columns, 2).value


# --- area -------------------------------------------------------------------------------------------------------------
@op("ResizeArea", types={"T": RESIZED})
def resize_area(ctx: OpContext) -> Value:
    """Means over the part of the image that an output pixel covers; sizes are known when compiling."""
    size, align, _ = sizes_of_resize(ctx)
    x = term(ctx, 0).to(DType.FLOAT)
    for axis, size_out in ((1, size[0]), (2, size[1])):
        size_in = x.shape[axis]
        ctx.require(isinstance(size_in, int) and isinstance(size_out, int), "sizes that are not known")
        assert isinstance(size_in, int) and isinstance(size_out, int)
        x = _area(ctx, x, axis, size_in, size_out, align)
    return x.value


def _area(ctx: OpContext, x: Term, axis: int, size_in: int, size_out: int, align: bool) -> Term:
    f32 = np.float32
    scale = f32(size_in - 1) / f32(size_out - 1) if align and size_out > 1 else f32(size_in) / f32(size_out)
    start = np.arange(size_out, dtype=f32) * scale
    end = np.arange(1, size_out + 1, dtype=f32) * scale
    first, last = np.floor(start).astype(np.int64), np.ceil(end).astype(np.int64)
    count = int((last - first).max())
    ctx.require(count <= _MAX_AREA, f"pixels that cover more than {_MAX_AREA}")
    total: Term | None = None
    for number in range(count):
        place = first + number
        covered = np.minimum(place + 1, end) - np.maximum(place, start)
        weight = constant(ctx.b, (np.where(place < last, covered, 0) / scale).astype(f32))
        taken = constant(ctx.b, place < last)
        picked = x.take(constant(ctx.b, np.clip(place, 0, size_in - 1)), axis=axis)
        wide, mask = (Term(ctx.b, ctx.b.broadcast(item.value, picked.shape, (axis,))) for item in (weight, taken))
        share = picked * wide if bool(np.all(place < last)) else mask.where(picked * wide, 0.0)
        total = share if total is None else total + share
    assert total is not None
    return total


# --- crops ------------------------------------------------------------------------------------------------------------
@op("CropAndResize", types={"T": RESIZED})
def crop_and_resize(ctx: OpContext) -> Value:
    """Boxes of images, resized; what lies outside of the image is the extrapolation value."""
    image, boxes, which = term(ctx, 0), term(ctx, 1), term(ctx, 2)
    crop = [int(item) for item in ctx.const(3).reshape(-1)]
    ctx.require(image.rank == 4 and boxes.rank == 2 and which.rank == 1, "images, boxes and a vector")
    ctx.require(len(crop) == 2 and min(crop) >= 1, "a crop size is [height, width]")
    ctx.b.require_equal(boxes.shape[1], 4)
    ctx.b.require_equal(boxes.shape[0], which.shape[0])
    for dim in image.shape[1:]:
        ctx.b.require_at_least(dim, 1)
    boxes = boxes.reshape(which.shape[0], 4)
    y = _crop_positions(ctx, boxes, 0, image.shape[1], crop[0])
    x = _crop_positions(ctx, boxes, 1, image.shape[2], crop[1])
    n = which.shape[0]
    y, x = y.reshape(n, crop[0], 1), x.reshape(n, 1, crop[1])
    pixel = _Pixels(image, which)
    if ctx.attr("method", "bilinear") == "nearest":
        value = pixel.at(_rounded(y), _rounded(x))
    else:
        ctx.require(ctx.attr("method", "bilinear") == "bilinear", "an unknown method")
        value = pixel.bilinear(y, x)
    inside = (y >= 0) & (y <= _last(ctx, image.shape[1])) & ((x >= 0) & (x <= _last(ctx, image.shape[2])))
    inside = Term(ctx.b, ctx.b.broadcast(inside.value, value.shape, (0, 1, 2)))
    return inside.where(value, float(ctx.attr("extrapolation_value", 0.0))).value


def _last(ctx: OpContext, size: Dim) -> Term:
    return (size_term(ctx.b, size) - 1).to(DType.FLOAT)


def _crop_positions(ctx: OpContext, boxes: Term, axis: int, size: Dim, count: int) -> Term:
    """Where in the image the rows or columns of the crops lie, [boxes, count]."""
    low, high, last = boxes.part(1, axis, 1), boxes.part(1, axis + 2, 1), _last(ctx, size)
    if count == 1:
        return (low + high) * 0.5 * last
    step = (high - low) * last / float(count - 1)
    return low * last + iota(ctx.b, (1, count), 1).to(DType.FLOAT) * step


def _rounded(position: Term) -> Term:
    """Half goes up; positions that count are not negative."""
    floor = position.fn("floor")
    return (position - floor >= 0.5).where(floor + 1, floor)


class _Pixels:
    """Reads pixels of the images that `which` names; positions are clipped to the image."""

    def __init__(self, image: Term, which: Term) -> None:
        b = image.b
        _, height, width, depth = image.shape
        self.flat = image.to(DType.FLOAT).reshape(symbolic.num_elements(image.shape[:3]), depth)
        self.limits = size_term(b, height), size_term(b, width)
        # An image that is not there leads out of range, an error of the call.
        self.first = (which.to(DType.INT64) * (self.limits[0] * self.limits[1])).reshape(which.shape[0], 1, 1)

    def at(self, y: Term, x: Term) -> Term:
        row = y.to(DType.INT64).clip(0, self.limits[0] - 1)
        column = x.to(DType.INT64).clip(0, self.limits[1] - 1)
        return self.flat.take(self.first + row * self.limits[1] + column)

    def bilinear(self, y: Term, x: Term) -> Term:
        top, left = y.fn("floor"), x.fn("floor")
        bottom, right = y.fn("ceil"), x.fn("ceil")
        down, over = self._weight(y - top, x), self._weight(x - left, y)
        upper = _lerp(self.at(top, left), self.at(top, right), over)
        lower = _lerp(self.at(bottom, left), self.at(bottom, right), over)
        return _lerp(upper, lower, down)

    def _weight(self, fraction: Term, other: Term) -> Term:
        """[boxes, rows, columns, depth] of a fraction that one of the axes has."""
        b = fraction.b
        plane = b.common_shape(fraction.shape, other.shape)
        return Term(b, b.broadcast(b.broadcast_to(fraction.value, plane), (*plane, self.flat.shape[1]), (0, 1, 2)))


def _lerp(a: Term, b: Term, weight: Term) -> Term:
    return a + (b - a) * weight
