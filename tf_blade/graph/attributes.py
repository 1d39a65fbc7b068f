"""Typed attribute values of nodes: what an AttrValue can hold, without protobuf."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
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
