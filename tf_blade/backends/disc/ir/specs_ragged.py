"""Specs of ops on ragged and sparse tensors: rows of different lengths behind each other, and coordinates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tf_blade.backends.disc.ir.spec import Attrs, no_flops, register, require
from tf_blade.backends.disc.ir.values import TensorType
from tf_blade.dtypes import DType
from tf_blade.symbolic import add

Types = Sequence[TensorType]
Arrays = Sequence[np.ndarray]
_INDEX = (DType.INT32, DType.INT64)


# ragged_range(starts, limits, deltas) {found: (total,), dtype}: of vectors of one length, row splits and the values of
# the ranges.
def _ragged_range(types: Types, attrs: Attrs) -> Types:
    starts = types[0]
    require(all(item == starts for item in types) and starts.rank == 1, "ragged_range: vectors of one type")
    (total,) = attrs["found"]
    return [TensorType(attrs["dtype"], (add(starts.shape[0], 1),)), TensorType(starts.dtype, (total,))]


def _ragged_range_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    starts, limits, deltas = operands
    rows: list[np.ndarray] = []
    for start, limit, delta in zip(starts, limits, deltas, strict=True):
        if delta == 0:
            raise IndexError("ragged_range: steps of 0")
        backwards = (delta > 0 and limit < start) or (delta < 0 and limit > start)
        steps = abs((limit - start) / delta) if starts.dtype.kind == "f" else abs(int(limit) - int(start)) / abs(delta)
        size = 0 if backwards else int(np.ceil(steps))
        rows.append(start + delta * np.arange(size, dtype=starts.dtype))
    splits = np.cumsum([0, *(len(row) for row in rows)])
    return [splits.astype(attrs["dtype"].numpy), np.concatenate([*rows, starts[:0]]).astype(starts.dtype)]


register(
    "ragged_range",
    _ragged_range,
    _ragged_range_reference,
    flops=no_flops,
    found=lambda results: [results[1].shape[0]],
)


def _check_splits(splits: np.ndarray, number: int) -> None:
    if splits[0] != 0 or np.any(splits[1:] < splits[:-1]) or splits[-1] != number:
        raise IndexError("ragged: row splits do not lead from 0 to the number of values")


# ragged_to_dense(values, splits, missing) {found: (columns,), rows: Dim, columns: Dim}: [rows, columns, …], rows cut
# off or filled with the scalar `missing`. Columns of -1: the longest row's.
def _ragged_to_dense(types: Types, attrs: Attrs) -> Types:
    values, splits, missing = types
    require(values.rank >= 1 and splits.rank == 1 and missing.rank == 0, "ragged_to_dense: values, a vector, a scalar")
    require(missing.dtype == values.dtype and splits.dtype in _INDEX, "ragged_to_dense: types")
    (columns,) = attrs["found"]
    return [TensorType(values.dtype, (attrs["rows"], columns, *values.shape[1:]))]


def _ragged_to_dense_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    values, splits, missing = operands
    _check_splits(splits, len(values))
    lengths = np.diff(splits)
    columns = int(lengths.max(initial=0)) if attrs["columns"] == -1 else attrs["columns"]
    result = np.full((attrs["rows"], columns, *values.shape[1:]), missing, values.dtype)
    for row, length in enumerate(lengths[: attrs["rows"]]):
        kept = min(int(length), columns)
        result[row, :kept] = values[splits[row] : splits[row] + kept]
    return [result]


register(
    "ragged_to_dense",
    _ragged_to_dense,
    _ragged_to_dense_reference,
    flops=no_flops,
    dim_attrs=("rows", "columns"),
    found=lambda results: [results[0].shape[1]],
)


# ragged_to_sparse(splits) {values: Dim}: coordinates of so many values in a matrix, and its shape.
def _ragged_to_sparse(types: Types, attrs: Attrs) -> Types:
    require(types[0].rank == 1 and types[0].dtype in _INDEX, "ragged_to_sparse: a vector of splits")
    return [TensorType(DType.INT64, (attrs["values"], 2)), TensorType(DType.INT64, (2,))]


def _ragged_to_sparse_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    (splits,) = operands
    _check_splits(splits, attrs["values"])
    lengths = np.diff(splits)
    pairs = [(row, column) for row, length in enumerate(lengths) for column in range(length)]
    shape = np.array([len(lengths), lengths.max(initial=0)], np.int64)
    return [np.array(pairs, np.int64).reshape(-1, 2), shape]


register("ragged_to_sparse", _ragged_to_sparse, _ragged_to_sparse_reference, flops=no_flops, dim_attrs=("values",))


# ragged_gather(values, splits, places) {found: (total,)}: splits and values of the rows that `places`, a vector, names.
def _ragged_gather(types: Types, attrs: Attrs) -> Types:
    values, splits, places = types
    require(values.rank >= 1 and splits.rank == 1 and places.rank == 1, "ragged_gather: values and two vectors")
    (total,) = attrs["found"]
    return [
        TensorType(splits.dtype, (add(places.shape[0], 1),)),
        TensorType(values.dtype, (total, *values.shape[1:])),
    ]


def _ragged_gather_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    values, splits, places = operands
    _check_splits(splits, len(values))
    if np.any(places < 0) or np.any(places >= len(splits) - 1):
        raise IndexError("ragged_gather: a row out of range")
    rows = [values[splits[place] : splits[place + 1]] for place in places]
    new_splits = np.cumsum([0, *(len(row) for row in rows)]).astype(splits.dtype)
    return [new_splits, np.concatenate([*rows, values[:0]])]


register(
    "ragged_gather",
    _ragged_gather,
    _ragged_gather_reference,
    flops=no_flops,
    found=lambda results: [results[1].shape[0]],
)


# sparse_fill_rows(indices, values, shape, missing) {found: (rows, total)}: a sparse tensor's entries row by row, with
# one of value `missing` in each row without any: indices, values, whether each row was empty, where each entry went.
def _sparse_fill_rows(types: Types, attrs: Attrs) -> Types:
    indices, values, shape, missing = types
    require(indices.rank == 2 and values.rank == 1 and shape.rank == 1 and missing.rank == 0, "sparse_fill_rows: ranks")
    require(indices.dtype == shape.dtype == DType.INT64 and missing.dtype == values.dtype, "sparse_fill_rows: types")
    rows, total = attrs["found"]
    return [
        TensorType(DType.INT64, (total, indices.shape[1])),
        TensorType(values.dtype, (total,)),
        TensorType(DType.BOOL, (rows,)),
        TensorType(DType.INT64, indices.shape[:1]),
    ]


def _sparse_fill_rows_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    indices, values, shape, missing = operands
    rows = int(shape[0])
    if rows < 0 or np.any(indices[:, 0] < 0) or np.any(indices[:, 0] >= rows):
        raise IndexError("sparse_fill_rows: a row out of range")
    empty = np.bincount(indices[:, 0], minlength=rows)[:rows] == 0
    added = np.zeros((int(empty.sum()), indices.shape[1]), np.int64)
    added[:, 0] = np.flatnonzero(empty)
    joined = np.concatenate([indices, added])
    order = np.argsort(joined[:, 0], kind="stable")
    where = np.empty(len(order), np.int64)
    where[order] = np.arange(len(order))
    filled = np.concatenate([values, np.full(len(added), missing, values.dtype)])
    return [joined[order], filled[order], empty, where[: len(indices)]]


register(
    "sparse_fill_rows",
    _sparse_fill_rows,
    _sparse_fill_rows_reference,
    flops=no_flops,
    found=lambda results: [results[2].shape[0], results[0].shape[0]],
)


# sparse_reshape(indices, from, to): indices [n, rank] in a tensor of shape `from` as such in one of shape `to`, where
# one size may be -1; and that shape, known by then.
def _sparse_reshape(types: Types, attrs: Attrs) -> Types:
    indices, source, target = types
    require(indices.rank == 2 and source.rank == 1 and target.rank == 1, "sparse_reshape: a matrix and two vectors")
    require(all(item.dtype == DType.INT64 for item in types), "sparse_reshape: int64")
    return [TensorType(DType.INT64, (indices.shape[0], target.shape[0])), target]


def _sparse_reshape_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    indices, source, target = operands
    shape = [int(size) for size in target]
    total = int(np.prod(source))
    rest = int(np.prod([size for size in shape if size != -1]))
    if shape.count(-1) > 1 or any(size < -1 for size in shape) or (-1 in shape and (rest == 0 or total % rest)):
        raise IndexError("sparse_reshape: no shape")
    shape = [total // rest if size == -1 else size for size in shape]
    if int(np.prod(shape)) != total or (len(indices) and total == 0):
        raise IndexError("sparse_reshape: another number of elements")
    flat = [sum(int(i) * int(np.prod(source[k + 1 :])) for k, i in enumerate(row)) for row in indices]
    moved = np.array(np.unravel_index(flat, shape), np.int64).T if flat else np.zeros((0, len(shape)), np.int64)
    return [moved.reshape(len(indices), len(shape)), np.array(shape, np.int64)]


register("sparse_reshape", _sparse_reshape, _sparse_reshape_reference, flops=no_flops)
