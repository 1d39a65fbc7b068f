"""Specs of ops that sort rows out by numbers that come as data: distinct elements, segments, partitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tf_blade.backends.disc.ir.spec import Attrs, flops_per_operand, no_flops, register, require
from tf_blade.backends.disc.ir.values import TensorType
from tf_blade.dtypes import DType

Types = Sequence[TensorType]
Arrays = Sequence[np.ndarray]
_INDEX = (DType.INT32, DType.INT64)


# unique(x) {found: (count,), dtype}: of a vector the distinct elements in the order of first occurrence, the number of
# each element among them, and how often each occurs. NaN equals nothing.
def _unique(types: Types, attrs: Attrs) -> Types:
    require(types[0].rank == 1 and attrs["dtype"] in _INDEX, "unique: a vector")
    (count,) = attrs["found"]
    index = attrs["dtype"]
    return [
        TensorType(types[0].dtype, (count,)),
        TensorType(index, types[0].shape),
        TensorType(index, (count,)),
    ]


def _unique_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    numbers: dict[object, int] = {}
    index = attrs["dtype"].numpy
    # a NaN is its own key: no other NaN object equals it
    ids = [numbers.setdefault(item, len(numbers)) for item in operands[0].tolist()]
    ids_array = np.array(ids, index).reshape(operands[0].shape)
    first = [ids.index(k) for k in range(len(numbers))]
    counts = np.bincount(np.array(ids, np.int64), minlength=len(numbers)).astype(index)
    return [operands[0][np.array(first, np.int64)], ids_array, counts]


register(
    "unique",
    _unique,
    _unique_reference,
    flops=flops_per_operand,
    found=lambda results: [results[0].shape[0]],
)


# segment_reduce(data, ids[, places]) {found: (rows,), kind}: rows of data (of data[places]) combined where ids, an
# ascending vector, are equal. kind: sum mean sqrt_n prod max min. A segment without rows is 0, or 1 for prod.
def _segment_reduce(types: Types, attrs: Attrs) -> Types:
    data, *vectors = types
    require(attrs["kind"] in _COMBINE, f"segment_reduce: kind {attrs['kind']}")
    require(data.rank >= 1 and all(item.rank == 1 for item in vectors), "segment_reduce: vectors of ids and places")
    require(all(item.dtype in _INDEX for item in vectors), "segment_reduce: ids and places are integers")
    (rows,) = attrs["found"]
    return [TensorType(data.dtype, (rows, *data.shape[1:]))]


_COMBINE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sum": lambda rows: rows.sum(0, dtype=rows.dtype),
    "mean": lambda rows: rows.mean(0, dtype=rows.dtype),
    "sqrt_n": lambda rows: rows.sum(0, dtype=rows.dtype) / np.sqrt(len(rows), dtype=rows.dtype),
    "prod": lambda rows: rows.prod(0, dtype=rows.dtype),
    "max": lambda rows: rows.max(0),
    "min": lambda rows: rows.min(0),
}


def _segment_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    data, ids = operands[:2]
    if np.any(ids < 0) or np.any(ids[1:] < ids[:-1]):
        raise IndexError("segment_reduce: ids are negative or do not ascend")
    if len(operands) == 3:
        if np.any(operands[2] < 0) or np.any(operands[2] >= len(data)):
            raise IndexError("segment_reduce: a place out of range")
        data = data[operands[2]]
    rows = int(ids[-1]) + 1 if len(ids) else 0
    result = np.full((rows, *data.shape[1:]), attrs["kind"] == "prod", data.dtype)
    for row in np.unique(ids):
        result[row] = _COMBINE[attrs["kind"]](data[ids == row])
    return [result]


register(
    "segment_reduce",
    _segment_reduce,
    _segment_reference,
    flops=flops_per_operand,
    found=lambda results: [results[0].shape[0]],
)


# partition(data, places) {found: a count for each part}: the rows of data whose place is 0, 1, …; places has the
# leading dimensions of data.
def _partition(types: Types, attrs: Attrs) -> Types:
    data, places = types
    require(places.dtype == DType.INT32 and places.rank <= data.rank, "partition: int32 places, one a row")
    return [TensorType(data.dtype, (count, *data.shape[places.rank :])) for count in attrs["found"]]


def _partition_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    data, places = operands
    if np.any(places < 0) or np.any(places >= len(attrs["found"])):
        raise IndexError("partition: out of range")
    return [data[places == k] for k in range(len(attrs["found"]))]


register(
    "partition",
    _partition,
    _partition_reference,
    flops=no_flops,
    found=lambda results: [len(item) for item in results],
)


# stitch(indices, data) {found: (rows,)}: result[indices[i]] = data[i], the last one wins; rows up to the largest index.
def _stitch(types: Types, attrs: Attrs) -> Types:
    indices, data = types
    require(indices.rank == 1 and indices.dtype == DType.INT32 and data.rank >= 1, "stitch: a vector of indices")
    (rows,) = attrs["found"]
    return [TensorType(data.dtype, (rows, *data.shape[1:]))]


def _stitch_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    indices, data = operands
    if np.any(indices < 0):
        raise IndexError("stitch: a negative index")
    result = np.zeros((int(indices.max()) + 1 if len(indices) else 0, *data.shape[1:]), data.dtype)
    for index, row in zip(indices, data, strict=True):
        result[index] = row
    return [result]


register(
    "stitch",
    _stitch,
    _stitch_reference,
    flops=no_flops,
    found=lambda results: [results[0].shape[0]],
)
