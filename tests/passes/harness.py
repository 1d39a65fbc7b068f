"""Runs a graph with TensorFlow, to compare before with after."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tf_blade.dtypes import DType
from tf_blade.graph.attributes import Attr, TensorAttr
from tf_blade.graph.graph import Graph, Tensor
from tf_blade.graph.graphdef import OpCatalog, function_def_from_graph
from tf_blade.passes.effects import Effects

CATALOG = OpCatalog()
EFFECTS = Effects({}, CATALOG.is_stateful)


def const(graph: Graph, name: str, value: object, dtype: DType = DType.FLOAT) -> Tensor:
    """A constant's output."""
    array = np.asarray(value, dtype.numpy)
    attrs: dict[str, Attr] = {"dtype": dtype, "value": TensorAttr(dtype, array.shape, array)}
    return graph.add_node("Const", name, (), attrs, [dtype]).outputs[0]


def op(graph: Graph, kind: str, name: str, *inputs: Tensor, dtype: DType = DType.FLOAT, **attrs: Attr) -> Tensor:
    """A node's only output; attribute T is given."""
    node = graph.add_node(kind, name, inputs, {"T": inputs[0].dtype if inputs else dtype, **attrs}, [dtype])
    return node.outputs[0]


def run(graph: Graph, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The graph's outputs, as a function called by TensorFlow."""
    graph.name = graph.name or "body"
    target = tf.Graph()
    with target.as_default():
        arguments = [tf.constant(feeds[node.name]) for node in graph.inputs]
        message = tf.Graph().as_graph_def()
        message.library.function.add().CopyFrom(function_def_from_graph(graph, None, CATALOG))
        tf.graph_util.import_graph_def(message, name="")
        results = tf.raw_ops.PartitionedCall(
            args=arguments, Tout=[int(item.tensor.dtype) for item in graph.outputs], f=_named(target, graph.name)
        )
    with tf.compat.v1.Session(graph=target) as session:
        return [np.asarray(item) for item in session.run(list(results))]


def _named(target: tf.Graph, name: str) -> object:
    return target._get_function(name)
