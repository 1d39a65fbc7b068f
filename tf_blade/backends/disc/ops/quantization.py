"""Quantization that stays in floats: numbers rounded to the ones that few bits can tell apart."""

from __future__ import annotations

from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.backends.disc.ops.shape import INDEX
from tf_blade.backends.disc.ops.term import Operand, Term, term
from tf_blade.dtypes import DType

_FLOAT = frozenset({DType.FLOAT})
_HIGHEST = 3.4028234663852886e38


# --- with a zero point ------------------------------------------------------------------------------------------------
@op("FakeQuantWithMinMaxArgs")
def fake_quant_args(ctx: OpContext) -> Value:
    limits = (Term(ctx.b, ctx.b.scalar(float(ctx.attr(n, d)), DType.FLOAT)) for n, d in (("min", -6), ("max", 6)))
    return _fake_quant(ctx, term(ctx, 0), *limits).value


@op("FakeQuantWithMinMaxVars")
def fake_quant_vars(ctx: OpContext) -> Value:
    return _fake_quant_vars(ctx, rank=0)


@op("FakeQuantWithMinMaxVarsPerChannel")
def fake_quant_channels(ctx: OpContext) -> Value:
    """A range for each element of the last axis."""
    ctx.require(ctx.inputs[0].rank >= 1, "of a scalar")
    for item in ctx.inputs[1:]:
        ctx.require(item.rank == 1, "ranges are vectors")
        ctx.b.require_equal(item.shape[0], ctx.inputs[0].shape[-1])
    return _fake_quant_vars(ctx, rank=1)


def _fake_quant_vars(ctx: OpContext, rank: int) -> Value:
    x, low, high = (term(ctx, i) for i in range(3))
    ctx.require(low.rank == high.rank == rank, "the range's ends")
    if rank:
        low, high = low.reshape(x.shape[-1]), high.reshape(x.shape[-1])
    result = _fake_quant(ctx, x, low, high)
    return (low.equals(0) & high.equals(0)).where(0.0, result).value


def _fake_quant(ctx: OpContext, x: Term, low: Term, high: Term) -> Term:
    """tensorflow/core/kernels/fake_quant_ops_functor.h: the range is nudged so that 0 is one of the numbers."""
    bits, first = int(ctx.attr("num_bits", 8)), float(bool(ctx.attr("narrow_range", False)))
    last = float(2**bits - 1)
    scale = (high - low) / (last - first)
    zero = first - low / scale
    nearest = _half_away(zero)
    nearest = (zero < first).where(first, (zero > last).where(last, nearest))
    lowest, highest = (first - nearest) * scale, (last - nearest) * scale
    inside = x.maximum(lowest).minimum(highest) - lowest
    steps = (inside * (1.0 / scale) + 0.5).fn("floor")
    return steps * scale + lowest


def _half_away(x: Term) -> Term:
    """std::round."""
    a = x.fn("abs")
    floor = a.fn("floor")
    return x.fn("sign") * (a - floor >= 0.5).where(floor + 1, floor)


# --- symmetric --------------------------------------------------------------------------------------------------------
@op("QuantizeAndDequantizeV2", "QuantizeAndDequantizeV4", types={"T": _FLOAT})
def quantize_and_dequantize(ctx: OpContext) -> Value:
    half_up = ctx.attr("round_mode", "HALF_TO_EVEN") == "HALF_UP"
    return _round_trip(ctx, int(ctx.attr("num_bits", 8)), half_up=half_up)


@op("QuantizeAndDequantizeV3", types={"T": _FLOAT})
def quantize_and_dequantize_v3(ctx: OpContext) -> Value:
    """The number of bits comes as an input."""
    ctx.require(ctx.inputs[3].dtype in INDEX, "a number of bits")
    return _round_trip(ctx, ctx.const_int(3), half_up=False)


def _round_trip(ctx: OpContext, bits: int, *, half_up: bool) -> Value:
    """tensorflow/core/kernels/quantize_and_dequantize_op.h."""
    x, low, high = (term(ctx, i) for i in range(3))
    signed, narrow = bool(ctx.attr("signed_input", True)), bool(ctx.attr("narrow_range", False))
    ctx.require(int(ctx.attr("axis", -1)) == -1, "a range for each slice of an axis")
    ctx.require(2 <= bits <= 24, f"{bits} bits")
    ctx.require(low.rank == high.rank == 0, "the range's ends are scalars")
    given = bool(ctx.attr("range_given", False))
    if not given:
        axes = range(x.rank)
        low, high = x.reduce("min", axes), x.reduce("max", axes)
    least = float(-(1 << (bits - 1)) + narrow) if signed else 0.0
    most = float((1 << (bits - 1)) - 1) if signed else float((1 << bits) - 1)
    from_low, from_high = _scale(least, low), _scale(most, high)
    is_low = from_low < from_high
    scale = is_low.where(from_low, from_high)
    step = is_low.where(low / least if least else low.full(0), high / most)
    bottom, top = is_low.where(low, step * least), is_low.where(step * most, high)
    taken = x.minimum(top).maximum(bottom) if given else x
    scaled = taken * scale
    steps = (scaled + 0.5).fn("floor") if half_up else scaled.fn("rint")
    return (steps * step).value


def _scale(limit: float, end: Operand) -> Term:
    """Steps of one, where the limit lies on the side of this end."""
    assert isinstance(end, Term)
    return (end * limit > 0).where(limit / end, _HIGHEST)
