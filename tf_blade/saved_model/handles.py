"""Tells every variable's handle in the graphs its variable's type and shape.

They come from where a handle is made (VarHandleOp), from the object graph (what a concrete function captured), and
travel from calls into the functions called; functions of recent models state them themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

from tf_blade.dtypes import DType
from tf_blade.graph.attributes import ShapeAttr
from tf_blade.graph.graph import Graph, Node, Tensor
from tf_blade.graph.graphdef_attrs import read_shape, symbolic_shape
from tf_blade.saved_model.model import SavedModel
from tf_blade.symbolic import Shape

# Ops that hand their inputs to functions, with the number of inputs that are their own.
_OWN_INPUTS: Mapping[str, int] = {
    "PartitionedCall": 0,
    "StatefulPartitionedCall": 0,
    "While": 0,
    "StatelessWhile": 0,
    "If": 1,
    "StatelessIf": 1,
    "Case": 1,
    "StatelessCase": 1,
}
_MAX_ROUNDS = 64


def annotate_handles(model: SavedModel, bodies: Mapping[str, Graph]) -> None:
    """Fills in `Tensor.handle` in all bodies."""
    for name, graph in bodies.items():
        _from_captures(model, name, graph)
        for node in graph.nodes:
            if node.op == "VarHandleOp":
                node.outputs[0].handle = _declared(node)
    for _ in range(_MAX_ROUNDS):
        changed = [_propagate(graph, bodies) for graph in bodies.values()]
        if not any(changed):
            return


def _declared(node: Node) -> tuple[DType, Shape | None] | None:
    dtype, shape = node.attrs.get("dtype"), node.attrs.get("shape")
    if not isinstance(dtype, DType) or not isinstance(shape, ShapeAttr):
        return None
    return dtype, symbolic_shape(shape, node.name)


def _from_captures(model: SavedModel, name: str, graph: Graph) -> None:
    """The last arguments of a concrete function are what it captured."""
    objects = model.meta_graph.object_graph_def
    if name not in objects.concrete_functions:
        return
    bound = list(objects.concrete_functions[name].bound_inputs)
    if not bound or len(bound) > len(graph.inputs):
        return
    for index, arg in zip(bound, graph.inputs[-len(bound) :], strict=True):
        tensor, item = arg.outputs[0], objects.nodes[index]
        if tensor.dtype == DType.RESOURCE and tensor.handle is None and item.WhichOneof("kind") == "variable":
            variable = item.variable
            tensor.handle = (DType(variable.dtype), symbolic_shape(read_shape(variable.shape), arg.name))


def _propagate(graph: Graph, bodies: Mapping[str, Graph]) -> bool:
    changed = False
    for node in graph.nodes:
        if node.op == "Identity" and node.inputs[0].dtype == DType.RESOURCE:
            changed |= _copy_handle(node.inputs[0], node.outputs[0])
        for name in [item.name for item in node.functions()] + [node.op]:
            callee = bodies.get(name)
            if callee is None:
                continue
            given = node.inputs[_OWN_INPUTS.get(node.op, 0) :]
            if len(given) == len(callee.inputs):
                for tensor, arg in zip(given, callee.inputs, strict=True):
                    changed |= _copy_handle(tensor, arg.outputs[0])
    return changed


def _copy_handle(source: Tensor, target: Tensor) -> bool:
    if target.dtype != DType.RESOURCE or source.handle is None or target.handle is not None:
        return False
    target.handle = source.handle
    return True
