"""From TensorFlow nodes to layers: one node (the support check) or a whole cluster (a network)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_blade import symbolic
from tf_blade.backends.tensorrt import ops
from tf_blade.backends.tensorrt.library import Library
from tf_blade.backends.tensorrt.messages import make_messages
from tf_blade.backends.tensorrt.network import Network
from tf_blade.backends.tensorrt.ops.base import RULES, OpContext, OpRule
from tf_blade.backends.tensorrt.ops.left import LEFT
from tf_blade.backends.tensorrt.precision import FP32, Precisions, prepare
from tf_blade.backends.tensorrt.values import Value, WeightSource
from tf_blade.backends.tensorrt.weights import RefitWeight, WeightStore
from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported
from tf_blade.graph.attributes import TensorAttr
from tf_blade.graph.graph import ARG_OP, Graph, Node, Tensor
from tf_blade.symbolic import Shape

del ops  # imported for its rules


@dataclasses.dataclass(frozen=True)
class PlanInput:
    """An input of a network.

    Attributes:
        name: the network's name of it, and the graph's.
        index: its position among the engine's inputs.
        shape: its dimensions, in the cluster's symbols.
        content: its elements where they are sizes, in the cluster's symbols.
    """

    name: str
    index: int
    dtype: DType
    shape: Shape
    content: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Converted:
    """A cluster as a network.

    Attributes:
        definition: the INetworkDefinition.
        inputs: what is bound in each call, weights that are inputs included.
        outputs: names and element types, in the cluster's order.
        shapes: symbolic shapes of the outputs.
        refits: the constants that the runtime puts into a stripped plan.
        network: the wrapper, which keeps constants alive.
    """

    definition: Any
    inputs: tuple[PlanInput, ...]
    outputs: tuple[tuple[str, DType], ...]
    shapes: tuple[Shape, ...]
    refits: tuple[RefitWeight, ...]
    network: Network


class Converter:
    """Converts with one TensorRT; its builder makes all networks.

    Args:
        library: the TensorRT to use.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self.log = make_messages(library)
        self.builder = library.trt.Builder(self.log)

    def network(self, store: WeightStore) -> Network:
        """An empty, strongly typed network with explicit batch."""
        # Versions that know no other typing have no flag for it.
        flags = getattr(self.library.trt, "NetworkDefinitionCreationFlag", None)
        strong = getattr(flags, "STRONGLY_TYPED", None)
        definition = self.builder.create_network(0 if strong is None else 1 << int(strong))
        return Network(self.library, self.log, definition, store)

    def examine(self, node: Node) -> tuple[Value, ...]:
        """Runs the node's rule on a throwaway network, with inputs of its inputs' types.

        Raises:
            Unsupported: TensorRT cannot take the node; says why.
        """
        network = self.network(WeightStore())
        inputs = [_probe(network, position, tensor) for position, tensor in enumerate(node.inputs)]
        _bind_rest(network, node.inputs)
        return tuple(convert_node(network, node, inputs, FP32))

    def convert(
        self, graph: Graph, weights: frozenset[str], *, precision: Precisions = FP32, store: WeightStore | None = None
    ) -> Converted:
        """The network of a cluster's graph. Inputs named in `weights`, and variables' handles, become weights.

        Raises:
            Unsupported: a node cannot be converted.
        """
        return self.convert_into(self.network(store or WeightStore()), graph, weights, precision=precision)

    def convert_into(
        self, network: Network, graph: Graph, weights: frozenset[str], *, precision: Precisions = FP32
    ) -> Converted:
        """The same, as a part of a network."""
        values, inputs = _inputs(network, graph, weights)
        for node in _needed(graph):
            results = convert_node(network, node, [values[tensor] for tensor in node.inputs], precision)
            values.update(zip(node.outputs, results, strict=True))
        outputs, shapes = [], []
        for output in graph.outputs:
            value = network.cast(values[output.tensor], output.tensor.dtype)
            outputs.append((network.output(output.name, value), output.tensor.dtype))
            shapes.append(value.shape)
        mine = [item for item in network.weights.inputs if item.name.startswith(network.prefix)]
        weight_inputs = tuple(PlanInput(x.name, x.index, x.dtype, x.source_dims, None) for x in mine)
        refits = tuple(network.weights.refits)
        return Converted(network.definition, inputs + weight_inputs, tuple(outputs), tuple(shapes), refits, network)


def _needed(graph: Graph) -> list[Node]:
    """The nodes that the outputs are computed from, in order."""
    needed = {output.tensor.node for output in graph.outputs}
    stack = list(needed)
    while stack:
        for tensor in stack.pop().inputs:
            if tensor.node not in needed:
                needed.add(tensor.node)
                stack.append(tensor.node)
    return [node for node in graph.topological_order() if node in needed and node.op != ARG_OP]


def _inputs(
    network: Network, graph: Graph, weights: frozenset[str]
) -> tuple[dict[Tensor, Value], tuple[PlanInput, ...]]:
    values: dict[Tensor, Value] = {}
    inputs = []
    for index, node in enumerate(graph.inputs):
        tensor = node.outputs[0]
        dtype, shape = type_of(tensor)
        weight = _weight(tensor, index) if tensor.handle is not None or node.name in weights else None
        if weight is not None:
            values[tensor] = Value(dtype, shape, weight=weight)
        else:
            values[tensor] = network.input(node.name, dtype, shape, tensor.value)
            inputs.append(PlanInput(f"{network.prefix}{node.name}", index, dtype, shape, tensor.value))
    return values, tuple(inputs)


def _weight(tensor: Tensor, index: int) -> WeightSource | None:
    dtype, shape = type_of(tensor)
    if not symbolic.is_static(shape):
        return None
    dims = tuple(int(dim) for dim in shape)
    return WeightSource(tensor.node.name, index, dtype, dims, dims)


def type_of(tensor: Tensor) -> tuple[DType, Shape]:
    """Element type and shape of a tensor; of the variable, for a handle.

    Raises:
        Unsupported: the rank is unknown.
    """
    dtype, shape = tensor.handle if tensor.handle is not None else (tensor.dtype, tensor.shape)
    if shape is None:
        raise Unsupported(f"the rank of input {tensor.name} is unknown")
    return dtype, shape


def _probe(network: Network, position: int, tensor: Tensor) -> Value:
    """A value of the tensor's type: its constant where it is one, else an input or a weight."""
    content = tensor.node.attrs.get("value") if tensor.node.op == "Const" else None
    if isinstance(content, TensorAttr) and content.array is not None:
        return network.constant(content.array)
    dtype, shape = type_of(tensor)
    if tensor.handle is not None and symbolic.is_static(shape):
        return Value(dtype, shape, weight=_weight(tensor, position))
    return network.input(f"input_{position}", dtype, shape, tensor.value)


def _bind_rest(network: Network, tensors: Sequence[Tensor]) -> None:
    """Symbols of expressions, which other inputs of a cluster bind, get inputs of their own."""
    for tensor in tensors:
        shape = tensor.shape or ()
        items = shape if tensor.value is None else (*shape, *tensor.value.reshape(-1))
        for item in symbolic.free_symbols(items):
            if item not in network.bindings:
                network.input(f"symbol_{item.name}", DType.INT64, (1,), np.array([item], dtype=object))


def convert_node(network: Network, node: Node, inputs: Sequence[Value], precision: Precisions) -> list[Value]:
    """The values of the node's outputs.

    Raises:
        Unsupported: there is no rule, or the rule refuses.
    """
    rule = RULES.get(node.op)
    if rule is None:
        why = f": {LEFT[node.op]}" if node.op in LEFT else ""
        raise Unsupported(f"no rule for op {node.op}{why}", node.name)
    for name, accepted in rule.types.items():
        dtype = node.attrs.get(name)
        if dtype not in accepted:
            spelled = dtype.name.lower() if isinstance(dtype, DType) else repr(dtype)
            raise Unsupported(f"{node.op} with {name}={spelled}", node.name)
    known = _known(network, node)
    if known is not None:
        return known
    try:
        values = _run(network, rule, node, inputs, precision)
    except Unsupported as error:
        raise Unsupported(error.reason, node.name) from error
    if len(values) != len(node.outputs):
        raise Unsupported(f"its rule gave {len(values)} values for {len(node.outputs)} outputs", node.name)
    return [_as_declared(network, node, value, tensor) for value, tensor in zip(values, node.outputs, strict=True)]


def _run(network: Network, rule: OpRule, node: Node, inputs: Sequence[Value], precision: Precisions) -> list[Value]:
    prepared = prepare(network, rule.precision, inputs, precision)
    result = rule.convert(OpContext(network, node, prepared))
    return [result] if isinstance(result, Value) else list(result)


def _known(network: Network, node: Node) -> list[Value] | None:
    """The values of a node whose results are sizes that follow from the inputs' dimensions: no layer computes them."""
    values = []
    for tensor in node.outputs:
        if tensor.value is None or tensor.shape is None or tensor.dtype not in (DType.INT32, DType.INT64):
            return None
        if node.op == "Const" or not network.is_bound(tuple(tensor.value.reshape(-1))):
            return None
        values.append(Value(tensor.dtype, tensor.shape, content=tensor.value))
    return values


def _as_declared(network: Network, node: Node, value: Value, tensor: Tensor) -> Value:
    """The value with the shape that is inferred for the tensor, whose symbols are those of the inputs."""
    if tensor.dtype not in (DType.FLOAT, DType.RESOURCE, value.dtype):
        value = network.cast(value, tensor.dtype)
    if tensor.shape is None or tensor.dtype == DType.RESOURCE:
        return value
    if len(tensor.shape) != value.rank:
        raise Unsupported(f"its rule gave rank {value.rank}, TensorFlow says {len(tensor.shape)}", node.name)
    if network.is_bound(tensor.shape) and not symbolic.is_static(value.shape):
        return dataclasses.replace(value, shape=tensor.shape)
    return value
