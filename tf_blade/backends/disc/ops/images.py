"""Image resizing."""

from __future__ import annotations

from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.dtypes import NUMERIC, DType
from tf_blade.symbolic import Shape

RESIZED = frozenset(
    {
        DType.FLOAT,
        DType.DOUBLE,
        DType.HALF,
        DType.BFLOAT16,
        DType.INT8,
        DType.UINT8,
        DType.INT16,
        DType.UINT16,
        DType.INT32,
        DType.INT64,
    }
)


@op("ResizeBilinear", types={"T": RESIZED})
def resize_bilinear(ctx: OpContext) -> Value:
    # TensorFlow interpolates in float32 whatever the images' type is.
    return _resize(ctx, "bilinear", ctx.b.convert(ctx.inputs[0], DType.FLOAT))


@op("ResizeNearestNeighbor", types={"T": NUMERIC})
def resize_nearest(ctx: OpContext) -> Value:
    return _resize(ctx, "nearest", ctx.inputs[0])


def _resize(ctx: OpContext, kind: str, x: Value) -> Value:
    size, align, centers = sizes_of_resize(ctx)
    return ctx.b.resize(kind, x, size, align_corners=align, half_pixel_centers=centers)


def sizes_of_resize(ctx: OpContext) -> tuple[Shape, bool, bool]:
    """New height and width, and the flags align_corners and half_pixel_centers."""
    x = ctx.inputs[0]
    ctx.require(x.rank == 4 and ctx.inputs[1].rank == 1, "an image batch of rank 4, and two sizes")
    size = ctx.dims(1)
    ctx.require(len(size) == 2, "size is [height, width]")
    align, centers = bool(ctx.attr("align_corners", False)), bool(ctx.attr("half_pixel_centers", False))
    ctx.require(not (align and centers), "align_corners and half_pixel_centers exclude each other")
    for dim in (*size, *x.shape[1:]):
        ctx.b.require_at_least(dim, 1)
    return size, align, centers
