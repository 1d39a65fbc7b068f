"""Ops that thin out overlapping boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.dtypes import DType

_FLOAT = frozenset({DType.FLOAT})
_THRESHOLD = frozenset({DType.FLOAT, DType.HALF})
_LOWEST = float(np.finfo(np.float32).min)


def _nms(
    ctx: OpContext, overlap: Value, score: Value, sigma: Value | None = None, *, overlaps: bool = False
) -> tuple[Value, ...]:
    """indices, scores, count"""
    boxes, scores, most = ctx.inputs[:3]
    ctx.require(boxes.rank == 2 and scores.rank == 1, "boxes are a matrix and scores a vector")
    ctx.b.require_equal(boxes.shape[0], scores.shape[0])
    ctx.b.require_equal(boxes.shape[1], boxes.shape[0] if overlaps else 4)
    limits = [most, *(ctx.b.convert(item, DType.FLOAT) for item in (overlap, score))]
    limits.append(ctx.b.scalar(0, DType.FLOAT) if sigma is None else sigma)
    ctx.require(all(item.rank == 0 for item in limits), "the limits are scalars")
    pad = bool(ctx.attr("pad_to_max_output_size", False))
    size = ctx.late_dim("count")
    if pad and most.sym is not None:
        (size,) = most.sym.reshape(-1)
        ctx.b.require_at_least(size, 0)
    return ctx.b.find("nms", (boxes, scores, *limits), (size,), pad=pad, overlaps=overlaps)


@op("NonMaxSuppression")
def nms(ctx: OpContext) -> Value:
    threshold = ctx.b.scalar(ctx.attr("iou_threshold", 0.5), DType.FLOAT)
    return _nms(ctx, threshold, ctx.b.scalar(_LOWEST, DType.FLOAT))[0]


@op("NonMaxSuppressionV2", types={"T": _FLOAT, "T_threshold": _THRESHOLD})
def nms_v2(ctx: OpContext) -> Value:
    return _nms(ctx, ctx.inputs[3], ctx.b.scalar(_LOWEST, DType.FLOAT))[0]


@op("NonMaxSuppressionV3", types={"T": _FLOAT, "T_threshold": _THRESHOLD})
def nms_v3(ctx: OpContext) -> Value:
    return _nms(ctx, *ctx.inputs[3:5])[0]


@op("NonMaxSuppressionV4", types={"T": _FLOAT, "T_threshold": _THRESHOLD})
def nms_v4(ctx: OpContext) -> Sequence[Value]:
    indices, _, count = _nms(ctx, *ctx.inputs[3:5])
    return [indices, count]


@op("NonMaxSuppressionV5", types={"T": _FLOAT})
def nms_v5(ctx: OpContext) -> Sequence[Value]:
    return _nms(ctx, *ctx.inputs[3:6])


@op("NonMaxSuppressionWithOverlaps")
def nms_with_overlaps(ctx: OpContext) -> Value:
    return _nms(ctx, *ctx.inputs[3:5], overlaps=True)[0]


@op("CombinedNonMaxSuppression")
def combined_nms(ctx: OpContext) -> Sequence[Value]:
    boxes, scores = ctx.inputs[:2]
    ctx.require(boxes.rank == 4 and scores.rank == 3, "boxes have rank 4 and scores rank 3")
    ctx.require(all(item.rank == 0 for item in ctx.inputs[2:]), "the limits are scalars")
    sets, classes = boxes.shape[2], scores.shape[2]
    if sets != 1:
        ctx.b.require_equal(sets, classes)
    ctx.b.require_equal(boxes.shape[3], 4)
    for axis in (0, 1):
        ctx.b.require_equal(boxes.shape[axis], scores.shape[axis])
    per_class, total = ctx.dim(2), ctx.dim(3)
    for limit in (per_class, total):
        ctx.b.require_at_least(limit, 1)
    size = total
    if ctx.attr("pad_per_class", False):
        size = symbolic.minimum(total, symbolic.minimum(symbolic.mul(per_class, classes), 2**31 - 1))
    attrs = {"per_class": per_class, "total": total, "size": size, "clip": bool(ctx.attr("clip_boxes", True))}
    return ctx.b.call("combined_nms", (boxes, scores, *ctx.inputs[4:6]), **attrs)
