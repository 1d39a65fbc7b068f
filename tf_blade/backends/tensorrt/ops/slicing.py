"""Rules of slices: windows given by begin and size, or by begin, end and stride with masks."""

from __future__ import annotations

import dataclasses

from tf_blade import symbolic
from tf_blade.backends.tensorrt.ops.base import ALL, INDEX, OpContext, op
from tf_blade.backends.tensorrt.values import Value
from tf_blade.symbolic import Dim, Shape


@op("Slice", types={"T": ALL, "Index": INDEX})
def slice_(ctx: OpContext) -> Value:
    """A size of -1 reaches to the end."""
    x, begin, size = ctx.inputs[0], _signed(ctx, 1), _signed(ctx, 2)
    ctx.require(len(begin) == len(size) == x.rank, "a window of another rank")
    sizes = [
        symbolic.sub(dim, start) if count == -1 else count
        for dim, start, count in zip(x.shape, begin, size, strict=True)
    ]
    return ctx.net.slice(x, begin, sizes)


def _signed(ctx: OpContext, index: int) -> Shape:
    """The content of an input whose negative elements mean something else: their signs must be known."""
    dims = ctx.dims(index)
    known = all(isinstance(dim, int) or dim.is_nonnegative or dim.is_negative for dim in dims)
    ctx.require(known, f"elements of input {index} are of unknown sign")
    return dims


@dataclasses.dataclass(frozen=True)
class _Window:
    start: Dim
    size: Dim
    stride: int


@op("StridedSlice", types={"T": ALL, "Index": INDEX})
def strided_slice(ctx: OpContext) -> Value:
    """Masks are bits by position in begin, end and strides; an ellipsis stands for all dimensions not named."""
    x = ctx.inputs[0]
    begin, end, strides = _signed(ctx, 1), _signed(ctx, 2), [int(item) for item in ctx.const(3).reshape(-1)]
    ctx.require(all(strides), "a stride of 0")
    masks = {name: int(ctx.attr(f"{name}_mask", 0)) for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")}
    windows: list[_Window] = []
    shape: list[Dim] = []
    spec = _positions(len(strides), masks, x.rank)
    for position in spec:
        if position is not None and position >= 0 and masks["new_axis"] >> position & 1:
            shape.append(1)
            continue
        ctx.require(len(windows) < x.rank, "more dimensions than the input has")
        dim = x.shape[len(windows)]
        if position is None:
            windows.append(_Window(0, dim, 1))
            shape.append(dim)
        elif masks["shrink_axis"] >> position & 1:
            windows.append(_Window(_wrapped(begin[position], dim), 1, 1))
        else:
            first = None if masks["begin"] >> position & 1 else begin[position]
            last = None if masks["end"] >> position & 1 else end[position]
            windows.append(_window(first, last, strides[position], dim))
            shape.append(windows[-1].size)
    starts, sizes = [item.start for item in windows], [item.size for item in windows]
    return ctx.net.reshape(ctx.net.slice(x, starts, sizes, [item.stride for item in windows]), shape)


def _positions(count: int, masks: dict[str, int], rank: int) -> list[int | None]:
    """For each dimension, and new axis, the position that tells of it; None where nothing does."""
    new = sum(1 for i in range(count) if masks["new_axis"] >> i & 1 and not masks["ellipsis"] >> i & 1)
    dots = [i for i in range(count) if masks["ellipsis"] >> i & 1]
    rest = rank - (count - new - len(dots))
    if not dots:
        return [*range(count), *[None] * rest]
    return [*range(dots[0]), *[None] * rest, *range(dots[0] + 1, count)]


def _wrapped(index: Dim, dim: Dim) -> Dim:
    """An index that may count from the end."""
    negative = index < 0 if isinstance(index, int) else bool(index.is_negative)
    return symbolic.add(index, dim) if negative else index


def _window(first: Dim | None, last: Dim | None, stride: int, dim: Dim) -> _Window:
    """What is left of a range after it is clamped to the dimension."""
    low, high = (0, dim) if stride > 0 else (-1, symbolic.sub(dim, 1))
    ends = (low, high) if stride > 0 else (high, low)
    start = ends[0] if first is None else _clamped(_wrapped(first, dim), low, high)
    stop = ends[1] if last is None else _clamped(_wrapped(last, dim), low, high)
    span = symbolic.sub(stop, start) if stride > 0 else symbolic.sub(start, stop)
    return _Window(start, symbolic.maximum(symbolic.ceildiv(span, abs(stride)), 0), stride)


def _clamped(index: Dim, low: Dim, high: Dim) -> Dim:
    return symbolic.minimum(symbolic.maximum(index, low), high)
