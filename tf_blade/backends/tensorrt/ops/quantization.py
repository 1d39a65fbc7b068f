"""Rules of quantization: Q/DQ layers where a range is constant and symmetric, arithmetic in floats elsewhere.

A pair of Q and DQ layers with one constant scale is what the builder makes int8 products and convolutions of. It knows
no zero point, and 8 bits. Other ranges are rounded by elementwise layers: same numbers, but no int8.
"""

from __future__ import annotations

import numpy as np

from tf_blade.backends.tensorrt.ops.base import INDEX, OpContext, Precision, op
from tf_blade.backends.tensorrt.values import Value
from tf_blade.dtypes import DType

_SINGLE = frozenset({DType.FLOAT})
_FULL = Precision.FULL
_MAX_BITS = 16
# How far a range may be from a symmetric one: the float32 noise of ends that were computed.
_NOISE = 1e-6


@op("FakeQuantWithMinMaxArgs", precision=_FULL)
def fake_quant_args(ctx: OpContext) -> Value:
    return _fake_quant(
        ctx, *(ctx.net.constant(float(ctx.attr(n, d)), DType.FLOAT) for n, d in (("min", -6), ("max", 6)))
    )


@op("FakeQuantWithMinMaxVars", precision=_FULL)
def fake_quant_vars(ctx: OpContext) -> Value:
    ctx.require(ctx.inputs[1].rank == ctx.inputs[2].rank == 0, "the range's ends are scalars")
    return _fake_quant(ctx, *ctx.inputs[1:])


@op("FakeQuantWithMinMaxVarsPerChannel", precision=_FULL)
def fake_quant_channels(ctx: OpContext) -> Value:
    """A range for each element of the last axis."""
    x, low, high = ctx.inputs
    ctx.require(x.rank >= 1 and low.rank == high.rank == 1, "ranges are vectors")
    ctx.require(low.shape == high.shape == x.shape[-1:], "ranges that may not fit the last axis")
    return _fake_quant(ctx, low, high)


def _fake_quant(ctx: OpContext, low: Value, high: Value) -> Value:
    """The range is nudged so that 0 is one of the numbers."""
    bits, first = int(ctx.attr("num_bits", 8)), int(bool(ctx.attr("narrow_range", False)))
    ctx.require(2 <= bits <= _MAX_BITS, f"{bits} bits")
    last = 2**bits - 1
    if low.constant is not None and high.constant is not None:
        return _constant_range(ctx, low.constant, high.constant, first, last)
    return _variable_range(ctx, low, high, float(first), float(last))


def _constant_range(ctx: OpContext, low: np.ndarray, high: np.ndarray, first: int, last: int) -> Value:
    """tensorflow/core/kernels/fake_quant_ops_functor.h, in its float32."""
    net, x = ctx.net, ctx.inputs[0]
    empty = (low == 0) & (high == 0)
    if empty.all():
        return net.broadcast(net.like(0, x), x.shape)
    ctx.require(bool(((low < high) | empty).all()), "a range without numbers")
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(empty, np.float32(1), (high - low) / np.float32(last - first)).astype(np.float32)
        zero = np.float32(first) - low / scale
    nearest = np.clip(np.floor(zero + np.float32(0.5)), first, last).astype(np.float32)
    bottom, top = (first - nearest) * scale, (last - nearest) * scale
    if last == 255 and not empty.any() and np.all(nearest == 128):
        return _symmetric(ctx, scale, (bottom, top))
    inside = _clipped(ctx, x, net.constant(bottom), net.constant(top))
    steps = net.binary("PROD", net.binary("SUB", inside, net.constant(bottom)), net.constant(1 / scale))
    steps = net.unary("FLOOR", net.binary("SUM", steps, net.like(0.5, x)))
    result = net.binary("SUM", net.binary("PROD", steps, net.constant(scale)), net.constant(bottom))
    if not empty.any():
        return result
    return net.binary("PROD", result, net.constant((~empty).astype(np.float32)))


def _symmetric(ctx: OpContext, scale: np.ndarray, ends: tuple[np.ndarray, np.ndarray]) -> Value:
    """Whole steps around 0. What lies on the middle between two is rounded to the even one.

    The layer's own clamp is [-128, 127] steps: a range of [-127, 127] is cut before.
    """
    net, x = ctx.net, ctx.inputs[0]
    if not np.allclose(ends[0], -128 * scale, rtol=_NOISE, atol=0):
        x = _clipped(ctx, x, *(net.constant(end) for end in ends))
    return quantized(ctx, x, scale, x.rank - 1)


def quantized(ctx: OpContext, x: Value, scale: np.ndarray, axis: int) -> Value:
    """A Q and a DQ layer; a scale of rank 1 has an element for each index of the axis."""
    net = ctx.net
    factor = net.constant_tensor(np.asarray(scale, np.float32))
    x = Value(x.dtype, x.shape, net.tensor(x))
    down = net.definition.add_quantize(net.tensor(x), factor, net.trt.int8)
    ctx.require(down is not None, f"TensorRT refuses the layer: {net.log.last_error}")
    up = net.definition.add_dequantize(down.get_output(0), factor, net.trt.float32)
    ctx.require(up is not None, f"TensorRT refuses the layer: {net.log.last_error}")
    if scale.ndim:
        down.axis = up.axis = axis
    return net.made(up, DType.FLOAT, x.shape)


def _clipped(ctx: OpContext, x: Value, low: Value, high: Value) -> Value:
    return ctx.net.binary("MIN", ctx.net.binary("MAX", x, low), high)


def _variable_range(ctx: OpContext, low: Value, high: Value, first: float, last: float) -> Value:
    """The same, of ends that only the run knows."""
    net, x = ctx.net, ctx.inputs[0]
    one = net.like(1, x)
    zeros = [net.compare("EQUAL", end, net.like(0, end)) for end in (low, high)]
    empty = net.binary("AND", zeros[0], zeros[1])
    scale = net.select(empty, one, net.binary("DIV", net.binary("SUB", high, low), net.like(last - first, x)))
    zero = net.binary("SUB", net.like(first, x), net.binary("DIV", low, scale))
    nearest = net.unary("FLOOR", net.binary("SUM", zero, net.like(0.5, x)))
    nearest = _clipped(ctx, nearest, net.like(first, x), net.like(last, x))
    bottom, top = (net.binary("PROD", net.binary("SUB", net.like(end, x), nearest), scale) for end in (first, last))
    steps = net.binary("SUB", _clipped(ctx, x, bottom, top), bottom)
    steps = net.binary("PROD", steps, net.binary("DIV", one, scale))
    steps = net.unary("FLOOR", net.binary("SUM", steps, net.like(0.5, x)))
    result = net.binary("SUM", net.binary("PROD", steps, scale), bottom)
    return net.select(empty, net.like(0, x), result)


# Symmetric ranges.


@op("QuantizeAndDequantizeV2", "QuantizeAndDequantizeV4", types={"T": _SINGLE}, precision=_FULL)
def quantize_and_dequantize(ctx: OpContext) -> Value:
    return _round_trip(ctx, int(ctx.attr("num_bits", 8)), half_up=ctx.attr("round_mode", "HALF_TO_EVEN") == "HALF_UP")


@op("QuantizeAndDequantizeV3", types={"T": _SINGLE}, precision=_FULL)
def quantize_and_dequantize_v3(ctx: OpContext) -> Value:
    """The number of bits comes as an input."""
    ctx.require(ctx.inputs[3].dtype in INDEX, "a number of bits")
    return _round_trip(ctx, ctx.const_int(3), half_up=False)


def _round_trip(ctx: OpContext, bits: int, *, half_up: bool) -> Value:
    """tensorflow/core/kernels/quantize_and_dequantize_op.h, of a range that is constant."""
    net, x = ctx.net, ctx.inputs[0]
    ctx.require(int(ctx.attr("axis", -1)) == -1, "a range for each slice of an axis")
    ctx.require(bool(ctx.attr("range_given", False)), "a range that is found in each call")
    ctx.require(2 <= bits <= _MAX_BITS, f"{bits} bits")
    low, high = (ctx.const(index).astype(np.float32) for index in (1, 2))
    ctx.require(low.ndim == high.ndim == 0, "the range's ends are scalars")
    signed, narrow = bool(ctx.attr("signed_input", True)), bool(ctx.attr("narrow_range", False))
    least = -(1 << (bits - 1)) + narrow if signed else 0
    most = (1 << (bits - 1)) - 1 if signed else (1 << bits) - 1
    scale, step, bottom, top = _steps(low, high, least, most)
    ctx.require(bool(np.isfinite(step).all() and (step > 0).all()), "a range without numbers")
    ends = net.constant(bottom), net.constant(top)
    if signed and bits == 8 and not half_up:
        return quantized(ctx, _clipped(ctx, x, *ends) if narrow else x, step, 0)
    scaled = net.binary("PROD", _clipped(ctx, x, *ends), net.constant(scale))
    if half_up:
        steps = net.unary("FLOOR", net.binary("SUM", scaled, net.like(0.5, x)))
    else:
        steps = net.unary("ROUND", scaled)
    return net.binary("PROD", steps, net.constant(step))


def _steps(low: np.ndarray, high: np.ndarray, least: int, most: int) -> tuple[np.ndarray, ...]:
    """Steps of one, the size of a step, and the range that whole steps cover."""
    huge = np.finfo(np.float32).max
    with np.errstate(divide="ignore", invalid="ignore"):
        from_low = np.where(low * least > 0, np.float32(least) / low, huge)
        from_high = np.where(high * most > 0, np.float32(most) / high, huge)
        is_low = from_low < from_high
        scale = np.where(is_low, from_low, from_high).astype(np.float32)
        by_low = low / np.float32(least) if least else np.zeros_like(low)
        step = np.where(is_low, by_low, high / np.float32(most)).astype(np.float32)
    bottom = np.where(is_low, low, step * least)
    top = np.where(is_low, step * most, high)
    return scale, step, bottom.astype(np.float32), top.astype(np.float32)
