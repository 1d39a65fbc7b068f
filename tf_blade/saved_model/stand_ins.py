"""Stand-ins for tensors inside functions that the object graph names.

The gradient of a custom gradient (Keras's swish, for one) captures tensors of the forward function, and the SavedModel
names them: loading looks each up in the function's graph. When such a tensor has gone into an engine nothing computes
it any more, and nothing has to, since serving takes no gradients. A placeholder of its name and type keeps the model
loadable; nobody reads it, so that TensorFlow prunes it before it runs the function.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tf_blade.dtypes import DType
from tf_blade.graph.attributes import ShapeAttr
from tf_blade.graph.graph import Graph
from tf_blade.saved_model.model import SavedModel


def captured_tensors(model: SavedModel) -> dict[str, tuple[str, ...]]:
    """For each function, the tensors ("node:index") that the object graph captures from it."""
    found: dict[str, dict[str, None]] = {}
    for node in model.meta_graph.object_graph_def.nodes:
        if node.WhichOneof("kind") == "captured_tensor":
            captured = node.captured_tensor
            found.setdefault(captured.concrete_function, {}).setdefault(captured.name)
    return {function: tuple(names) for function, names in found.items()}


def output_types(graph: Graph, tensors: Iterable[str]) -> dict[str, tuple[DType, ...]]:
    """For each node that one of the tensors belongs to, the element types of its outputs."""
    nodes = dict.fromkeys(name.partition(":")[0] for name in tensors)
    return {name: tuple(t.dtype for t in graph.node(name).outputs) for name in nodes if name in graph}


def add_stand_ins(graph: Graph, types: Mapping[str, tuple[DType, ...]]) -> None:
    """Adds a stand-in for each of the nodes that the graph has no more."""
    for name, dtypes in types.items():
        if name in graph:
            continue
        if len(dtypes) == 1:
            graph.add_node("Placeholder", name, (), {"dtype": dtypes[0], "shape": ShapeAttr(None)}, dtypes)
            continue
        sources = [
            graph.add_node(
                "Placeholder",
                graph.unique_name(f"{name}/stand_in"),
                (),
                {"dtype": dtype, "shape": ShapeAttr(None)},
                [dtype],
            ).outputs[0]
            for dtype in dtypes
        ]
        graph.add_node("IdentityN", name, sources, {"T": list(dtypes)}, dtypes)
