"""Rules of the elementwise ops: arithmetic, activations, comparisons, logic, selection, casts."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from tf_blade.backends.tensorrt.ops.base import ALL, FLOATS, INTEGERS, NUMBERS, OpContext, Precision, Rule, op
from tf_blade.backends.tensorrt.values import Value
from tf_blade.dtypes import DType
from tf_blade.symbolic import equal

_UNARY = {
    "Acos": "ACOS", "Acosh": "ACOSH", "Asin": "ASIN", "Asinh": "ASINH", "Atan": "ATAN", "Atanh": "ATANH",
    "Ceil": "CEIL", "Cos": "COS", "Erf": "ERF", "Floor": "FLOOR", "Inv": "RECIP", "Reciprocal": "RECIP",
    "Rint": "ROUND", "Round": "ROUND", "Sin": "SIN", "Sqrt": "SQRT", "Tan": "TAN",
}  # fmt: skip
# What grows fast, or is computed from small differences.
_UNARY_FULL = {"Cosh": "COSH", "Exp": "EXP", "Log": "LOG", "Sinh": "SINH"}
_UNARY_NUMBERS = {"Abs": "ABS", "Neg": "NEG"}
_BINARY = {"Add": "SUM", "AddV2": "SUM", "Maximum": "MAX", "Minimum": "MIN", "Mul": "PROD", "Sub": "SUB"}
_COMPARE = {"Greater": "GREATER", "Less": "LESS"}
_FULL = Precision.FULL


def _unary(kind: str) -> Rule:
    return lambda ctx: ctx.net.unary(kind, ctx.inputs[0])


def _activation(kind: str, alpha: float | None = None, beta: float | None = None) -> Rule:
    return lambda ctx: ctx.net.activation(kind, ctx.inputs[0], alpha, beta)


def _binary(kind: str) -> Rule:
    return lambda ctx: ctx.net.binary(kind, *ctx.inputs)


def _compare(kind: str) -> Rule:
    return lambda ctx: ctx.net.compare(kind, *ctx.inputs)


def _register() -> None:
    for name, kind in _UNARY.items():
        op(name, types={"T": FLOATS})(_unary(kind))
    for name, kind in _UNARY_FULL.items():
        op(name, types={"T": FLOATS}, precision=_FULL)(_unary(kind))
    for name, kind in _UNARY_NUMBERS.items():
        op(name, types={"T": NUMBERS})(_unary(kind))
    for name, kind in _BINARY.items():
        op(name, types={"T": NUMBERS})(_binary(kind))
    for name, kind in _COMPARE.items():
        op(name, types={"T": NUMBERS})(_compare(kind))
    op("LogicalNot")(lambda ctx: ctx.net.unary("NOT", ctx.inputs[0]))
    op("LogicalAnd")(_binary("AND"))
    op("LogicalOr")(_binary("OR"))
    op("IsNan", types={"T": FLOATS})(lambda ctx: ctx.net.unary("ISNAN", ctx.inputs[0], DType.BOOL))
    op("IsInf", types={"T": FLOATS})(lambda ctx: ctx.net.unary("ISINF", ctx.inputs[0], DType.BOOL))
    op("Sigmoid", types={"T": FLOATS})(_activation("SIGMOID"))
    op("Tanh", types={"T": FLOATS})(_activation("TANH"))
    op("Elu", types={"T": FLOATS})(_activation("ELU", 1.0))
    op("Selu", types={"T": FLOATS})(_activation("SELU", 1.6732632423543772, 1.0507009873554805))
    op("Softplus", types={"T": FLOATS}, precision=_FULL)(_activation("SOFTPLUS", 1.0, 1.0))
    op("Softsign", types={"T": FLOATS})(_activation("SOFTSIGN"))


_register()


@op("Relu", types={"T": NUMBERS})
def relu(ctx: OpContext) -> Value:
    (x,) = ctx.inputs
    return ctx.net.activation("RELU", x) if x.dtype in FLOATS else ctx.net.binary("MAX", x, ctx.net.like(0, x))


@op("Relu6", types={"T": NUMBERS})
def relu6(ctx: OpContext) -> Value:
    (x,) = ctx.inputs
    if x.dtype in FLOATS:
        return ctx.net.activation("CLIP", x, 0.0, 6.0)
    return ctx.net.binary("MIN", ctx.net.binary("MAX", x, ctx.net.like(0, x)), ctx.net.like(6, x))


@op("LeakyRelu", types={"T": FLOATS})
def leaky_relu(ctx: OpContext) -> Value:
    return ctx.net.activation("LEAKY_RELU", ctx.inputs[0], float(ctx.attr("alpha", 0.2)))


@op("Sign", types={"T": NUMBERS})
def sign(ctx: OpContext) -> Value:
    (x,) = ctx.inputs
    if x.dtype in FLOATS:
        return ctx.net.unary("SIGN", x)
    return ctx.net.binary("MAX", ctx.net.binary("MIN", x, ctx.net.like(1, x)), ctx.net.like(-1, x))


@op("Square", types={"T": NUMBERS})
def square(ctx: OpContext) -> Value:
    return ctx.net.binary("PROD", ctx.inputs[0], ctx.inputs[0])


@op("Rsqrt", types={"T": FLOATS}, precision=_FULL)
def rsqrt(ctx: OpContext) -> Value:
    return ctx.net.unary("RECIP", ctx.net.unary("SQRT", ctx.inputs[0]))


@op("Erfc", types={"T": FLOATS})
def erfc(ctx: OpContext) -> Value:
    (x,) = ctx.inputs
    return ctx.net.binary("SUB", ctx.net.like(1, x), ctx.net.unary("ERF", x))


@op("Expm1", types={"T": FLOATS}, precision=_FULL)
def expm1(ctx: OpContext) -> Value:
    """tanh(x / 2) · (exp(x) + 1), which keeps small results exact."""
    (x,) = ctx.inputs
    half = ctx.net.activation("TANH", ctx.net.binary("PROD", x, ctx.net.like(0.5, x)))
    return ctx.net.binary("PROD", half, ctx.net.binary("SUM", ctx.net.unary("EXP", x), ctx.net.like(1, x)))


@op("Log1p", types={"T": FLOATS}, precision=_FULL)
def log1p(ctx: OpContext) -> Value:
    """Near 0, 2 · atanh(x / (2 + x)), which keeps small results exact."""
    net, (x,) = ctx.net, ctx.inputs
    small = net.compare("LESS", net.unary("ABS", x), net.like(0.5, x))
    inside = net.select(small, x, net.like(0, x))
    ratio = net.binary("DIV", inside, net.binary("SUM", inside, net.like(2, x)))
    near = net.binary("PROD", net.unary("ATANH", ratio), net.like(2, x))
    return net.select(small, near, net.unary("LOG", net.binary("SUM", x, net.like(1, x))))


@op("IsFinite", types={"T": FLOATS})
def is_finite(ctx: OpContext) -> Value:
    (x,) = ctx.inputs
    bad = [ctx.net.unary(kind, x, DType.BOOL) for kind in ("ISNAN", "ISINF")]
    return ctx.net.unary("NOT", ctx.net.binary("OR", *bad))


@op("SquaredDifference", types={"T": NUMBERS}, precision=_FULL)
def squared_difference(ctx: OpContext) -> Value:
    difference = ctx.net.binary("SUB", *ctx.inputs)
    return ctx.net.binary("PROD", difference, difference)


@op("AddN", types={"T": NUMBERS})
def add_n(ctx: OpContext) -> Value:
    return functools.reduce(lambda a, b: ctx.net.binary("SUM", a, b), ctx.inputs)


@op("BiasAdd", "BiasAddV1", types={"T": NUMBERS})
def bias_add(ctx: OpContext) -> Value:
    """Adds a vector along the channels: the last axis, or axis 1 for NCHW."""
    x, bias = ctx.inputs
    if ctx.attr("data_format", "NHWC") == "NCHW":
        ctx.require(x.rank >= 3, f"a value of rank {x.rank}")
        bias = ctx.net.reshape(bias, (*bias.shape, *(1,) * (x.rank - 2)))
    return ctx.net.binary("SUM", x, bias)


# Quotients. A zero divisor of integers is an error of the call in TensorFlow; nothing reports it here.


def _nonzero(ctx: OpContext) -> None:
    if ctx.inputs[0].dtype in INTEGERS:
        divisor = ctx.inputs[1].constant
        ctx.require(divisor is not None and bool(np.all(divisor != 0)), "integers are divided by what may be zero")


@op("RealDiv", types={"T": FLOATS})
def real_div(ctx: OpContext) -> Value:
    return ctx.net.binary("DIV", *ctx.inputs)


@op("Div", "TruncateDiv", types={"T": NUMBERS})
def truncate_div(ctx: OpContext) -> Value:
    """Of integers, rounded towards zero; Div of floats is not rounded."""
    a, b = ctx.inputs
    if a.dtype in INTEGERS:
        _nonzero(ctx)
        return truncated(ctx, a, b)
    quotient = ctx.net.binary("DIV", a, b)
    return quotient if ctx.node.op == "Div" else _towards_zero(ctx, quotient)


def _towards_zero(ctx: OpContext, x: Value) -> Value:
    negative = ctx.net.compare("LESS", x, ctx.net.like(0, x))
    return ctx.net.select(negative, ctx.net.unary("CEIL", x), ctx.net.unary("FLOOR", x))


def truncated(ctx: OpContext, a: Value, b: Value) -> Value:
    """A quotient of integers: the floor of the magnitudes' quotient, with its sign."""
    net = ctx.net
    magnitude = net.binary("FLOOR_DIV", net.unary("ABS", a), net.unary("ABS", b))
    zero_a, zero_b = net.like(0, a), net.like(0, b)
    differs = net.binary("XOR", net.compare("LESS", a, zero_a), net.compare("LESS", b, zero_b))
    return net.select(differs, net.unary("NEG", magnitude), magnitude)


@op("FloorDiv", types={"T": NUMBERS})
def floor_div(ctx: OpContext) -> Value:
    a, b = ctx.inputs
    if a.dtype in INTEGERS:
        _nonzero(ctx)
        return ctx.net.binary("FLOOR_DIV", a, b)
    return ctx.net.unary("FLOOR", ctx.net.binary("DIV", a, b))


@op("FloorMod", types={"T": INTEGERS})
def floor_mod(ctx: OpContext) -> Value:
    a, b = ctx.inputs
    _nonzero(ctx)
    return ctx.net.binary("SUB", a, ctx.net.binary("PROD", ctx.net.binary("FLOOR_DIV", a, b), b))


@op("Mod", "TruncateMod", types={"T": INTEGERS})
def truncate_mod(ctx: OpContext) -> Value:
    a, b = ctx.inputs
    _nonzero(ctx)
    return ctx.net.binary("SUB", a, ctx.net.binary("PROD", truncated(ctx, a, b), b))


def _where_nonzero(tested: int, compute: Callable[[OpContext], Value]) -> Rule:
    """0 where input `tested` is 0, whatever the rest."""

    def rule(ctx: OpContext) -> Value:
        x = ctx.inputs[tested]
        zero = ctx.net.like(0, x)
        return ctx.net.select(ctx.net.compare("EQUAL", x, zero), zero, compute(ctx))

    return rule


op("DivNoNan", types={"T": FLOATS})(_where_nonzero(1, real_div))  # type: ignore[arg-type]
op("MulNoNan", types={"T": FLOATS})(_where_nonzero(1, _binary("PROD")))  # type: ignore[arg-type]
op("Xdivy", types={"T": FLOATS})(_where_nonzero(0, real_div))  # type: ignore[arg-type]


@op("Xlogy", types={"T": FLOATS}, precision=_FULL)
def xlogy(ctx: OpContext) -> Value:
    x, y = ctx.inputs
    zero = ctx.net.like(0, x)
    product = ctx.net.binary("PROD", x, ctx.net.unary("LOG", y))
    return ctx.net.select(ctx.net.compare("EQUAL", x, zero), zero, product)


# Comparisons that no layer makes.


def _equal(ctx: OpContext) -> Value:
    if ctx.inputs[0].dtype == DType.BOOL:
        return ctx.net.unary("NOT", ctx.net.binary("XOR", *ctx.inputs))
    return ctx.net.compare("EQUAL", *ctx.inputs)


def _shapes_may_match(ctx: OpContext) -> None:
    """Where shapes cannot be compared, these two ops may say so instead of failing."""
    ctx.require(bool(ctx.attr("incompatible_shape_error", True)), "shapes that differ are no error")


@op("Equal", types={"T": ALL})
def equal_(ctx: OpContext) -> Value:
    _shapes_may_match(ctx)
    return _equal(ctx)


@op("NotEqual", types={"T": ALL})
def not_equal(ctx: OpContext) -> Value:
    _shapes_may_match(ctx)
    if ctx.inputs[0].dtype == DType.BOOL:
        return ctx.net.binary("XOR", *ctx.inputs)
    return ctx.net.unary("NOT", _equal(ctx))


@op("GreaterEqual", types={"T": NUMBERS})
def greater_equal(ctx: OpContext) -> Value:
    return ctx.net.binary("OR", ctx.net.compare("GREATER", *ctx.inputs), ctx.net.compare("EQUAL", *ctx.inputs))


@op("LessEqual", types={"T": NUMBERS})
def less_equal(ctx: OpContext) -> Value:
    return ctx.net.binary("OR", ctx.net.compare("LESS", *ctx.inputs), ctx.net.compare("EQUAL", *ctx.inputs))


# Selection and casts.


@op("Select", types={"T": ALL})
def select(ctx: OpContext) -> Value:
    """The predicate is a scalar, has the shape of the others, or is a vector that picks along their first axis."""
    predicate, on_true, on_false = ctx.inputs
    ctx.require(on_true.rank == on_false.rank, f"operands of ranks {on_true.rank} and {on_false.rank}")
    same = all(equal(a, b) for a, b in zip(on_true.shape, on_false.shape, strict=True))
    ctx.require(same, "operands whose shapes may differ")
    if predicate.rank != on_true.rank:
        ctx.require(predicate.rank <= 1, f"a predicate of rank {predicate.rank} for values of rank {on_true.rank}")
        if predicate.rank == 1:
            predicate = ctx.net.reshape(predicate, (*predicate.shape, *(1,) * (on_true.rank - 1)))
    return ctx.net.select(predicate, on_true, on_false)


@op("SelectV2", types={"T": ALL})
def select_v2(ctx: OpContext) -> Value:
    return ctx.net.select(*ctx.inputs)


@op("ClipByValue", types={"T": NUMBERS})
def clip_by_value(ctx: OpContext) -> Value:
    x, low, high = ctx.inputs
    return ctx.net.binary("MAX", ctx.net.binary("MIN", x, high), low)


@op("Cast", types={"SrcT": ALL | {DType.UINT8}, "DstT": ALL})
def cast(ctx: OpContext) -> Value:
    ctx.require(not ctx.attr("Truncate", False), "truncating casts")
    x, target = ctx.inputs[0], ctx.attr("DstT")
    if target == DType.BOOL and x.dtype != DType.BOOL:
        return ctx.net.unary("NOT", ctx.net.compare("EQUAL", x, ctx.net.like(0, x)))
    return ctx.net.cast(x, target)
