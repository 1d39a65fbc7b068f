"""Graphs as text that people read and `parser.py` parses back.

    graph f {
      x = _Arg() {T: FLOAT, index: 0} -> FLOAT[s0, 128]
      relu = Relu(x:0) {T: FLOAT} -> FLOAT[s0, 128]
      shape = Shape(relu:0, ^x) @/device:CPU:0 {T: FLOAT, out_type: INT32} -> INT32[2](s0, 128)
      output y = relu:0
      control done = relu
      keep relu
    }

A line is `name = Op(inputs, ^control inputs) @device {attributes} -> outputs`. An output is an element type with a
shape in brackets (none for unknown rank, `()` for scalars) and, in parentheses, the known content of a small integer
tensor or the type of the variable behind a handle. `Any(v0)` is a symbol that may be negative.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import sympy

from tf_blade.graph.attributes import Attr, FunctionAttr, PlaceholderAttr, ShapeAttr, TensorAttr
from tf_blade.graph.graph import Graph, Node, Tensor
from tf_blade.symbolic import Dim, Shape

# Larger tensors are named by their hash unless the whole text is asked for.
_SHORT_BYTES = 64


def print_graph(graph: Graph, *, full: bool = False) -> str:
    """The graph as text. `full` spells large constants out, which parsing back needs."""
    lines = [f"graph {graph.name} {{" if graph.name else "graph {"]
    lines += [f"  {print_node(node, full=full)}" for node in graph.nodes]
    lines += [f"  output {item.name} = {item.tensor.name}" for item in graph.outputs]
    lines += [f"  control {name} = {node.name}" for name, node in graph.control_outputs]
    lines += [f"  keep {name}" for name in sorted(graph.keep)]
    lines += [f"  demand {' '.join(sorted(names))}" for names in graph.demands]
    return "\n".join([*lines, "}"]) + "\n"


def print_node(node: Node, *, full: bool = False) -> str:
    """One node as a line."""
    inputs = [tensor.name for tensor in node.inputs] + [f"^{item.name}" for item in node.control_inputs]
    device = f" @{node.device}" if node.device else ""
    attrs = ", ".join(f"{key}: {_attr(node.attrs[key], full=full)}" for key in sorted(node.attrs))
    outputs = ", ".join(_output(tensor) for tensor in node.outputs)
    return f"{node.name} = {node.op}({', '.join(inputs)}){device} {{{attrs}}} -> {outputs}".rstrip()


def print_neighbourhood(node: Node) -> str:
    """A node with those it reads and those that read it, for messages about a broken node."""
    before = dict.fromkeys(node.predecessors())
    after = dict.fromkeys(node.successors())
    lines = [f"  {print_node(item)}" for item in before if item is not node]
    lines.append(f"> {print_node(node)}")
    lines += [f"  {print_node(item)}" for item in after if item is not node and item not in before]
    return "\n".join(lines)


def _output(tensor: Tensor) -> str:
    text = f"{tensor.dtype.name}{_shape(tensor.shape)}"
    if tensor.handle is not None:
        return f"{text}({tensor.handle[0].name}{_shape(tensor.handle[1])})"
    if tensor.value is not None:
        return f"{text}({_dims(tensor.value.reshape(-1))})"
    return text


def _shape(shape: Shape | None) -> str:
    if shape is None:
        return ""
    return f"[{_dims(shape) or '()'}]"


def _dims(dims: Iterable[Dim] | np.ndarray) -> str:
    return ", ".join(_dim(dim) for dim in dims)


def _dim(dim: Dim) -> str:
    if isinstance(dim, int):
        return str(dim)
    return str(dim.xreplace({item: sympy.Symbol(_symbol(item)) for item in dim.free_symbols}))


def _symbol(item: sympy.Symbol) -> str:
    name = str(item.name)
    spelled = name if name.isidentifier() else f"Dim({name!r})"
    return spelled if item.is_nonnegative else f"Any({spelled})"


def _attr(value: Attr, *, full: bool) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_attr(item, full=full) for item in value)}]"
    if isinstance(value, TensorAttr):
        return _tensor(value, full=full)
    if isinstance(value, ShapeAttr):
        return "Shape(None)" if value.dims is None else f"Shape({', '.join(map(str, value.dims))})"
    if isinstance(value, FunctionAttr):
        inner = ", ".join(f"{key}: {_attr(item, full=full)}" for key, item in sorted(value.attrs.items()))
        return f"Function({value.name!r}, {{{inner}}})"
    if isinstance(value, PlaceholderAttr):
        return f"Placeholder({value.name!r})"
    if isinstance(value, float):
        return f"Float({value.hex()!r})" if value != value or value in (float("inf"), float("-inf")) else repr(value)
    if isinstance(value, (bool, bytes)) or type(value) is int:
        return repr(value)
    return value.name if hasattr(value, "name") else repr(int(value))


def _tensor(value: TensorAttr, *, full: bool) -> str:
    dims = f"({', '.join(map(str, value.dims))}{',' if len(value.dims) == 1 else ''})"
    if value.array is None:
        content = value.message.SerializeToString(deterministic=True)
        kind = "message"
    else:
        content = np.ascontiguousarray(value.array).tobytes()
        kind = "content"
    if len(content) > _SHORT_BYTES and not full:
        return f"Tensor({value.dtype.name}, {dims}, sha256={hashlib.sha256(content).hexdigest()[:16]!r})"
    return f"Tensor({value.dtype.name}, {dims}, {kind}={content.hex()!r})"
