"""Rules of powers, angles and buckets: elementwise ops that take several layers."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable

import numpy as np

from tf_blade.backends.tensorrt.ops.base import FLOATS, INTEGERS, NUMBERS, OpContext, Precision, op
from tf_blade.backends.tensorrt.values import Value
from tf_blade.dtypes import DType

_FULL = Precision.FULL
MAX_POWER = 8


@op("Pow", types={"T": NUMBERS}, precision=_FULL)
def power(ctx: OpContext) -> Value:
    """Of constant exponents. Whole ones are multiplied out: their bases may be negative."""
    x, y = ctx.inputs
    exponent = y.constant
    if x.dtype in INTEGERS:
        return _whole_powers(ctx, x, exponent)
    ctx.require(
        exponent is not None and exponent.size == 1 and y.rank <= x.rank, "an exponent that is not one constant"
    )
    assert exponent is not None
    number = float(exponent.reshape(-1)[0])
    ctx.require(math.isfinite(number), f"the exponent {number:g}")
    if number == 0:
        return ctx.net.broadcast(ctx.net.like(1, x), x.shape)
    if number == 0.5:
        return _root(ctx, x)
    if number != int(number):
        return ctx.net.binary("POW", x, ctx.net.reshape(y, (1,) * x.rank))
    ctx.require(abs(number) <= MAX_POWER, f"the exponent {number:g}")
    result = _product(ctx, [x] * int(abs(number)))
    return result if number > 0 else ctx.net.unary("RECIP", result)


def _root(ctx: OpContext, x: Value) -> Value:
    """As a power: of an infinity, and of a zero, without its sign. A square root of the infinity below 0 is NaN."""
    net = ctx.net
    unsigned = net.binary("OR", net.unary("ISINF", x, DType.BOOL), net.compare("EQUAL", x, net.like(0, x)))
    return net.unary("SQRT", net.select(unsigned, net.unary("ABS", x), x))


def _product(ctx: OpContext, values: Iterable[Value]) -> Value:
    return functools.reduce(lambda a, b: ctx.net.binary("PROD", a, b), values)


def _whole_powers(ctx: OpContext, x: Value, exponents: np.ndarray | None) -> Value:
    """Integers: the product of the squares of squares that each exponent has a bit for; overflow wraps around."""
    ctx.require(exponents is not None and exponents.size > 0, "exponents of integers that are not constant")
    assert exponents is not None
    ctx.require(bool((exponents >= 0).all()), "an integer to a negative power")
    net, square, factors = ctx.net, x, []
    for bit in range(int(exponents.max()).bit_length()):
        square = square if not bit else net.binary("PROD", square, square)
        has = (exponents >> bit) & 1 == 1
        if has.any():
            factors.append(square if has.all() else net.select(net.constant(has), square, net.like(1, x)))
    shape = net.broadcast_shape(x, Value(x.dtype, tuple(exponents.shape)))
    if not factors:
        return net.broadcast(net.like(1, x), shape)
    return net.broadcast(_product(ctx, factors), shape)


@op("Atan2", types={"T": FLOATS}, precision=_FULL)
def atan2(ctx: OpContext) -> Value:
    """The angle of a point: the quotient's, and half a turn where x is below 0. Zeros have signs here."""
    net, (y, x) = ctx.net, ctx.inputs
    # Of two infinities the signs tell the angle, where their quotient is NaN.
    endless = net.binary("AND", *(net.unary("ISINF", item, DType.BOOL) for item in (y, x)))
    y, x = (net.select(endless, net.unary("SIGN", item), item) for item in (y, x))
    none = net.compare("EQUAL", y, net.like(0, y))
    near = net.unary(
        "ATAN", net.binary("DIV", net.select(none, net.like(0, y), y), net.select(none, net.like(1, x), x))
    )
    half = net.select(_negative(ctx, y), net.like(-math.pi, y), net.like(math.pi, y))
    # To the right of 0 a zero keeps y's sign.
    angle = net.select(_negative(ctx, x), net.binary("SUM", near, half), net.select(none, y, near))
    return net.select(net.unary("ISNAN", x, DType.BOOL), x, angle)


def _negative(ctx: OpContext, x: Value) -> Value:
    """Below 0, or the zero below 0."""
    zero = ctx.net.like(0, x)
    below = ctx.net.compare("LESS", x, zero)
    return ctx.net.binary("OR", below, ctx.net.compare("LESS", ctx.net.unary("RECIP", x), zero))


@op("Bucketize", types={"T": FLOATS | INTEGERS}, precision=_FULL)
def bucketize(ctx: OpContext) -> Value:
    """How many of the sorted boundaries are not above an element."""
    net, (x,) = ctx.net, ctx.inputs
    boundaries = np.array(ctx.node.attrs.get("boundaries", []), np.float32)
    ctx.require(boundaries.size > 0, "no boundaries")
    if x.dtype != DType.FLOAT:
        x = net.cast(x, DType.FLOAT)
    above = net.compare("LESS", net.reshape(x, (*x.shape, 1)), net.constant(boundaries.reshape((1,) * x.rank + (-1,))))
    counted = net.cast(net.unary("NOT", above), DType.INT32)
    return net.reduce("SUM", counted, (x.rank,), keepdims=False)
