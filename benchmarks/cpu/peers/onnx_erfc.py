"""ONNX has no Erfc, which TensorFlow writes GELU with; tf2onnx leaves the node as it is, and no runtime loads it.

erfc(-x) becomes 1 + erf(x), the form in which ONNX Runtime recognises GELU; any other erfc(x) becomes 1 - erf(x).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

_ONE = "benchmark_one"


def replace(graph: Any) -> int:
    """Rewrites an onnx.GraphProto in place; the number of nodes replaced."""
    made_by = {output: node for node in graph.node for output in node.output}
    nodes: list[Any] = []
    count = 0
    for node in graph.node:
        if node.op_type == "Erfc":
            nodes += _replaced(node, made_by, count)
            count += 1
        else:
            nodes.append(node)
    if count:
        del graph.node[:]
        graph.node.extend(nodes)
        graph.initializer.append(numpy_helper.from_array(np.float32(1), _ONE))
    return count


def _replaced(node: onnx.NodeProto, made_by: dict[str, Any], number: int) -> list[Any]:
    (argument,), (result,) = node.input, node.output
    scaled, erf = f"benchmark_scaled_{number}", f"benchmark_erf_{number}"
    product = made_by.get(argument)
    if product is not None and product.op_type == "Mul":
        negated = made_by.get(product.input[0])
        if negated is not None and negated.op_type == "Neg":
            return [
                helper.make_node("Mul", [negated.input[0], product.input[1]], [scaled]),
                helper.make_node("Erf", [scaled], [erf]),
                helper.make_node("Add", [erf, _ONE], [result]),
            ]
    return [helper.make_node("Erf", [argument], [erf]), helper.make_node("Sub", [_ONE, erf], [result])]
