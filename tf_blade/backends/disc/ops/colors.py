"""Colours of images: RGB and HSV in the last axis, contrast, hue, saturation."""

from __future__ import annotations

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.backends.disc.ops.term import Term, size_term, term
from tf_blade.dtypes import FLOATS, DType

# TensorFlow adjusts others on accelerators alone.
_ADJUSTED = frozenset({DType.FLOAT})
Channels = tuple[Term, Term, Term]


def _channels(ctx: OpContext) -> Channels:
    """The three planes of input 0, each with a last axis of 1."""
    x = term(ctx, 0).widened()
    ctx.require(x.rank >= 1, "of a scalar")
    ctx.b.require_equal(x.shape[-1], 3)
    return x.part(-1, 0, 1), x.part(-1, 1, 1), x.part(-1, 2, 1)


def _joined(ctx: OpContext, channels: Channels) -> Value:
    whole = ctx.b.concat([item.value for item in channels], channels[0].rank - 1)
    return ctx.b.convert(whole, ctx.inputs[0].dtype)


def _hsv(rgb: Channels) -> Channels:
    """The hue in [0, 1) counts from red; of grey it is 0."""
    r, g, b = rgb
    value = r.maximum(g).maximum(b)
    spread = value - r.minimum(g).minimum(b)
    saturation = (value > 0).where(spread / value, 0.0)
    norm = 1 / (spread * 6)
    hue = value.equals(g).where(norm * (b - r) + 2 / 6, norm * (r - g) + 4 / 6)
    hue = value.equals(r).where(norm * (g - b), hue)
    hue = (spread > 0).where(hue, 0.0)
    return (hue < 0).where(hue + 1, hue), saturation, value


def _rgb(hsv: Channels) -> Channels:
    hue, saturation, value = hsv
    angle = hue * 6
    red = ((angle - 3).fn("abs") - 1).clip(0, 1)
    green = (2 - (angle - 2).fn("abs")).clip(0, 1)
    blue = (2 - (angle - 4).fn("abs")).clip(0, 1)
    rest = 1 - saturation
    return (rest + saturation * red) * value, (rest + saturation * green) * value, (rest + saturation * blue) * value


@op("RGBToHSV", types={"T": FLOATS})
def rgb_to_hsv(ctx: OpContext) -> Value:
    return _joined(ctx, _hsv(_channels(ctx)))


@op("HSVToRGB", types={"T": FLOATS})
def hsv_to_rgb(ctx: OpContext) -> Value:
    return _joined(ctx, _rgb(_channels(ctx)))


@op("AdjustSaturation", types={"T": _ADJUSTED})
def adjust_saturation(ctx: OpContext) -> Value:
    ctx.require(ctx.inputs[0].rank >= 3 and ctx.inputs[1].rank == 0, "images, and a scalar")
    hue, saturation, value = _hsv(_channels(ctx))
    return _joined(ctx, _rgb((hue, (saturation * term(ctx, 1)).clip(0, 1), value)))


@op("AdjustHue", types={"T": _ADJUSTED})
def adjust_hue(ctx: OpContext) -> Value:
    """Turns the hue, by a fraction of the circle."""
    ctx.require(ctx.inputs[0].rank >= 3 and ctx.inputs[1].rank == 0, "images, and a scalar")
    hue, saturation, value = _hsv(_channels(ctx))
    turned = hue + term(ctx, 1)
    return _joined(ctx, _rgb((turned - turned.fn("floor"), saturation, value)))


@op("AdjustContrastv2", types={"T": _ADJUSTED})
def adjust_contrast(ctx: OpContext) -> Value:
    """The distance from the mean of each image's channel, scaled."""
    x = term(ctx, 0).widened()
    ctx.require(x.rank >= 3 and ctx.inputs[1].rank == 0, "images, and a scalar")
    count = symbolic.mul(*x.shape[-3:-1])
    mean = x.sum((-3, -2), keepdims=True) / size_term(ctx.b, count, DType.FLOAT)
    return ((x - mean) * term(ctx, 1) + mean).to(ctx.inputs[0].dtype).value
