"""Random graphs of real ops on vectors of four floats, with a random verdict for each node."""

from __future__ import annotations

import random

import numpy as np

from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported
from tf_blade.graph.attributes import Attr, TensorAttr
from tf_blade.graph.graph import Graph, Node, Tensor
from tf_blade.stages import Verdict

SIZE = 4
# Ops whose results stay within [-1, 1] when their inputs do, by number of inputs.
_OPS: dict[str, int] = {
    "Tanh": 1,
    "Neg": 1,
    "Relu": 1,
    "Identity": 1,
    "Maximum": 2,
    "Mul": 2,
    "Minimum": 2,
    "IdentityN": 2,
}
_DEVICES = ("", "", "", "/device:CPU:0", "/device:CPU:1")


def random_graph(seed: int) -> tuple[Graph, list[Verdict]]:
    """A graph with a placeholder `x`, outputs `y0:0`, `y1:0`, …, and a verdict for each node."""
    rng = random.Random(seed)
    graph = Graph()
    attrs = {"dtype": DType.FLOAT}
    x = graph.add_node("Placeholder", "x", (), attrs, [DType.FLOAT])
    tensors = [x.outputs[0]]
    for index in range(rng.randrange(1, 4)):
        tensors.append(_constant(graph, f"c{index}", rng))
    nodes: list[Node] = []
    reach = rng.choice([3, 8, 100])
    for index in range(rng.randrange(3, 28)):
        node = _random_node(graph, f"n{index}", tensors, reach, rng)
        if nodes and rng.random() < 0.15:
            graph.add_control_input(node, rng.choice(nodes))
        nodes.append(node)
        tensors += node.outputs
    for node in graph.nodes:
        for tensor in node.outputs:
            tensor.shape = (SIZE,)
            if node in nodes and (not tensor.uses or rng.random() < 0.1):
                graph.add_output(f"y{len(graph.outputs)}:0", tensor)
    supported = rng.choice([0.4, 0.7, 0.9])
    backends = rng.choice([("disc",), ("disc", "other")])
    return graph, [_verdict(node, supported, backends, rng) for node in graph.nodes]


def _constant(graph: Graph, name: str, rng: random.Random) -> Tensor:
    array = np.array([rng.uniform(-1, 1) for _ in range(SIZE)], np.float32)
    attrs: dict[str, Attr] = {"dtype": DType.FLOAT, "value": TensorAttr(DType.FLOAT, array.shape, array)}
    return graph.add_node("Const", name, (), attrs, [DType.FLOAT]).outputs[0]


def _random_node(graph: Graph, name: str, tensors: list[Tensor], reach: int, rng: random.Random) -> Node:
    op = rng.choice(list(_OPS))
    inputs = [rng.choice(tensors[-reach:] if rng.random() < 0.8 else tensors) for _ in range(_OPS[op])]
    device = rng.choice(_DEVICES)
    if op == "IdentityN":
        types = [DType.FLOAT] * 2
        return graph.add_node(op, name, inputs, {"T": types}, types, device=device)
    return graph.add_node(op, name, inputs, {"T": DType.FLOAT}, [DType.FLOAT], device=device)


def _verdict(node: Node, supported: float, backends: tuple[str, ...], rng: random.Random) -> Verdict:
    if node.op == "Placeholder" or (node.op != "Const" and rng.random() > supported):
        return Verdict(node, "", (("disc", Unsupported("by lot", node.name)),), 0)
    return Verdict(node, "disc" if node.op == "Const" else rng.choice(backends), (), SIZE)
