"""Batch normalization with given statistics (inference)."""

from __future__ import annotations

from collections.abc import Sequence

from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.dtypes import DType

_FLOAT = frozenset({DType.FLOAT})


@op("FusedBatchNorm", types={"T": _FLOAT})
def fused_batch_norm(ctx: OpContext) -> Sequence[Value]:
    return _inference(ctx)


@op("FusedBatchNormV2", "FusedBatchNormV3", types={"T": _FLOAT, "U": _FLOAT})
def fused_batch_norm_v3(ctx: OpContext) -> Sequence[Value]:
    return _inference(ctx)


def _inference(ctx: OpContext) -> Sequence[Value]:
    x, scale, offset, mean, variance = ctx.inputs
    ctx.require(not ctx.attr("is_training", True), "batch normalization in training mode")
    ctx.require(x.rank == 4 and ctx.attr("data_format", "NHWC") == "NHWC", "data_format other than NHWC")
    ctx.require(not any(item.uses for item in ctx.node.outputs[3:]), "what only gradients need is used")
    y = normalize(ctx, x, scale, offset, mean, variance)
    # Outputs beyond the statistics only feed gradients; nothing reads these values.
    return [y, mean, variance, mean, variance, ctx.b.scalar(0, DType.FLOAT)][: len(ctx.node.outputs)]


def normalize(ctx: OpContext, x: Value, scale: Value, offset: Value, mean: Value, variance: Value) -> Value:
    """x * factor + shift. Both are of the channels alone, so that they are computed once where these are weights."""
    channels = x.shape[-1]
    for item in (scale, offset, mean, variance):
        ctx.require(item.rank == 1, "statistics are vectors")
        ctx.b.require_equal(item.shape[0], channels)
    epsilon = ctx.b.full(float(ctx.attr("epsilon", 1e-4)), DType.FLOAT, variance.shape)
    factor = ctx.b.binary("mul", ctx.b.elementwise("rsqrt", ctx.b.binary("add", variance, epsilon)), scale)
    shift = ctx.b.binary("sub", offset, ctx.b.binary("mul", mean, factor))
    return ctx.b.binary("add", ctx.b.binary("mul", x, factor), shift)
