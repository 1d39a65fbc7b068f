"""Arithmetic of IR values in the notation of formulas: `(x * y + 1).fn("exp")`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext
from tf_blade.dtypes import DType
from tf_blade.symbolic import Dim, Shape

Operand: TypeAlias = "Term | float"

# Types whose arithmetic TensorFlow and the IR do in float32.
HALVES = frozenset({DType.HALF, DType.BFLOAT16})


@dataclasses.dataclass(frozen=True, eq=False)
class Term:
    """A value with operators. Operands broadcast as NumPy's do; a Python number takes the other operand's type."""

    b: Builder
    value: Value

    @property
    def dtype(self) -> DType:
        return self.value.dtype

    @property
    def shape(self) -> Shape:
        return self.value.shape

    @property
    def rank(self) -> int:
        return self.value.rank

    def _binary(self, fn: str, other: Operand, swapped: bool = False) -> Term:
        right = other if isinstance(other, Term) else self.full(other)
        pair = (right.value, self.value) if swapped else (self.value, right.value)
        return Term(self.b, self.b.binary(fn, *pair))

    def full(self, number: float) -> Term:
        """A number as a tensor of this one's type and shape."""
        return Term(self.b, self.b.full(number, self.dtype, self.shape))

    def __add__(self, other: Operand) -> Term:
        return self._binary("add", other)

    def __radd__(self, other: float) -> Term:
        return self._binary("add", other, swapped=True)

    def __sub__(self, other: Operand) -> Term:
        return self._binary("sub", other)

    def __rsub__(self, other: float) -> Term:
        return self._binary("sub", other, swapped=True)

    def __mul__(self, other: Operand) -> Term:
        return self._binary("mul", other)

    def __rmul__(self, other: float) -> Term:
        return self._binary("mul", other, swapped=True)

    def __truediv__(self, other: Operand) -> Term:
        return self._binary("div", other)

    def __rtruediv__(self, other: float) -> Term:
        return self._binary("div", other, swapped=True)

    def __floordiv__(self, other: Operand) -> Term:
        """Of integers; a zero divisor is an error of the call."""
        return self._binary("floor_div", other)

    def __mod__(self, other: Operand) -> Term:
        return self._binary("floor_mod", other)

    def __neg__(self) -> Term:
        return self.fn("neg")

    def __lt__(self, other: Operand) -> Term:
        return self._binary("less", other)

    def __le__(self, other: Operand) -> Term:
        return self._binary("less_equal", other)

    def __gt__(self, other: Operand) -> Term:
        return self._binary("greater", other)

    def __ge__(self, other: Operand) -> Term:
        return self._binary("greater_equal", other)

    def __and__(self, other: Term) -> Term:
        return self._binary("logical_and", other)

    def __or__(self, other: Term) -> Term:
        return self._binary("logical_or", other)

    def __invert__(self) -> Term:
        return self.fn("logical_not")

    def equals(self, other: Operand) -> Term:
        return self._binary("equal", other)

    def minimum(self, other: Operand) -> Term:
        return self._binary("minimum", other)

    def maximum(self, other: Operand) -> Term:
        return self._binary("maximum", other)

    def clip(self, low: Operand, high: Operand) -> Term:
        return self.maximum(low).minimum(high)

    def power(self, other: Operand) -> Term:
        return self._binary("pow", other)

    def fn(self, name: str) -> Term:
        """A unary function of ir/scalar.py."""
        return Term(self.b, self.b.elementwise(name, self.value))

    def where(self, on_true: Operand, on_false: Operand) -> Term:
        """Of a predicate: picks element by element. One of the two is a tensor."""
        model = on_true if isinstance(on_true, Term) else on_false
        assert isinstance(model, Term)
        sides = [
            item if isinstance(item, Term) else Term(self.b, self.b.scalar(item, model.dtype))
            for item in (on_true, on_false)
        ]
        operands = self.b.broadcast_together(self.value, *(item.value for item in sides))
        return Term(self.b, self.b.elementwise("select", *operands))

    def to(self, dtype: DType) -> Term:
        """Cast."""
        return Term(self.b, self.b.convert(self.value, dtype))

    def widened(self) -> Term:
        """Half types as float32, so that what is computed on the way to the result does not round."""
        return self.to(DType.FLOAT) if self.dtype in HALVES else self

    def sum(self, axes: Sequence[int], *, keepdims: bool = False) -> Term:
        return self.reduce("sum", axes, keepdims=keepdims)

    def reduce(self, kind: str, axes: Sequence[int], *, keepdims: bool = False) -> Term:
        axes = [axis % self.rank for axis in axes]
        return Term(self.b, self.b.reduce(kind, self.value, axes, keepdims=keepdims))

    def reshape(self, *shape: Dim) -> Term:
        return Term(self.b, self.b.reshape(self.value, shape))

    def part(self, axis: int, start: Dim, size: Dim, stride: int = 1) -> Term:
        """A slice along one axis."""
        axis %= self.rank
        starts = [start if i == axis else 0 for i in range(self.rank)]
        sizes = [size if i == axis else dim for i, dim in enumerate(self.shape)]
        strides = [stride if i == axis else 1 for i in range(self.rank)]
        return Term(self.b, self.b.slice(self.value, starts, sizes, strides))

    def take(self, indices: Term, axis: int = 0, batch_dims: int = 0) -> Term:
        """tf.gather."""
        return Term(self.b, self.b.gather(self.value, indices.value, axis=axis, batch_dims=batch_dims))

    def checked(self, condition: Term) -> Term:
        """The same integer, for which not to meet the condition is an error of the call."""
        return self._binary("truncate_div", condition.to(self.dtype))


def term(ctx: OpContext, index: int) -> Term:
    """An input of the node."""
    return Term(ctx.b, ctx.inputs[index])


def iota(b: Builder, shape: Sequence[Dim], axis: int = 0, dtype: DType = DType.INT64) -> Term:
    """Indices along an axis."""
    return Term(b, b.iota(tuple(shape), axis, dtype))


def size_term(b: Builder, size: Dim, dtype: DType = DType.INT64) -> Term:
    """A Dim as a scalar."""
    content = np.empty((), dtype=object)
    content[()] = size
    whole = Term(b, b.dims(content, dtype if dtype.is_integer else DType.INT64))
    return whole.to(dtype)


def constant(b: Builder, array: np.ndarray) -> Term:
    return Term(b, b.constant(array))


def stack(terms: Sequence[Term], axis: int) -> Term:
    """tf.stack."""
    first = terms[0]
    axis %= first.rank + 1
    rows = [item.reshape(*item.shape[:axis], 1, *item.shape[axis:]).value for item in terms]
    return Term(first.b, first.b.concat(rows, axis))
