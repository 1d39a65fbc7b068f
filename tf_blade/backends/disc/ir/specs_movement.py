"""Specs of ops that make or move data: sources, shape changes, slices, gathers, scatters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tf_blade.backends.disc.ir.spec import Attrs, flops_per_operand, no_flops, register, require
from tf_blade.backends.disc.ir.values import TensorType
from tf_blade.dtypes import DType, from_numpy
from tf_blade.symbolic import add, equal, mul, same_shape

Types = Sequence[TensorType]
Arrays = Sequence[np.ndarray]


# parameter {index: int, weight: bool, name: str, type: TensorType}: input `index` of the executable. A weight is the
# same in every call until the host says otherwise.
def _no_parameter(operands: Arrays, attrs: Attrs) -> Arrays:
    raise ValueError("a parameter's value comes from the caller")


register("parameter", lambda types, attrs: [attrs["type"]], _no_parameter, flops=no_flops)


# constant {array: np.ndarray}: baked into the executable
def _constant(types: Types, attrs: Attrs) -> Types:
    array: np.ndarray = attrs["array"]
    return [TensorType(from_numpy(array.dtype), tuple(int(d) for d in array.shape))]


register("constant", _constant, lambda operands, attrs: [attrs["array"]], flops=no_flops)


# dims {dims: tuple[Dim], shape: tuple[int], dtype}: an integer tensor of static shape whose elements are Dims
def _dims(types: Types, attrs: Attrs) -> Types:
    require(attrs["dtype"].is_integer, "dims makes integers")
    require(int(np.prod(attrs["shape"])) == len(attrs["dims"]), "dims needs one Dim for each element")
    return [TensorType(attrs["dtype"], tuple(attrs["shape"]))]


register(
    "dims",
    _dims,
    lambda operands, attrs: [np.array(attrs["dims"], attrs["dtype"].numpy).reshape(attrs["shape"])],
    flops=no_flops,
    dim_attrs=("dims",),
)


# iota {shape, axis, dtype}: element = its index along axis
def _iota(operands: Arrays, attrs: Attrs) -> Arrays:
    shape, axis = attrs["shape"], attrs["axis"]
    line = np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return [np.broadcast_to(line, shape).astype(attrs["dtype"].numpy)]


register(
    "iota",
    lambda types, attrs: [TensorType(attrs["dtype"], tuple(attrs["shape"]))],
    _iota,
    flops=no_flops,
    dim_attrs=("shape",),
)


# broadcast {shape, axes: tuple[int]}: operand axis i becomes result axis axes[i] (ascending). An operand dimension
# equals the result's or is 1; where that is not known statically it is decided at run time (see Constraint
# "broadcast").
def _broadcast(types: Types, attrs: Attrs) -> Types:
    shape, axes = tuple(attrs["shape"]), attrs["axes"]
    require(len(axes) == types[0].rank, "broadcast: one axis for each operand dimension")
    require(list(axes) == sorted(set(axes)), "broadcast: axes ascend")
    for dim, axis in zip(types[0].shape, axes, strict=True):
        static = isinstance(dim, int) and isinstance(shape[axis], int)
        if static and dim not in (1, shape[axis]):  # spelling dimensions takes long
            raise ValueError(f"broadcast: {dim} does not broadcast to {shape[axis]}")
    return [TensorType(types[0].dtype, shape)]


def _broadcast_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    view = [1] * len(attrs["shape"])
    for dim, axis in zip(operands[0].shape, attrs["axes"], strict=True):
        view[axis] = dim
    return [np.broadcast_to(operands[0].reshape(view), attrs["shape"])]


register("broadcast", _broadcast, _broadcast_reference, flops=no_flops, dim_attrs=("shape",))


# reshape {shape}: same elements in row-major order
def _reshape(types: Types, attrs: Attrs) -> Types:
    result = TensorType(types[0].dtype, tuple(attrs["shape"]))
    a, b = types[0].num_elements, result.num_elements
    if isinstance(a, int) and isinstance(b, int) and a != b:
        raise ValueError(f"reshape: {a} elements to {b}")
    return [result]


register(
    "reshape",
    _reshape,
    lambda operands, attrs: [operands[0].reshape(attrs["shape"])],
    flops=no_flops,
    dim_attrs=("shape",),
)


# transpose {perm}: result axis i is operand axis perm[i]
def _transpose(types: Types, attrs: Attrs) -> Types:
    perm = attrs["perm"]
    require(sorted(perm) == list(range(types[0].rank)), f"transpose: {perm} is no permutation")
    return [TensorType(types[0].dtype, tuple(types[0].shape[axis] for axis in perm))]


register("transpose", _transpose, lambda operands, attrs: [np.transpose(operands[0], attrs["perm"])], flops=no_flops)


# slice {starts, sizes, strides: ints, nonzero}: result[i] = operand[starts + i * strides]. The maker of the op answers
# for all indices being in range. A negative stride walks backwards from its start.
def _slice(types: Types, attrs: Attrs) -> Types:
    for name in ("starts", "sizes", "strides"):
        require(len(attrs[name]) == types[0].rank, f"slice: one of {name} for each dimension")
    require(all(isinstance(s, int) and s != 0 for s in attrs["strides"]), "slice: strides are nonzero ints")
    return [TensorType(types[0].dtype, tuple(attrs["sizes"]))]


def _slice_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    result = operands[0]
    for axis, (start, size, stride) in enumerate(zip(attrs["starts"], attrs["sizes"], attrs["strides"], strict=True)):
        result = np.take(result, start + stride * np.arange(size), axis=axis)
    return [result]


register("slice", _slice, _slice_reference, flops=no_flops, dim_attrs=("starts", "sizes"))


# pad(x, value) {low, high, mode}: mode "constant" writes the scalar `value`; "reflect" and "symmetric" mirror without
# and with the edge, and ignore it. low, high >= 0.
def _pad(types: Types, attrs: Attrs) -> Types:
    require(types[1].rank == 0 and types[1].dtype == types[0].dtype, "pad: value is a scalar of the operand's type")
    require(attrs["mode"] in ("constant", "reflect", "symmetric"), f"pad: mode {attrs['mode']}")
    dims = zip(attrs["low"], types[0].shape, attrs["high"], strict=True)
    return [TensorType(types[0].dtype, tuple(add(*item) for item in dims))]


def _pad_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    widths = list(zip(attrs["low"], attrs["high"], strict=True))
    if attrs["mode"] == "constant":
        return [np.pad(operands[0], widths, constant_values=operands[1])]
    return [np.pad(operands[0], widths, mode=attrs["mode"])]


register("pad", _pad, _pad_reference, flops=no_flops, dim_attrs=("low", "high"))


# concat {axis}
def _concat(types: Types, attrs: Attrs) -> Types:
    axis, first = attrs["axis"], types[0]
    for item in types[1:]:
        require(item.rank == first.rank and item.dtype == first.dtype, "concat: operands of one rank and type")
        for i, (a, b) in enumerate(zip(first.shape, item.shape, strict=True)):
            static = isinstance(a, int) and isinstance(b, int)
            require(i == axis or not static or a == b, f"concat: dimension {i} differs: {a}, {b}")
    total = add(*(item.shape[axis] for item in types))
    return [TensorType(first.dtype, (*first.shape[:axis], total, *first.shape[axis + 1 :]))]


register("concat", _concat, lambda operands, attrs: [np.concatenate(operands, attrs["axis"])], flops=no_flops)


# gather(x, indices) {axis, batch_dims}: tf.gather. Result shape x[:axis] + indices[batch_dims:] + x[axis+1:]. An index
# out of range is an error of the call.
def _gather(types: Types, attrs: Attrs) -> Types:
    x, indices = types
    axis, batch = attrs["axis"], attrs["batch_dims"]
    require(indices.dtype in (DType.INT32, DType.INT64), "gather: indices are int32 or int64")
    require(0 <= batch <= axis < x.rank and batch <= indices.rank, "gather: axis or batch_dims out of range")
    return [TensorType(x.dtype, (*x.shape[:axis], *indices.shape[batch:], *x.shape[axis + 1 :]))]


def _gather_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    x, indices = operands
    axis, batch = attrs["axis"], attrs["batch_dims"]
    if np.any(indices < 0) or np.any(indices >= x.shape[axis]):
        raise IndexError("gather: index out of range")
    if batch == 0:
        return [np.take(x, indices, axis=axis)]
    lead = x.shape[:batch]
    result = np.empty((*x.shape[:axis], *indices.shape[batch:], *x.shape[axis + 1 :]), x.dtype)
    for index in np.ndindex(*lead):
        result[index] = np.take(x[index], indices[index], axis=axis - batch)
    return [result]


register("gather", _gather, _gather_reference, flops=no_flops)


# gather_nd(x, indices) {batch_dims}: tf.gather_nd. indices[..., k] addresses the k dimensions after the batch
# dimensions.
def _gather_nd(types: Types, attrs: Attrs) -> Types:
    x, indices = types
    batch = attrs["batch_dims"]
    depth = indices.shape[-1]
    require(isinstance(depth, int) and batch + depth <= x.rank, "gather_nd: last dimension of indices is static")
    return [TensorType(x.dtype, (*indices.shape[:-1], *x.shape[batch + int(depth) :]))]


def _gather_nd_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    x, indices = operands
    batch, depth = attrs["batch_dims"], indices.shape[-1]
    limits = np.array(x.shape[batch : batch + depth]).reshape(-1)
    if np.any(indices < 0) or np.any(indices >= limits):
        raise IndexError("gather_nd: index out of range")
    lead = np.indices(indices.shape[:-1])[:batch]
    address = (*lead, *np.moveaxis(indices, -1, 0))
    return [np.asarray(x[address])]


register("gather_nd", _gather_nd, _gather_nd_reference, flops=no_flops)


# scatter(x, indices, updates) {mode}: x with updates written ("update", the last one wins) or combined with what is
# there ("add", "sub", "mul", "max", "min"), one after the other, at the places that indices[..., k] address in the
# first k dimensions. An index out of range is an error of the call.
_SCATTER: dict[str, Callable[[Any, Any], Any]] = {
    "update": lambda old, new: new,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}


def _scatter(types: Types, attrs: Attrs) -> Types:
    x, indices, updates = types
    depth = indices.shape[-1]
    require(attrs["mode"] in _SCATTER, f"scatter: mode {attrs['mode']}")
    require(isinstance(depth, int) and depth <= x.rank, "scatter: last dimension of indices is static")
    require(updates.rank == indices.rank - 1 + x.rank - int(depth), "scatter: rank of updates")
    require(updates.dtype == x.dtype, "scatter: updates of the operand's type")
    return [x]


def _scatter_reference(operands: Arrays, attrs: Attrs) -> Arrays:
    x, indices, updates = operands
    result, depth = np.array(x), indices.shape[-1]
    if np.any(indices < 0) or np.any(indices >= np.array(x.shape[:depth]).reshape(-1)):
        raise IndexError("scatter: index out of range")
    flat = indices.reshape(int(np.prod(indices.shape[:-1])), depth)
    rows = updates.reshape(flat.shape[0], *x.shape[depth:])
    combine = _SCATTER[attrs["mode"]]
    for index, row in zip(flat, rows, strict=True):
        result[tuple(index)] = combine(result[tuple(index)], row)
    return [result]


register("scatter", _scatter, _scatter_reference, flops=flops_per_operand)


def reshape_is_legal(a: TensorType, b: TensorType) -> bool:
    """Whether both have provably as many elements."""
    return same_shape(a.shape, b.shape) or equal(mul(1, *a.shape), mul(1, *b.shape))


def reference_dims(values: Any) -> tuple[int, ...]:
    """Evaluated Dims as plain ints."""
    return tuple(int(value) for value in values)
