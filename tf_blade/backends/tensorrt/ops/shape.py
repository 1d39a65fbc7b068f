"""Rules of sources, identities, and ops about shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tf_blade import symbolic
from tf_blade.backends.tensorrt.ops.base import ALL, INDEX, OpContext, op
from tf_blade.backends.tensorrt.values import Value
from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported
from tf_blade.graph.attributes import ShapeAttr, TensorAttr
from tf_blade.symbolic import Dim, Shape

_SHAPED = ALL | {DType.UINT8, DType.INT8}


@op("Const", types={"dtype": _SHAPED})
def const(ctx: OpContext) -> Value:
    value = ctx.node.attrs["value"]
    if not isinstance(value, TensorAttr) or value.array is None:
        raise Unsupported("a constant that is no array")
    return ctx.net.constant(value.array)


@op("Identity", "StopGradient", "PreventGradient", "Snapshot", "GuaranteeConst", types={"T": ALL})
def identity(ctx: OpContext) -> Value:
    return ctx.inputs[0]


@op("IdentityN")
def identity_n(ctx: OpContext) -> Sequence[Value]:
    return ctx.inputs


@op("ReadVariableOp", types={"dtype": ALL})
def read_variable(ctx: OpContext) -> Value:
    """The handle arrives as the variable's tensor."""
    ctx.require(ctx.inputs[0].dtype == ctx.attr("dtype"), "reads another type than the variable's")
    return ctx.inputs[0]


@op("EnsureShape", types={"T": ALL})
def ensure_shape(ctx: OpContext) -> Value:
    """The input, where its shape is known to be right."""
    (x,) = ctx.inputs
    wanted = ctx.node.attrs.get("shape")
    if not isinstance(wanted, ShapeAttr) or wanted.dims is None:
        return x
    ctx.require(len(wanted.dims) == x.rank, f"rank {x.rank} is not {len(wanted.dims)}")
    same = all(size < 0 or dim == size for dim, size in zip(x.shape, wanted.dims, strict=True))
    ctx.require(same, "a shape that must be checked in each call")
    return x


def _content(items: Sequence[Dim] | Dim, dtype: DType) -> Value:
    array = np.array(items, dtype=object)
    return Value(dtype, tuple(array.shape), content=array)


@op("Shape", types={"T": _SHAPED, "out_type": INDEX})
def shape(ctx: OpContext) -> Value:
    return _content(list(ctx.inputs[0].shape), ctx.attr("out_type"))


@op("ShapeN", types={"T": _SHAPED, "out_type": INDEX})
def shape_n(ctx: OpContext) -> Sequence[Value]:
    return [_content(list(item.shape), ctx.attr("out_type")) for item in ctx.inputs]


@op("Size", types={"T": _SHAPED, "out_type": INDEX})
def size(ctx: OpContext) -> Value:
    return _content(symbolic.num_elements(ctx.inputs[0].shape), ctx.attr("out_type"))


@op("Rank", types={"T": _SHAPED})
def rank(ctx: OpContext) -> Value:
    return ctx.net.constant(ctx.inputs[0].rank, DType.INT32)


@op("Reshape", types={"T": ALL, "Tshape": INDEX})
def reshape(ctx: OpContext) -> Value:
    x, target = ctx.inputs[0], list(ctx.dims(1))
    unknown = [axis for axis, dim in enumerate(target) if dim == -1]
    ctx.require(len(unknown) <= 1, "more than one dimension is -1")
    if unknown:
        rest = symbolic.mul(1, *(dim for dim in target if dim != -1))
        ctx.require(rest != 0, "a dimension is inferred beside one of 0")
        target[unknown[0]] = symbolic.floordiv(symbolic.num_elements(x.shape), rest)
    return ctx.net.reshape(x, target)


@op("ExpandDims", types={"T": ALL, "Tdim": INDEX})
def expand_dims(ctx: OpContext) -> Value:
    x = ctx.inputs[0]
    axis = ctx.axis(ctx.const_int(1), x.rank + 1)
    return ctx.net.reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


@op("Squeeze", types={"T": ALL})
def squeeze(ctx: OpContext) -> Value:
    (x,) = ctx.inputs
    axes = {ctx.axis(axis, x.rank) for axis in ctx.ints("squeeze_dims")}
    if not axes:
        ctx.require(symbolic.is_static(x.shape), "squeezes all dimensions of size 1, and some sizes are unknown")
        axes = {axis for axis, dim in enumerate(x.shape) if dim == 1}
    ctx.require(all(x.shape[axis] == 1 for axis in axes), "squeezes a dimension that may not be 1")
    return ctx.net.reshape(x, [dim for axis, dim in enumerate(x.shape) if axis not in axes])


def _filled(ctx: OpContext, number: Value, dims: Shape) -> Value:
    return ctx.net.broadcast(number, dims)


@op("ZerosLike", types={"T": ALL})
def zeros_like(ctx: OpContext) -> Value:
    return _filled(ctx, ctx.net.like(0, ctx.inputs[0]), ctx.inputs[0].shape)


@op("OnesLike", types={"T": ALL})
def ones_like(ctx: OpContext) -> Value:
    return _filled(ctx, ctx.net.like(1, ctx.inputs[0]), ctx.inputs[0].shape)


@op("Fill", types={"T": ALL, "index_type": INDEX})
def fill(ctx: OpContext) -> Value:
    ctx.require(ctx.inputs[1].rank == 0, "fills a shape with a scalar")
    return _filled(ctx, ctx.inputs[1], ctx.dims(0))


@op("BroadcastTo", types={"T": ALL, "Tidx": INDEX})
def broadcast_to(ctx: OpContext) -> Value:
    x, target = ctx.inputs[0], ctx.dims(1)
    ctx.require(x.rank <= len(target), f"rank {x.rank} does not broadcast to rank {len(target)}")
    return ctx.net.broadcast(x, target)


@op("Range", types={"Tidx": INDEX | {DType.FLOAT}})
def range_(ctx: OpContext) -> Value:
    """start + step * (0, 1, …), of a count that follows from the inputs' dimensions."""
    net, dtype = ctx.net, ctx.inputs[0].dtype
    if all(item.constant is not None for item in ctx.inputs):
        start, limit, delta = (ctx.const(index).reshape(()) for index in range(3))
        ctx.require(bool(delta != 0), "a step of 0")
        # In the element type, as TensorFlow computes it: the quotient's rounding decides about the last element.
        steps = (limit - start) / delta
        return net.constant(start + np.arange(math.ceil(steps)).astype(dtype.numpy) * delta, dtype)
    ctx.require(dtype in INDEX, "floats that are not constant")
    (first,), (last,), step = ctx.dims(0), ctx.dims(1), ctx.const_int(2)
    ctx.require(step > 0, f"a step of {step}")
    count = symbolic.ceildiv(symbolic.sub(last, first), step)
    return net.line(count, first, step, dtype)


@op("BroadcastArgs", types={"T": INDEX})
def broadcast_args(ctx: OpContext) -> Value:
    try:
        return _content(list(symbolic.broadcast_shapes(ctx.dims(0), ctx.dims(1))), ctx.attr("T"))
    except ValueError as error:
        raise Unsupported(str(error)) from error
