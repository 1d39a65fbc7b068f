"""Rules of reductions, scans, softmax and top-k."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tf_blade import symbolic
from tf_blade.backends.tensorrt.ops.base import FLOATS, INDEX, NUMBERS, OpContext, Precision, Rule, op
from tf_blade.backends.tensorrt.ops.elementwise import truncated
from tf_blade.backends.tensorrt.values import Value
from tf_blade.dtypes import DType
from tf_blade.symbolic import Dim

_FULL = Precision.FULL
MAX_K = 3840  # TensorRT's
MAX_FACTORS = 1024
MAX_FLOAT_FACTORS = 128


def _reduce(kind: str) -> Rule:
    def rule(ctx: OpContext) -> Value:
        x = ctx.inputs[0]
        return ctx.net.reduce(kind, x, ctx.axes(1, x.rank), keepdims=bool(ctx.attr("keep_dims", False)))

    return rule


for _name, _kind in (("Sum", "SUM"), ("Prod", "PROD")):
    op(_name, types={"T": NUMBERS, "Tidx": INDEX}, precision=_FULL)(_reduce(_kind))
for _name, _kind in (("Max", "MAX"), ("Min", "MIN")):
    op(_name, types={"T": NUMBERS, "Tidx": INDEX})(_reduce(_kind))


@op("Mean", types={"T": NUMBERS, "Tidx": INDEX}, precision=_FULL)
def mean(ctx: OpContext) -> Value:
    """Of integers, the sum divided by their number, rounded towards zero."""
    x = ctx.inputs[0]
    if x.dtype not in INDEX:
        return _reduce("AVG")(ctx)  # type: ignore[return-value]
    axes = ctx.axes(1, x.rank)
    # TensorFlow sums int32 in int64.
    wide = ctx.net.cast(x, DType.INT64)
    total = ctx.net.reduce("SUM", wide, axes, keepdims=bool(ctx.attr("keep_dims", False)))
    count = symbolic.mul(1, *(x.shape[axis] for axis in axes))
    ctx.require(count != 0, "a mean of nothing")
    result = truncated(ctx, total, ctx.net.reshape(ctx.net.size(count, DType.INT64), (1,) * total.rank))
    return ctx.net.cast(result, x.dtype)


def _logical(kind: str) -> Rule:
    """Of bools as integers, which layers reduce."""

    def rule(ctx: OpContext) -> Value:
        x = ctx.net.cast(ctx.inputs[0], DType.INT32)
        total = ctx.net.reduce(kind, x, ctx.axes(1, x.rank), keepdims=bool(ctx.attr("keep_dims", False)))
        return ctx.net.unary("NOT", ctx.net.compare("EQUAL", total, ctx.net.like(0, total)))

    return rule


op("All", types={"Tidx": INDEX})(_logical("MIN"))
op("Any", types={"Tidx": INDEX})(_logical("MAX"))


@op("EuclideanNorm", types={"T": FLOATS, "Tidx": INDEX}, precision=_FULL)
def euclidean_norm(ctx: OpContext) -> Value:
    x = ctx.inputs[0]
    squares = ctx.net.binary("PROD", x, x)
    total = ctx.net.reduce("SUM", squares, ctx.axes(1, x.rank), keepdims=bool(ctx.attr("keep_dims", False)))
    return ctx.net.unary("SQRT", total)


@op("L2Loss", types={"T": FLOATS}, precision=_FULL)
def l2_loss(ctx: OpContext) -> Value:
    """Half the sum of squares."""
    (x,) = ctx.inputs
    ctx.require(x.rank >= 1, "of a scalar")
    total = ctx.net.reduce("SUM", ctx.net.binary("PROD", x, x), range(x.rank), keepdims=False)
    return ctx.net.binary("PROD", total, ctx.net.like(0.5, x))


@op("Softmax", types={"T": FLOATS}, precision=_FULL)
def softmax(ctx: OpContext) -> Value:
    (x,) = ctx.inputs
    ctx.require(x.rank >= 1, "of a scalar")
    return ctx.net.softmax(x, x.rank - 1)


@op("LogSoftmax", types={"T": FLOATS}, precision=_FULL)
def log_softmax(ctx: OpContext) -> Value:
    """(x - max) - log(sum(exp(x - max))): the logarithm of a softmax would lose small results."""
    net, (x,) = ctx.net, ctx.inputs
    ctx.require(x.rank >= 1, "of a scalar")
    axis = (x.rank - 1,)
    shifted = net.binary("SUB", x, net.reduce("MAX", x, axis, keepdims=True))
    total = net.reduce("SUM", net.unary("EXP", shifted), axis, keepdims=True)
    return net.binary("SUB", shifted, net.unary("LOG", total))


def _arg_reduce(kind: str) -> Rule:
    def rule(ctx: OpContext) -> Value:
        x = ctx.inputs[0]
        ctx.require(x.rank >= 1, "of a scalar")
        axis = ctx.axis(ctx.const_int(1), x.rank)
        _, indices = _top(ctx, kind, x, 1, axis)
        shape = x.shape[:axis] + x.shape[axis + 1 :]
        return ctx.net.cast(ctx.net.reshape(indices, shape), ctx.attr("output_type", DType.INT64))

    return rule


def _top(ctx: OpContext, kind: str, x: Value, k: int, axis: int) -> tuple[Value, Value]:
    """The k largest ("MAX") or smallest along an axis, and where they are."""
    original = x
    if x.rank == 1:  # layers want two dimensions or more
        x, axis = ctx.net.reshape(x, (1, *x.shape)), 1
    layer = ctx.net.definition.add_topk(ctx.net.tensor(x), getattr(ctx.net.trt.TopKOperation, kind), k, 1 << axis)
    shape: list[Dim] = list(x.shape)
    shape[axis] = k
    results = (ctx.net.made(layer, x.dtype, tuple(shape)), ctx.net.made(layer, DType.INT32, tuple(shape), 1))
    if original.rank == 1:
        return ctx.net.reshape(results[0], (k,)), ctx.net.reshape(results[1], (k,))
    return results


for _name, _kind in (("ArgMax", "MAX"), ("ArgMin", "MIN")):
    op(_name, types={"T": FLOATS | {DType.INT32}, "Tidx": INDEX, "output_type": INDEX})(_arg_reduce(_kind))


@op("TopKV2", types={"T": FLOATS | {DType.INT32}, "Tk": INDEX, "index_type": INDEX})
def top_k(ctx: OpContext) -> Sequence[Value]:
    x, k = ctx.inputs[0], ctx.const_int(1)
    ctx.require(x.rank >= 1, "of a scalar")
    ctx.require(1 <= k <= MAX_K, f"{k} largest elements")
    values, indices = _top(ctx, "MAX", x, k, x.rank - 1)
    return [values, ctx.net.cast(indices, ctx.attr("index_type", DType.INT32))]


@op("Cumsum", types={"T": NUMBERS, "Tidx": INDEX}, precision=_FULL)
def cumsum(ctx: OpContext) -> Value:
    net, x = ctx.net, ctx.inputs[0]
    ctx.require(net.library.has("add_cumulative"), "this TensorRT has no cumulative sum")
    ctx.require(x.rank >= 1, "of a scalar")
    axis = net.constant_tensor(np.array(ctx.axis(ctx.const_int(1), x.rank), np.int64))
    exclusive, reverse = bool(ctx.attr("exclusive", False)), bool(ctx.attr("reverse", False))
    layer = net.definition.add_cumulative(net.tensor(x), axis, net.trt.CumulativeOperation.SUM, exclusive, reverse)
    return net.made(layer, x.dtype, x.shape)


@op("Cumprod", types={"T": NUMBERS, "Tidx": INDEX}, precision=_FULL)
def cumprod(ctx: OpContext) -> Value:
    """Of integers, products of 2, 4, 8, … neighbours: layers know sums alone. Of floats, one factor after the other:
    those products may overflow or vanish where TensorFlow's do not.
    """
    net, x = ctx.net, ctx.inputs[0]
    ctx.require(x.rank >= 1, "of a scalar")
    axis = ctx.axis(ctx.const_int(1), x.rank)
    length = ctx.static(x.shape[axis], "the number of factors")
    ctx.require(1 <= length <= (MAX_FACTORS if x.dtype in INDEX else MAX_FLOAT_FACTORS), f"{length} factors")
    sign = -1 if ctx.attr("reverse", False) else 1
    if ctx.attr("exclusive", False):
        x = _shifted(ctx, x, axis, sign)
    if x.dtype not in INDEX:
        return _products(ctx, x, axis, length, sign)
    step = 1
    while step < length:
        x = net.binary("PROD", x, _shifted(ctx, x, axis, sign * step))
        step *= 2
    return x


def _products(ctx: OpContext, x: Value, axis: int, length: int, sign: int) -> Value:
    """The products of the first factors, in their order from the one end or the other."""
    net, products = ctx.net, list[Value]()
    for index in range(length) if sign > 0 else reversed(range(length)):
        starts = [index if k == axis else 0 for k in range(x.rank)]
        factor = net.slice(x, starts, [1 if k == axis else dim for k, dim in enumerate(x.shape)])
        products.append(net.binary("PROD", products[-1], factor) if products else factor)
    return net.concat(products[::sign], axis)


def _shifted(ctx: OpContext, x: Value, axis: int, count: int) -> Value:
    """The elements moved along an axis, towards its end where count is positive; ones come in."""
    starts = [-count if k == axis else 0 for k in range(x.rank)]
    return ctx.net.slice(x, starts, x.shape, mode="FILL", fill=ctx.net.like(1, x))
