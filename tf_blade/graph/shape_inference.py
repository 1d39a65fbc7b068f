"""Symbolic shapes of a graph's tensors: equal unknown dimensions share a symbol.

A node that an op rule takes has the shapes that the rule finds, as expressions over its inputs' dimensions. All other
nodes have the shapes that TensorFlow's own shape functions find; what these leave open becomes a symbol of its own.
Rules also say which dimensions must be equal for the node to be valid (`a + b` of `[s0, 4]` and `[s1, 4]`); these are
made one symbol, and everything is inferred again until nothing changes. Whoever uses the shapes checks them at run
time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
import sympy

from tf_blade import observe, symbolic
from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported
from tf_blade.graph.graph import ARG_OP, Graph, Node, Tensor
from tf_blade.symbolic import Dim, Shape

# Integer tensors of at most so many elements may be shapes: their unknown content gets symbols.
MAX_VALUE_ELEMENTS = 16
MAX_ROUNDS = 8
_log = observe.logger("shapes")
_FORWARD_HANDLE = frozenset({"Identity", "Enter"})


class TypeFact(Protocol):
    """An output's element type and shape."""

    @property
    def dtype(self) -> DType: ...
    @property
    def shape(self) -> Shape: ...


class Facts(Protocol):
    """What a rule says of a node."""

    @property
    def types(self) -> Sequence[TypeFact]: ...
    @property
    def values(self) -> Sequence[np.ndarray | None]: ...
    @property
    def unifications(self) -> Sequence[tuple[sympy.Symbol, Dim]]: ...
    @property
    def late(self) -> Sequence[sympy.Symbol]: ...


Examine = Callable[[Node], Facts]
# Shapes that TensorFlow finds for the tensors, given the graph's arguments; None for a dimension it does not know.
KnownShape = tuple["Dim | None", ...]
StaticShapes = Callable[[Graph, Sequence[Tensor]], Mapping[Tensor, KnownShape]]


def infer_shapes(graph: Graph, examine: Examine, static_shapes: StaticShapes) -> None:
    """Fills in `shape`, `value` and `handle` of every tensor; `shape` stays None where the rank is unknown.

    Args:
        graph: its arguments' shapes and handles are known where anybody knows them.
        examine: runs the op rule of a node; `Unsupported` where there is none or it refuses.
        static_shapes: asks TensorFlow; called only for what rules do not know.
    """
    _Inference(graph, examine, static_shapes).run()
    tensors = [tensor for node in graph.nodes for tensor in node.outputs]
    unknown = [tensor for tensor in tensors if tensor.shape is None]
    _log.info("%s: %d of %d tensors have a rank", graph.name or "main graph", len(tensors) - len(unknown), len(tensors))
    for tensor in unknown:
        _log.debug("%s has no rank", tensor.name)


def resolve(pairs: Iterable[tuple[sympy.Symbol, Dim]]) -> dict[sympy.Symbol, Dim]:
    """A substitution that makes each pair equal, where replacing symbols by what does not hold them can do it."""
    mapping: dict[sympy.Symbol, Dim] = {}
    for key, dim in pairs:
        left, right = symbolic.substitute(key, mapping), symbolic.substitute(dim, mapping)
        if symbolic.equal(left, right):
            continue
        if not isinstance(left, sympy.Symbol):
            left, right = right, left
        if not isinstance(left, sympy.Symbol) or left in symbolic.free_symbols([right]):
            continue
        mapping = {**_apply({left: right}, mapping), left: right}
    return mapping


def _apply(update: Mapping[sympy.Symbol, Dim], mapping: Mapping[sympy.Symbol, Dim]) -> dict[sympy.Symbol, Dim]:
    return {key: symbolic.substitute(dim, update) for key, dim in mapping.items()}


class _Inference:
    def __init__(self, graph: Graph, examine: Examine, static_shapes: StaticShapes) -> None:
        self._order = graph.topological_order()
        self._examine = examine
        self._graph = graph
        self._ask = static_shapes
        self._static: Mapping[Tensor, KnownShape] = {}
        self._unruled: list[Tensor] = []
        self._given = {node: (node.outputs[0].shape, node.outputs[0].handle) for node in graph.inputs}
        self._fresh: dict[tuple[Tensor, int, str], sympy.Symbol] = {}
        self._mapping: dict[sympy.Symbol, Dim] = {}

    def run(self) -> None:
        self._infer_all()
        if not self._unruled:
            return
        for _ in range(2):  # again when the first answers have made dimensions equal: TensorFlow can say more then
            num_equal = len(self._mapping)
            self._static = self._ask(self._graph, self._unruled)
            self._infer_all()
            if len(self._mapping) == num_equal:
                return

    def _infer_all(self) -> None:
        for _ in range(MAX_ROUNDS):
            self._unruled = []
            pairs: list[tuple[sympy.Symbol, Dim]] = []
            for node in self._order:
                pairs += self._infer(node)
            update = resolve(pairs)
            if not update:
                return
            self._mapping = {**_apply(update, self._mapping), **update}

    def _infer(self, node: Node) -> Sequence[tuple[sympy.Symbol, Dim]]:
        """Sets the node's outputs; gives the dimensions that it takes for equal."""
        if node.op == ARG_OP:
            self._set_argument(node)
            return ()
        if node.op in _FORWARD_HANDLE and node.inputs[0].handle is not None:
            node.outputs[0].handle = node.inputs[0].handle
        try:
            facts = self._examine(node)
        except Unsupported:  # support.py asks again and records the reason
            self._unruled += node.outputs
            for tensor in node.outputs:
                self._set_unknown(tensor)
            return ()
        # The rule names these anew each time, whatever they are known to be equal to by now.
        renamed = any(symbol in self._mapping for symbol in facts.late)
        for tensor, type_, value in zip(node.outputs, facts.types, facts.values, strict=True):
            tensor.shape = self._current(type_.shape) if renamed else type_.shape
            tensor.value = self._current_content(value) if renamed else value
            if tensor.dtype in (DType.RESOURCE, DType.VARIANT):  # what it stands for
                tensor.shape, tensor.handle = (), (type_.dtype, tensor.shape)
        return facts.unifications

    def _set_argument(self, node: Node) -> None:
        tensor = node.outputs[0]
        shape, handle = self._given[node]
        tensor.shape = self._current(shape)
        if handle is not None:
            tensor.handle = (handle[0], self._current(handle[1]))
        tensor.value = self._content(tensor)

    def _set_unknown(self, tensor: Tensor) -> None:
        known = self._static.get(tensor)
        if tensor.dtype == DType.VARIANT:
            tensor.handle = None
        if known is None:
            tensor.shape = None
        else:
            dims = (self._symbol(tensor, axis, "u") if dim is None else dim for axis, dim in enumerate(known))
            tensor.shape = self._current(tuple(dims))
        tensor.value = self._content(tensor)

    def _content(self, tensor: Tensor) -> np.ndarray | None:
        """Symbols for the elements of what may be a shape."""
        shape = tensor.shape
        if tensor.dtype not in (DType.INT32, DType.INT64) or shape is None or not symbolic.is_static(shape):
            return None
        count = symbolic.num_elements(shape)
        if not isinstance(count, int) or count > MAX_VALUE_ELEMENTS:
            return None
        result = np.empty(count, dtype=object)
        for index in range(count):
            result[index] = symbolic.substitute(self._symbol(tensor, index, "v"), self._mapping)
        return result.reshape(shape)

    def _symbol(self, tensor: Tensor, index: int, prefix: str) -> sympy.Symbol:
        """The symbol of a dimension or element: the same one in each round."""
        key = (tensor, index, prefix)
        if key not in self._fresh:
            make = symbolic.value_symbol if prefix == "v" else symbolic.symbol
            self._fresh[key] = make(f"{prefix}{len(self._fresh)}")
        return self._fresh[key]

    def _current_content(self, value: np.ndarray | None) -> np.ndarray | None:
        if value is None:
            return None
        result = np.empty(value.size, dtype=object)
        result[:] = [symbolic.substitute(item, self._mapping) for item in value.reshape(-1)]
        return result.reshape(value.shape)

    def _current(self, shape: Shape | None) -> Shape | None:
        return None if shape is None else tuple(symbolic.substitute(dim, self._mapping) for dim in shape)
