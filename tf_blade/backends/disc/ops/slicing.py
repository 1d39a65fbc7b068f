"""Slice and StridedSlice."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import sympy

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.backends.disc.ops.shape import INDEX
from tf_blade.dtypes import ALL
from tf_blade.symbolic import Dim, Shape


@op("Slice", types={"T": ALL, "Index": INDEX})
def slice_(ctx: OpContext) -> Value:
    x, starts, sizes = ctx.inputs[0], ctx.found_dims(1), list(ctx.found_dims(2))
    ctx.require(len(starts) == x.rank == len(sizes), "begin and size have one number for each dimension")
    for axis, (dim, start, size) in enumerate(zip(x.shape, starts, sizes, strict=True)):
        ctx.b.require_at_least(start, 0)
        if size == -1:
            size = sizes[axis] = symbolic.sub(dim, start)
        # A size that is -1 only at run time means "the rest": that call is TensorFlow's.
        ctx.b.require_at_least(size, 0)
        ctx.b.require_at_least(dim, symbolic.add(start, size))
    return ctx.b.slice(x, starts, sizes)


@dataclasses.dataclass(frozen=True)
class _Bound:
    """What StridedSlice says about one dimension of its input.

    Attributes:
        begin: None where masked.
        end: None where masked.
        stride: nonzero.
        shrink: the dimension is indexed by `begin` and disappears.
    """

    begin: Dim | None
    end: Dim | None
    stride: int
    shrink: bool = False


_WHOLE = _Bound(None, None, 1)
_NEW_AXIS = None


@op("StridedSlice", types={"T": ALL, "Index": INDEX})
def strided_slice(ctx: OpContext) -> Value:
    """tensorflow/core/util/strided_slice_op.cc, with symbolic bounds."""
    x = ctx.inputs[0]
    window = window_of_slice(ctx, x.shape)
    return ctx.b.reshape(ctx.b.slice(x, window.starts, window.sizes, window.strides), window.result)


@dataclasses.dataclass(frozen=True)
class Window:
    """A strided slice: for each dimension of what is sliced its start, size and stride; and the shape of the result."""

    starts: tuple[Dim, ...]
    sizes: tuple[Dim, ...]
    strides: tuple[int, ...]
    result: tuple[Dim, ...]


def window_of_slice(ctx: OpContext, shape: Shape) -> Window:
    """The slice of a tensor of the given shape that inputs 1 to 3 and the masks name."""
    spec = _expand(ctx, len(shape))
    bounds = [item for item in spec if item is not _NEW_AXIS]
    spans = [_span(ctx, bound, dim) for bound, dim in zip(bounds, shape, strict=True)]
    remaining = iter(size for _, size in spans)
    result: list[Dim] = []
    for item in spec:
        if item is _NEW_AXIS:
            result.append(1)
            continue
        size = next(remaining)
        if not item.shrink:
            result.append(size)
    starts, sizes = tuple(start for start, _ in spans), tuple(size for _, size in spans)
    return Window(starts, sizes, tuple(bound.stride for bound in bounds), tuple(result))


def _expand(ctx: OpContext, rank: int) -> list[_Bound | None]:
    """The sparse specification as one entry for each result dimension or shrunk input dimension."""
    begin, end, strides = ctx.found_dims(1), ctx.found_dims(2), [int(item) for item in ctx.const(3).reshape(-1)]
    ctx.require(len(begin) == len(end) == len(strides), "begin, end and strides have one length")
    masks = {
        name: [bool(int(ctx.attr(name, 0)) >> i & 1) for i in range(len(begin))]
        for name in ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    }
    ctx.require(sum(masks["ellipsis_mask"]) <= 1, "more than one ellipsis")
    result: list[_Bound | None] = []
    for i in range(len(begin)):
        if masks["ellipsis_mask"][i]:
            after = len(begin) - i - 1 - sum(masks["new_axis_mask"][i + 1 :])
            result += [_WHOLE] * (rank - after - _consumed(result))
        elif masks["new_axis_mask"][i]:
            result.append(_NEW_AXIS)
        else:
            ctx.require(strides[i] != 0, "a stride of 0")
            result.append(_bound(ctx, masks, i, begin[i], end[i], strides[i]))
    ctx.require(_consumed(result) <= rank, f"{_consumed(result)} indices for rank {rank}")
    return result + [_WHOLE] * (rank - _consumed(result))


def _bound(ctx: OpContext, masks: dict[str, list[bool]], i: int, begin: Dim, end: Dim, stride: int) -> _Bound:
    if masks["shrink_axis_mask"][i]:
        ctx.require(stride > 0, "an index with a negative stride")
        return _Bound(begin, None, stride, shrink=True)
    return _Bound(None if masks["begin_mask"][i] else begin, None if masks["end_mask"][i] else end, stride)


def _consumed(spec: Sequence[_Bound | None]) -> int:
    return sum(item is not _NEW_AXIS for item in spec)


def _span(ctx: OpContext, bound: _Bound, dim: Dim) -> tuple[Dim, Dim]:
    """Start and size of the slice along a dimension. The start is only meaningful where the size is not 0."""
    if bound.shrink:
        assert bound.begin is not None
        index = _forward(ctx, bound.begin, dim)
        ctx.b.require_at_least(index, 0)
        ctx.b.require_at_least(dim, symbolic.add(index, 1))
        return index, 1
    if bound.stride > 0:
        return _ascending(ctx, bound, dim)
    last = symbolic.sub(dim, 1)
    start = last if bound.begin is None else symbolic.minimum(_forward(ctx, bound.begin, dim), last)
    stop: Dim = -1 if bound.end is None else symbolic.maximum(_forward(ctx, bound.end, dim), -1)
    return start, _at_least_zero(symbolic.ceildiv(symbolic.sub(start, stop), -bound.stride))


def _ascending(ctx: OpContext, bound: _Bound, dim: Dim) -> tuple[Dim, Dim]:
    stop = dim if bound.end is None else _stop(ctx, _forward(ctx, bound.end, dim), dim)
    if bound.begin is None:
        return 0, _at_least_zero(symbolic.ceildiv(stop, bound.stride))
    begin = _forward(ctx, bound.begin, dim)
    length = symbolic.sub(stop, begin)
    if not _is_nonnegative(begin):
        # stop - max(begin, 0), written so that "the last n of at least n" comes out as n.
        length = symbolic.minimum(length, stop)
        begin = symbolic.maximum(begin, 0)
    return begin, _at_least_zero(symbolic.ceildiv(length, bound.stride))


def _stop(ctx: OpContext, stop: Dim, dim: Dim) -> Dim:
    """min(stop, dim).

    A computed stop in a dimension of known size (the first `length` rows of a table of positions) is taken to lie
    within: the size stays the plain `stop`, and a call where it does not is TensorFlow's.
    """
    if _is_nonnegative(symbolic.sub(dim, stop)):
        return stop
    if isinstance(dim, int) and not isinstance(stop, int) and _is_nonnegative(stop):
        ctx.b.require_at_least(dim, stop)
        return stop
    return symbolic.minimum(stop, dim)


def _forward(ctx: OpContext, index: Dim, dim: Dim) -> Dim:
    """The index counted from the front: negative ones count from the end."""
    if _is_nonnegative(index):
        return index
    if isinstance(index, int) or index.is_negative:
        return symbolic.add(dim, index)
    if all(item.is_nonnegative for item in index.free_symbols):
        # Arithmetic of dimensions, as `length - 1`: negative only for degenerate sizes, which are TensorFlow's.
        ctx.b.require_at_least(index, 0)
        return index
    is_negative = sympy.Min(1, sympy.Max(0, -index))
    return symbolic.simplify(index + dim * is_negative)


def _is_nonnegative(dim: Dim) -> bool:
    return dim >= 0 if isinstance(dim, int) else bool(dim.is_nonnegative)


def _at_least_zero(size: Dim) -> Dim:
    return size if _is_nonnegative(size) else symbolic.maximum(size, 0)
