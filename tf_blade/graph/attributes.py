"""Typed attribute values of nodes: what an AttrValue can hold, without protobuf."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Hashable, Mapping
from typing import Any, TypeAlias

import numpy as np

from tf_blade.dtypes import DType


@dataclasses.dataclass(frozen=True)
class ShapeAttr:
    """A shape attribute. `dims` is None for unknown rank; -1 is an unknown dimension."""

    dims: tuple[int, ...] | None


@dataclasses.dataclass(frozen=True, eq=False)
class TensorAttr:
    """A tensor attribute, e.g. the value of a Const.

    Attributes:
        dtype: element type.
        dims: static shape.
        array: the values, read only and maybe a view of the message; None for types NumPy cannot hold (string,
            variant).
        message: the TensorProto it was read from, kept so that writing back is lossless; None when made here.
    """

    dtype: DType
    dims: tuple[int, ...]
    array: np.ndarray | None
    message: Any = None

    @property
    def num_bytes(self) -> int:
        return int(self.array.nbytes) if self.array is not None else 0


@dataclasses.dataclass(frozen=True)
class FunctionAttr:
    """A reference to a function of the library, with the attributes it is called with."""

    name: str
    attrs: Mapping[str, Attr] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class PlaceholderAttr:
    """A reference to an attribute of the enclosing function ("$T")."""

    name: str


# bool before int: a bool is an int to Python. A list holds values of one of the other kinds.
Attr: TypeAlias = (
    "bool | int | float | bytes | DType | ShapeAttr | TensorAttr | FunctionAttr | PlaceholderAttr | list[Any]"
)


def attr_key(value: Attr) -> Hashable:
    """Equal keys for equal values: with their types, since 1, 1.0 and True are equal to Python."""
    if isinstance(value, list):
        return ("list", *(attr_key(item) for item in value))
    if isinstance(value, TensorAttr):
        if value.array is None:
            return "tensor", id(value)
        content = hashlib.sha256(np.ascontiguousarray(value.array).view(np.uint8).reshape(-1).data).digest()
        return "tensor", value.dtype, value.dims, content
    if isinstance(value, FunctionAttr):
        return "function", value.name, tuple((key, attr_key(item)) for key, item in sorted(value.attrs.items()))
    if isinstance(value, float):
        return "float", value.hex()  # NaN equals itself here, and -0.0 is not 0.0
    return type(value).__name__, value
