"""Rules of batch normalization with given statistics, and of normalization by neighbouring channels."""

from __future__ import annotations

from collections.abc import Sequence

from tf_blade.backends.tensorrt.ops.base import FLOATS, OpContext, Precision, op
from tf_blade.backends.tensorrt.ops.windows import channels_last, from_first, to_first
from tf_blade.backends.tensorrt.values import Value
from tf_blade.dtypes import DType

_SINGLE = frozenset({DType.FLOAT})
_MAX_RADIUS = 64


@op("FusedBatchNorm", types={"T": _SINGLE}, precision=Precision.AS_IS)
@op("FusedBatchNormV2", "FusedBatchNormV3", types={"T": FLOATS, "U": _SINGLE}, precision=Precision.AS_IS)
def batch_norm(ctx: OpContext) -> Sequence[Value]:
    """x * factor + shift, both of the statistics alone: they are computed in float32, whatever the images are."""
    net, (x, scale, offset, mean, variance) = ctx.net, ctx.inputs
    ctx.require(not ctx.attr("is_training", True), "batch normalization in training mode")
    ctx.require(not any(item.uses for item in ctx.node.outputs[3:]), "what only gradients need is used")
    channels_last(ctx, x.rank)
    vectors = [net.cast(item, DType.FLOAT) for item in (scale, offset, mean, variance)]
    ctx.require(all(item.rank == 1 for item in vectors), "statistics are vectors")
    factor, shift = _folded(ctx, *vectors)
    inner = (1,) * (x.rank - 2)
    if x.origin is not None or not channels_last(ctx, x.rank):
        image, shape = to_first(ctx, x), (1, *scale.shape, *inner)
        y = from_first(ctx, _affine(ctx, image, net.reshape(factor, shape), net.reshape(shift, shape)))
    else:
        y = _affine(ctx, x, factor, shift)
    # Outputs beyond the statistics only feed gradients; nothing reads these values.
    spare = net.constant(0.0, DType.FLOAT)
    return [y, mean, variance, mean, variance, spare][: len(ctx.node.outputs)]


def _folded(ctx: OpContext, scale: Value, offset: Value, mean: Value, variance: Value) -> tuple[Value, Value]:
    """Factor and shift; of constants when converting."""
    net, epsilon = ctx.net, float(ctx.attr("epsilon", 1e-4))
    arrays = [item.constant for item in (scale, offset, mean, variance)]
    if all(array is not None for array in arrays):
        a, b, m, v = (array.astype("float64") for array in arrays if array is not None)
        factor = a / (v + epsilon) ** 0.5
        return net.constant(factor, DType.FLOAT), net.constant(b - m * factor, DType.FLOAT)
    deviation = net.unary("SQRT", net.binary("SUM", variance, net.like(epsilon, variance)))
    made = net.binary("DIV", scale, deviation)
    return made, net.binary("SUB", offset, net.binary("PROD", mean, made))


def _affine(ctx: OpContext, x: Value, factor: Value, shift: Value) -> Value:
    net = ctx.net
    return net.binary("SUM", net.binary("PROD", x, net.cast(factor, x.dtype)), net.cast(shift, x.dtype))


@op("LRN", types={"T": FLOATS}, precision=Precision.FULL)
def local_response_normalization(ctx: OpContext) -> Value:
    """x / (bias + alpha * sum of the squares of neighbouring channels) ** beta.

    The sum is a mean, of a window over the channels with zeros around them, times the number of its elements.
    """
    net, (x,) = ctx.net, ctx.inputs
    radius = int(ctx.attr("depth_radius", 5))
    ctx.require(x.rank == 4, "an image batch has rank 4")
    ctx.require(0 <= radius <= _MAX_RADIUS, f"more than {_MAX_RADIUS} channels to each side")
    bias, alpha, beta = (float(ctx.attr(name, value)) for name, value in (("bias", 1), ("alpha", 1), ("beta", 0.5)))
    count = 2 * radius + 1
    squares = net.binary("PROD", x, x)
    layer = net.definition.add_pooling_nd(net.tensor(squares), net.trt.PoolingType.AVERAGE, (1, count))
    ctx.require(layer is not None, f"TensorRT refuses the layer: {net.log.last_error}")
    layer.padding_nd = (0, radius)
    layer.average_count_excludes_padding = False
    mean = net.made(layer, x.dtype, x.shape)
    base = net.binary("SUM", net.binary("PROD", mean, net.like(alpha * count, x)), net.like(bias, x))
    if beta == 0.5:
        return net.binary("DIV", x, net.unary("SQRT", base))
    if beta == 1:
        return net.binary("DIV", x, base)
    return net.binary("DIV", x, net.binary("POW", base, net.like(beta, x)))
