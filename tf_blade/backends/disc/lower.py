"""From TensorFlow nodes to IR: one node (support check and shape inference) or a whole cluster (a module)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import sympy

from tf_blade import dtypes, symbolic
from tf_blade.backends.disc import ops
from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.spec import SPECS
from tf_blade.backends.disc.ir.values import Module, TensorType, Value, postorder
from tf_blade.backends.disc.node import lower_node
from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported
from tf_blade.graph.graph import ARG_OP, Graph, Node, Tensor
from tf_blade.symbolic import Dim, Shape

del ops  # imported for its rules

MAX_ROUNDS = 16


@dataclasses.dataclass(frozen=True)
class NodeFacts:
    """What lowering one node tells.

    Attributes:
        types: dtype and symbolic shape of each output.
        values: symbolic content of each output, None where unknown.
        unifications: (symbol, Dim) pairs that the node assumes equal (a guard checks them at run time).
        flops: estimated floating point operations of one call.
        late: symbols that the node makes for dimensions that it finds when it runs.
    """

    types: tuple[TensorType, ...]
    values: tuple[np.ndarray | None, ...]
    unifications: tuple[tuple[sympy.Symbol, Dim], ...]
    flops: Dim
    late: tuple[sympy.Symbol, ...] = ()


def examine_node(node: Node) -> NodeFacts:
    """Runs the node's rule on parameters of its inputs' types. Reads `shape`, `value` and `handle` of the inputs.

    Raises:
        Unsupported: DISC cannot take the node; says why.
    """
    builder = Builder()
    inputs = [_probe(builder, tensor) for tensor in node.inputs]
    results = lower_node(builder, node, inputs)
    total = symbolic.add(0, *(SPECS[op.kind].flops(op) for op in postorder(results)))
    return NodeFacts(
        tuple(item.type for item in results),
        tuple(item.sym for item in results),
        tuple(builder.unifications),
        total,
        tuple(builder.late),
    )


def _probe(builder: Builder, tensor: Tensor) -> Value:
    """A value of the tensor's type: its constant where it is one, else a parameter."""
    if tensor.node.op == "Const":
        return lower_node(builder, tensor.node, [])[tensor.index]
    dtype, shape = type_of(tensor)
    return builder.parameter(dtype, shape, value=tensor.value)


def type_of(tensor: Tensor) -> tuple[DType, Shape]:
    """Element type and shape of a tensor; of the variable, for a handle; of all elements stacked, for a list.

    Raises:
        Unsupported: the rank is unknown, or the type is none that DISC computes with.
    """
    dtype, shape = tensor.handle if tensor.handle is not None else (tensor.dtype, tensor.shape)
    if dtype not in dtypes.ALL:
        raise Unsupported(f"input {tensor.name} is of type {dtype.name.lower()}")
    if shape is None:
        raise Unsupported(f"the rank of input {tensor.name} is unknown")
    return dtype, shape


def lower_graph(graph: Graph, *, name: str, weights: frozenset[str] = frozenset()) -> Module:
    """The module of a cluster's graph. Inputs named in `weights`, and variables' handles, become weight parameters.

    Unknown dimensions that ops assume equal are given one symbol: the graph is lowered again with the substitution
    until nothing new is assumed. The assumption stays checked at run time, because both inputs then name the same
    symbol.

    Raises:
        Unsupported: a node cannot be lowered.
    """
    mapping: dict[sympy.Symbol, Dim] = {}
    for _ in range(MAX_ROUNDS):
        builder, results = _lower_once(graph, weights, mapping)
        fresh = _resolve(builder.unifications, list(builder.late))
        if not fresh:
            break
        mapping = {**{key: symbolic.substitute(dim, fresh) for key, dim in mapping.items()}, **fresh}
    return builder.module(name, results)


def _resolve(pairs: Sequence[tuple[sympy.Symbol, Dim]], late: Sequence[sympy.Symbol]) -> dict[sympy.Symbol, Dim]:
    """A substitution that makes the pairs equal, where it can be had by replacing symbols with what does not hold
    them, and what is known no later: inputs' dimensions first, then `late` symbols in order.
    """
    mapping: dict[sympy.Symbol, Dim] = {}
    order = {item: number for number, item in enumerate(late)}

    def known_at(dim: Dim) -> int:
        return max((order.get(item, -1) for item in symbolic.free_symbols([dim])), default=-1)

    for key, dim in pairs:
        key_now, dim_now = symbolic.substitute(key, mapping), symbolic.substitute(dim, mapping)
        if symbolic.equal(key_now, dim_now):
            continue
        later = isinstance(dim_now, sympy.Symbol) and known_at(dim_now) > known_at(key_now)
        if later or not isinstance(key_now, sympy.Symbol):
            key_now, dim_now = dim_now, key_now
        if not isinstance(key_now, sympy.Symbol) or key_now in symbolic.free_symbols([dim_now]):
            continue
        if known_at(dim_now) > known_at(key_now):
            continue
        update = {key_now: dim_now}
        mapping = {**{k: symbolic.substitute(d, update) for k, d in mapping.items()}, **update}
    return mapping


def _lower_once(
    graph: Graph, weights: frozenset[str], mapping: Mapping[sympy.Symbol, Dim]
) -> tuple[Builder, list[Value]]:
    builder = Builder(mapping)
    values: dict[Tensor, Value] = {}
    for node in graph.inputs:
        tensor = node.outputs[0]
        dtype, shape = type_of(tensor)
        if tensor.dtype == DType.VARIANT:
            raise Unsupported(f"input {tensor.name} is a list")
        weight = tensor.handle is not None or node.name in weights
        content = None if tensor.value is None else _substitute_all(tensor.value, mapping)
        shape = tuple(symbolic.substitute(dim, mapping) for dim in shape)
        values[tensor] = builder.parameter(dtype, shape, name=node.name, weight=weight, value=content)
    for node in graph.topological_order():
        if node.op == ARG_OP:
            continue
        results = lower_node(builder, node, [values[tensor] for tensor in node.inputs])
        values.update(zip(node.outputs, results, strict=True))
    return builder, [values[output.tensor] for output in graph.outputs]


def _substitute_all(content: np.ndarray, mapping: Mapping[sympy.Symbol, Dim]) -> np.ndarray:
    result = np.empty(content.shape, dtype=object)
    for index in np.ndindex(*content.shape):
        result[index] = symbolic.substitute(content[index], mapping)
    return result
