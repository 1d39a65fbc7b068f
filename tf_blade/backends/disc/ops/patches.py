"""Patches of images and volumes, and the morphological dilation."""

from __future__ import annotations

import numpy as np

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.backends.disc.ops.sliding import image_windows
from tf_blade.backends.disc.ops.term import Term, term
from tf_blade.backends.disc.ops.windows import spatial, window_of
from tf_blade.dtypes import ALL, DType


@op("ExtractImagePatches", types={"T": ALL})
def extract_patches(ctx: OpContext) -> Value:
    """The pixels of each window side by side in the channels."""
    x, size = term(ctx, 0), spatial(ctx, "ksizes")
    ctx.require(x.rank == 4, "an image batch has rank 4")
    window = window_of(ctx, (x.shape[1], x.shape[2]), size, rates="rates")
    taken = image_windows(x, size, window, 0.0)
    moved = ctx.b.transpose(taken.value, (0, 1, 3, 2, 4, 5))
    n, rows, columns = moved.shape[:3]
    return ctx.b.reshape(moved, (n, rows, columns, symbolic.mul(size[0] * size[1], x.shape[3])))


@op("Dilation2D", types={"T": frozenset({DType.FLOAT, DType.DOUBLE})})
def dilation(ctx: OpContext) -> Value:
    """The largest sum of a pixel and the filter over each window; what lies outside takes no part, nor does NaN."""
    x, w = term(ctx, 0), term(ctx, 1)
    ctx.require(x.rank == 4 and w.rank == 3, "images, and a filter for each channel")
    height, width, depth = w.shape
    ctx.require(isinstance(height, int) and isinstance(width, int), "a filter of unknown size")
    assert isinstance(height, int) and isinstance(width, int)
    ctx.require(height >= 1 and width >= 1, "an empty filter")
    ctx.b.require_equal(x.shape[3], depth)
    window = window_of(ctx, (x.shape[1], x.shape[2]), (height, width), rates="rates")
    taken = image_windows(x, (height, width), window, -np.inf)
    filters = ctx.b.broadcast(ctx.b.reshape(w.value, (height, width, x.shape[3])), taken.shape, (2, 4, 5))
    total = taken + Term(ctx.b, filters)
    result = total.fn("is_nan").where(-np.inf, total).reduce("max", (2, 4))
    return result.maximum(float(np.finfo(x.dtype.numpy).min)).value
