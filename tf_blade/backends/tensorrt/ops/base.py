"""Op rules: one function for each TensorFlow op that validates a node and adds its layers to a network.

    @op("Relu", types={"T": FLOATS})
    def relu(ctx: OpContext) -> Value:
        return ctx.net.activation("RELU", ctx.inputs[0])

A rule raises `Unsupported(reason)` for whatever TensorRT does not do as TensorFlow does. Running it on a throwaway
network is the support check.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tf_blade.backends.tensorrt.network import Network
from tf_blade.backends.tensorrt.values import Value
from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported
from tf_blade.graph.graph import Node
from tf_blade.symbolic import Dim, Shape

# Types that layers compute with. TensorRT has no doubles, and takes 8 bit integers for quantization alone.
FLOATS = frozenset({DType.FLOAT, DType.HALF, DType.BFLOAT16})
INTEGERS = frozenset({DType.INT32, DType.INT64})
NUMBERS = FLOATS | INTEGERS
ALL = NUMBERS | {DType.BOOL}
INDEX = INTEGERS


class Precision(enum.Enum):
    """What a rule does where the cluster is computed in half precision."""

    LOW = "computes in half precision: products and convolutions"
    FOLLOW = "computes in the type of its widest computed operand"
    FULL = "computes in float32: statistics, exponentials, long sums"
    AS_IS = "chooses by itself: takes its inputs as they are"


Rule = Callable[["OpContext"], "Value | Sequence[Value]"]


@dataclasses.dataclass(frozen=True)
class OpRule:
    """A rule, the types it takes for each type attribute of the node, and its precision."""

    name: str
    convert: Rule
    types: Mapping[str, frozenset[DType]]
    precision: Precision


RULES: dict[str, OpRule] = {}


def op(
    *names: str, types: Mapping[str, frozenset[DType]] | None = None, precision: Precision = Precision.FOLLOW
) -> Callable[[Rule], Rule]:
    """Registers a rule for one or more TensorFlow ops. `types` maps type attributes ("T") to the accepted dtypes."""

    def register(rule: Rule) -> Rule:
        for name in names:
            if name in RULES:
                raise ValueError(f"two rules for op {name}")
            RULES[name] = OpRule(name, rule, dict(types or {}), precision)
        return rule

    return register


@dataclasses.dataclass
class OpContext:
    """What a rule works with.

    Attributes:
        net: the network.
        node: the TensorFlow node. In half precision its type attributes say float32 while its inputs are not.
        inputs: values of the node's inputs, in order. A variable's handle arrives as the variable.
    """

    net: Network
    node: Node
    inputs: list[Value]

    def attr(self, name: str, default: Any = None) -> Any:
        """A typed attribute; bytes come as str."""
        value = self.node.attrs.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def ints(self, name: str) -> tuple[int, ...]:
        """A list(int) attribute."""
        values = self.node.attrs.get(name, [])
        return tuple(int(item) for item in values) if isinstance(values, list) else ()

    def const(self, index: int) -> np.ndarray:
        """The content of an input that must be known when converting.

        Raises:
            Unsupported: it is not.
        """
        array = self.inputs[index].constant
        if array is None:
            raise Unsupported(f"input {index} is not constant")
        return array

    def const_int(self, index: int) -> int:
        """A scalar integer input that must be known when converting."""
        self.require(self.const(index).size == 1, f"input {index} is not one number")
        return int(self.const(index).reshape(()))

    def dims(self, index: int) -> Shape:
        """The content of a shape-like input as Dims.

        Raises:
            Unsupported: it does not follow from the inputs' dimensions and small integer inputs.
        """
        content = self.inputs[index].dims
        if content is None or not self.net.is_bound(content):
            raise Unsupported(f"the content of input {index} is not known before run time")
        return content

    def axis(self, value: int, rank: int) -> int:
        """A maybe negative axis as 0 <= axis < rank.

        Raises:
            Unsupported: it is out of range.
        """
        if not -rank <= value < rank:
            raise Unsupported(f"axis {value} is out of range for rank {rank}")
        return value % rank

    def axes(self, index: int, rank: int) -> tuple[int, ...]:
        """A constant input of axes, each once, in order."""
        return tuple(sorted({self.axis(int(axis), rank) for axis in self.const(index).reshape(-1)}))

    def static(self, dim: Dim, what: str) -> int:
        """A dimension that must be known when converting.

        Raises:
            Unsupported: it is not.
        """
        if not isinstance(dim, int):
            raise Unsupported(f"{what} is unknown")
        return dim

    def require(self, condition: bool, reason: str) -> None:
        """Unsupported(reason) unless the condition holds."""
        if not condition:
            raise Unsupported(reason)
