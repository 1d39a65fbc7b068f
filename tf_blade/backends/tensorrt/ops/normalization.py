"""Rules of batch normalization as it is served: by statistics that training has found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tf_blade.backends.tensorrt.ops.base import FLOATS, OpContext, op
from tf_blade.backends.tensorrt.ops.convolution import from_first, to_first
from tf_blade.backends.tensorrt.values import Value
from tf_blade.dtypes import DType


@op("FusedBatchNorm", types={"T": frozenset({DType.FLOAT})})
@op("FusedBatchNormV2", "FusedBatchNormV3", types={"T": FLOATS, "U": frozenset({DType.FLOAT})})
def batch_norm(ctx: OpContext) -> Sequence[Value]:
    """scale · x + shift, of vectors that the builder folds where they are constant."""
    ctx.require(not ctx.attr("is_training", True), "statistics of the batch itself")
    ctx.require(not any(tensor.uses for tensor in ctx.node.outputs[3:]), "outputs for training are read")
    x = to_first(ctx, ctx.inputs[0])
    epsilon = float(ctx.attr("epsilon", 1e-4))
    channels = ctx.static(x.shape[1], "the number of channels")
    dims = (1, channels, *(1,) * (x.rank - 2))
    scale, shift = _folded(ctx, epsilon, dims)
    scaled = ctx.net.binary("PROD", x, ctx.net.cast(scale, x.dtype))
    result = ctx.net.binary("SUM", scaled, ctx.net.cast(shift, x.dtype))
    mean, variance = (ctx.net.cast(item, DType.FLOAT) for item in ctx.inputs[3:5])
    unread = ctx.net.constant(0.0, DType.FLOAT)
    return [from_first(ctx, result), mean, variance, mean, variance, unread][: len(ctx.node.outputs)]


def _folded(ctx: OpContext, epsilon: float, dims: tuple[int, ...]) -> tuple[Value, Value]:
    gamma, beta, mean, variance = (ctx.net.cast(item, DType.FLOAT) for item in ctx.inputs[1:5])
    arrays = [item.constant for item in (gamma, beta, mean, variance)]
    if all(item is not None for item in arrays):
        factor = arrays[0] / np.sqrt(arrays[3] + np.float32(epsilon))
        return (
            ctx.net.constant(factor.reshape(dims), DType.FLOAT),
            ctx.net.constant((arrays[1] - arrays[2] * factor).reshape(dims), DType.FLOAT),
        )
    net = ctx.net
    root = net.unary("SQRT", net.binary("SUM", variance, net.like(epsilon, variance)))
    factor_value = net.binary("DIV", gamma, root)
    offset = net.binary("SUB", beta, net.binary("PROD", mean, factor_value))
    return net.reshape(factor_value, dims), net.reshape(offset, dims)
