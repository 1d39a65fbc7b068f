"""The tensor-level IR: immutable values and ops in HLO's vocabulary, with symbolic dimensions.

An `Op` computes its `results` from its `operands` and `attrs`. A module is a DAG of ops: parameters in order, and the
values that are its results. Nothing is mutated after it is made; passes build new ops (see `builder.py`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from tf_blade.dtypes import DType
from tf_blade.symbolic import Dim, Shape, num_elements, spelled

_ids = itertools.count()


@dataclasses.dataclass(frozen=True)
class TensorType:
    """Element type and symbolic shape of static rank."""

    dtype: DType
    shape: Shape

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def num_elements(self) -> Dim:
        return num_elements(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype.name.lower()}[{','.join(map(spelled, self.shape))}]"


class Op:
    """One operation.

    Attributes:
        kind: name of its spec (`spec.SPECS`).
        operands: values read.
        attrs: everything else that decides what it computes; see the spec's docstring.
        results: values made.
    """

    __slots__ = ("attrs", "kind", "operands", "results", "uid")

    def __init__(
        self, kind: str, operands: tuple[Value, ...], attrs: Mapping[str, Any], types: Iterable[TensorType]
    ) -> None:
        self.kind = kind
        self.operands = operands
        self.attrs = dict(attrs)
        self.uid = next(_ids)
        self.results = tuple(Value(self, index, item) for index, item in enumerate(types))

    @property
    def result(self) -> Value:
        """The only result."""
        (value,) = self.results
        return value

    def regions(self) -> tuple[Module, ...]:
        """The modules among the attributes."""
        found = [value for name, value in sorted(self.attrs.items()) if isinstance(value, Module)]
        lists = [value for name, value in sorted(self.attrs.items()) if isinstance(value, tuple)]
        return (*found, *(item for value in lists for item in value if isinstance(item, Module)))

    def __repr__(self) -> str:
        operands = ", ".join(f"%{value.op.uid}" for value in self.operands)
        return f"%{self.uid} = {self.kind}({operands}) {self.attrs} : {', '.join(str(v.type) for v in self.results)}"


class Value:
    """One result of an op.

    Attributes:
        op: the producer.
        index: position among the producer's results.
        type: dtype and shape.
        sym: for small integer tensors whose content is known symbolically, the content: a NumPy object array of Dims
            with the value's (static) shape. Shape arithmetic of the original graph lives here: a Reshape to a shape
            computed from another tensor's Shape sees the Dims themselves.
    """

    __slots__ = ("index", "op", "sym", "type")

    def __init__(self, op: Op, index: int, type_: TensorType) -> None:
        self.op = op
        self.index = index
        self.type = type_
        self.sym: np.ndarray | None = None

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def shape(self) -> Shape:
        return self.type.shape

    @property
    def rank(self) -> int:
        return len(self.type.shape)

    @property
    def kind(self) -> str:
        """The producer's kind."""
        return self.op.kind

    def __repr__(self) -> str:
        return f"%{self.op.uid}.{self.index}: {self.type}"


@dataclasses.dataclass(frozen=True)
class Constraint:
    """A condition on dimensions that the executable checks before it computes; when false TensorFlow takes the call.

    kind "equal": a == b. kind "broadcast": a == b, or a == 1, or b == 1. kind "at_least": a >= b.
    """

    kind: str
    a: Dim
    b: Dim


@dataclasses.dataclass(eq=False)
class Module:
    """A computation: `results` from `parameters`.

    Attributes:
        name: the cluster's name, a C identifier.
        parameters: values of kind `parameter`, in the order of the engine's inputs.
        results: in the order of the engine's outputs; a value may appear twice, and may be a parameter.
        constraints: conditions the ops rely on.
        binders: the first results of the ops that find dimensions when they run (see `OpSpec.found`), in an order in
            which they can run. Whatever names such a dimension runs after its binder.
    """

    name: str
    parameters: list[Value]
    results: list[Value]
    constraints: list[Constraint] = dataclasses.field(default_factory=list)
    binders: list[Value] = dataclasses.field(default_factory=list)

    def ops(self) -> list[Op]:
        """All ops that the results need, all parameters and binders, operands and binders first; deterministic."""
        return list(postorder([*self.parameters, *self.binders, *self.results]))

    def all_ops(self) -> list[Op]:
        """The same, and the ops of all regions."""
        return [item for op in self.ops() for item in (op, *(x for region in op.regions() for x in region.all_ops()))]

    def text(self) -> str:
        """The module for people to read. Two modules of equal text compute the same."""
        numbers: dict[Op, int] = {}
        lines = []
        for op in self.ops():
            numbers[op] = len(numbers)
            operands = ", ".join(_ref(value, numbers) for value in op.operands)
            attrs = ", ".join(f"{key}={_attr_text(value)}" for key, value in sorted(op.attrs.items()))
            types = ", ".join(str(value.type) for value in op.results)
            lines.append(f"  %{numbers[op]} = {op.kind}({operands}) {{{attrs}}} : {types}")
        for item in self.constraints:
            lines.append(f"  require {item.kind}({item.a}, {item.b})")
        results = ", ".join(_ref(value, numbers) for value in self.results)
        return "\n".join([f"module {self.name} {{", *lines, f"  return {results}", "}"])


def _ref(value: Value, numbers: Mapping[Op, int]) -> str:
    suffix = f".{value.index}" if len(value.op.results) > 1 else ""
    return f"%{numbers[value.op]}{suffix}"


def _attr_text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        digest = hashlib.sha256(value.tobytes()).hexdigest()[:32]
        return f"<{value.dtype}{list(value.shape)} {value.reshape(-1)[:8].tolist()} {digest}>"
    if isinstance(value, Module):
        return value.text().replace("\n", "\n    ")
    if isinstance(value, tuple) and any(isinstance(item, Module) for item in value):
        return f"({', '.join(map(_attr_text, value))})"
    return str(value)


def postorder(roots: Iterable[Value]) -> Iterator[Op]:
    """The ops that the roots need, operands before users, each once; without recursion."""
    done: set[Op] = set()
    for root in roots:
        stack: list[tuple[Op, bool]] = [(root.op, False)]
        while stack:
            op, expanded = stack.pop()
            if op in done:
                continue
            if expanded:
                done.add(op)
                yield op
                continue
            stack.append((op, True))
            stack.extend((value.op, False) for value in reversed(op.operands) if value.op not in done)
