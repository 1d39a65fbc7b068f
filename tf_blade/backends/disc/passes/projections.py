"""Projections that were computed together (queries, keys and values of one product), and are taken apart again.

    x [batch, rows, 3, heads, depth] -> transpose -> slice -> reshape: one of the three, [batch, heads, rows, depth]
    x [batch, rows, 3 * heads * depth] -> slice -> reshape: one of the three, [batch, rows, heads, depth]

Attention reads them where they lie.
"""

from __future__ import annotations

import dataclasses

from tf_blade import symbolic
from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Value
from tf_blade.symbolic import Dim, Shape

_SWAPPED = (0, 2, 1, 3)


@dataclasses.dataclass(frozen=True)
class Part:
    """value[.., index along axis, ..], whose heads and rows are the other way round when `swapped`."""

    value: Value
    axis: int
    index: int
    swapped: bool


def part(b: Builder, value: Value) -> Part | None:
    """The value as a part of a larger one, when it is one."""
    if value.kind != "reshape" or value.op.operands[0].kind != "slice":
        return None
    cut = value.op.operands[0]
    axes = _sliced_axes(cut)
    if len(axes) != 1 or set(cut.op.attrs["strides"]) != {1}:
        return None
    (axis,) = axes
    start, size = cut.op.attrs["starts"][axis], cut.shape[axis]
    if not isinstance(start, int) or not isinstance(size, int):
        return None
    if size == 1 and symbolic.same_shape(_without(cut.shape, axis), value.shape):
        return _of_index(cut.op.operands[0], axis, start)
    return _of_columns(b, cut.op.operands[0], start, size, value.shape) if axis == cut.rank - 1 else None


def _of_index(source: Value, axis: int, index: int) -> Part | None:
    """source[.., index, ..], seen through a transposition; the innermost axis stays contiguous."""
    perm = source.op.attrs["perm"] if source.kind == "transpose" else tuple(range(source.rank))
    base = source.op.operands[0] if source.kind == "transpose" else source
    taken, rest = perm[axis], _without(perm, axis)
    order = tuple(sorted(rest).index(item) for item in rest)
    if taken == source.rank - 1 or order not in ((0, 1, 2), (0, 1, 2, 3), _SWAPPED):
        return None
    return Part(base, taken, index, swapped=order == _SWAPPED)


def _of_columns(b: Builder, source: Value, start: int, size: int, shape: Shape) -> Part | None:
    """Columns [start, start + size) of source, as [.., heads, depth]."""
    columns = source.shape[-1]
    if not isinstance(columns, int) or size == 0 or columns % size != 0 or start % size != 0 or len(shape) != 4:
        return None
    heads, depth = shape[-2:]
    if not isinstance(heads, int) or not isinstance(depth, int) or heads * depth != size:
        return None
    return Part(b.reshape(source, (*shape[:2], columns // size, heads, depth)), 2, start // size, swapped=False)


def _sliced_axes(cut: Value) -> list[int]:
    (source,) = cut.op.operands
    return [axis for axis in range(cut.rank) if not symbolic.equal(cut.shape[axis], source.shape[axis])]


def _without(items: tuple[Dim, ...], axis: int) -> tuple[Dim, ...]:
    return (*items[:axis], *items[axis + 1 :])
