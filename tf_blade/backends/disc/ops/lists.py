"""Tensor lists: a list of n elements of one shape is the tensor [n, *shape] of its elements.

A list that nobody has written an element to may not know its elements' shape: such dimensions are `UNSET` until the
first write, or until a loop has shown what it writes. All elements of it are zeros, which is what TensorFlow takes for
elements that are not there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.dtypes import ALL, DType
from tf_blade.errors import Unsupported
from tf_blade.symbolic import Dim, Shape

UNSET = symbolic.symbol("?")
UNKNOWN_RANK = symbolic.symbol("??")
_ELEMENT = {"element_dtype": ALL}


def is_open(shape: Shape) -> bool:
    """Whether a list's element shape is not known yet."""
    return any(dim in (UNSET, UNKNOWN_RANK) for dim in shape[1:])


def _dtype(ctx: OpContext) -> DType:
    dtype = ctx.attr("element_dtype")
    assert isinstance(dtype, DType)
    return dtype


def _stated(ctx: OpContext, index: int) -> Shape:
    """An element_shape input: -1 is a dimension that it leaves open, a scalar -1 leaves all open."""
    value = ctx.inputs[index]
    dims = ctx.dims(index)
    if value.rank == 0:
        ctx.require(dims == (-1,), "an element shape that is a number")
        return (UNKNOWN_RANK,)
    return tuple(UNSET if dim == -1 else dim for dim in dims)


def _shaped(ctx: OpContext, list_: Value, shape: Shape) -> Value:
    """The list, its elements' shape filled in from `shape`, and checked against it."""
    if UNKNOWN_RANK in shape or UNKNOWN_RANK in list_.shape:
        if UNKNOWN_RANK in list_.shape and UNKNOWN_RANK not in shape:
            return ctx.b.full(0, list_.dtype, (list_.shape[0], *shape))
        return list_
    ctx.require(list_.rank == len(shape) + 1, "the list's elements are of another rank")
    merged = tuple(b if a is UNSET else a for a, b in zip(list_.shape[1:], shape, strict=True))
    for a, b in zip(merged, shape, strict=True):
        if b is not UNSET and a is not UNSET:
            ctx.b.require_equal(a, b)
    return ctx.b.full(0, list_.dtype, (list_.shape[0], *merged)) if is_open(list_.shape) else list_


def _require_elements(ctx: OpContext, stated: Shape, count: Dim) -> None:
    """TensorFlow stacks an empty list only where it is told the whole shape."""
    if is_open((0, *stated)):
        ctx.b.require_at_least(count, 1)


def _require_closed(list_: Value) -> None:
    if is_open(list_.shape):
        raise Unsupported("a list of elements of unknown shape")


@op("TensorListReserve", types=_ELEMENT)
def reserve(ctx: OpContext) -> Value:
    count = ctx.dim(1)
    ctx.b.require_at_least(count, 0)
    return ctx.b.full(0, _dtype(ctx), (count, *_stated(ctx, 0)))


@op("EmptyTensorList", types=_ELEMENT)
def empty(ctx: OpContext) -> Value:
    return ctx.b.full(0, _dtype(ctx), (0, *_stated(ctx, 0)))


@op("TensorListFromTensor", types=_ELEMENT)
def from_tensor(ctx: OpContext) -> Value:
    x = ctx.inputs[0]
    ctx.require(x.rank >= 1, "a scalar is no list")
    return _shaped(ctx, x, _stated(ctx, 1))


@op("TensorListStack", types=_ELEMENT)
def stack(ctx: OpContext) -> Value:
    stated = _stated(ctx, 1)
    list_ = _shaped(ctx, ctx.inputs[0], stated)
    _require_closed(list_)
    _require_elements(ctx, stated, list_.shape[0])
    expected = int(ctx.attr("num_elements", -1))
    if expected != -1:
        ctx.b.require_equal(list_.shape[0], expected)
        return ctx.b.reshape(list_, (expected, *list_.shape[1:]))
    return list_


@op("TensorListSetItem", types=_ELEMENT)
def set_item(ctx: OpContext) -> Value:
    list_, index, item = ctx.inputs
    ctx.require(not ctx.attr("resize_if_index_out_of_bounds", False), "the list grows where it is written")
    ctx.require(index.rank == 0, "the index is no scalar")
    return ctx.b.update_row(_shaped(ctx, list_, item.shape), index, item)


@op("TensorListGetItem", types=_ELEMENT)
def get_item(ctx: OpContext) -> Value:
    list_ = _shaped(ctx, ctx.inputs[0], _stated(ctx, 2))
    ctx.require(ctx.inputs[1].rank == 0, "the index is no scalar")
    _require_closed(list_)
    return ctx.b.gather(list_, ctx.inputs[1], axis=0)


@op("TensorListGather", types=_ELEMENT)
def gather(ctx: OpContext) -> Value:
    stated = _stated(ctx, 2)
    list_ = _shaped(ctx, ctx.inputs[0], stated)
    _require_closed(list_)
    indices = ctx.inputs[1]
    ctx.require(indices.rank == 1, "the indices are no vector")
    _require_elements(ctx, stated, indices.shape[0])
    return ctx.b.gather(list_, indices, axis=0)


@op("TensorListLength")
def length(ctx: OpContext) -> Value:
    return ctx.b.dims(np.array(ctx.inputs[0].shape[0], dtype=object), DType.INT32)


@op("TensorListPushBack", types=_ELEMENT)
def push_back(ctx: OpContext) -> Value:
    list_, item = ctx.inputs
    list_ = _shaped(ctx, list_, item.shape)
    row = ctx.b.reshape(item, (1, *item.shape))
    return row if list_.shape[0] == 0 else ctx.b.concat([list_, row], 0)


@op("TensorListPopBack", types=_ELEMENT)
def pop_back(ctx: OpContext) -> Sequence[Value]:
    list_ = _shaped(ctx, ctx.inputs[0], _stated(ctx, 1))
    _require_closed(list_)
    ctx.b.require_at_least(list_.shape[0], 1)
    left = symbolic.sub(list_.shape[0], 1)
    zeros = (0,) * (list_.rank - 1)
    rest = ctx.b.slice(list_, (0, *zeros), (left, *list_.shape[1:]))
    last = ctx.b.slice(list_, (left, *zeros), (1, *list_.shape[1:]))
    return rest, ctx.b.reshape(last, list_.shape[1:])
