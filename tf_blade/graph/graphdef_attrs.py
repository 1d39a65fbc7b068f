"""Attributes and op definitions as messages, and as typed values; graphdef.py's other half."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2, function_pb2, op_def_pb2, tensor_pb2
from tensorflow.python.framework import op_def_registry

from tf_blade import symbolic
from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported
from tf_blade.graph.attributes import Attr, FunctionAttr, PlaceholderAttr, ShapeAttr, TensorAttr
from tf_blade.symbolic import Dim, Shape

FunctionDef: TypeAlias = function_pb2.FunctionDef
OpDef: TypeAlias = op_def_pb2.OpDef
# A message of a few bytes may say that one value fills any shape; what is larger than this stays TensorFlow's.
_MAX_ELEMENTS = 2**29
# Of one argument of a node: far more than any model has.
_MAX_TENSORS = 2**20


# Ops ----------------------------------------------------------------------------------------------------------------


class OpCatalog:
    """Signatures of ops: registered ones, the functions of a library (called as ops), and those a model brings
    along.
    """

    def __init__(
        self, library: function_pb2.FunctionDefLibrary | None = None, known: Iterable[OpDef] | None = None
    ) -> None:
        functions = library.function if library is not None else ()
        self._functions: dict[str, OpDef] = {item.signature.name: item.signature for item in functions}
        self._known: dict[str, OpDef] = {item.name: item for item in known or ()}
        self._defaults: dict[str, dict[str, Attr]] = {}

    def add_function(self, function: FunctionDef) -> None:
        self._functions[function.signature.name] = function.signature
        self._defaults.pop(function.signature.name, None)

    def is_function(self, op: str) -> bool:
        return op in self._functions

    def get(self, op: str) -> OpDef:
        """The op's definition.

        Raises:
            Unsupported: nobody knows the op.
        """
        found = self._functions.get(op) or op_def_registry.get(op) or self._known.get(op)
        if found is None:
            raise Unsupported(f"op {op} is not registered with this TensorFlow")
        return found

    def is_stateful(self, op: str) -> bool:
        return bool(self.get(op).is_stateful)

    def defaults(self, op: str) -> Mapping[str, Attr]:
        """Values of attributes that a NodeDef may leave out."""
        found = self._defaults.get(op)
        if found is None:
            found = {
                item.name: value for item in self.get(op).attr if (value := read_attr(item.default_value)) is not None
            }
            self._defaults[op] = found
        return found


def output_args(op_def: OpDef, attrs: Mapping[str, Attr]) -> list[tuple[str, list[DType]]]:
    """Names of the op's output arguments, each with the types of the tensors that it stands for.

    Raises:
        Unsupported: a type depends on an attribute of the enclosing function.
    """
    return [(arg.name, _arg_dtypes(arg, attrs)) for arg in op_def.output_arg]


def input_types(op_def: OpDef, attrs: Mapping[str, Attr]) -> list[DType]:
    """Types of the tensors that the op takes.

    Raises:
        Unsupported: a type depends on an attribute of the enclosing function.
    """
    return [dtype for arg in op_def.input_arg for dtype in _arg_dtypes(arg, attrs)]


def check_attrs(op_def: OpDef, attrs: Mapping[str, attr_value_pb2.AttrValue]) -> None:
    """Checks that a node of the op has the attributes that it must have, each of its kind.

    Raises:
        Unsupported: one is missing, holds nothing, or something of another kind.
    """
    for item in op_def.attr:
        kind = attrs[item.name].WhichOneof("value") if item.name in attrs else None
        is_list = item.type.startswith("list(")
        # One that is there and holds nothing is an empty list.
        if kind is None and not item.HasField("default_value") and not (is_list and item.name in attrs):
            raise Unsupported(f"attribute '{item.name}' is missing")
        wanted = "list" if is_list else _KIND_OF_TYPE.get(item.type)
        if kind not in (None, "placeholder", wanted):
            raise Unsupported(f"attribute '{item.name}' is of kind {kind}; it should be of type {item.type}")


def _arg_dtypes(arg: op_def_pb2.OpDef.ArgDef, attrs: Mapping[str, Attr]) -> list[DType]:
    if arg.type_list_attr:
        types = attrs[arg.type_list_attr]
        if not isinstance(types, list):
            raise Unsupported(f"attribute {arg.type_list_attr} is no list of types")
        dtypes = [element_type(item) for item in types]
    else:
        dtype = attrs[arg.type_attr] if arg.type_attr else element_type(arg.type)
        count = attrs[arg.number_attr] if arg.number_attr else 1
        if not isinstance(dtype, DType) or not isinstance(count, int):
            raise Unsupported("a type depends on an attribute of the enclosing function")
        if not 0 <= count <= _MAX_TENSORS:
            raise Unsupported(f"attribute {arg.number_attr} says {count} tensors")
        dtypes = [dtype] * count
    return [ref_type(item) for item in dtypes] if arg.is_ref else dtypes


# Which field of an AttrValue holds an attribute of the type that an op's definition states.
_KIND_OF_TYPE = {
    "string": "s",
    "int": "i",
    "float": "f",
    "bool": "b",
    **{name: name for name in ("type", "shape", "tensor", "func")},
}


# Attributes ---------------------------------------------------------------------------------------------------------


def read_attr(value: attr_value_pb2.AttrValue) -> Attr | None:
    """The typed value; None for an AttrValue that holds nothing."""
    kind = value.WhichOneof("value")
    return None if kind is None else _READ[kind](getattr(value, kind))


def _read_list(value: attr_value_pb2.AttrValue.ListValue) -> list[Any]:
    for kind in ("i", "s", "f", "b", "type", "shape", "tensor", "func"):
        items = getattr(value, kind)
        if items:
            return [_READ[kind](item) for item in items]
    return []


def element_type(number: int) -> DType:
    """The element type of TensorFlow's number.

    Raises:
        Unsupported: there is none.
    """
    try:
        return DType(number)
    except ValueError as error:
        raise Unsupported(f"{number} is no element type") from error


def ref_type(dtype: DType) -> DType:
    """The type of references to values of a type.

    Raises:
        Unsupported: there is none.
    """
    return dtype if dtype.is_ref else element_type(dtype + 100)


def read_shape(value: Any) -> ShapeAttr:
    """The attribute for a TensorShapeProto."""
    return ShapeAttr(None if value.unknown_rank else tuple(int(dim.size) for dim in value.dim))


def read_tensor(value: tensor_pb2.TensorProto) -> TensorAttr:
    """The attribute for a TensorProto; content bytes are not copied further.

    Raises:
        Unsupported: its values do not fit its shape, or it has an absurd one.
    """
    dtype = element_type(value.dtype)
    dims = tuple(int(dim.size) for dim in value.tensor_shape.dim)
    if min(dims, default=0) < 0 or math.prod(dims) > _MAX_ELEMENTS:
        raise Unsupported(f"a constant of shape {list(dims)}")
    try:
        return TensorAttr(dtype, dims, _read_array(value, dtype, dims), value)
    except ValueError as error:
        raise Unsupported(f"a constant's content does not fit its shape {list(dims)}") from error


def _read_array(value: tensor_pb2.TensorProto, dtype: DType, dims: tuple[int, ...]) -> np.ndarray | None:
    try:
        numpy_dtype = dtype.numpy
    except KeyError:
        return None
    content = value.tensor_content
    if content:
        return np.frombuffer(content, numpy_dtype).reshape(dims)
    array: np.ndarray = np.asarray(tf.make_ndarray(value), numpy_dtype).reshape(dims)
    array.flags.writeable = False
    return array


_READ: dict[str, Callable[[Any], Attr]] = {
    "s": bytes,
    "i": int,
    "f": float,
    "b": bool,
    "type": element_type,
    "shape": read_shape,
    "tensor": read_tensor,
    "func": lambda value: FunctionAttr(value.name, read_attrs(value.attr)),
    "placeholder": PlaceholderAttr,
    "list": _read_list,
}


def read_attrs(attrs: Mapping[str, attr_value_pb2.AttrValue]) -> dict[str, Attr]:
    """All attributes of a message that hold something, by name."""
    # Sorted: protobuf's maps come in no order, and ours is seen in printed graphs.
    return {key: value for key in sorted(attrs) if (value := read_attr(attrs[key])) is not None}


def write_attr(message: attr_value_pb2.AttrValue, value: Attr) -> None:
    """Sets an AttrValue."""
    if isinstance(value, list):
        message.list.SetInParent()
        for item in value:
            _write_item(message.list, item)
        return
    kind = _kind(value)
    if kind in _MESSAGES:
        getattr(message, kind).SetInParent()
        _MESSAGES[kind](getattr(message, kind), value)
    else:
        setattr(message, kind, value.name if isinstance(value, PlaceholderAttr) else value)


def _write_item(message: attr_value_pb2.AttrValue.ListValue, value: Any) -> None:
    kind = _kind(value)
    if kind in _MESSAGES:
        _MESSAGES[kind](getattr(message, kind).add(), value)
    else:
        getattr(message, kind).append(value)


def _kind(value: Any) -> str:
    for cls, kind in _KINDS:
        if isinstance(value, cls):
            return kind
    raise TypeError(f"{type(value).__name__} is no attribute value")


# In this order: a bool and a DType are ints to Python.
_KINDS: tuple[tuple[Any, str], ...] = (
    (bool, "b"),
    (DType, "type"),
    ((int, np.integer), "i"),
    (float, "f"),
    (bytes, "s"),
    (ShapeAttr, "shape"),
    (TensorAttr, "tensor"),
    (FunctionAttr, "func"),
    (PlaceholderAttr, "placeholder"),
)


def write_shape(message: Any, value: ShapeAttr) -> None:
    """Fills an empty TensorShapeProto."""
    if value.dims is None:
        message.unknown_rank = True
    else:
        for size in value.dims:
            message.dim.add().size = size


def _write_tensor(message: tensor_pb2.TensorProto, value: TensorAttr) -> None:
    if value.message is not None:
        message.CopyFrom(value.message)
        return
    if value.array is None:
        raise TypeError(f"a {value.dtype.name.lower()} tensor without its message cannot be written")
    message.dtype = int(value.dtype)
    message.tensor_shape.SetInParent()
    for size in value.dims:
        message.tensor_shape.dim.add().size = size
    message.tensor_content = np.ascontiguousarray(value.array, value.dtype.numpy).tobytes()


def _write_function(message: attr_value_pb2.NameAttrList, value: FunctionAttr) -> None:
    message.name = value.name
    for key, item in value.attrs.items():
        write_attr(message.attr[key], item)


_MESSAGES: dict[str, Callable[[Any, Any], None]] = {
    "shape": write_shape,
    "tensor": _write_tensor,
    "func": _write_function,
}


# Shapes ------------------------------------------------------------------------------------------------------------


def symbolic_shape(shape: ShapeAttr, name: str) -> Shape | None:
    """The shape with a symbol of its own, `name_axis`, for each unknown dimension; None when the rank is unknown."""
    if shape.dims is None:
        return None
    dims: list[Dim] = [size if size >= 0 else symbolic.symbol(f"{name}_{axis}") for axis, size in enumerate(shape.dims)]
    return tuple(dims)


def shape_attr(shape: Shape | None) -> ShapeAttr:
    """The shape with -1 for whatever is not constant."""
    return ShapeAttr(None if shape is None else tuple(dim if isinstance(dim, int) else -1 for dim in shape))
