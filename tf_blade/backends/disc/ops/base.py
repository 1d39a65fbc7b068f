"""Op rules: one function for each TensorFlow op that validates a node and lowers it to IR.

    @op("Relu", types={"T": dtypes.NUMERIC})
    def relu(ctx: OpContext) -> Value:
        return ctx.b.elementwise("relu", ctx.inputs[0])

A rule raises `Unsupported(reason)` for whatever it does not do exactly as TensorFlow does. Running a rule on a
throwaway builder is the support check, and its results' types and symbolic contents are the shape inference: there is
no second list of ops, types or shapes anywhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Value
from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported
from tf_blade.graph.attributes import FunctionAttr
from tf_blade.graph.graph import Graph, Node
from tf_blade.symbolic import Dim, Shape

# Shapes and the like have no more elements.
MAX_FOUND = 16

Rule = Callable[["OpContext"], "Value | Sequence[Value]"]


@dataclasses.dataclass(frozen=True)
class OpRule:
    """A rule and the types it takes: for each type attribute of the node, the element types accepted."""

    name: str
    lower: Rule
    types: Mapping[str, frozenset[DType]]


RULES: dict[str, OpRule] = {}


def op(*names: str, types: Mapping[str, frozenset[DType]] | None = None) -> Callable[[Rule], Rule]:
    """Registers a rule for one or more TensorFlow ops. `types` maps type attributes ("T") to the accepted dtypes."""

    def register(rule: Rule) -> Rule:
        for name in names:
            if name in RULES:
                raise ValueError(f"two rules for op {name}")
            RULES[name] = OpRule(name, rule, dict(types or {}))
        return rule

    return register


@dataclasses.dataclass
class OpContext:
    """What a rule works with.

    Attributes:
        b: the builder to make IR with.
        node: the TensorFlow node: `node.op`, `node.attrs`.
        inputs: IR values of the node's inputs, in order. An input that is a variable's handle (ReadVariableOp,
            ResourceGather) arrives as the variable's tensor.
    """

    b: Builder
    node: Node
    inputs: list[Value]

    def attr(self, name: str, default: Any = None) -> Any:
        """A typed attribute (see graph/attributes.py); bytes come as str."""
        value = self.node.attrs.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def ints(self, name: str) -> tuple[int, ...]:
        """A list(int) attribute."""
        values = self.node.attrs.get(name, [])
        return tuple(int(item) for item in values) if isinstance(values, list) else ()

    def body(self, name: str) -> Graph:
        """The function that an attribute names.

        Raises:
            Unsupported: it is not at hand.
        """
        target = self.node.attrs.get(name)
        return self._body_of(target)

    def bodies(self, name: str) -> list[Graph]:
        """The functions of a list attribute."""
        targets = self.node.attrs.get(name)
        return [self._body_of(item) for item in targets] if isinstance(targets, list) else []

    def _body_of(self, target: Any) -> Graph:
        found = self.node.bodies.get(target.name) if isinstance(target, FunctionAttr) else None
        if found is None:
            raise Unsupported(f"the function {getattr(target, 'name', target)} is not at hand")
        return found

    def const(self, index: int) -> np.ndarray:
        """The content of an input that must be known when compiling.

        Raises:
            Unsupported: it is not.
        """
        value = self.inputs[index]
        if value.kind == "constant":
            return np.asarray(value.op.attrs["array"])
        if value.sym is not None and all(isinstance(item, int) for item in value.sym.reshape(-1)):
            return value.sym.astype(value.dtype.numpy)
        raise Unsupported(f"input {index} is not constant")

    def const_int(self, index: int) -> int:
        """A scalar integer input that must be known when compiling."""
        return int(self.const(index).reshape(()))

    def dims(self, index: int) -> Shape:
        """The content of a shape-like input (rank 1 or 0) as Dims.

        Raises:
            Unsupported: the content is not a function of input dimensions and small integer inputs.
        """
        content = self.inputs[index].sym
        if content is None:
            raise Unsupported(f"the content of input {index} is not known before run time")
        return tuple(content.reshape(-1))

    def dim(self, index: int) -> Dim:
        """The content of a scalar integer input as a Dim."""
        (value,) = self.dims(index)
        return value

    def found_dims(self, index: int) -> Shape:
        """Like `dims`, but content that nothing else is known of is looked at when the call runs, and named then.

        Raises:
            Unsupported: it is large, or has no fixed number of elements.
        """
        value = self.inputs[index]
        if value.sym is None and isinstance(value.type.num_elements, int) and value.type.num_elements <= MAX_FOUND:
            self.inputs[index] = self.b.observe(value, self.node.inputs[index].name)
        return self.dims(index)

    def late_dim(self, suffix: str) -> Dim:
        """A dimension that the node finds when it runs."""
        return self.b.late_dim(f"{self.node.name}:{suffix}")

    def axis(self, value: int, rank: int) -> int:
        """A maybe negative axis as 0 <= axis < rank.

        Raises:
            Unsupported: it is out of range (TensorFlow reports the error).
        """
        if not -rank <= value < rank:
            raise Unsupported(f"axis {value} is out of range for rank {rank}")
        return value % rank

    def require(self, condition: bool, reason: str) -> None:
        """Unsupported(reason) unless the condition holds."""
        if not condition:
            raise Unsupported(reason)
