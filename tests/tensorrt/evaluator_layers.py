"""The layers' meaning: elements, shapes, products, reductions. Convolutions and images are in evaluator_images.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from tests.tensorrt.evaluator import Context, EvaluationError, layer, numpy_type

_ERF = np.vectorize(math.erf, otypes=[np.float64])
_UNARY: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "EXP": np.exp, "LOG": np.log, "SQRT": np.sqrt, "RECIP": lambda x: 1 / x, "ABS": np.abs, "NEG": np.negative,
    "SIN": np.sin, "COS": np.cos, "TAN": np.tan, "SINH": np.sinh, "COSH": np.cosh, "ASIN": np.arcsin,
    "ACOS": np.arccos, "ATAN": np.arctan, "ASINH": np.arcsinh, "ACOSH": np.arccosh, "ATANH": np.arctanh,
    "CEIL": np.ceil, "FLOOR": np.floor, "ERF": lambda x: _ERF(x) if x.size else x, "NOT": np.logical_not,
    "SIGN": np.sign, "ROUND": np.rint, "ISINF": np.isinf, "ISNAN": np.isnan,
}  # fmt: skip
_BINARY: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "SUM": np.add, "PROD": np.multiply, "MAX": np.maximum, "MIN": np.minimum, "SUB": np.subtract,
    "DIV": lambda a, b: a / b if a.dtype.kind not in "iu" else np.trunc(a / b).astype(a.dtype),
    "POW": np.power, "FLOOR_DIV": np.floor_divide, "AND": np.logical_and, "OR": np.logical_or, "XOR": np.logical_xor,
    "EQUAL": np.equal, "GREATER": np.greater, "LESS": np.less,
}  # fmt: skip


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


_ACTIVATIONS: dict[str, Callable[[np.ndarray, float, float], np.ndarray]] = {
    "RELU": lambda x, a, b: np.maximum(x, 0),
    "SIGMOID": lambda x, a, b: sigmoid(x),
    "TANH": lambda x, a, b: np.tanh(x),
    "LEAKY_RELU": lambda x, a, b: np.where(x >= 0, x, a * x),
    "ELU": lambda x, a, b: np.where(x >= 0, x, a * np.expm1(x)),
    "SELU": lambda x, a, b: np.where(x > 0, b * x, b * (a * np.exp(x) - a)),
    "SOFTSIGN": lambda x, a, b: x / (1 + np.abs(x)),
    "SOFTPLUS": lambda x, a, b: a * np.logaddexp(0, b * x),
    "CLIP": lambda x, a, b: np.clip(x, a, b),
    "HARD_SIGMOID": lambda x, a, b: np.clip(a * x + b, 0, 1),
    "GELU_ERF": lambda x, a, b: 0.5 * x * (1 + _ERF(x * math.sqrt(0.5))),
}


def wide(x: np.ndarray) -> np.ndarray:
    """Floats as float64, in which results are computed and rounded once; others as they are."""
    return x if x.dtype.kind in "iub" else x.astype(np.float64)


@layer("IDENTITY")
def identity(ctx: Context) -> np.ndarray:
    return ctx[0]


@layer("CONSTANT")
def constant(ctx: Context) -> np.ndarray:
    weights = ctx.layer.weights
    array = np.array(weights if isinstance(weights, np.ndarray) else weights.numpy())
    return array.reshape(tuple(ctx.layer.shape))


@layer("CAST")
def cast(ctx: Context) -> np.ndarray:
    return ctx[0].astype(numpy_type(ctx.trt, ctx.layer.to_type))


@layer("UNARY")
def unary(ctx: Context) -> np.ndarray:
    name = ctx.name(ctx.layer.op)
    result = _UNARY[name](wide(ctx[0]))
    return result if name in ("NOT", "ISINF", "ISNAN") else result.astype(ctx[0].dtype)


@layer("ELEMENTWISE")
def elementwise(ctx: Context) -> np.ndarray:
    a, b, name = ctx[0], ctx[1], ctx.name(ctx.layer.op)
    assert a.dtype == b.dtype and a.ndim == b.ndim, f"{ctx.layer.name}: {a.dtype}, {b.dtype}; {a.shape}, {b.shape}"
    _check_broadcast(a.shape, b.shape)
    result = _BINARY[name](a, b)
    if name in ("EQUAL", "GREATER", "LESS"):
        return result
    return result.astype(a.dtype)


def _check_broadcast(*shapes: Sequence[int]) -> None:
    for dims in zip(*shapes, strict=True):
        if len({dim for dim in dims if dim != 1}) > 1:
            raise EvaluationError(f"{shapes} do not broadcast")


@layer("ACTIVATION")
def activation(ctx: Context) -> np.ndarray:
    """Of this class, `type` is the activation's and no longer the layer's."""
    kind = ctx.name(ctx.layer.type)
    return _ACTIVATIONS[kind](wide(ctx[0]), float(ctx.layer.alpha), float(ctx.layer.beta)).astype(ctx[0].dtype)


@layer("SELECT")
def select(ctx: Context) -> np.ndarray:
    condition, a, b = ctx[0], ctx[1], ctx[2]
    assert condition.dtype == np.bool_ and a.dtype == b.dtype and condition.ndim == a.ndim == b.ndim
    _check_broadcast(condition.shape, a.shape, b.shape)
    return np.where(condition, a, b)


@layer("SHAPE")
def shape(ctx: Context) -> np.ndarray:
    return np.array(ctx[0].shape, np.int64)


@layer("SHUFFLE")
def shuffle(ctx: Context) -> np.ndarray:
    x = ctx[0].transpose(tuple(ctx.layer.first_transpose)[: ctx[0].ndim])
    target = list(_reshape_dims(ctx))
    if ctx.layer.zero_is_placeholder:
        target = [x.shape[axis] if dim == 0 else dim for axis, dim in enumerate(target)]
    fixed = math.prod(dim for dim in target if dim != -1)
    if fixed != x.size if -1 not in target else fixed == 0 or x.size % fixed:
        raise EvaluationError(f"{x.shape} does not reshape to {target}")
    x = x.reshape(target)
    return x.transpose(tuple(ctx.layer.second_transpose)[: x.ndim])


def _reshape_dims(ctx: Context) -> tuple[int, ...]:
    given = ctx.given(1)
    if given is not None:
        return tuple(int(item) for item in given)
    if ctx.layer.reshape_dims is None:  # nobody has set it
        return ctx[0].transpose(tuple(ctx.layer.first_transpose)[: ctx[0].ndim]).shape
    return tuple(ctx.layer.reshape_dims)


@layer("SLICE")
def slice_(ctx: Context) -> np.ndarray:
    x = ctx[0]
    starts = ctx.sizes(1, ctx.layer.start)
    sizes = ctx.sizes(2, ctx.layer.shape)
    strides = ctx.sizes(3, ctx.layer.stride)
    mode = ctx.name(ctx.layer.mode)
    outside = np.zeros(sizes, bool)
    for axis, (start, size, stride) in enumerate(zip(starts, sizes, strides, strict=True)):
        if size < 0:
            raise EvaluationError(f"a size of {size}")
        index, invalid = _window(start + stride * np.arange(size), x.shape[axis], mode)
        x = (
            np.take(x, index, axis)
            if x.shape[axis]
            else np.zeros((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype)
        )
        outside |= invalid.reshape((-1,) + (1,) * (len(sizes) - 1 - axis))
    if mode == "FILL":
        fill = ctx.given(4)
        x = np.where(outside, np.zeros((), x.dtype) if fill is None else fill, x)
    return x


def _window(index: np.ndarray, size: int, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """Indices into a dimension, and which of them lie outside."""
    invalid = (index < 0) | (index >= size)
    if mode == "STRICT_BOUNDS":
        if invalid.any():
            raise EvaluationError("a slice leaves its input")
    elif mode == "WRAP":
        return index % max(size, 1), np.zeros_like(invalid)
    elif mode == "REFLECT":
        period = max(2 * (size - 1), 1)
        folded = index % period
        return np.where(folded >= size, period - folded, folded), np.zeros_like(invalid)
    elif mode == "CLAMP":
        return np.clip(index, 0, size - 1), np.zeros_like(invalid)
    return np.clip(index, 0, max(size - 1, 0)), invalid


@layer("CONCATENATION")
def concatenation(ctx: Context) -> np.ndarray:
    try:
        return np.concatenate([item for item in ctx.inputs if item is not None], axis=ctx.layer.axis)
    except ValueError as error:
        raise EvaluationError(str(error)) from error


@layer("REDUCE")
def reduce(ctx: Context) -> np.ndarray:
    x, name = ctx[0], ctx.name(ctx.layer.op)
    axes = tuple(axis for axis in range(x.ndim) if ctx.layer.axes >> axis & 1)
    functions: dict[str, Callable[..., np.ndarray]] = {
        "SUM": np.sum,
        "PROD": np.prod,
        "MAX": np.max,
        "MIN": np.min,
        "AVG": np.mean,
    }
    if not x.size and name in ("MAX", "MIN"):
        raise EvaluationError("nothing to reduce")
    return np.asarray(functions[name](wide(x), axis=axes, keepdims=ctx.layer.keep_dims)).astype(x.dtype)


@layer("MATRIX_MULTIPLY")
def matrix_multiply(ctx: Context) -> np.ndarray:
    a, b = wide(ctx[0]), wide(ctx[1])
    assert ctx[0].dtype == ctx[1].dtype
    operations = [ctx.name(ctx.layer.op0), ctx.name(ctx.layer.op1)]
    a = a.swapaxes(-1, -2) if operations[0] == "TRANSPOSE" else a
    b = b.swapaxes(-1, -2) if operations[1] == "TRANSPOSE" else b
    _check_broadcast(a.shape[:-2], b.shape[:-2])
    if a.shape[-1] != b.shape[-2]:
        raise EvaluationError(f"{a.shape} times {b.shape}")
    return np.matmul(a, b).astype(ctx[0].dtype)


@layer("EINSUM")
def einsum(ctx: Context) -> np.ndarray:
    operands = [wide(item) for item in ctx.inputs if item is not None]
    try:
        return np.asarray(np.einsum(ctx.layer.equation, *operands)).astype(ctx[0].dtype)
    except ValueError as error:
        raise EvaluationError(str(error)) from error


@layer("SOFTMAX")
def softmax(ctx: Context) -> np.ndarray:
    x = wide(ctx[0])
    axes = tuple(axis for axis in range(x.ndim) if ctx.layer.axes >> axis & 1)
    shifted = np.exp(x - x.max(axis=axes, keepdims=True)) if x.size else x
    return (shifted / shifted.sum(axis=axes, keepdims=True)).astype(ctx[0].dtype)


@layer("TOPK")
def topk(ctx: Context) -> tuple[np.ndarray, np.ndarray]:
    x, given = ctx[0], ctx.given(1)
    k = ctx.layer.k if given is None else int(given)
    (axis,) = (axis for axis in range(x.ndim) if ctx.layer.axes >> axis & 1)
    if k > x.shape[axis]:
        raise EvaluationError(f"{k} of {x.shape[axis]}")
    key = wide(x) if ctx.name(ctx.layer.op) == "MIN" else -wide(x)
    order = np.take(np.argsort(key, axis=axis, kind="stable"), np.arange(k), axis)
    return np.take_along_axis(x, order, axis), order.astype(np.int32)


@layer("CUMULATIVE")
def cumulative(ctx: Context) -> np.ndarray:
    x, axis = wide(ctx[0]), int(ctx[1])
    x = np.flip(x, axis) if ctx.layer.reverse else x
    total = np.cumsum(x, axis, dtype=x.dtype)
    total = total - x if ctx.layer.exclusive else total
    return (np.flip(total, axis) if ctx.layer.reverse else total).astype(ctx[0].dtype)


@layer("FILL")
def fill(ctx: Context) -> np.ndarray:
    """A line: a start, and a step for each axis."""
    assert ctx.name(ctx.layer.operation) == "LINSPACE"
    dims = ctx.sizes(0, ctx.layer.shape)
    start, steps = ctx[1], np.atleast_1d(ctx[2])
    if any(dim < 0 for dim in dims):
        raise EvaluationError(f"a size of {dims}")
    result = np.full(dims, start, start.dtype)
    for axis, step in enumerate(steps):
        line = (np.arange(dims[axis]) * step).astype(start.dtype)
        result = result + line.reshape((-1,) + (1,) * (len(dims) - 1 - axis))
    return result.astype(numpy_type(ctx.trt, ctx.layer.to_type))


@layer("GATHER")
def gather(ctx: Context) -> np.ndarray:
    x, indices, mode = ctx[0], ctx[1], ctx.name(ctx.layer.mode)
    batch = ctx.layer.num_elementwise_dims
    if mode == "ND":
        return _gather_nd(x, indices, batch)
    assert mode == "DEFAULT"
    axis = ctx.layer.axis
    _check_range(indices, x.shape[axis])
    if not batch:
        return np.take(x, indices, axis)
    lead = x.shape[:batch]
    flat_x = x.reshape(-1, *x.shape[batch:])
    flat_i = indices.reshape(-1, *indices.shape[batch:])
    parts = [np.take(a, i, axis - batch) for a, i in zip(flat_x, flat_i, strict=True)]
    return np.stack(parts).reshape(*lead, *parts[0].shape) if parts else np.zeros((0,), x.dtype)


def _check_range(indices: np.ndarray, size: int) -> None:
    if indices.size and (indices.min() < 0 or indices.max() >= size):
        raise EvaluationError("an index is out of range")


def _gather_nd(x: np.ndarray, indices: np.ndarray, batch: int) -> np.ndarray:
    assert batch == 0
    for axis in range(indices.shape[-1]):
        _check_range(indices[..., axis], x.shape[axis])
    return np.asarray(x[tuple(np.moveaxis(indices, -1, 0))])


@layer("SCATTER")
def scatter(ctx: Context) -> np.ndarray:
    data, indices, updates = ctx[0].copy(), ctx[1], ctx[2]
    assert ctx.name(ctx.layer.mode) == "ND"
    for axis in range(indices.shape[-1]):
        _check_range(indices[..., axis], data.shape[axis])
    data[tuple(np.moveaxis(indices, -1, 0))] = updates
    return data


@layer("ONE_HOT")
def one_hot(ctx: Context) -> np.ndarray:
    indices, (off, on), depth = ctx[0], ctx[1], int(ctx[2])
    axis = ctx.layer.axis % (indices.ndim + 1)
    line = np.arange(depth).reshape([depth if k == axis else 1 for k in range(indices.ndim + 1)])
    return np.where(np.expand_dims(indices, axis) == line, on, off).astype(ctx[1].dtype)


@layer("NON_ZERO")
def non_zero(ctx: Context) -> np.ndarray:
    return np.array(np.nonzero(ctx[0])).astype(numpy_type(ctx.trt, ctx.layer.indices_type))


@layer("NORMALIZATION")
def normalization(ctx: Context) -> np.ndarray:
    x = wide(ctx[0])
    axes = tuple(axis for axis in range(x.ndim) if ctx.layer.axes >> axis & 1)
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    result = (x - mean) / np.sqrt(variance + ctx.layer.epsilon) * wide(ctx[1]) + wide(ctx[2])
    return result.astype(ctx[0].dtype)


@layer("QUANTIZE")
def quantize(ctx: Context) -> np.ndarray:
    scale = _along(ctx, ctx[1], ctx[0].ndim)
    return np.clip(np.rint(wide(ctx[0]) / wide(scale)), -128, 127).astype(np.int8)


@layer("DEQUANTIZE")
def dequantize(ctx: Context) -> np.ndarray:
    scale = _along(ctx, ctx[1], ctx[0].ndim)
    return (ctx[0].astype(np.float64) * wide(scale)).astype(scale.dtype)


def _along(ctx: Context, scale: np.ndarray, rank: int) -> np.ndarray:
    if scale.ndim == 0:
        return scale
    return scale.reshape([-1 if axis == ctx.layer.axis else 1 for axis in range(rank)])
