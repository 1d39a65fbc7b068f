"""Specs of ops whose results' sizes are found when they run.

Each has an attribute `found`: a tuple of Dims, the names of what it finds (see `OpSpec.found`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tf_blade.backends.disc.ir import reference_nms
from tf_blade.backends.disc.ir.spec import Attrs, flops_per_operand, no_flops, register, require
from tf_blade.backends.disc.ir.values import Op, TensorType
from tf_blade.dtypes import DType
from tf_blade.symbolic import Dim, is_static, mul

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


# nms(boxes, scores, most, overlap, score, sigma) {found: (size,), pad, overlaps}: indices and scores of the picked
# boxes, and how many they are. `size` is that number, or with `pad` the content of `most`, zeros behind. `overlaps`:
# instead of boxes [n, 4] the overlap of each pair [n, n].
def _nms(types: Types, attrs: Attrs) -> Types:
    boxes, scores, most, *limits = types
    require(boxes.rank == 2 and scores.rank == 1, "nms: boxes of rank 2, scores of rank 1")
    require(most.dtype == DType.INT32 and all(item.rank == 0 for item in types[2:]), "nms: scalar limits")
    require(all(item.dtype == DType.FLOAT for item in (boxes, scores, *limits)), "nms: float32")
    (size,) = attrs["found"]
    return [TensorType(DType.INT32, (size,)), TensorType(DType.FLOAT, (size,)), TensorType(DType.INT32, ())]


def _nms_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    boxes, scores, most, overlap, score, sigma = operands
    if not attrs["overlaps"] and not 0 <= overlap <= 1:
        raise IndexError("nms: the overlap's limit is not in [0, 1]")
    limits = reference_nms.Limits(int(most), float(overlap), float(score), float(sigma))
    similarity = boxes if attrs["overlaps"] else reference_nms.overlaps(boxes)
    picked, kept = reference_nms.pick(similarity, scores, limits)
    zeros = [0] * (int(most) - len(picked)) if attrs["pad"] else []
    return [
        np.array(picked + zeros, np.int32),
        np.array([*kept, *zeros], np.float32),
        np.array(len(picked), np.int32),
    ]


def _nms_flops(op: Op) -> Dim:
    """Some ten operations for each pair of neighbours in the order of scores."""
    return mul(20, op.operands[1].type.num_elements)


register("nms", _nms, _nms_reference, flops=_nms_flops, found=_length)


# combined_nms(boxes, scores, overlap, score) {per_class, total, size, clip}: boxes [batch, n, sets, 4], scores
# [batch, n, classes]; for each batch entry the best of all classes' picks, at most per_class of a class and total of
# all, with zeros up to size: boxes, scores, classes, counts.
def _combined_nms(types: Types, attrs: Attrs) -> Types:
    boxes, scores = types[:2]
    require(boxes.rank == 4 and scores.rank == 3, "combined_nms: boxes of rank 4, scores of rank 3")
    require(all(item.dtype == DType.FLOAT for item in types), "combined_nms: float32")
    flat = (scores.shape[0], attrs["size"])
    return [
        TensorType(DType.FLOAT, (*flat, 4)),
        TensorType(DType.FLOAT, flat),
        TensorType(DType.FLOAT, flat),
        TensorType(DType.INT32, (scores.shape[0],)),
    ]


def _combined_nms_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    boxes, scores, overlap, score = operands
    if not 0 <= overlap <= 1:
        raise IndexError("combined_nms: the overlap's limit is not in [0, 1]")
    limits = reference_nms.Limits(attrs["per_class"], float(overlap), float(score))
    return reference_nms.combined(boxes, scores, limits, total=attrs["total"], size=attrs["size"], clip=attrs["clip"])


register(
    "combined_nms",
    _combined_nms,
    _combined_nms_reference,
    flops=_nms_flops,
    dim_attrs=("per_class", "total", "size"),
)
