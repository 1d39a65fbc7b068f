"""Computes what depends on constants alone, once and for all.

    Const ─► cast ─► mul ─► relu(x + …)      =>      Const ─► relu(x + …)
    Const ─────────────╯

TensorFlow itself computes the values, by its own kernels, so the result is bit for bit what it would have been.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_blade import dtypes, observe
from tf_blade.dtypes import DType
from tf_blade.graph.attributes import Attr, TensorAttr
from tf_blade.graph.graph import Graph, Node, Tensor
from tf_blade.graph.graphdef import OpCatalog, graph_def_from_graph
from tf_blade.passes.effects import Effect, Effects, has_tf1_control_flow
from tf_blade.threads import session_config

# Larger constants are weights: what is computed from them alone, engines compute once when they are loaded.
MAX_CONST_BYTES = 1 << 20
# A folded value may have so many bytes, or as many as the constants that it was computed from.
MAX_BYTES = 4096

_log = observe.logger("passes")


def fold_constants(graph: Graph, effects: Effects) -> int:
    """Makes readers of computed constants read a Const; gives how many tensors became one."""
    if has_tf1_control_flow(graph):
        return 0  # there, where a constant comes from says when it is alive
    foldable = _foldable(graph, effects)
    if not foldable:
        return 0
    scratch, copies = _copy(foldable)
    target = tf.Graph()
    try:
        with target.as_default():
            message = graph_def_from_graph(scratch, tf.Graph().as_graph_def(), OpCatalog(), before=())
            tf.graph_util.import_graph_def(message, name="")
    except ValueError as error:
        _log.info("%s: nothing is folded: %s", graph.name, error)  # running it reports the same error
        return 0
    fitting = _fitting(foldable, copies, target)
    wanted = [
        tensor
        for node in fitting
        for tensor in node.outputs
        if graph.is_output(tensor) or any(reader not in fitting for reader in tensor.consumers)
    ]
    count = 0
    for tensor, value in zip(wanted, _run(target, [copies[tensor].name for tensor in wanted]), strict=True):
        if value is not None:
            _replace(graph, tensor, value)
            count += 1
    return count


def _foldable(graph: Graph, effects: Effects) -> list[Node]:
    """Nodes without effects whose inputs all are constants or foldable, in topological order."""
    catalog = OpCatalog()
    known: set[Node] = set()
    found: list[Node] = []
    for node in graph.topological_order():
        if node.op == "Const":
            if node.outputs[0].dtype in dtypes.ALL and _const_bytes(node) <= MAX_CONST_BYTES:
                known.add(node)
            continue
        if not node.inputs or any(tensor.node not in known for tensor in node.inputs) or node.control_inputs:
            continue
        if effects.of(node) != Effect.NONE or any(True for _ in node.functions()) or not _is_registered(node, catalog):
            continue
        if all(tensor.dtype in dtypes.ALL for tensor in node.outputs):
            known.add(node)
            found.append(node)
    return found


def _is_registered(node: Node, catalog: OpCatalog) -> bool:
    return not catalog.is_function(node.op) and hasattr(tf.raw_ops, node.op)


def _copy(foldable: Sequence[Node]) -> tuple[Graph, dict[Tensor, Tensor]]:
    scratch = Graph()
    copies: dict[Tensor, Tensor] = {}
    for node in foldable:
        for source in (*(tensor.node for tensor in node.inputs), node):
            if source.outputs and source.outputs[0] not in copies:
                attrs = {key: value for key, value in source.attrs.items() if key not in ("_class", "_output_shapes")}
                inputs = [copies[tensor] for tensor in source.inputs]
                types = [tensor.dtype for tensor in source.outputs]
                clone = scratch.add_node(source.op, source.name, inputs, attrs, types)
                copies.update(zip(source.outputs, clone.outputs, strict=True))
    return scratch, copies


def _fitting(foldable: Sequence[Node], copies: dict[Tensor, Tensor], target: tf.Graph) -> dict[Node, None]:
    """Nodes whose results, and all that these come from, have a size that is known beforehand and small enough."""
    num_bytes: dict[Node, int] = {}
    for node in foldable:
        sources = dict.fromkeys(tensor.node for tensor in node.inputs)
        if any(item.op != "Const" and item not in num_bytes for item in sources):
            continue
        total = sum(num_bytes.get(item, _const_bytes(item)) for item in sources)
        sizes = [_num_bytes(tensor, target.get_tensor_by_name(copies[tensor].name).shape) for tensor in node.outputs]
        if all(size is not None and size <= max(MAX_BYTES, total) for size in sizes):
            num_bytes[node] = total
    return dict.fromkeys(num_bytes)


def _const_bytes(node: Node) -> int:
    value = node.attrs.get("value")
    return value.num_bytes if isinstance(value, TensorAttr) else 0


def _num_bytes(tensor: Tensor, shape: tf.TensorShape) -> int | None:
    count = shape.num_elements()
    return None if count is None else int(count) * tensor.dtype.size


def _run(target: tf.Graph, names: Sequence[str]) -> list[np.ndarray | None]:
    """The values; None where TensorFlow reports an error, which must stay a run-time error."""
    if not names:
        return []
    config = session_config()
    config.device_count["GPU"] = 0
    values: list[np.ndarray | None] = []
    with tf.compat.v1.Session(graph=target, config=config) as session:
        try:
            return [np.asarray(item) for item in session.run(list(names))]
        except tf.errors.OpError as error:
            _log.info("constants are folded one by one: %s", error.message)
        for name in names:
            try:
                values.append(np.asarray(session.run(name)))
            except tf.errors.OpError as error:
                _log.info("%s is not folded: %s", name, error.message)
                values.append(None)
    return values


def _replace(graph: Graph, tensor: Tensor, value: np.ndarray) -> None:
    name = graph.unique_name(f"{tensor.node.name}/folded")
    array = np.ascontiguousarray(value).reshape(value.shape)
    array.flags.writeable = False
    dtype: DType = tensor.dtype
    attrs: dict[str, Attr] = {"dtype": dtype, "value": TensorAttr(dtype, tuple(array.shape), array)}
    constant = graph.add_node("Const", name, (), attrs, [dtype], device=tensor.node.device).outputs[0]
    constant.shape = tuple(array.shape)
    graph.replace_uses(tensor, constant)
