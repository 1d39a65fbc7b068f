"""Einsum, by transposes, reshapes, sums and one product.

Labels of a product of two operands fall into five groups, each of which is made one run of dimensions:

    batch      in both operands and the result         free     in one operand and the result
    contract   in both operands only                   summed   in one operand only: summed up first

Dimensions under an ellipsis are labels of their own, numbered from the right, and are broadcast.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.backends.disc.ops.matrix import PRODUCTS
from tf_blade.dtypes import NUMERIC
from tf_blade.symbolic import Dim

_ELLIPSIS = "..."


@dataclasses.dataclass(frozen=True)
class _Operand:
    """A value and the label of each of its dimensions."""

    value: Value
    labels: tuple[str, ...]

    def dim(self, label: str) -> Dim:
        return self.value.shape[self.labels.index(label)]


@op("Einsum", types={"T": NUMERIC})
def einsum(ctx: OpContext) -> Value:
    left, arrow, right = str(ctx.attr("equation")).replace(" ", "").partition("->")
    ctx.require(arrow == "->", "an equation without a result")
    terms = left.split(",")
    ctx.require(len(terms) == len(ctx.inputs) <= 2, "more than two operands")
    operands = [_Operand(value, _labels(ctx, term, value.rank)) for value, term in zip(ctx.inputs, terms, strict=True)]
    under = max((sum(label[0] == "." for label in item.labels) for item in operands), default=0)
    ctx.require(_ELLIPSIS in right or under == 0, "an ellipsis that the result does not have")
    result = _labels(ctx, right, len(right.replace(_ELLIPSIS, "")) + (under if _ELLIPSIS in right else 0))
    known = {label for item in operands for label in item.labels}
    ctx.require(all(label in known for label in result), "the result has a label that no operand has")
    if len(operands) == 1:
        return _arrange(ctx, _sum_out(ctx, operands[0], result), result)
    ctx.require(operands[0].value.dtype in PRODUCTS, "products of this type")
    return _product(ctx, operands[0], operands[1], result)


def _labels(ctx: OpContext, term: str, rank: int) -> tuple[str, ...]:
    """The label of each dimension; ".0" is the last one under the ellipsis, ".1" the one before it, …"""
    before, dots, after = term.partition(_ELLIPSIS)
    ctx.require((before + after).isalpha() or not before + after, f"subscripts {term}")
    missing = rank - len(before) - len(after)
    ctx.require(missing >= 0 if dots else missing == 0, f"subscripts {term} for rank {rank}")
    labels = (*before, *(f".{missing - 1 - i}" for i in range(missing)), *after)
    ctx.require(len(set(labels)) == len(labels), f"a repeated label in {term}")
    return labels


def _sum_out(ctx: OpContext, operand: _Operand, kept: Sequence[str]) -> _Operand:
    """The operand without the labels that are not kept."""
    axes = [axis for axis, label in enumerate(operand.labels) if label not in kept]
    labels = tuple(label for label in operand.labels if label in kept)
    return _Operand(ctx.b.reduce("sum", operand.value, axes), labels)


def _arrange(ctx: OpContext, operand: _Operand, labels: Sequence[str]) -> Value:
    return ctx.b.transpose(operand.value, [operand.labels.index(label) for label in labels])


def _product(ctx: OpContext, a: _Operand, b: _Operand, result: tuple[str, ...]) -> Value:
    a = _sum_out(ctx, a, (*b.labels, *result))
    b = _sum_out(ctx, b, (*a.labels, *result))
    a, b = _drop_unit_ellipsis(ctx, a, b), _drop_unit_ellipsis(ctx, b, a)
    free = [label for label in result if (label in a.labels) != (label in b.labels)]
    if free and free[0] in b.labels:
        # Rows come first in the result: with the operands swapped it needs no transpose.
        a, b = b, a
    batch = [label for label in result if label in a.labels and label in b.labels]
    contract = [label for label in a.labels if label in b.labels and label not in result]
    for label in contract:
        ctx.b.require_equal(a.dim(label), b.dim(label))
    batch_dims = [_batch_dim(ctx, label, a.dim(label), b.dim(label)) for label in batch]
    rows = [label for label in result if label in a.labels and label not in b.labels]
    columns = [label for label in result if label in b.labels and label not in a.labels]
    row_dims, column_dims = [a.dim(label) for label in rows], [b.dim(label) for label in columns]
    left = _matrix(ctx, a, batch, batch_dims, rows, contract)
    right, transposed = _right_matrix(ctx, b, batch, batch_dims, columns, contract)
    product = ctx.b.dot(left, right, transpose_b=transposed)
    made = ctx.b.reshape(product, (*batch_dims, *row_dims, *column_dims))
    return _arrange(ctx, _Operand(made, (*batch, *rows, *columns)), result)


def _drop_unit_ellipsis(ctx: OpContext, operand: _Operand, other: _Operand) -> _Operand:
    """Takes away broadcast dimensions of size 1 that the other operand supplies: its labels become free ones."""
    axes = [
        axis
        for axis, label in enumerate(operand.labels)
        if label[0] == "." and operand.value.shape[axis] == 1 and label in other.labels and other.dim(label) != 1
    ]
    shape = [dim for axis, dim in enumerate(operand.value.shape) if axis not in axes]
    labels = tuple(label for axis, label in enumerate(operand.labels) if axis not in axes)
    return _Operand(ctx.b.reshape(operand.value, shape), labels)


def _batch_dim(ctx: OpContext, label: str, a: Dim, b: Dim) -> Dim:
    """The size of a batch dimension; only those under an ellipsis are broadcast."""
    if label[0] == ".":
        return ctx.b.common_shape((a,), (b,))[0]
    ctx.b.require_equal(a, b)
    return b if isinstance(b, int) else a


def _matrix(
    ctx: OpContext,
    a: _Operand,
    batch: Sequence[str],
    batch_dims: Sequence[Dim],
    rows: Sequence[str],
    contract: Sequence[str],
) -> Value:
    """[batch.., rows, contract]; without batch, the rows may stay several dimensions."""
    value = _arrange(ctx, a, (*batch, *rows, *contract))
    row_dims, depth = [a.dim(label) for label in rows], symbolic.mul(1, *(a.dim(label) for label in contract))
    if batch or not rows:
        row_dims = [symbolic.mul(1, *row_dims)]
    rest = [a.dim(label) for label in (*rows, *contract)]
    value = ctx.b.broadcast_to(value, (*batch_dims, *rest))
    return ctx.b.reshape(value, (*batch_dims, *row_dims, depth))


def _right_matrix(
    ctx: OpContext,
    b: _Operand,
    batch: Sequence[str],
    batch_dims: Sequence[Dim],
    columns: Sequence[str],
    contract: Sequence[str],
) -> tuple[Value, bool]:
    """[batch.., contract, columns], or with the last two exchanged (and true) where the operand lies that way."""
    order = [label for label in b.labels if label not in batch]
    transposed = bool(order) and bool(columns) and order[-1] in contract
    last = (*columns, *contract) if transposed else (*contract, *columns)
    value = _arrange(ctx, b, (*batch, *last))
    value = ctx.b.broadcast_to(value, (*batch_dims, *(b.dim(label) for label in last)))
    depth = symbolic.mul(1, *(b.dim(label) for label in contract))
    width = symbolic.mul(1, *(b.dim(label) for label in columns))
    return ctx.b.reshape(value, (*batch_dims, *((width, depth) if transposed else (depth, width)))), transposed
