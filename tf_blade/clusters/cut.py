"""Cuts a cluster out as a graph of its own: what a backend compiles, and what becomes the fallback function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import sympy

from tf_blade import symbolic
from tf_blade.clusters.merge import is_weight
from tf_blade.graph.graph import Graph, Node, Tensor
from tf_blade.settings import Settings
from tf_blade.stages import Cluster, ClusterGraph
from tf_blade.symbolic import Dim, Shape

# Attributes that name other nodes or describe the graph the node came from.
_DROPPED_ATTRS = ("_class", "_output_shapes")


def cut(cluster: Cluster, settings: Settings) -> ClusterGraph:
    """Copies a cluster into a graph of its own.

    Inputs are named `input_0`, `input_1`, …, outputs `output_0`, …; nodes keep their names. Dimensions are named anew,
    in order of appearance over the inputs, so that equal layers give equal graphs:

    - a dimension that is one symbol becomes `s0`, `s1`, …: the call's shapes say what it is;
    - one that is an expression over such symbols stays an expression, which the guard checks;
    - any other expression becomes a symbol of its own;
    - in the known content of integer inputs, elements that are expressions over these symbols stay so (checked by the
      guard too), all others become `v0`, `v1`, …, which the call's content says. A `v` that could never be negative in
      the original graph is declared nonnegative.

    Control edges to and from the outside are not part of it: the engine op has them.
    """
    names = _Symbols()
    names.bind(_known_shapes(cluster.inputs))
    graph = Graph(cluster.name)
    copies: dict[Tensor, Tensor] = {}
    for position, tensor in enumerate(cluster.inputs):
        copy = graph.add_input(f"input_{position}", tensor.dtype, _map_input(names, tensor.shape))
        if tensor.handle is not None:
            copy.handle = (tensor.handle[0], _map_input(names, tensor.handle[1]))
        copies[tensor] = copy
    for tensor in cluster.inputs:
        copies[tensor].value = None if tensor.value is None else _map_values(names, tensor.value)
    clones: dict[Node, Node] = {}
    for node in cluster.nodes:
        clones[node] = _copy_node(graph, node, copies, clones, names)
    for position, tensor in enumerate(cluster.outputs):
        graph.add_output(f"output_{position}", copies[tensor])
    pairs = zip(graph.inputs, cluster.inputs, strict=True)
    weights = frozenset(arg.name for arg, tensor in pairs if is_weight(tensor.node, settings))
    return ClusterGraph(cluster, graph, weights)


def _copy_node(
    graph: Graph, node: Node, copies: dict[Tensor, Tensor], clones: Mapping[Node, Node], names: _Symbols
) -> Node:
    attrs = {key: value for key, value in node.attrs.items() if key not in _DROPPED_ATTRS}
    control = [clones[item] for item in node.control_inputs if item in clones]
    clone = graph.add_node(
        node.op,
        graph.unique_name(node.name),
        [copies[tensor] for tensor in node.inputs],
        attrs,
        [tensor.dtype for tensor in node.outputs],
        control_inputs=control,
    )
    clone.debug, clone.bodies = node.debug, node.bodies
    for old, new in zip(node.outputs, clone.outputs, strict=True):
        copies[old] = new
        new.shape = names.map_known(old.shape)
        content = None if old.value is None else names.map_known(tuple(old.value.reshape(-1)))
        if old.value is not None and content is not None:
            new.value = _array(content, old.value.shape)
    return clone


class _Symbols:
    """The new names of dimensions, and which old expressions have one."""

    def __init__(self) -> None:
        self._mapping: dict[sympy.Symbol, Dim] = {}
        self._expressions: dict[Dim, sympy.Symbol] = {}
        self._num_dims = 0
        self._num_values = 0

    def bind(self, shapes: Iterable[Shape]) -> None:
        """Names every dimension that is a lone symbol."""
        for shape in shapes:
            for dim in shape:
                if isinstance(dim, sympy.Symbol) and dim not in self._mapping:
                    self._mapping[dim] = self._fresh_dim()

    def map_dim(self, dim: Dim) -> Dim:
        """The Dim in new names; a symbol of its own where it is none of the bound ones' expressions."""
        known = self.map_known((dim,))
        if known is not None:
            return known[0]
        if dim not in self._expressions:
            self._expressions[dim] = self._fresh_dim()
        return self._expressions[dim]

    def map_value(self, item: Dim) -> Dim:
        """The same for an element of an integer tensor."""
        known = self.map_known((item,))
        if known is not None:
            return known[0]
        if item not in self._expressions:
            make = symbolic.symbol if sympy.sympify(item).is_nonnegative else symbolic.value_symbol
            fresh = make(f"v{self._num_values}")
            self._num_values += 1
            self._expressions[item] = fresh
            if isinstance(item, sympy.Symbol):
                self._mapping[item] = fresh
        return self._expressions[item]

    def map_known(self, dims: Shape | None) -> Shape | None:
        """The Dims in new names, or None where one has none."""
        if dims is None or any(item not in self._mapping for item in symbolic.free_symbols(dims)):
            return None
        return tuple(symbolic.substitute(dim, self._mapping) for dim in dims)

    def _fresh_dim(self) -> sympy.Symbol:
        self._num_dims += 1
        return symbolic.symbol(f"s{self._num_dims - 1}")


def _known_shapes(inputs: Sequence[Tensor]) -> list[Shape]:
    shapes = []
    for tensor in inputs:
        shape = tensor.handle[1] if tensor.handle is not None else tensor.shape
        if shape is not None:
            shapes.append(shape)
    return shapes


def _map_input(names: _Symbols, shape: Shape | None) -> Shape | None:
    return None if shape is None else tuple(names.map_dim(dim) for dim in shape)


def _map_values(names: _Symbols, content: np.ndarray) -> np.ndarray:
    """Lone symbols first: the expressions over them are then known."""
    flat = list(content.reshape(-1))
    for item in flat:
        if isinstance(item, sympy.Symbol):
            names.map_value(item)
    return _array([names.map_value(item) for item in flat], content.shape)


def _array(items: Sequence[Dim], shape: tuple[int, ...]) -> np.ndarray:
    result = np.empty(len(items), dtype=object)
    result[:] = items
    return result.reshape(shape)
