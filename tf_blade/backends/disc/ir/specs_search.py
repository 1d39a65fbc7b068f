"""Specs of searches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tf_blade.backends.disc.ir.spec import Attrs, flops_scaled, register, require
from tf_blade.backends.disc.ir.values import TensorType
from tf_blade.symbolic import same_shape

Types = Sequence[TensorType]
Arrays = Sequence[np.ndarray]


# search_sorted(sequence [rows, n], values [rows, m]) {upper, dtype}: for each value how many elements of its row's
# sequence are less than it (upper: not greater). By std::lower_bound and std::upper_bound, whose answer is defined for
# sequences that are not sorted, too.
def _search_sorted(types: Types, attrs: Attrs) -> Types:
    sequence, values = types
    require(sequence.rank == 2 and values.rank == 2, "search_sorted: matrices")
    require(sequence.dtype == values.dtype, "search_sorted: of one type")
    require(same_shape(sequence.shape[:1], values.shape[:1]), "search_sorted: as many rows")
    return [TensorType(attrs["dtype"], values.shape)]


def _search_sorted_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    sequence, values = operands
    first = np.zeros(values.shape, np.int64)
    count = np.full(values.shape, sequence.shape[1], np.int64)
    while np.any(count > 0):
        step = count // 2
        element = np.take_along_axis(sequence, np.minimum(first + step, sequence.shape[1] - 1), 1)
        goes_on = (~(values < element) if attrs["upper"] else element < values) & (count > 0)
        first = np.where(goes_on, first + step + 1, first)
        count = np.where(goes_on, count - step - 1, step)
    return [first.astype(attrs["dtype"].numpy)]


register("search_sorted", _search_sorted, _search_sorted_reference, flops=flops_scaled(10))
