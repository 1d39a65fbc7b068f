"""From a traced tf.function to a Graph through tf.Operation: a second, independent path beside the GraphDef reader."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tf_blade.dtypes import DType
from tf_blade.graph.attributes import Attr, FunctionAttr, ShapeAttr, TensorAttr
from tf_blade.graph.graph import Graph, Tensor


def graph_of(concrete: Any, name: str) -> Graph:
    """The body of a concrete function. Captured variables become inputs with `handle` set."""
    graph = Graph(name)
    tensors: dict[str, Tensor] = {}
    arguments = list(concrete.inputs)
    captured = dict(
        zip(
            (item.name for item in arguments[len(arguments) - len(concrete.captured_inputs) :]),
            concrete.captured_inputs,
            strict=True,
        )
    )
    for argument in arguments:
        tensor = graph.add_input(argument.op.name, DType(argument.dtype.as_datatype_enum))
        tensor.shape = tuple(argument.shape) if argument.shape.is_fully_defined() else None
        if argument.dtype == tf.resource:
            dtype, shape = variable_type(captured[argument.name])
            tensor.handle = (DType(dtype.as_datatype_enum), shape)
        tensors[argument.name] = tensor
    for operation in concrete.graph.get_operations():
        if operation.name in graph or not operation.outputs:  # a NoOp only orders side effects
            continue
        attrs = {key: _attr(value) for key, value in operation.node_def.attr.items()}
        dtypes = [DType(item.dtype.as_datatype_enum) for item in operation.outputs]
        inputs = [tensors[item.name] for item in operation.inputs]
        node = graph.add_node(operation.type, operation.name, inputs, attrs, dtypes)
        tensors.update((item.name, tensor) for item, tensor in zip(operation.outputs, node.outputs, strict=True))
    for index, output in enumerate(concrete.outputs):
        graph.add_output(f"result_{index}", tensors[output.name])
    return graph


def variable_type(handle: Any) -> tuple[tf.DType, tuple[int, ...]]:
    """Element type and shape of the variable that a captured handle stands for."""
    (content,) = handle._handle_data.shape_and_type
    return tf.as_dtype(content.dtype), tuple(dim.size for dim in content.shape.dim)


def _attr(value: Any) -> Attr:
    kind = value.WhichOneof("value")
    if kind == "list":
        field = next((item for item, content in value.list.ListFields()), None)
        items = [] if field is None else getattr(value.list, field.name)
        return [_item("" if field is None else field.name, item) for item in items]
    return _item(kind, getattr(value, kind))


def _item(kind: str, value: Any) -> Any:
    if kind == "type":
        return DType(value)
    if kind == "shape":
        return ShapeAttr(None if value.unknown_rank else tuple(dim.size for dim in value.dim))
    if kind == "tensor":
        array = tf.make_ndarray(value)
        return TensorAttr(DType(value.dtype), tuple(array.shape), array)
    if kind == "func":
        return FunctionAttr(value.name)
    return value
