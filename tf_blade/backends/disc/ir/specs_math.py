"""Specs of ops that compute: elementwise, reductions, matrix products, convolutions, pooling, resizing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_blade.backends.disc.ir import reference_conv, reference_resize
from tf_blade.backends.disc.ir.scalar import FNS
from tf_blade.backends.disc.ir.spec import Attrs, flops_per_operand, flops_scaled, register, require
from tf_blade.backends.disc.ir.values import Op, TensorType
from tf_blade.dtypes import DType
from tf_blade.symbolic import Dim, add, floordiv, mul, same_shape, sub

Types = Sequence[TensorType]
Arrays = Sequence[np.ndarray]


# elementwise {fn, dtype?}: fn of `scalar.FNS` at each index; operands have one shape
def _elementwise(types: Types, attrs: Attrs) -> Types:
    fn = FNS.get(attrs["fn"])
    require(fn is not None, f"elementwise: no function {attrs['fn']}")
    assert fn is not None
    require(len(types) == fn.arity, f"{fn.name}: takes {fn.arity} operands, not {len(types)}")
    values = types[1:] if fn.name == "select" else types
    require(all(item.dtype == values[0].dtype for item in values), f"{fn.name}: operands of different types")
    require(values[0].dtype in fn.dtypes, f"{fn.name}: not for {values[0].dtype.name}")
    require(fn.name != "select" or types[0].dtype == DType.BOOL, "select: the predicate is bool")
    for item in types[1:]:
        if not same_shape(item.shape, types[0].shape):  # spelling dimensions takes long
            raise ValueError(f"{fn.name}: shapes {types[0].shape} and {item.shape}")
    result = attrs["dtype"] if fn.result == "attr" else values[0].dtype if fn.result == "same" else fn.result
    return [TensorType(result, types[0].shape)]  # type: ignore[arg-type]


def _elementwise_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    fn = FNS[attrs["fn"]]
    extra = (attrs["dtype"],) if fn.result == "attr" else ()
    values = operands[1:] if fn.name == "select" else operands
    dtype = values[0].dtype
    if dtype.name in ("bfloat16", "float16") and fn.result == "same" and fn.name != "select":
        return [np.asarray(fn.reference(*(item.astype(np.float32) for item in operands))).astype(dtype)]
    result = np.asarray(fn.reference(*operands, *extra))
    return [result.astype(dtype) if fn.result == "same" else result]


register("elementwise", _elementwise, _elementwise_reference)


# reduce {kind, axes, may_lose_nan?}: over axes, which disappear. Of no elements: sum 0, prod 1, max lowest (-inf), min
# highest (inf), and true, or false. Floats of half width accumulate in float32. With may_lose_nan any result will do
# where an element is NaN.
REDUCTIONS = ("sum", "prod", "max", "min", "and", "or")


def _reduce(types: Types, attrs: Attrs) -> Types:
    axes = attrs["axes"]
    require(attrs["kind"] in REDUCTIONS, f"reduce: kind {attrs['kind']}")
    require(list(axes) == sorted(set(axes)) and all(0 <= a < types[0].rank for a in axes), f"reduce: axes {axes}")
    is_logical = attrs["kind"] in ("and", "or")
    require(is_logical == (types[0].dtype == DType.BOOL), f"reduce: {attrs['kind']} of {types[0].dtype.name}")
    return [TensorType(types[0].dtype, tuple(d for i, d in enumerate(types[0].shape) if i not in axes))]


def lowest(dtype: np.dtype) -> Any:
    """The identity of max: -inf, or the smallest integer."""
    return np.iinfo(dtype).min if np.issubdtype(dtype, np.integer) else -np.inf


def highest(dtype: np.dtype) -> Any:
    """The identity of min: inf, or the largest integer."""
    return np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else np.inf


def _reduce_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    x, axes = operands[0], tuple(attrs["axes"])
    wide = x.astype(np.float32) if x.dtype.name in ("bfloat16", "float16") else x
    with np.errstate(all="ignore"):
        if attrs["kind"] == "sum":
            result = np.sum(wide, axes, dtype=wide.dtype)
        elif attrs["kind"] == "prod":
            result = np.prod(wide, axes, dtype=wide.dtype)
        elif attrs["kind"] == "max":
            result = np.max(wide, axes, initial=lowest(wide.dtype))
        elif attrs["kind"] == "min":
            result = np.min(wide, axes, initial=highest(wide.dtype))
        else:
            result = (np.all if attrs["kind"] == "and" else np.any)(wide, axes)
        return [np.asarray(result).astype(x.dtype)]


register("reduce", _reduce, _reduce_reference, flops=flops_per_operand)


# arg_reduce {kind: max|min, axis, dtype}: the first index of the extreme along axis, which disappears. NaN is as good
# as the infinity at the other end, as in TensorFlow.
def _arg_reduce(types: Types, attrs: Attrs) -> Types:
    require(attrs["kind"] in ("max", "min") and 0 <= attrs["axis"] < types[0].rank, "arg_reduce: kind or axis")
    return [TensorType(attrs["dtype"], tuple(d for i, d in enumerate(types[0].shape) if i != attrs["axis"]))]


def _arg_reduce_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    fn, worst = (np.argmax, -np.inf) if attrs["kind"] == "max" else (np.argmin, np.inf)
    x = operands[0]
    if not np.issubdtype(x.dtype, np.integer):
        x = np.nan_to_num(x.astype(np.float64), nan=worst, posinf=np.inf, neginf=-np.inf)
    return [np.asarray(fn(x, attrs["axis"])).astype(attrs["dtype"].numpy)]


register("arg_reduce", _arg_reduce, _arg_reduce_reference, flops=flops_per_operand)


# cumulative {kind: sum|prod|logsumexp, axis, exclusive, reverse}
def _cumulative(operands: Arrays, attrs: Attrs) -> Arrays:
    x, axis = operands[0], attrs["axis"]
    scans: dict[str, tuple[Any, Any]] = {"sum": (0, np.cumsum), "prod": (1, np.cumprod)}
    if attrs["kind"] == "logsumexp":
        scans["logsumexp"] = (-np.inf, np.logaddexp.accumulate)
    identity, fn = scans[attrs["kind"]]
    wide = np.flip(x, axis) if attrs["reverse"] else x
    if attrs["exclusive"]:
        head = np.full_like(np.take(wide, [0] if wide.shape[axis] else [], axis), identity)
        wide = np.concatenate([head, np.take(wide, range(max(wide.shape[axis] - 1, 0)), axis)], axis)
    result = fn(wide.astype(np.float32) if x.dtype.name in ("bfloat16", "float16") else wide, axis)
    return [(np.flip(result, axis) if attrs["reverse"] else result).astype(x.dtype)]


register("cumulative", lambda types, attrs: [types[0]], _cumulative)


# topk {k: Dim, dtype}: the k largest along the last axis, descending, the lower index first among equals; and their
# indices. The maker of the op answers for k <= the last dimension.
def _topk(types: Types, attrs: Attrs) -> Types:
    require(types[0].rank >= 1, "topk: of a scalar")
    shape = (*types[0].shape[:-1], attrs["k"])
    return [TensorType(types[0].dtype, shape), TensorType(attrs["dtype"], shape)]


def _topk_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    x = operands[0]
    ordinal = x if np.issubdtype(x.dtype, np.integer) else x.astype(np.float64)
    order = np.argsort(-ordinal.astype(np.float64), axis=-1, kind="stable")[..., : attrs["k"]]
    return [np.take_along_axis(x, order, -1), order.astype(attrs["dtype"].numpy)]


register("topk", _topk, _topk_reference, flops=flops_per_operand, dim_attrs=("k",))


# dot(a, b) {transpose_a, transpose_b}: matrix product of the last two dimensions, [.., M, K] x [.., K, N] (stored
# [.., K, M] and [.., N, K] where transposed). Either the batch dimensions are the same, or b has none.
def _dot(types: Types, attrs: Attrs) -> Types:
    a, b = types
    require(a.dtype == b.dtype and a.rank >= 2 and b.rank >= 2, "dot: two matrices of one type")
    require(b.rank == 2 or same_shape(a.shape[:-2], b.shape[:-2]), "dot: batch dimensions differ")
    rows, k_a = (a.shape[-1], a.shape[-2]) if attrs["transpose_a"] else (a.shape[-2], a.shape[-1])
    k_b, columns = (b.shape[-1], b.shape[-2]) if attrs["transpose_b"] else (b.shape[-2], b.shape[-1])
    static = isinstance(k_a, int) and isinstance(k_b, int)
    if static and k_a != k_b:
        raise ValueError(f"dot: contracts {k_a} with {k_b}")
    return [TensorType(a.dtype, (*a.shape[:-2], rows, columns))]


def _dot_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    a, b = operands
    a = np.swapaxes(a, -1, -2) if attrs["transpose_a"] else a
    b = np.swapaxes(b, -1, -2) if attrs["transpose_b"] else b
    if a.dtype.kind in "iu":
        return [np.matmul(a, b)]
    return [np.matmul(a.astype(np.float64), b.astype(np.float64)).astype(operands[0].dtype)]


def _dot_flops(op: Op) -> Dim:
    k = op.operands[0].shape[-2 if op.attrs["transpose_a"] else -1]
    return mul(2, k, op.result.type.num_elements)


register("dot", _dot, _dot_reference, flops=_dot_flops)


# conv2d(x [N,H,W,C], w [KH,KW,C/groups,O]) {strides, dilations: 2 ints, low, high: 2 Dims of zero padding, groups:
# int}. Depthwise convolution is groups == C with w [KH,KW,1,C*multiplier].
def conv_output_dim(size: Dim, window: Dim, stride: int, dilation: int, low: Dim, high: Dim) -> Dim:
    """Number of window positions along one axis."""
    extent = add(mul(sub(window, 1), dilation), 1)
    return add(floordiv(sub(add(size, low, high), extent), stride), 1)


def _conv2d(types: Types, attrs: Attrs) -> Types:
    x, w = types
    require(x.rank == 4 and w.rank == 4 and x.dtype == w.dtype, "conv2d: NHWC and HWIO of one type")
    channels, groups = x.shape[3], attrs["groups"]
    static = isinstance(channels, int) and isinstance(w.shape[2], int)
    require(not static or mul(w.shape[2], groups) == channels, f"conv2d: {channels} channels, {w.shape[2]} x {groups}")
    spatial = tuple(
        conv_output_dim(
            x.shape[1 + i], w.shape[i], attrs["strides"][i], attrs["dilations"][i], attrs["low"][i], attrs["high"][i]
        )
        for i in range(2)
    )
    return [TensorType(x.dtype, (x.shape[0], *spatial, w.shape[3]))]


def _conv2d_flops(op: Op) -> Dim:
    w = op.operands[1].shape
    return mul(2, w[0], w[1], w[2], op.result.type.num_elements)


register("conv2d", _conv2d, reference_conv.conv2d, flops=_conv2d_flops, dim_attrs=("low", "high"))


# conv2d_transpose(dy [N,OH,OW,O], w [KH,KW,C,O]) {strides, dilations, low, high, size: (H, W) Dims}: the gradient of
# conv2d (groups 1) for its input, i.e. TensorFlow's Conv2DBackpropInput; result [N,H,W,C].
def _conv2d_transpose(types: Types, attrs: Attrs) -> Types:
    dy, w = types
    require(dy.rank == 4 and w.rank == 4 and dy.dtype == w.dtype, "conv2d_transpose: NHWC and HWIO of one type")
    return [TensorType(dy.dtype, (dy.shape[0], *attrs["size"], w.shape[2]))]


def _conv2d_transpose_flops(op: Op) -> Dim:
    w = op.operands[1].shape
    return mul(2, w[0], w[1], w[2], op.operands[0].type.num_elements)


register(
    "conv2d_transpose",
    _conv2d_transpose,
    reference_conv.conv2d_transpose,
    flops=_conv2d_transpose_flops,
    dim_attrs=("low", "high", "size"),
)


# pool2d(x [N,H,W,C]) {kind: max|avg, window, strides: 2 ints, low, high: 2 Dims}: padding does not take part (avg
# divides by the number of elements inside the image), unless {zero_pads}: then the pads are zeros like any others
def _pool2d(types: Types, attrs: Attrs) -> Types:
    x = types[0]
    require(x.rank == 4 and attrs["kind"] in ("max", "avg"), "pool2d: NHWC, max or avg")
    spatial = tuple(
        conv_output_dim(x.shape[1 + i], attrs["window"][i], attrs["strides"][i], 1, attrs["low"][i], attrs["high"][i])
        for i in range(2)
    )
    return [TensorType(x.dtype, (x.shape[0], *spatial, x.shape[3]))]


def _pool2d_flops(op: Op) -> Dim:
    return mul(op.attrs["window"][0], op.attrs["window"][1], op.result.type.num_elements)


register("pool2d", _pool2d, reference_conv.pool2d, flops=_pool2d_flops, dim_attrs=("low", "high"))


# resize(x [N,H,W,C]) {kind: bilinear|nearest, size: (H, W) Dims, align_corners, half_pixel_centers}: TensorFlow's
# ResizeBilinear (result float32) and ResizeNearestNeighbor (result of the operand's type)
def _resize(types: Types, attrs: Attrs) -> Types:
    x = types[0]
    require(x.rank == 4 and attrs["kind"] in ("bilinear", "nearest"), "resize: NHWC, bilinear or nearest")
    dtype = DType.FLOAT if attrs["kind"] == "bilinear" else x.dtype
    return [TensorType(dtype, (x.shape[0], *attrs["size"], x.shape[3]))]


register("resize", _resize, reference_resize.resize, flops=flops_scaled(6), dim_attrs=("size",))
