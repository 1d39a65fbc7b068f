"""Shapes by TensorFlow's own shape functions, for nodes that no op rule takes.

The graph is imported into a scratch graph, arguments as placeholders. Importing runs the C++ shape functions and leaves
-1 wherever something is unknown. Two more imports give every symbol of the arguments a prime number for a size, other
primes the second time: a dimension that is the same symbol's prime both times is that symbol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sympy
import tensorflow as tf

from tf_blade import symbolic
from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported
from tf_blade.graph.attributes import Attr, ShapeAttr, TensorAttr
from tf_blade.graph.graph import ARG_OP, Graph, Node, Tensor
from tf_blade.graph.graphdef import OpCatalog, graph_def_from_graph
from tf_blade.graph.shape_inference import KnownShape
from tf_blade.symbolic import Dim, Shape

# A larger constant's content decides no shape; leaving it out keeps the scratch graphs small.
_MAX_CONST_BYTES = 4096
_DROPPED_ATTRS = frozenset({"_class", "_output_shapes"})
# Where each import's primes start; larger than most real dimensions.
_FIRST_PRIMES = (10_007, 20_011)

_Shapes = dict[Tensor, tuple[int, ...]]


class TfShapes:
    """Shapes by TensorFlow. An object of this class is a `shape_inference.StaticShapes`."""

    def __init__(self, catalog: OpCatalog) -> None:
        self._catalog = catalog

    def __call__(self, graph: Graph, tensors: Sequence[Tensor]) -> dict[Tensor, KnownShape]:
        """Shapes of the tensors, None for unknown dimensions; those of unknown rank are left out."""
        unknown = self._import(graph, {})
        symbols = symbolic.free_symbols(dim for shape in _argument_shapes(graph) for dim in shape)
        open_dims = any(-1 in unknown.get(tensor, ()) for tensor in tensors)
        sized: list[_Shapes] = []
        if open_dims and symbols:
            sized = [self._import(graph, _primes(symbols, first)) for first in _FIRST_PRIMES]
        return {tensor: _combine(tensor, unknown[tensor], symbols, sized) for tensor in tensors if tensor in unknown}

    def _import(self, graph: Graph, sizes: Mapping[sympy.Symbol, int]) -> _Shapes:
        """The shapes that TensorFlow finds; none when it refuses the graph with arguments of these sizes."""
        scratch = _Scratch(graph, self._catalog, sizes)
        message = graph_def_from_graph(scratch.graph, tf.Graph().as_graph_def(), self._catalog, before=())
        target = tf.Graph()
        try:
            with target.as_default():
                tf.graph_util.import_graph_def(message, name="")
        except ValueError:
            return {}  # e.g. a Reshape that needs a multiple of 12: the other imports say what is known
        found: _Shapes = {}
        for tensor, copy in scratch.copies.items():
            shape = target.get_tensor_by_name(copy.name).shape
            if shape.rank is not None:
                found[tensor] = tuple(-1 if size is None else int(size) for size in shape.as_list())
        return found


def _argument_shapes(graph: Graph) -> list[Shape]:
    found = [node.outputs[0].shape for node in graph.inputs]
    found += [node.outputs[0].handle[1] for node in graph.inputs if node.outputs[0].handle is not None]
    return [shape for shape in found if shape is not None]


def _primes(symbols: Sequence[sympy.Symbol], first: int) -> dict[sympy.Symbol, int]:
    sizes: dict[sympy.Symbol, int] = {}
    candidate = first
    for item in symbols:
        while any(candidate % divisor == 0 for divisor in range(2, int(candidate**0.5) + 1)):
            candidate += 1
        sizes[item] = candidate
        candidate += 1
    return sizes


def _combine(
    tensor: Tensor, unknown: tuple[int, ...], symbols: Sequence[sympy.Symbol], sized: Sequence[_Shapes]
) -> KnownShape:
    """The dimensions known without sizes, and those that are one symbol's size in all imports."""
    answers = [item.get(tensor, ()) for item in sized]
    result: list[Dim | None] = [size if size >= 0 else None for size in unknown]
    if not sized or any(len(item) != len(unknown) for item in answers):
        return tuple(result)
    primes = [_primes(symbols, first).values() for first in _FIRST_PRIMES]
    by_sizes = dict(zip(zip(*primes, strict=True), symbols, strict=True))
    for axis, size in enumerate(unknown):
        if size < 0:
            result[axis] = by_sizes.get(tuple(item[axis] for item in answers))
    return tuple(result)


class _Scratch:
    """A copy of a graph whose sources, calls and unknown ops are placeholders.

    Attributes:
        graph: the copy.
        copies: for each tensor of the original, the one of the copy.
    """

    def __init__(self, graph: Graph, catalog: OpCatalog, sizes: Mapping[sympy.Symbol, int]) -> None:
        self.graph = Graph()
        self.copies: dict[Tensor, Tensor] = {}
        self._sizes = sizes
        kept = [node for node in graph.nodes if not _is_opaque(node, catalog)]
        clones = {node: self._clone(node) for node in kept}
        for node in graph.nodes:
            if node not in clones:
                self._add_placeholders(node)
        for node, clone in clones.items():
            for tensor in node.inputs[1:2] if node.op == "LookupTableFindV2" else node.inputs:
                self.graph.append_input(clone, self.copies[tensor])

    def _clone(self, node: Node) -> Node:
        """A copy without inputs. A lookup, whose own function needs to know the table, becomes a cast of its keys."""
        if node.op == "LookupTableFindV2":
            types: dict[str, Attr] = {"SrcT": node.inputs[1].dtype, "DstT": node.outputs[0].dtype, "Truncate": False}
            clone = self.graph.add_node("Cast", node.name, (), types, [node.outputs[0].dtype])
            self.copies[node.outputs[0]] = clone.outputs[0]
            return clone
        attrs = {key: value for key, value in node.attrs.items() if key not in _DROPPED_ATTRS}
        clone = self.graph.add_node(node.op, node.name, (), attrs, [tensor.dtype for tensor in node.outputs])
        self.copies.update(zip(node.outputs, clone.outputs, strict=True))
        return clone

    def _add_placeholders(self, node: Node) -> None:
        for tensor in node.outputs:
            name = self.graph.unique_name(node.name)
            dtype = DType(tensor.dtype - 100) if tensor.dtype.is_ref else tensor.dtype
            attrs: dict[str, Attr] = {"dtype": dtype, "shape": self._stated_shape(tensor)}
            self.copies[tensor] = self.graph.add_node("Placeholder", name, (), attrs, [dtype]).outputs[0]

    def _stated_shape(self, tensor: Tensor) -> ShapeAttr:
        """What the node itself says of its output."""
        node = tensor.node
        if node.op == ARG_OP:
            return self._static(tensor.shape)
        if node.op == "ReadVariableOp":
            handle = node.inputs[0].handle
            return self._static(None if handle is None else handle[1])
        value = node.attrs.get("value")
        if isinstance(value, TensorAttr):
            return ShapeAttr(value.dims)
        if isinstance(shape := node.attrs.get("shape"), ShapeAttr):
            return shape
        for key in ("output_shapes", "_output_shapes"):
            shapes = node.attrs.get(key)
            if isinstance(shapes, list) and len(shapes) == len(node.outputs):
                return shapes[tensor.index]
        return ShapeAttr(None)

    def _static(self, shape: Shape | None) -> ShapeAttr:
        if shape is None:
            return ShapeAttr(None)
        dims = (symbolic.substitute(dim, self._sizes) for dim in shape)
        return ShapeAttr(tuple(dim if isinstance(dim, int) else -1 for dim in dims))


def _is_opaque(node: Node, catalog: OpCatalog) -> bool:
    """Whether a placeholder stands for the node."""
    if node.op in (ARG_OP, "ReadVariableOp") or any(True for _ in node.functions()) or catalog.is_function(node.op):
        return True
    if any(tensor.dtype.is_ref for tensor in node.outputs):
        return True
    value = node.attrs.get("value")
    if node.op == "Const" and isinstance(value, TensorAttr):
        return value.num_bytes > _MAX_CONST_BYTES
    try:
        catalog.get(node.op)
    except Unsupported:
        return True
    return False
