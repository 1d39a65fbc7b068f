"""One spec for each kind of op: shape rule, NumPy reference, cost. The table `SPECS` is the IR's definition.

`infer` maps operand types and attributes to result types and raises `ValueError` when they are illegal; the builder
uses it to make ops and the legality check to examine them. `reference` computes the results in NumPy; attributes that
hold Dims arrive evaluated to ints, modules as functions from arrays to a list of arrays. The families register
themselves: see `specs_*.py`, imported at the end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tf_blade.backends.disc.ir.values import Op, TensorType
from tf_blade.symbolic import Dim, mul

Attrs = Mapping[str, Any]
Infer = Callable[[Sequence[TensorType], Attrs], Sequence[TensorType]]
Reference = Callable[[Sequence[np.ndarray], Attrs], Sequence[np.ndarray]]
Flops = Callable[[Op], Dim]
Found = Callable[[Sequence[np.ndarray]], Sequence[int]]


class CallRefusedError(Exception):
    """An executable would leave this call to TensorFlow."""


@dataclasses.dataclass(frozen=True)
class OpSpec:
    """What an op kind is.

    Attributes:
        kind: its name.
        infer: result types of operand types and attributes; ValueError says why they are illegal.
        reference: NumPy results of NumPy operands; Dims in the attributes are ints by then.
        flops: floating point operations of one call, as a Dim.
        dim_attrs: names of the attributes that hold Dims or tuples of Dims.
        found: for kinds that find dimensions when they run: of the results, the integers that the op's attribute
            `found` (a tuple of Dims) has names for. A name that is a symbol nothing else has bound is bound then; all
            others are compared, and a difference is the guard's business.
    """

    kind: str
    infer: Infer
    reference: Reference
    flops: Flops
    dim_attrs: tuple[str, ...] = ()
    found: Found | None = None


SPECS: dict[str, OpSpec] = {}


def no_flops(op: Op) -> Dim:
    """Moves data, computes nothing."""
    del op
    return 0


def flops_per_result(op: Op) -> Dim:
    """One operation for each element of the first result."""
    return op.results[0].type.num_elements


def flops_per_operand(op: Op) -> Dim:
    """One operation for each element of the first operand."""
    return op.operands[0].type.num_elements


def flops_scaled(scale: int) -> Flops:
    return lambda op: mul(scale, op.results[0].type.num_elements)


def register(
    kind: str,
    infer: Infer,
    reference: Reference,
    *,
    flops: Flops = flops_per_result,
    dim_attrs: tuple[str, ...] = (),
    found: Found | None = None,
) -> None:
    """Adds a kind to the IR.

    Raises:
        ValueError: the kind exists.
    """
    if kind in SPECS:
        raise ValueError(f"op kind {kind!r} is registered twice")
    SPECS[kind] = OpSpec(kind, infer, reference, flops, dim_attrs, found)


def require(condition: bool, message: str) -> None:
    """ValueError(message) unless the condition holds."""
    if not condition:
        raise ValueError(message)


def load_families() -> None:
    """Imports the files that fill SPECS. Importing one twice changes nothing."""
    from tf_blade.backends.disc.ir import (
        specs_composite,
        specs_control,
        specs_dynamic,
        specs_math,
        specs_movement,
        specs_ragged,
        specs_search,
        specs_segments,
    )

    del specs_composite, specs_control, specs_dynamic, specs_math, specs_movement
    del specs_ragged, specs_search, specs_segments


load_families()
