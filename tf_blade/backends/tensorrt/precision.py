"""Half precision by casting a cluster: products and convolutions in half types, what is numerically risky in float32.

Networks are strongly typed, so every cast is a layer that can be seen. A rule's `Precision` says what it does; values
in float32 that nothing but weights and constants feed take the type of what they meet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tf_blade.backends.tensorrt.ops.base import Precision
from tf_blade.backends.tensorrt.values import Value
from tf_blade.dtypes import DType

if TYPE_CHECKING:
    from tf_blade.backends.tensorrt.network import Network


@dataclasses.dataclass(frozen=True)
class Precisions:
    """A choice of precision.

    Attributes:
        name: as settings and plans spell it.
        low: the half type of products and convolutions; None: all as the model says.
        tf32: whether float32 products may be computed with TF32's short mantissa.
    """

    name: str
    low: DType | None
    tf32: bool


FP32 = Precisions("fp32", None, False)
PRECISIONS = {
    item.name: item
    for item in (
        FP32,
        Precisions("tf32", None, True),
        Precisions("fp16", DType.HALF, True),
        Precisions("bf16", DType.BFLOAT16, True),
    )
}


def prepare(network: Network, rule: Precision, inputs: Sequence[Value], precision: Precisions) -> list[Value]:
    """A rule's inputs, in the type that it computes in."""
    low = precision.low
    if low is None or rule == Precision.AS_IS:
        return list(inputs)
    target = _target(rule, inputs, low)
    return [network.cast(item, target) if item.dtype in (DType.FLOAT, low) else item for item in inputs]


def _target(rule: Precision, inputs: Sequence[Value], low: DType) -> DType:
    if rule == Precision.LOW:
        return low
    if rule == Precision.FULL:
        return DType.FLOAT
    computed = {item.dtype for item in inputs if item.array is None and item.weight is None}
    return low if low in computed and DType.FLOAT not in computed else DType.FLOAT
