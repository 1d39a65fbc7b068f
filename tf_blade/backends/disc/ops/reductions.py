"""Rules of reductions, along given axes, and of what scans or orders along one."""

from __future__ import annotations

from collections.abc import Sequence

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, Rule, op
from tf_blade.dtypes import FLOATS, NUMERIC, DType

_INDEX = frozenset({DType.INT32, DType.INT64})
_HALVES = frozenset({DType.HALF, DType.BFLOAT16})
_NARROW = frozenset({DType.INT8, DType.INT16, DType.UINT8, DType.UINT16})
_NUMERIC_AXES = {"T": NUMERIC, "Tidx": _INDEX}
_FLOAT_AXES = {"T": FLOATS, "Tidx": _INDEX}


def _axes(ctx: OpContext) -> tuple[int, ...]:
    """Input 1 as distinct axes, ascending."""
    rank = ctx.inputs[0].rank
    axes = [ctx.axis(int(item), rank) for item in ctx.const(1).reshape(-1)]
    ctx.require(len(set(axes)) == len(axes), f"reduces an axis twice: {axes}")
    return tuple(sorted(axes))


def _keepdims(ctx: OpContext) -> bool:
    return bool(ctx.attr("keep_dims", False))


def _widened(ctx: OpContext, x: Value) -> Value:
    """Half types as float32, so that what is computed on the way to the result neither rounds nor overflows."""
    return ctx.b.convert(x, DType.FLOAT) if x.dtype in _HALVES else x


def _reduce(kind: str) -> Rule:
    return lambda ctx: ctx.b.reduce(kind, ctx.inputs[0], _axes(ctx), keepdims=_keepdims(ctx))


for _name, _kind in (("Sum", "sum"), ("Prod", "prod"), ("Max", "max"), ("Min", "min")):
    op(_name, types=_NUMERIC_AXES)(_reduce(_kind))
for _name, _kind in (("All", "and"), ("Any", "or")):
    op(_name, types={"Tidx": _INDEX})(_reduce(_kind))


@op("Mean", types=_NUMERIC_AXES)
def mean(ctx: OpContext) -> Value:
    """The mean of no elements is NaN. Of integers it truncates, and no elements are left to TensorFlow.

    Narrow integers are summed as wide ones.
    """
    x, axes = ctx.inputs[0], _axes(ctx)
    count = symbolic.num_elements(tuple(x.shape[axis] for axis in axes))
    wide = ctx.b.convert(x, DType.INT64) if x.dtype in _NARROW else _widened(ctx, x)
    total = ctx.b.reduce("sum", wide, axes, keepdims=_keepdims(ctx))
    if not x.dtype.is_float:
        ctx.b.require_at_least(count, 1)
    divisor = ctx.b.broadcast(ctx.b.convert(_count(ctx, count), total.dtype), total.shape, ())
    result = ctx.b.elementwise("div" if x.dtype.is_float else "truncate_div", total, divisor)
    return ctx.b.convert(result, x.dtype)


def _count(ctx: OpContext, count: symbolic.Dim) -> Value:
    """A scalar of a number of elements."""
    return ctx.b.reshape(ctx.b.dims([count], DType.INT64), ())  # type: ignore[arg-type]


@op("EuclideanNorm", types=_FLOAT_AXES)
def euclidean_norm(ctx: OpContext) -> Value:
    x, axes = ctx.inputs[0], _axes(ctx)
    squares = ctx.b.elementwise("square", _widened(ctx, x))
    norm = ctx.b.elementwise("sqrt", ctx.b.reduce("sum", squares, axes, keepdims=_keepdims(ctx)))
    return ctx.b.convert(norm, x.dtype)


@op("L2Loss", types={"T": FLOATS})
def l2_loss(ctx: OpContext) -> Value:
    """Half the sum of squares."""
    (x,) = ctx.inputs
    squares = ctx.b.elementwise("square", _widened(ctx, x))
    total = ctx.b.reduce("sum", squares, range(x.rank))
    return ctx.b.convert(ctx.b.elementwise("mul", total, ctx.b.scalar(0.5, total.dtype)), x.dtype)


def _arg_reduce(kind: str) -> Rule:
    def rule(ctx: OpContext) -> Value:
        x = ctx.inputs[0]
        ctx.require(x.rank >= 1, "of a scalar")
        axis = ctx.axis(ctx.const_int(1), x.rank)
        ctx.b.require_at_least(x.shape[axis], 1)  # an empty axis is an error
        return ctx.b.arg_reduce(kind, x, axis, ctx.attr("output_type", DType.INT64))

    return rule


for _name, _kind in (("ArgMax", "max"), ("ArgMin", "min")):
    op(_name, types={"T": NUMERIC, "Tidx": _INDEX, "output_type": _INDEX})(_arg_reduce(_kind))


@op("Softmax", types={"T": FLOATS})
def softmax(ctx: OpContext) -> Value:
    ctx.require(ctx.inputs[0].rank >= 1, "of a scalar")
    return ctx.b.softmax(ctx.inputs[0])


@op("LogSoftmax", types={"T": FLOATS})
def log_softmax(ctx: OpContext) -> Value:
    ctx.require(ctx.inputs[0].rank >= 1, "of a scalar")
    return ctx.b.softmax(ctx.inputs[0], log=True)


def _cumulative(kind: str) -> Rule:
    def rule(ctx: OpContext) -> Value:
        x = ctx.inputs[0]
        ctx.require(x.rank >= 1, "of a scalar")
        axis = ctx.axis(ctx.const_int(1), x.rank)
        exclusive, reverse = bool(ctx.attr("exclusive", False)), bool(ctx.attr("reverse", False))
        return ctx.b.cumulative(kind, x, axis, exclusive=exclusive, reverse=reverse)

    return rule


for _name, _kind in (("Cumsum", "sum"), ("Cumprod", "prod")):
    op(_name, types=_NUMERIC_AXES)(_cumulative(_kind))


@op("TopKV2", types={"T": NUMERIC, "Tk": _INDEX, "index_type": _INDEX})
def top_k(ctx: OpContext) -> Sequence[Value]:
    x = ctx.inputs[0]
    ctx.require(x.rank >= 1, "of a scalar")
    ctx.require(bool(ctx.attr("sorted", True)), "unsorted results come in an unspecified order")
    k = ctx.dim(1)
    ctx.b.require_at_least(k, 0)
    ctx.b.require_at_least(x.shape[-1], k)
    return ctx.b.topk(x, k, ctx.attr("index_type", DType.INT32))
