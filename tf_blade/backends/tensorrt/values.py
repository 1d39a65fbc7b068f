"""What rules work with: tensors of a network under construction, with symbolic shapes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tf_blade.dtypes import DType
from tf_blade.symbolic import Dim, Shape


@dataclasses.dataclass(frozen=True)
class WeightSource:
    """Where a weight comes from: an input of the engine, and what layers want it to be.

    Attributes:
        name: the engine input's name.
        index: its position.
        dtype: its element type.
        source_dims: its static shape.
        dims: the shape that is wanted.
        reshape: dims that it is given before it is permuted.
        permute: axes that it is permuted by.
    """

    name: str
    index: int
    dtype: DType
    source_dims: tuple[int, ...]
    dims: tuple[int, ...]
    reshape: tuple[int, ...] | None = None
    permute: tuple[int, ...] | None = None


@dataclasses.dataclass(eq=False)
class Value:
    """A tensor of the network.

    Attributes:
        dtype: element type.
        shape: symbolic shape, of known rank.
        tensor: the network's ITensor; None while nothing needs it: of constants, weights and known content.
        array: the elements, of a constant.
        content: for small integer tensors, the elements as Dims where they are known.
        weight: for a weight, where it comes from.
        origin: of a transposed tensor, what it is the transpose of, and by which axes. Elementwise rules work on the
            origin, so that transposes wander to where they meet others and vanish.
    """

    dtype: DType
    shape: Shape
    tensor: Any = None
    array: np.ndarray | None = None
    content: np.ndarray | None = None
    weight: WeightSource | None = None
    origin: tuple[Value, tuple[int, ...]] | None = None

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def constant(self) -> np.ndarray | None:
        """The elements, where they are known before run time."""
        if self.array is not None:
            return self.array
        if self.content is not None and all(isinstance(item, int) for item in self.content.reshape(-1)):
            return np.asarray(self.content.astype(self.dtype.numpy))
        return None

    @property
    def dims(self) -> tuple[Dim, ...] | None:
        """The elements as Dims, where they are known."""
        if self.content is not None:
            return tuple(self.content.reshape(-1))
        if self.array is not None and self.array.dtype.kind in "iu":
            return tuple(int(item) for item in self.array.reshape(-1))
        return None
