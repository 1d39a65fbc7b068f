"""TensorFlow's own fused ops, taken apart again: DISC fuses by its own lights."""

from __future__ import annotations

from collections.abc import Callable

from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.backends.disc.ops.convolution import FLOAT, conv2d_of, convolved
from tf_blade.backends.disc.ops.matrix import matmul_of
from tf_blade.backends.disc.ops.movement import mirrored
from tf_blade.backends.disc.ops.normalization import normalize
from tf_blade.errors import Unsupported

_ACTIVATIONS = {
    "Relu": "relu",
    "Relu6": "relu6",
    "Elu": "elu",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "GeluExact": "gelu_erf",
    "GeluApproximate": "gelu_tanh",
    "_FusedSwish": "swish",
    "_FusedHardSwish": "hard_swish",
}


@op("_FusedMatMul", types={"T": FLOAT})
def fused_matmul(ctx: OpContext) -> Value:
    return _epilogue(ctx, matmul_of(ctx))


@op("_FusedConv2D", types={"T": FLOAT})
def fused_conv2d(ctx: OpContext) -> Value:
    ctx.require(not int(ctx.attr("num_host_args", 0)), "arguments on the host")
    return _epilogue(ctx, conv2d_of(ctx))


@op("FusedPadConv2D", types={"T": FLOAT})
def fused_pad_conv2d(ctx: OpContext) -> Value:
    """MirrorPad, then Conv2D."""
    x, paddings, w = ctx.inputs
    _require_one_image(ctx, x)
    return convolved(ctx, mirrored(ctx, x, paddings, 1), w)


def _require_one_image(ctx: OpContext, x: Value) -> None:
    """TensorFlow's kernel reads the wrong pixels for all images but the first; whoever relies on that keeps it."""
    ctx.require(x.rank >= 1 and x.shape[0] == 1, "more than one image")


@op("FusedResizeAndPadConv2D", types={"T": FLOAT})
def fused_resize_pad_conv2d(ctx: OpContext) -> Value:
    """ResizeBilinear, MirrorPad, then Conv2D."""
    x, size, paddings, w = ctx.inputs
    _require_one_image(ctx, x)
    ctx.require(x.rank == 4 and size.rank == 1, "an image batch of rank 4, and two sizes")
    sizes = ctx.dims(1)
    ctx.require(len(sizes) == 2, "size is [height, width]")
    for dim in (*sizes, *x.shape[1:]):
        ctx.b.require_at_least(dim, 1)
    align = bool(ctx.attr("resize_align_corners", False))
    resized = ctx.b.resize("bilinear", x, sizes, align_corners=align, half_pixel_centers=False)
    return convolved(ctx, mirrored(ctx, resized, paddings, 2), w)


def _epilogue(ctx: OpContext, x: Value) -> Value:
    """Applies the ops of `fused_ops`, in order; each takes its arguments from the inputs after the first two."""
    arguments = iter(ctx.inputs[2:])
    for item in ctx.attr("fused_ops", []):
        x = _apply(ctx, item.decode() if isinstance(item, bytes) else str(item), x, lambda: next(arguments))
    ctx.require(next(arguments, None) is None, "more arguments than the fused ops take")
    return x


def _apply(ctx: OpContext, name: str, x: Value, argument: Callable[[], Value]) -> Value:
    if name in _ACTIVATIONS:
        return ctx.b.elementwise(_ACTIVATIONS[name], x)
    if name == "LeakyRelu":
        return _leaky_relu(ctx, x)
    if name == "BiasAdd":
        bias = argument()
        ctx.require(bias.rank == 1, "a bias is a vector")
        ctx.b.require_equal(bias.shape[0], x.shape[-1])
        return ctx.b.binary("add", x, bias)
    if name == "Add":
        other = argument()
        ctx.require(other.rank == x.rank, "adds a tensor of another rank")
        for a, b in zip(x.shape, other.shape, strict=True):
            ctx.b.require_equal(a, b)
        return ctx.b.binary("add", x, other)
    if name == "FusedBatchNorm":
        return normalize(ctx, x, argument(), argument(), argument(), argument())
    raise Unsupported(f"fused op {name}")


def _leaky_relu(ctx: OpContext, x: Value) -> Value:
    slope = ctx.b.full(float(ctx.attr("leakyrelu_alpha", 0.2)), x.dtype, x.shape)
    positive = ctx.b.elementwise("greater", x, ctx.b.full(0, x.dtype, x.shape))
    return ctx.b.elementwise("select", positive, x, ctx.b.elementwise("mul", x, slope))
