"""GraphDef and FunctionDef to `Graph` and back. With tf_blade/saved_model/, the only code that knows these messages.

Reading gives every node all of its attributes, defaults included, and remembers the message it came from; writing
starts from that message and changes what differs, so a graph that nobody touched comes back byte for byte.

    catalog = OpCatalog(graph_def.library)
    graph = graph_from_function_def(function_def, catalog)
    ...
    function_def.CopyFrom(function_def_from_graph(graph, function_def, catalog))
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from tensorflow.core.framework import attr_value_pb2, function_pb2, graph_pb2, node_def_pb2

from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported
from tf_blade.graph.attributes import Attr, ShapeAttr
from tf_blade.graph.graph import ARG_OP, Graph, Node, Tensor
from tf_blade.graph.graphdef_attrs import (
    OpCatalog,
    check_attrs,
    element_type,
    input_types,
    output_args,
    read_attrs,
    read_shape,
    ref_type,
    shape_attr,
    symbolic_shape,
    write_attr,
    write_shape,
)
from tf_blade.symbolic import Shape

FunctionDef: TypeAlias = function_pb2.FunctionDef
GraphDef: TypeAlias = graph_pb2.GraphDef
NodeDef: TypeAlias = node_def_pb2.NodeDef

__all__ = [
    "Origin",
    "OpCatalog",
    "function_def_from_graph",
    "graph_def_from_graph",
    "graph_from_function_def",
    "graph_from_graph_def",
]


@dataclasses.dataclass(frozen=True)
class Origin:
    """The message a node was read from, and its attributes as they were then. Lives in `Node.debug`."""

    node_def: NodeDef
    attrs: Mapping[str, Attr]


# Reading ------------------------------------------------------------------------------------------------------------


def _index(text: str, reader: str) -> int:
    if not text.isdecimal():
        raise Unsupported(f"'{text}' is no number of an output", reader)
    return int(text)


class _Reader:
    """Adds the nodes of a message to a graph: all nodes first, then their edges, since messages are in any order."""

    def __init__(self, graph: Graph, catalog: OpCatalog, *, in_function: bool) -> None:
        self._graph = graph
        self._catalog = catalog
        self._in_function = in_function
        # Position of the first tensor of each output argument of a node.
        self._offsets: dict[str, dict[str, int]] = {}

    def add(self, node_def: NodeDef) -> Node:
        try:
            definition = self._catalog.get(node_def.op)
            check_attrs(definition, node_def.attr)
            lists: dict[str, Attr] = {item.name: [] for item in definition.attr if item.type.startswith("list(")}
            empty = {name: value for name, value in lists.items() if name in node_def.attr}
            attrs = {**self._catalog.defaults(node_def.op), **empty, **read_attrs(node_def.attr)}
            outputs = output_args(definition, attrs)
        except Unsupported as error:
            raise Unsupported(error.reason, node_def.name) from error
        except KeyError as error:
            raise Unsupported(f"attribute {error} is missing", node_def.name) from error
        offsets: dict[str, int] = {}
        dtypes: list[DType] = []
        for name, types in outputs:
            offsets[name] = len(dtypes)
            dtypes.extend(types)
        self._offsets[node_def.name] = offsets
        node = self._graph.add_node(node_def.op, node_def.name, (), attrs, dtypes, device=node_def.device)
        node.debug = Origin(node_def, dict(attrs))
        return node

    def connect(self, node_def: NodeDef) -> None:
        node = self._graph.node(node_def.name)
        for text in node_def.input:
            if text.startswith("^"):
                self._graph.add_control_input(node, self.node(text[1:], node_def.name))
            else:
                self._graph.append_input(node, self.tensor(text, node_def.name))
        given = [tensor.dtype for tensor in node.inputs]
        wanted = input_types(self._catalog.get(node.op), node.attrs)
        # A value is read out of a reference where one is asked for, never the other way round.
        if len(given) != len(wanted) or any(b not in (a, a.referred) for a, b in zip(given, wanted, strict=True)):
            texts = (", ".join(dtype.name.lower() for dtype in types) or "nothing" for types in (wanted, given))
            raise Unsupported("op {} takes {}, and is given {}".format(node.op, *texts), node.name)

    def tensor(self, text: str, reader: str) -> Tensor:
        """The tensor of "node:out_arg:index" or "arg" in a function, of "node:index" or "node" in a main graph."""
        name, _, rest = text.partition(":")
        node = self.node(name, reader)
        index = 0
        if rest and self._in_function:
            out_arg, _, position = rest.partition(":")
            if node.op == ARG_OP:
                index = _index(out_arg, reader)
            elif out_arg not in self._offsets[name]:
                raise Unsupported(f"reads output {text}, which does not exist", reader)
            else:
                index = self._offsets[name][out_arg] + _index(position or "0", reader)
        elif rest:
            index = _index(rest, reader)
        if index >= len(node.outputs):
            raise Unsupported(f"reads output {text}, which does not exist", reader)
        return node.outputs[index]

    def node(self, name: str, reader: str) -> Node:
        if name not in self._graph:
            raise Unsupported(f"reads {name}, which does not exist", reader)
        return self._graph.node(name)


def graph_from_function_def(function: FunctionDef, catalog: OpCatalog) -> Graph:
    """The body of a function. Arguments carry the shapes, and handles the variables' types, that the message states.

    Raises:
        Unsupported: the body holds something that cannot be represented; it must stay as it is.
    """
    graph = Graph(function.signature.name)
    for index, arg in enumerate(function.signature.input_arg):
        if arg.type_list_attr or arg.number_attr or arg.type_attr:
            raise Unsupported(f"argument {arg.name} has no type of its own")
        if arg.name in graph:
            raise Unsupported(f"two arguments are called {arg.name}")
        tensor = graph.add_input(arg.name, ref_type(element_type(arg.type)) if arg.is_ref else element_type(arg.type))
        tensor.shape = _stated_shape(function.arg_attr[index].attr, arg.name) if index in function.arg_attr else None
        if len(arg.handle_data) == 1 and arg.type == DType.RESOURCE:
            item = arg.handle_data[0]
            tensor.handle = (element_type(item.dtype), symbolic_shape(read_shape(item.shape), arg.name))
    reader = _Reader(graph, catalog, in_function=True)
    for node_def in function.node_def:
        if node_def.name in graph:
            raise Unsupported(f"two nodes are called {node_def.name}")
        reader.add(node_def)
    for node_def in function.node_def:
        reader.connect(node_def)
    for arg in function.signature.output_arg:
        if arg.type_list_attr or arg.number_attr or arg.type_attr:
            raise Unsupported(f"result {arg.name} has no type of its own")
        graph.add_output(arg.name, reader.tensor(function.ret[arg.name], arg.name))
    for name in sorted(function.control_ret):
        graph.control_outputs.append((name, reader.node(function.control_ret[name], name)))
    return graph


def _stated_shape(attrs: Mapping[str, attr_value_pb2.AttrValue], name: str) -> Shape | None:
    if "_output_shapes" not in attrs or len(attrs["_output_shapes"].list.shape) != 1:
        return None
    return symbolic_shape(read_shape(attrs["_output_shapes"].list.shape[0]), name)


def graph_from_graph_def(
    graph_def: GraphDef,
    catalog: OpCatalog,
    *,
    feeds: Iterable[str] = (),
    fetches: Iterable[str],
    targets: Iterable[str] = (),
    keep: Iterable[str] = (),
) -> Graph:
    """The part of a main graph that computes `fetches` and runs `targets` from `feeds`, as if it were a function.

    Args:
        graph_def: the main graph.
        catalog: the ops it uses.
        feeds: tensors ("node:index" or "node") that are fed: they become arguments named as their nodes.
        fetches: tensors that are fetched; they become outputs of these names, with all others of their nodes.
        targets: nodes that are run for their effect; they become control outputs.
        keep: tensors and nodes that must stay if they are in the part; names that are not are passed over.

    All else in the main graph is not in the result. Tensors and nodes of the part that the rest reads become outputs
    and control outputs as well, so that whatever is done to the part, the rest finds what it needs.

    Raises:
        Unsupported: the part holds something that cannot be represented; it must stay as it is.
    """
    node_defs = {item.name: item for item in graph_def.node}
    fed = {_split(text)[0] for text in feeds}
    wanted = [_canonical(text) for text in fetches]
    part = _ancestors(node_defs, [_split(text)[0] for text in wanted] + list(targets), fed)
    graph = Graph()
    reader = _Reader(graph, catalog, in_function=False)
    for node_def in graph_def.node:
        if node_def.name in part:
            if node_def.name in graph:
                raise Unsupported(f"two nodes are called {node_def.name}")
            node = reader.add(node_def)
            if node.name in fed:
                _make_argument(graph, node)
    for node_def in graph_def.node:
        if node_def.name in part and node_def.name not in fed:
            reader.connect(node_def)
    tensors, nodes = _read_by_rest(graph_def, part)
    # A node whose name survives gives all of its outputs, asked for or not.
    nodes_read = dict.fromkeys(reader.tensor(text, "").node for text in wanted + tensors)
    for tensor in (tensor for node in nodes_read for tensor in node.outputs):
        graph.add_output(tensor.name, tensor)
    for name in dict.fromkeys([*targets, *nodes]):
        graph.control_outputs.append((name, graph.node(name)))
    _keep(graph, keep)
    return graph


def _keep(graph: Graph, names: Iterable[str]) -> None:
    tensors = {output.name for output in graph.outputs}
    nodes = {name for name, _ in graph.control_outputs}
    for text in names:
        name, colon, _ = text.removeprefix("^").partition(":")
        if name not in graph or graph.node(name).op == ARG_OP:
            continue
        node = graph.node(name)
        if not colon and name not in nodes:
            nodes.add(name)
            graph.control_outputs.append((name, node))
        # Whoever asks for a node, or for one of its tensors, may go on to ask for any of them.
        for tensor in node.outputs:
            if tensor.name not in tensors:
                tensors.add(tensor.name)
                graph.add_output(tensor.name, tensor)


def _split(text: str) -> tuple[str, int]:
    name, _, index = text.partition(":")
    return name, _index(index or "0", text)


def _canonical(text: str) -> str:
    name, index = _split(text)
    return f"{name}:{index}"


def _ancestors(node_defs: Mapping[str, NodeDef], roots: Sequence[str], stop: set[str]) -> set[str]:
    found: set[str] = set()
    stack = list(roots)
    while stack:
        name = stack.pop()
        if name in found:
            continue
        if name not in node_defs:
            raise Unsupported(f"node {name} does not exist")
        found.add(name)
        if name not in stop:
            stack.extend(_split(text.removeprefix("^"))[0] for text in node_defs[name].input)
    return found


def _make_argument(graph: Graph, node: Node) -> None:
    """A fed node is an argument; the message it came from is written back as it was."""
    if len(node.outputs) != 1:
        raise Unsupported("a node of several outputs is fed", node.name)
    shape = node.attrs.get("shape")
    if isinstance(shape, ShapeAttr) and node.op in ("Placeholder", "PlaceholderWithDefault"):
        node.outputs[0].shape = symbolic_shape(shape, node.name)
    node.op = ARG_OP
    node.attrs = {"T": node.outputs[0].dtype, "index": len(graph.inputs)}
    graph.inputs.append(node)


def _read_by_rest(graph_def: GraphDef, part: set[str]) -> tuple[list[str], list[str]]:
    """Tensors and nodes of the part that nodes outside of it read and wait for."""
    tensors: list[str] = []
    nodes: list[str] = []
    for node_def in graph_def.node:
        if node_def.name in part:
            continue
        for text in node_def.input:
            name = _split(text.removeprefix("^"))[0]
            if name in part:
                (nodes if text.startswith("^") else tensors).append(name if text.startswith("^") else _canonical(text))
    return tensors, nodes


# Writing ------------------------------------------------------------------------------------------------------------


class _Writer:
    """Makes node messages. `rename` maps node names of the graph to those in the message, where they differ."""

    def __init__(self, catalog: OpCatalog, *, in_function: bool, rename: Mapping[str, str] | None = None) -> None:
        self._catalog = catalog
        self._in_function = in_function
        self._rename = rename or {}
        self._names: dict[Node, list[str]] = {}

    def name(self, node: Node) -> str:
        return self._rename.get(node.name, node.name)

    def tensor(self, tensor: Tensor) -> str:
        node = tensor.node
        if not self._in_function:
            return f"{self.name(node)}:{tensor.index}" if tensor.index else self.name(node)
        if node.op == ARG_OP:
            return self.name(node)
        names = self._names.get(node)
        if names is None:
            outputs = output_args(self._catalog.get(node.op), {**self._catalog.defaults(node.op), **node.attrs})
            names = [f"{arg}:{i}" for arg, types in outputs for i in range(len(types))]
            self._names[node] = names
        return f"{self.name(node)}:{names[tensor.index]}"

    def write(self, node: Node, message: NodeDef) -> None:
        origin = node.debug if isinstance(node.debug, Origin) and node.debug.node_def.op == node.op else None
        known: Mapping[str, Attr] = {}
        if origin is not None:
            message.CopyFrom(origin.node_def)
            known = origin.attrs
        message.name, message.op, message.device = self.name(node), node.op, node.device
        self._write_inputs(node, message)
        for key in known:
            if key not in node.attrs and key in message.attr:
                del message.attr[key]
        for key, value in node.attrs.items():
            if key not in known or known[key] is not value:
                message.attr[key].Clear()
                write_attr(message.attr[key], value)

    def _write_inputs(self, node: Node, message: NodeDef) -> None:
        texts = [self.tensor(item) for item in node.inputs] + [f"^{self.name(item)}" for item in node.control_inputs]
        # "x" and "x:0", "f:out" and "f:out:0" are the same: as long as nothing else changed, the spelling stays.
        if [self._spelling(item) for item in message.input] != [self._spelling(item) for item in texts]:
            del message.input[:]
            message.input.extend(texts)

    @staticmethod
    def _spelling(text: str) -> str:
        return text.removesuffix(":0")


def function_def_from_graph(graph: Graph, original: FunctionDef | None, catalog: OpCatalog) -> FunctionDef:
    """The message of a function: the original with another body, or a new function where there is no original.

    Argument and result names of a new function must be valid names of op arguments.
    """
    function = function_pb2.FunctionDef()
    if original is None:
        _write_signature(function, graph)
    else:
        function.CopyFrom(original)
        del function.node_def[:]
    writer = _Writer(catalog, in_function=True)
    for node in graph.nodes:
        if node.op != ARG_OP:
            writer.write(node, function.node_def.add())
    function.ret.clear()
    for output in graph.outputs:
        text = writer.tensor(output.tensor)
        before = original.ret[output.name] if original is not None else text
        function.ret[output.name] = before if before.removesuffix(":0") == text.removesuffix(":0") else text
    function.control_ret.clear()
    for name, node in graph.control_outputs:
        function.control_ret[name] = node.name
    kept = [name for name in function.signature.control_output if name in function.control_ret]
    new = [name for name, _ in graph.control_outputs if name not in kept]
    del function.signature.control_output[:]
    function.signature.control_output.extend(kept + new)
    if original is None:
        function.signature.is_stateful = any(catalog.is_stateful(n.op) for n in graph.nodes if n.op != ARG_OP)
    return function


def _write_signature(function: FunctionDef, graph: Graph) -> None:
    function.signature.name = graph.name
    for index, node in enumerate(graph.inputs):
        tensor = node.outputs[0]
        arg = function.signature.input_arg.add(name=node.name, type=int(tensor.dtype))
        if tensor.handle is not None:
            dtype, shape = tensor.handle
            data = arg.handle_data.add(dtype=int(dtype))
            write_shape(data.shape, shape_attr(shape))
        else:
            shapes = function.arg_attr[index].attr["_output_shapes"].list.shape
            write_shape(shapes.add(), shape_attr(tensor.shape))
    for output in graph.outputs:
        function.signature.output_arg.add(name=output.name, type=int(output.tensor.dtype))


def graph_def_from_graph(graph: Graph, original: GraphDef, catalog: OpCatalog, *, before: Iterable[str]) -> GraphDef:
    """The main graph with the part that `graph_from_graph_def` took out of it put back.

    Args:
        graph: the part, changed or not.
        original: the main graph it came from.
        catalog: the ops.
        before: names of the part's nodes as they were when it was taken out.

    Every output and control output stays addressable by its name: where its node is gone, an Identity, IdentityN or
    NoOp of that name takes its place. Nodes outside of the part are copied as they are.
    """
    removed = set(before)
    rest = {item.name for item in original.node} - removed
    aliases = _Aliases(graph)
    writer = _Writer(catalog, in_function=False, rename=_free_names(graph, rest | set(aliases.names)))
    result = graph_pb2.GraphDef()
    result.CopyFrom(original)
    del result.node[:]
    written: set[str] = set()
    for node_def in original.node:
        name = node_def.name
        if name in rest:
            result.node.add().CopyFrom(node_def)
        elif name in graph and name not in aliases.names:
            _write_part_node(writer, graph.node(name), result.node.add())
            written.add(name)
    for node in graph.nodes:
        if node.name not in written:
            _write_part_node(writer, node, result.node.add())
    aliases.write(writer, result)
    return result


def _write_part_node(writer: _Writer, node: Node, message: NodeDef) -> None:
    if node.op == ARG_OP and isinstance(node.debug, Origin):
        message.CopyFrom(node.debug.node_def)
    else:
        writer.write(node, message)


class _Aliases:
    """Names of outputs whose nodes are gone or compute something else now."""

    def __init__(self, graph: Graph) -> None:
        self._tensors: dict[str, dict[int, Tensor]] = {}
        self._controls: dict[str, list[Node]] = {}
        for output in graph.outputs:
            name, index = _split(output.name)
            self._tensors.setdefault(name, {})[index] = output.tensor
        for name, node in graph.control_outputs:
            self._controls.setdefault(name, []).append(node)
        for name in list(self._tensors):
            if all(item.node.name == name and item.index == index for index, item in self._tensors[name].items()):
                del self._tensors[name]
        for name, nodes in list(self._controls.items()):
            if name not in self._tensors and all(node.name == name for node in nodes):
                del self._controls[name]

    @property
    def names(self) -> set[str]:
        return {*self._tensors, *self._controls}

    def write(self, writer: _Writer, graph_def: GraphDef) -> None:
        for name in sorted(self.names):
            node_def = graph_def.node.add(name=name)
            controls = sorted({f"^{writer.name(node)}" for node in self._controls.get(name, ())})
            tensors = self._tensors.get(name)
            if not tensors:
                node_def.op = "NoOp"
            else:
                self._write_identity(writer, node_def, tensors)
            node_def.input.extend(controls)

    @staticmethod
    def _write_identity(writer: _Writer, node_def: NodeDef, tensors: Mapping[int, Tensor]) -> None:
        items = [tensors[index] for index in range(len(tensors))]
        node_def.input.extend(writer.tensor(item) for item in items)
        if len(items) == 1:
            node_def.op = "Identity"
            node_def.attr["T"].type = int(items[0].dtype)
        else:
            node_def.op = "IdentityN"
            node_def.attr["T"].list.type.extend(int(item.dtype) for item in items)


def _free_names(graph: Graph, taken: set[str]) -> dict[str, str]:
    """New names for the nodes of the part whose names are needed otherwise."""
    used = taken | {node.name for node in graph.nodes}
    renamed: dict[str, str] = {}
    for node in graph.nodes:
        if node.name in taken:
            count, name = 1, f"{node.name}_1"
            while name in used:
                count += 1
                name = f"{node.name}_{count}"
            used.add(name)
            renamed[node.name] = name
    return renamed
