"""Ops about shapes: reading them, giving tensors another one, and making tensors of a given one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.dtypes import ALL, DType
from tf_blade.errors import Unsupported
from tf_blade.symbolic import Dim, Shape

INDEX = frozenset({DType.INT32, DType.INT64})


def sizes_of(ctx: OpContext, index: int) -> Shape:
    """The content of an input that lists sizes: nonnegative, which is checked at run time where it is not known.

    Raises:
        Unsupported: a size is negative; TensorFlow reports the error.
    """
    ctx.require(ctx.inputs[index].rank <= 1, "sizes are a vector")
    sizes = ctx.found_dims(index)
    for size in sizes:
        ctx.b.require_at_least(size, 0)
    return sizes


@op("Shape", types={"T": ALL, "out_type": INDEX})
def shape(ctx: OpContext) -> Value:
    return ctx.b.dims(_column(ctx.inputs[0].shape), ctx.attr("out_type"))


@op("VariableShape", types={"out_type": INDEX})
def variable_shape(ctx: OpContext) -> Value:
    """The handle arrives as the variable's tensor."""
    return ctx.b.dims(_column(ctx.inputs[0].shape), ctx.attr("out_type"))


@op("ShapeN", types={"T": ALL, "out_type": INDEX})
def shape_n(ctx: OpContext) -> Sequence[Value]:
    return [ctx.b.dims(_column(item.shape), ctx.attr("out_type")) for item in ctx.inputs]


def _column(dims: Shape) -> np.ndarray:
    column = np.empty(len(dims), dtype=object)
    column[:] = dims
    return column


@op("Size", types={"T": ALL, "out_type": INDEX})
def size(ctx: OpContext) -> Value:
    content = np.empty((), dtype=object)
    content[()] = ctx.inputs[0].type.num_elements
    return ctx.b.dims(content, ctx.attr("out_type"))


@op("Rank", types={"T": ALL})
def rank(ctx: OpContext) -> Value:
    return ctx.b.scalar(ctx.inputs[0].rank, DType.INT32)


@op("Reshape", types={"T": ALL, "Tshape": INDEX})
def reshape(ctx: OpContext) -> Value:
    ctx.require(ctx.inputs[1].rank == 1, "the shape is a vector")
    x, target = ctx.inputs[0], list(ctx.found_dims(1))
    unknown = [i for i, dim in enumerate(target) if dim == -1]
    ctx.require(len(unknown) <= 1, "more than one dimension is -1")
    for i, dim in enumerate(target):
        if i not in unknown:
            # A size that is -1 only at run time means "infer me": that call is TensorFlow's.
            ctx.b.require_at_least(dim, 0)
    if unknown:
        target[unknown[0]] = _inferred(ctx, x.shape, [dim for dim in target if dim != -1])
    return ctx.b.reshape(x, target)


def _inferred(ctx: OpContext, dims: Shape, target: list[Dim]) -> Dim:
    """The dimension that is -1 where the others are `target`, for a tensor of dimensions `dims`.

    Dimensions that stay as they are take no part. Of the rest TensorFlow infers the quotient, also for an empty batch.
    Where one of the kept dimensions is 0 and the quotient too, it ignores zeros in its own way: such calls are its own.
    """
    rest, fixed = list(dims), []
    for dim in target:
        match = next((item for item in rest if not isinstance(dim, int) and symbolic.equal(item, dim)), None)
        if match is None:
            fixed.append(dim)
        else:
            rest.remove(match)
    total, divisor = symbolic.mul(1, *rest), symbolic.mul(1, *fixed)
    kept = symbolic.mul(1, *(dim for dim in target if dim not in fixed))
    ctx.b.require_at_least(divisor, 1)
    if not (isinstance(total, int) and total >= 1) and kept != 1:
        ctx.b.require_at_least(symbolic.maximum(kept, total), 1)
    quotient = symbolic.floordiv(total, divisor)
    ctx.b.require_equal(symbolic.mul(quotient, divisor), total)
    return quotient


@op("ExpandDims", types={"T": ALL, "Tdim": INDEX})
def expand_dims(ctx: OpContext) -> Value:
    x = ctx.inputs[0]
    ctx.require(ctx.const(1).size == 1, "the axis is one number")
    axis = ctx.axis(ctx.const_int(1), x.rank + 1)
    return ctx.b.reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


@op("Squeeze", types={"T": ALL})
def squeeze(ctx: OpContext) -> Value:
    x = ctx.inputs[0]
    axes = {ctx.axis(axis, x.rank) for axis in ctx.ints("squeeze_dims")}
    if not axes:
        ctx.require(symbolic.is_static(x.shape), "squeezes all dimensions of size 1, and some sizes are unknown")
        axes = {i for i, dim in enumerate(x.shape) if dim == 1}
    for axis in axes:
        ctx.b.require_equal(x.shape[axis], 1)
    return ctx.b.reshape(x, [dim for i, dim in enumerate(x.shape) if i not in axes])


@op("ZerosLike", types={"T": ALL})
def zeros_like(ctx: OpContext) -> Value:
    return ctx.b.full(0, ctx.inputs[0].dtype, ctx.inputs[0].shape)


@op("OnesLike", types={"T": ALL})
def ones_like(ctx: OpContext) -> Value:
    return ctx.b.full(1, ctx.inputs[0].dtype, ctx.inputs[0].shape)


@op("Fill", types={"T": ALL, "index_type": INDEX})
def fill(ctx: OpContext) -> Value:
    ctx.require(ctx.inputs[0].rank == 1 and ctx.inputs[1].rank == 0, "fills a shape with a scalar")
    return ctx.b.broadcast(ctx.inputs[1], sizes_of(ctx, 0), ())


@op("BroadcastTo", types={"T": ALL, "Tidx": INDEX})
def broadcast_to(ctx: OpContext) -> Value:
    ctx.require(ctx.inputs[1].rank == 1, "the shape is a vector")
    x, target = ctx.inputs[0], sizes_of(ctx, 1)
    ctx.require(x.rank <= len(target), f"rank {x.rank} does not broadcast to rank {len(target)}")
    for dim, size in zip(x.shape, target[len(target) - x.rank :], strict=True):
        _require_broadcast(ctx, dim, size)
    return ctx.b.broadcast_to(x, target)


def _require_broadcast(ctx: OpContext, dim: Dim, size: Dim) -> None:
    """`dim` is `size` or 1."""
    if dim == 1 or symbolic.equal(dim, size):
        return
    if isinstance(size, int) and size != 1:
        ctx.require(not isinstance(dim, int), f"dimension {dim} does not broadcast to {size}")
        ctx.b.common_shape((dim,), (size,))
    else:
        # Either could be meant; equal sizes are the likely case, and for the other TensorFlow takes the call.
        ctx.b.require_equal(dim, size)


@op("Range", types={"Tidx": INDEX | {DType.FLOAT, DType.DOUBLE}})
def range_(ctx: OpContext) -> Value:
    ctx.require(all(item.type.num_elements == 1 for item in ctx.inputs), "start, limit and delta are scalars")
    start, _, delta = (ctx.b.reshape(item, ()) for item in ctx.inputs)
    dtype = start.dtype
    count = _float_count(ctx) if dtype.is_float else _integer_count(ctx)
    line = ctx.b.iota((count,), 0, dtype)
    if ctx.const(2).reshape(()) != 1:
        line = ctx.b.binary("mul", line, delta)
    if start.kind == "constant" and start.op.attrs["array"] == 0:
        return line
    return ctx.b.binary("add", line, start)


def _float_count(ctx: OpContext) -> int:
    # In the element type, as TensorFlow computes it: the quotient's rounding decides about the last element.
    start, limit, delta = (ctx.const(index).reshape(()) for index in range(3))
    ctx.require(bool(delta != 0), "a step of 0")
    steps = float((limit - start) / delta)
    ctx.require(math.isfinite(steps) and steps >= 0, "no finite number of steps to the limit")
    return math.ceil(steps)


def _integer_count(ctx: OpContext) -> Dim:
    (start,), (limit,), step = ctx.found_dims(0), ctx.found_dims(1), int(ctx.const(2).reshape(()))
    if step == 0:
        raise Unsupported("a step of 0")
    if step < 0:
        start, limit = limit, start
    ctx.b.require_at_least(limit, start)
    return symbolic.ceildiv(symbolic.sub(limit, start), abs(step))
