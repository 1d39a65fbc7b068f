"""TensorFlow ops that ONNX lacks: tf2onnx leaves the nodes as they are, and then no runtime loads the model.

erfc(-x) → 1 + erf(x)    the form in which ONNX Runtime recognises GELU
erfc(x)  → 1 - erf(x)
log1p(x) → log(1 + x)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

_ONE = "benchmark_one"


def replace(graph: Any) -> int:
    """Rewrites an onnx.GraphProto in place; the number of nodes replaced."""
    made_by = {output: node for node in graph.node for output in node.output}
    nodes: list[Any] = []
    count = 0
    for node in graph.node:
        rule = {"Erfc": _erfc, "Log1p": _log1p}.get(node.op_type)
        nodes += [node] if rule is None else rule(node, made_by, f"benchmark_{count}")
        count += rule is not None
    if count:
        del graph.node[:]
        graph.node.extend(nodes)
        graph.initializer.append(numpy_helper.from_array(np.float32(1), _ONE))
    return count


def _erfc(node: Any, made_by: Mapping[str, Any], name: str) -> list[Any]:
    (argument,), (result,) = node.input, node.output
    product = made_by.get(argument)
    if product is not None and product.op_type == "Mul":
        negated = made_by.get(product.input[0])
        if negated is not None and negated.op_type == "Neg":
            return [
                helper.make_node("Mul", [negated.input[0], product.input[1]], [f"{name}_scaled"]),
                helper.make_node("Erf", [f"{name}_scaled"], [f"{name}_erf"]),
                helper.make_node("Add", [f"{name}_erf", _ONE], [result]),
            ]
    return [
        helper.make_node("Erf", [argument], [f"{name}_erf"]),
        helper.make_node("Sub", [_ONE, f"{name}_erf"], [result]),
    ]


def _log1p(node: Any, made_by: Mapping[str, Any], name: str) -> list[Any]:
    del made_by
    return [
        helper.make_node("Add", [node.input[0], _ONE], [f"{name}_plus_1"]),
        helper.make_node("Log", [f"{name}_plus_1"], [node.output[0]]),
    ]
