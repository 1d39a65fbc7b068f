"""Parses the text of `printer.print_graph(…, full=True)`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy

from tf_blade import symbolic
from tf_blade.dtypes import DType
from tf_blade.errors import TfBladeError
from tf_blade.graph.attributes import Attr, FunctionAttr, PlaceholderAttr, ShapeAttr, TensorAttr
from tf_blade.graph.graph import ARG_OP, Graph, Node, Tensor
from tf_blade.symbolic import Dim, Shape


class GraphSyntaxError(TfBladeError):
    """The text is no graph; says where."""


_NODE = re.compile(
    r"(?P<name>\S+) = (?P<op>[\w>]+)\((?P<inputs>[^()]*)\)(?: @(?P<device>\S+))? (?P<attrs>\{.*\}) ->(?P<outputs>.*)"
)
_OUTPUT = re.compile(r"output (\S+) = (\S+):(\d+)")
_CONTROL = re.compile(r"control (\S+) = (\S+)")


def parse_graph(text: str) -> Graph:
    """The graph of a text.

    Raises:
        GraphSyntaxError: a line cannot be parsed, or names a node that is not there.
    """
    lines = [line.strip() for line in text.strip().splitlines()]
    header = re.fullmatch(r"graph ?(\S*) \{", lines[0]) if lines else None
    if header is None or lines[-1] != "}":
        raise GraphSyntaxError("the text does not start with 'graph NAME {' and end with '}'")
    graph = Graph(header.group(1))
    edges: list[tuple[Node, str]] = []
    for number, line in enumerate(lines[1:-1], start=2):
        try:
            _parse_line(graph, line, edges)
        except (SyntaxError, ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
            raise GraphSyntaxError(f"line {number}: {error}: {line}") from error
    try:
        _connect(graph, edges)  # where there is no line but nodes
    except (KeyError, IndexError) as error:
        raise GraphSyntaxError(f"a node reads {error}, which is not there") from error
    return graph


def _parse_line(graph: Graph, line: str, edges: list[tuple[Node, str]]) -> None:
    """Nodes come first, so the first other line connects them."""
    match = _NODE.fullmatch(line)
    if match is not None:
        edges += _parse_node(graph, match)
        return
    _connect(graph, edges)
    if match := _OUTPUT.fullmatch(line):
        graph.add_output(match.group(1), graph.node(match.group(2)).outputs[int(match.group(3))])
    elif match := _CONTROL.fullmatch(line):
        graph.control_outputs.append((match.group(1), graph.node(match.group(2))))
    elif line.startswith("keep "):
        graph.keep.add(line.removeprefix("keep "))
    elif line.startswith("demand"):
        graph.demands += (frozenset(line.split()[1:]),)
    else:
        raise ValueError("neither a node nor an output")


def _connect(graph: Graph, edges: list[tuple[Node, str]]) -> None:
    for node, text in edges:
        if text.startswith("^"):
            graph.add_control_input(node, graph.node(text[1:]))
        else:
            name, _, index = text.rpartition(":")
            graph.append_input(node, graph.node(name).outputs[int(index)])
    edges.clear()


def _parse_node(graph: Graph, match: re.Match[str]) -> list[tuple[Node, str]]:
    attrs = _attr(ast.parse(match["attrs"], mode="eval").body)
    outputs = ast.parse(f"[{match['outputs']}]", mode="eval").body
    assert isinstance(outputs, ast.List)
    dtypes = [_dtype_of(item) for item in outputs.elts]
    node = graph.add_node(match["op"], match["name"], (), attrs, dtypes, device=match["device"] or "")
    if node.op == ARG_OP:
        graph.inputs.append(node)
    for tensor, item in zip(node.outputs, outputs.elts, strict=True):
        _set_output(tensor, item)
    return [(node, text) for text in match["inputs"].split(", ") if text]


# Outputs: FLOAT, FLOAT[s0, 4], INT32[2](s0, 4), RESOURCE(FLOAT[4]) ----------------------------------------------------


def _dtype_of(item: ast.expr) -> DType:
    while not isinstance(item, ast.Name):
        item = item.func if isinstance(item, ast.Call) else item.value  # type: ignore[attr-defined]
    return DType[item.id]


def _set_output(tensor: Tensor, item: ast.expr) -> None:
    if isinstance(item, ast.Call):
        if tensor.dtype == DType.RESOURCE:
            tensor.handle = (_dtype_of(item.args[0]), _shape(item.args[0]))
        else:
            content = np.empty(len(item.args), dtype=object)
            content[:] = [_dim(arg) for arg in item.args]
            shape = _shape(item.func)
            tensor.value = content.reshape([int(dim) for dim in shape or ()])
        item = item.func
    tensor.shape = _shape(item)


def _shape(item: ast.expr) -> Shape | None:
    if isinstance(item, ast.Name):
        return None
    assert isinstance(item, ast.Subscript)
    dims = item.slice.elts if isinstance(item.slice, ast.Tuple) else [item.slice]
    return tuple(_dim(dim) for dim in dims)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "BroadcastDim": symbolic.BroadcastDim,
    "FloorDiv": symbolic.FloorDiv,
    "Max": sympy.Max,
    "Min": sympy.Min,
    "Mod": symbolic.Mod,
}
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Pow: lambda a, b: a**b,
    ast.Div: lambda a, b: sympy.sympify(a) / b,
}


def _dim(item: ast.expr) -> Dim:
    return symbolic.simplify(_expression(item))


def _expression(item: ast.expr) -> Any:
    if isinstance(item, ast.Constant) and isinstance(item.value, int):
        return item.value
    if isinstance(item, ast.Name):
        return symbolic.symbol(item.id)
    if isinstance(item, ast.UnaryOp) and isinstance(item.op, ast.USub):
        return -_expression(item.operand)
    if isinstance(item, ast.BinOp) and type(item.op) in _OPERATORS:
        return _OPERATORS[type(item.op)](_expression(item.left), _expression(item.right))
    if isinstance(item, ast.Call) and isinstance(item.func, ast.Name):
        if item.func.id == "Any":
            return symbolic.value_symbol(_expression(item.args[0]).name)
        if item.func.id == "Dim":
            return symbolic.symbol(ast.literal_eval(item.args[0]))
        return _FUNCTIONS[item.func.id](*(sympy.sympify(_expression(arg)) for arg in item.args))
    raise ValueError(f"{ast.unparse(item)} is no dimension")


# Attributes -----------------------------------------------------------------------------------------------------------


def _attr(item: ast.expr) -> Any:
    if isinstance(item, ast.Dict):
        return {_key(key): _attr(value) for key, value in zip(item.keys, item.values, strict=True)}
    if isinstance(item, ast.List):
        return [_attr(value) for value in item.elts]
    if isinstance(item, ast.Name):
        return DType[item.id]
    if isinstance(item, ast.Call) and isinstance(item.func, ast.Name):
        keywords = {str(word.arg): ast.literal_eval(word.value) for word in item.keywords}
        return _CALLS[item.func.id](item.args, **keywords)
    return ast.literal_eval(item)


def _key(item: ast.expr | None) -> str:
    assert isinstance(item, ast.Name)
    return item.id


def _tensor(args: Sequence[ast.expr], content: str | None = None, message: str | None = None, sha256: str = "") -> Attr:
    dtype, dims = _dtype_of(args[0]), tuple(ast.literal_eval(args[1]))
    if message is not None:
        return TensorAttr(dtype, dims, None, _tensor_message(bytes.fromhex(message)))
    if content is None:
        raise ValueError(f"the tensor's content {sha256} was left out: print the graph with full=True")
    return TensorAttr(dtype, dims, np.frombuffer(bytes.fromhex(content), dtype.numpy).reshape(dims))


def _tensor_message(content: bytes) -> object:
    """Strings have no other form. TensorFlow is imported for them alone."""
    import tensorflow as tf

    return type(tf.make_tensor_proto(0)).FromString(content)


_CALLS: dict[str, Callable[..., Attr]] = {
    "Float": lambda args: float.fromhex(ast.literal_eval(args[0])),
    "Function": lambda args: FunctionAttr(ast.literal_eval(args[0]), _attr(args[1])),
    "Placeholder": lambda args: PlaceholderAttr(ast.literal_eval(args[0])),
    "Shape": lambda args: ShapeAttr(_static_dims([ast.literal_eval(arg) for arg in args])),
    "Tensor": _tensor,
}


def _static_dims(dims: Sequence[int | None]) -> tuple[int, ...] | None:
    return None if list(dims) == [None] else tuple(int(dim) for dim in dims if dim is not None)
