"""Symbolic content of small integer tensors: what shape arithmetic computes, without running it.

TensorFlow graphs compute shapes with ordinary ops (Shape, StridedSlice, Pack, Mul, …). Here the IR ops of such chains
are evaluated on object arrays of Dims, so that a Reshape sees `[s0, 12, s1, 64]` and not an opaque tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Op
from tf_blade.dtypes import DType
from tf_blade.symbolic import is_static

MAX_ELEMENTS = 64
_INTEGERS = (DType.INT32, DType.INT64)

_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": symbolic.add,
    "sub": symbolic.sub,
    "mul": symbolic.mul,
    "maximum": symbolic.maximum,
    "minimum": symbolic.minimum,
}


def evaluate(op: Op) -> list[np.ndarray | None]:
    """For each result the symbolic content, or None where it is unknown or the tensor is large, floating or dynamic."""
    value = op.results[0]
    if value.dtype not in _INTEGERS or not is_static(value.shape) or len(op.results) != 1:
        return [None] * len(op.results)
    if value.type.num_elements > MAX_ELEMENTS:
        return [None]
    if op.kind == "observe":
        return [np.array(op.attrs["found"], dtype=object).reshape(value.shape)]
    handler = _HANDLERS.get(op.kind)
    if handler is None or any(item.sym is None for item in op.operands):
        return [None]
    content = handler(op, [item.sym for item in op.operands if item.sym is not None])
    return [content if content is not None and _fits(content, value.dtype) else None]


def _fits(content: np.ndarray, dtype: DType) -> bool:
    """Whether the numbers are in the type's range: Dims do not wrap around, and the tensor's elements do."""
    limits = np.iinfo(dtype.numpy)
    return all(limits.min <= item <= limits.max for item in content.reshape(-1) if isinstance(item, int))


def _constant(op: Op, operands: list[np.ndarray]) -> np.ndarray:
    array = op.attrs["array"]
    result = np.empty(array.shape, dtype=object)
    for index in np.ndindex(*array.shape):
        result[index] = int(array[index])
    return result


def _elementwise(op: Op, operands: list[np.ndarray]) -> np.ndarray | None:
    fn = op.attrs["fn"]
    if fn == "convert":
        return operands[0] if op.operands[0].dtype in _INTEGERS else None
    if fn == "neg":
        return _map(lambda a: symbolic.mul(-1, a), operands[0])
    if fn == "square":
        return _map(lambda a: symbolic.mul(a, a), operands[0])
    if fn in _BINARY:
        return _map(_BINARY[fn], *operands)
    if fn in ("floor_div", "floor_mod", "truncate_div", "truncate_mod"):
        return _divide(fn, *operands)
    return None


def _divide(fn: str, a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """Only where the divisor is positive and, for truncation, the dividend nonnegative."""
    if not all(_is_positive(item) for item in b.reshape(-1)):
        return None
    if fn.startswith("truncate") and not all(_is_nonnegative(item) for item in a.reshape(-1)):
        return None
    return _map(symbolic.floordiv if fn.endswith("div") else symbolic.mod, a, b)


def _is_positive(dim: Any) -> bool:
    return dim > 0 if isinstance(dim, int) else bool(dim.is_positive)


def _is_nonnegative(dim: Any) -> bool:
    return dim >= 0 if isinstance(dim, int) else bool(dim.is_nonnegative)


def _map(fn: Callable[..., Any], *operands: np.ndarray) -> np.ndarray:
    result = np.empty(operands[0].shape, dtype=object)
    for index in np.ndindex(*result.shape):
        result[index] = fn(*(item[index] for item in operands))
    return result


def _broadcast(op: Op, operands: list[np.ndarray]) -> np.ndarray:
    view = [1] * len(op.attrs["shape"])
    for dim, axis in zip(operands[0].shape, op.attrs["axes"], strict=True):
        view[axis] = dim
    return np.broadcast_to(operands[0].reshape(view), op.attrs["shape"])


def _slice(op: Op, operands: list[np.ndarray]) -> np.ndarray | None:
    if not is_static((*op.attrs["starts"], *op.attrs["sizes"])):
        return None
    result = operands[0]
    for axis, (start, size, stride) in enumerate(
        zip(op.attrs["starts"], op.attrs["sizes"], op.attrs["strides"], strict=True)
    ):
        result = np.take(result, start + stride * np.arange(size), axis=axis)
    return result


def _gather(op: Op, operands: list[np.ndarray]) -> np.ndarray | None:
    x, indices = operands
    limit = x.shape[op.attrs["axis"]]
    known = all(isinstance(item, int) and 0 <= item < limit for item in indices.reshape(-1))
    if not known or op.attrs["batch_dims"]:
        return None
    return np.asarray(np.take(x, indices.astype(np.int64), axis=op.attrs["axis"]))


def _reduce(op: Op, operands: list[np.ndarray]) -> np.ndarray | None:
    fns: dict[str, tuple[Callable[..., Any], Any]] = {
        "sum": (symbolic.add, 0),
        "prod": (symbolic.mul, 1),
        "max": (symbolic.maximum, None),
        "min": (symbolic.minimum, None),
    }
    fn, identity = fns[op.attrs["kind"]]
    axes = op.attrs["axes"]
    kept = [d for i, d in enumerate(operands[0].shape) if i not in axes]
    moved = np.moveaxis(operands[0], axes, range(-len(axes), 0)).reshape(*kept, -1)
    if moved.shape[-1] == 0 and identity is None:
        return None
    result = np.empty(tuple(kept), dtype=object)
    for index in np.ndindex(*kept):
        items = list(moved[index])
        total = items[0] if items else identity
        for item in items[1:]:
            total = fn(total, item)
        result[index] = total
    return result


def _iota(op: Op, operands: list[np.ndarray]) -> np.ndarray:
    shape, axis = op.attrs["shape"], op.attrs["axis"]
    result = np.empty(shape, dtype=object)
    for index in np.ndindex(*shape):
        result[index] = index[axis]
    return result


_HANDLERS: dict[str, Callable[[Op, list[np.ndarray]], np.ndarray | None]] = {
    "constant": _constant,
    "elementwise": _elementwise,
    "broadcast": _broadcast,
    "reshape": lambda op, operands: operands[0].reshape(op.attrs["shape"]),
    "transpose": lambda op, operands: np.transpose(operands[0], op.attrs["perm"]),
    "slice": _slice,
    "concat": lambda op, operands: np.concatenate(operands, axis=op.attrs["axis"]),
    "gather": _gather,
    "reduce": _reduce,
    "iota": _iota,
}
