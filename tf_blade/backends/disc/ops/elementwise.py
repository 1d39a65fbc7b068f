"""Rules of the elementwise ops: arithmetic, activations, comparisons, selection, casts, bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, Rule, op
from tf_blade.dtypes import ALL, FLOATS, INTEGERS, NUMERIC, DType
from tf_blade.errors import Unsupported

_UNARY_FLOAT = {
    "Acos": "acos", "Asin": "asin", "Atan": "atan", "Ceil": "ceil", "Cos": "cos", "Cosh": "cosh", "Elu": "elu",
    "Erf": "erf", "Erfc": "erfc", "Exp": "exp", "Expm1": "expm1", "Floor": "floor", "IsFinite": "is_finite",
    "IsInf": "is_inf", "IsNan": "is_nan", "Log": "log", "Log1p": "log1p", "Reciprocal": "reciprocal",
    "Inv": "reciprocal", "Rint": "rint", "Round": "rint", "Rsqrt": "rsqrt", "Selu": "selu", "Sigmoid": "sigmoid",
    "Sin": "sin", "Sinh": "sinh", "Softplus": "softplus", "Softsign": "softsign", "Sqrt": "sqrt",
    "Tan": "tan", "Tanh": "tanh",
}  # fmt: skip
_UNARY_NUMERIC = {"Abs": "abs", "Neg": "neg", "Relu": "relu", "Relu6": "relu6", "Sign": "sign", "Square": "square"}
_BINARY_FLOAT = {
    "Atan2": "atan2", "DivNoNan": "div_no_nan", "MulNoNan": "mul_no_nan", "RealDiv": "div", "Xdivy": "xdivy",
    "Xlogy": "xlogy",
}  # fmt: skip
_BINARY_NUMERIC = {
    "Add": "add", "AddV2": "add", "FloorMod": "floor_mod", "Maximum": "maximum",
    "Minimum": "minimum", "Mod": "truncate_mod", "TruncateMod": "truncate_mod",
    "Mul": "mul", "SquaredDifference": "squared_difference", "Sub": "sub",
    "Less": "less", "LessEqual": "less_equal", "Greater": "greater", "GreaterEqual": "greater_equal",
}  # fmt: skip
_BINARY_INTEGER = {
    "BitwiseAnd": "bitwise_and", "BitwiseOr": "bitwise_or", "BitwiseXor": "bitwise_xor", "LeftShift": "left_shift",
    "RightShift": "right_shift",
}  # fmt: skip
_BINARY_ALL = {"Equal": "equal", "NotEqual": "not_equal"}
_BINARY_LOGICAL = {"LogicalAnd": "logical_and", "LogicalOr": "logical_or"}


def _unary(fn: str) -> Rule:
    return lambda ctx: ctx.b.elementwise(fn, ctx.inputs[0])


def _binary(fn: str) -> Rule:
    return lambda ctx: ctx.b.binary(fn, ctx.inputs[0], ctx.inputs[1])


def _register() -> None:
    for make, table, accepted in (
        (_unary, _UNARY_FLOAT, FLOATS),
        (_unary, _UNARY_NUMERIC, NUMERIC),
        (_unary, {"Invert": "invert"}, INTEGERS),
        (_binary, _BINARY_FLOAT, FLOATS),
        (_binary, _BINARY_NUMERIC, NUMERIC),
        (_binary, _BINARY_INTEGER, INTEGERS),
        (_binary, _BINARY_ALL, ALL),
    ):
        for name, fn in table.items():
            op(name, types={"T": accepted})(make(fn))
    for name, fn in _BINARY_LOGICAL.items():
        op(name)(_binary(fn))
    op("LogicalNot")(_unary("logical_not"))


_register()


def same_shape(b: Builder, values: Sequence[Value]) -> list[Value]:
    """The values with the first one's shape; that they have it becomes a constraint where it is not proven.

    Raises:
        Unsupported: ranks or dimensions differ; TensorFlow reports the error.
    """
    first = values[0]
    result = [first]
    for value in values[1:]:
        if value.rank != first.rank:
            raise Unsupported(f"operands of ranks {first.rank} and {value.rank}")
        for a, c in zip(first.shape, value.shape, strict=True):
            b.require_equal(a, c)
        result.append(b.reshape(value, first.shape))
    return result


@op("LeakyRelu", types={"T": FLOATS})
def leaky_relu(ctx: OpContext) -> Value:
    (x,) = ctx.inputs
    alpha = ctx.b.full(ctx.attr("alpha", 0.2), x.dtype, x.shape)
    positive = ctx.b.elementwise("greater", x, ctx.b.full(0, x.dtype, x.shape))
    return ctx.b.elementwise("select", positive, x, ctx.b.elementwise("mul", x, alpha))


@op("Div", types={"T": NUMERIC})
def div(ctx: OpContext) -> Value:
    """Of integers, truncates; a zero divisor is an error of the call."""
    return ctx.b.binary("div" if ctx.inputs[0].dtype.is_float else "truncate_div", ctx.inputs[0], ctx.inputs[1])


@op("FloorDiv", types={"T": NUMERIC})
def floor_div(ctx: OpContext) -> Value:
    """Of floats, the quotient is rounded to its type before the floor is taken, as TensorFlow does."""
    if ctx.inputs[0].dtype.is_float:
        return ctx.b.elementwise("floor", ctx.b.binary("div", *ctx.inputs))
    return ctx.b.binary("floor_div", *ctx.inputs)


@op("TruncateDiv", types={"T": NUMERIC})
def truncate_div(ctx: OpContext) -> Value:
    """Rounds the quotient towards zero."""
    if not ctx.inputs[0].dtype.is_float:
        return ctx.b.binary("truncate_div", *ctx.inputs)
    quotient = ctx.b.binary("div", *ctx.inputs)
    negative = ctx.b.elementwise("less", quotient, ctx.b.full(0, quotient.dtype, quotient.shape))
    return ctx.b.elementwise(
        "select", negative, ctx.b.elementwise("ceil", quotient), ctx.b.elementwise("floor", quotient)
    )


@op("Pow", types={"T": NUMERIC})
def power(ctx: OpContext) -> Value:
    """Integers take known, nonnegative exponents only: a negative one is an error that depends on the data."""
    x, y = ctx.inputs
    if x.dtype.is_integer:
        ctx.require(bool(np.all(ctx.const(1) >= 0)), "an integer power with a negative exponent")
        return ctx.b.binary("int_pow", x, y)
    if y.kind == "constant" and y.rank == 0:
        exponent = float(y.op.attrs["array"])
        if exponent == 2.0:
            return ctx.b.elementwise("square", x)
        if exponent == 3.0 and x.dtype in (DType.FLOAT, DType.DOUBLE):
            return ctx.b.elementwise("mul", ctx.b.elementwise("square", x), x)
    return ctx.b.binary("pow", x, y)


@op("AddN", types={"T": NUMERIC})
def add_n(ctx: OpContext) -> Value:
    total, *rest = same_shape(ctx.b, ctx.inputs)
    for value in rest:
        total = ctx.b.elementwise("add", total, value)
    return total


@op("BiasAdd", "BiasAddV1", types={"T": NUMERIC})
def bias_add(ctx: OpContext) -> Value:
    """Adds a vector along the channels: the last axis, or axis 1 for NCHW."""
    x, bias = ctx.inputs
    ctx.require(bias.rank == 1, "the bias is no vector")
    channel_first = ctx.attr("data_format", "NHWC") == "NCHW"
    ctx.require(x.rank >= (3 if channel_first else 2), f"a value of rank {x.rank}")
    axis = 1 if channel_first else x.rank - 1
    ctx.b.require_equal(x.shape[axis], bias.shape[0])
    bias = ctx.b.reshape(bias, (x.shape[axis],))
    return ctx.b.elementwise("add", x, ctx.b.broadcast(bias, x.shape, (axis,)))


@op("Select", types={"T": ALL})
def select(ctx: OpContext) -> Value:
    """The predicate is a scalar, has the shape of the others, or is a vector that picks along their first axis."""
    predicate, on_true, on_false = ctx.inputs
    on_true, on_false = same_shape(ctx.b, [on_true, on_false])
    if predicate.rank == on_true.rank:
        _, predicate = same_shape(ctx.b, [on_true, predicate])
    elif predicate.rank == 0:
        predicate = ctx.b.broadcast(predicate, on_true.shape, ())
    else:
        ctx.require(predicate.rank == 1, f"a predicate of rank {predicate.rank} for values of rank {on_true.rank}")
        ctx.require(on_true.rank > 1, "a vector predicate for scalars")
        ctx.b.require_equal(predicate.shape[0], on_true.shape[0])
        predicate = ctx.b.broadcast(ctx.b.reshape(predicate, on_true.shape[:1]), on_true.shape, (0,))
    return ctx.b.elementwise("select", predicate, on_true, on_false)


@op("SelectV2", types={"T": ALL})
def select_v2(ctx: OpContext) -> Value:
    return ctx.b.elementwise("select", *ctx.b.broadcast_together(*ctx.inputs))


@op("ClipByValue", types={"T": NUMERIC})
def clip_by_value(ctx: OpContext) -> Value:
    """Bounds are scalars or have the value's shape."""
    x, *bounds = ctx.inputs
    low, high = (
        ctx.b.broadcast(item, x.shape, ()) if item.rank == 0 else same_shape(ctx.b, [x, item])[1] for item in bounds
    )
    return ctx.b.elementwise("maximum", ctx.b.elementwise("minimum", x, high), low)


@op("Cast", types={"SrcT": ALL, "DstT": ALL})
def cast(ctx: OpContext) -> Value:
    ctx.require(not ctx.attr("Truncate", False), "truncating casts")
    return ctx.b.convert(ctx.inputs[0], ctx.attr("DstT"))


@op("Bitcast", types={"T": NUMERIC, "type": NUMERIC})
def bitcast(ctx: OpContext) -> Value:
    (x,) = ctx.inputs
    target: DType = ctx.attr("type")
    ctx.require(x.dtype.size == target.size, f"bits of {x.dtype.name} as {target.name}, of another size")
    return x if x.dtype == target else ctx.b.elementwise("bitcast", x, dtype=target)
