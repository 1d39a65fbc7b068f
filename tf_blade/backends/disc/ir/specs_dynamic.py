"""Specs of ops whose results' sizes are found when they run.

Each has an attribute `found`: a tuple of Dims, the names of what it finds (see `OpSpec.found`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tf_blade.backends.disc.ir.spec import Attrs, flops_per_operand, no_flops, register, require
from tf_blade.backends.disc.ir.values import TensorType
from tf_blade.dtypes import DType
from tf_blade.symbolic import is_static

Types = Sequence[TensorType]
Arrays = Sequence[np.ndarray]


def _length(results: Arrays) -> Sequence[int]:
    return [results[0].shape[0]]


# observe(x) {found}: x itself, a small integer tensor of static shape; its elements get names, in row-major order.
def _observe(types: Types, attrs: Attrs) -> Types:
    require(types[0].dtype in (DType.INT32, DType.INT64), "observe: int32 or int64")
    require(is_static(types[0].shape), "observe: a static shape")
    require(types[0].num_elements == len(attrs["found"]), "observe: a name for each element")
    return [types[0]]


register(
    "observe",
    _observe,
    lambda operands, attrs: [operands[0]],
    flops=no_flops,
    found=lambda results: [int(item) for item in results[0].reshape(-1)],
)


# where(x) {found: (count,)}: the indices, row by row, of the true elements of a bool tensor in row-major order.
def _where(types: Types, attrs: Attrs) -> Types:
    require(types[0].dtype == DType.BOOL, "where: a bool tensor")
    (size,) = attrs["found"]
    return [TensorType(DType.INT64, (size, types[0].rank))]


register(
    "where",
    _where,
    lambda operands, attrs: [np.argwhere(operands[0]).astype(np.int64)],
    flops=flops_per_operand,
    found=_length,
)
