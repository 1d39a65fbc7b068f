"""One TensorFlow node to IR, and the body of a function that a node calls."""

from __future__ import annotations

from collections.abc import Sequence

from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import RULES, OpContext
from tf_blade.backends.disc.ops.left import LEFT
from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported
from tf_blade.graph.graph import ARG_OP, Graph, Node, Tensor

MAX_DEPTH = 16
# A handle arrives as the variable's tensor, a list as its elements stacked.
_STAND_FOR_OTHERS = frozenset({DType.RESOURCE, DType.VARIANT})


def lower_node(builder: Builder, node: Node, inputs: Sequence[Value]) -> list[Value]:
    """The IR values of the node's outputs.

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
    try:
        result = rule.lower(OpContext(builder, node, list(inputs)))
    except Unsupported as error:
        raise Unsupported(error.reason, node.name) from error
    values = [result] if isinstance(result, Value) else list(result)
    if len(values) != len(node.outputs):
        raise Unsupported(f"lowering gave {len(values)} values for {len(node.outputs)} outputs", node.name)
    for value, tensor in zip(values, node.outputs, strict=True):
        if value.dtype != tensor.dtype and tensor.dtype not in _STAND_FOR_OTHERS:
            raise Unsupported(f"lowering gave {value.dtype.name.lower()} for {tensor.dtype.name.lower()}", node.name)
    return values


def lower_body(builder: Builder, body: Graph, arguments: Sequence[Value]) -> list[Value]:
    """The results of a function for the given arguments.

    Raises:
        Unsupported: a node of it has no rule, or its rule refuses; or functions call each other without end.
    """
    if builder.depth > MAX_DEPTH:
        raise Unsupported(f"functions call each other more than {MAX_DEPTH} deep")
    values: dict[Tensor, Value] = {}
    if len(arguments) != len(body.inputs):
        raise Unsupported(f"a function of {len(body.inputs)} inputs is called with {len(arguments)}")
    for node, value in zip(body.inputs, arguments, strict=True):
        values[node.outputs[0]] = value
    for node in _needed(body):
        if node.op != ARG_OP:
            results = lower_node(builder, node, [values[tensor] for tensor in node.inputs])
            values.update(zip(node.outputs, results, strict=True))
    return [values[output.tensor] for output in body.outputs]


def _needed(body: Graph) -> list[Node]:
    """The nodes that the results are computed from, in order. The others have no effect: the caller has seen to it."""
    needed = {output.tensor.node for output in body.outputs}
    stack = list(needed)
    while stack:
        for tensor in stack.pop().inputs:
            if tensor.node not in needed:
                needed.add(tensor.node)
                stack.append(tensor.node)
    return [node for node in body.topological_order() if node in needed]
