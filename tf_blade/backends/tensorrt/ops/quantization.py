"""Rules of ops that quantize and dequantize at once: int8 with one scale, symmetric about zero."""

from __future__ import annotations

import numpy as np

from tf_blade.backends.tensorrt.ops.base import OpContext, Precision, op
from tf_blade.backends.tensorrt.values import Value
from tf_blade.dtypes import DType

_FLOAT = frozenset({DType.FLOAT})


@op("QuantizeAndDequantizeV2", "QuantizeAndDequantizeV4", types={"T": _FLOAT}, precision=Precision.FULL)
def quantize_and_dequantize(ctx: OpContext) -> Value:
    """A quantizing layer and a dequantizing one, which TensorRT moves into products and convolutions."""
    ctx.require(bool(ctx.attr("range_given", False)), "a range that follows from the data")
    ctx.require(bool(ctx.attr("signed_input", True)) and int(ctx.attr("num_bits", 8)) == 8, "other than int8")
    ctx.require(not ctx.attr("narrow_range", False), "a narrow range")
    ctx.require(ctx.attr("round_mode", "HALF_TO_EVEN") == "HALF_TO_EVEN", "another rounding")
    ctx.require(int(ctx.attr("axis", -1)) == -1, "a scale for each channel")
    low, high = float(ctx.const(1).reshape(())), float(ctx.const(2).reshape(()))
    ctx.require(low < 0 < high, "a range on one side of zero")
    # The scale that lets both ends of the range fit.
    return _pair(ctx, ctx.inputs[0], max(low / -128, high / 127))


def _pair(ctx: OpContext, x: Value, scale: float) -> Value:
    net = ctx.net
    ctx.require(x.rank >= 1, "of a scalar")
    number = net.tensor(net.constant(np.float32(scale)))
    quantized = net.definition.add_quantize(net.tensor(x), number, net.trt.int8)
    narrow = net.made(quantized, DType.INT8, x.shape)
    return net.made(net.definition.add_dequantize(narrow.tensor, number, net.trt.float32), DType.FLOAT, x.shape)
