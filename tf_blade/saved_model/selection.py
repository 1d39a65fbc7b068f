"""Which bodies of a SavedModel are worth optimizing, and which functions must keep their place.

A body is optimized when serving can reach it: from the nodes that signatures fetch, or from the functions that a Python
user calls on the loaded object. What only saves, restores or initializes is left alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

from google.protobuf.message import DecodeError
from tensorflow.core.framework import node_def_pb2, variable_pb2
from tensorflow.core.protobuf import control_flow_pb2, meta_graph_pb2

from tf_blade.errors import UnknownSignatureError
from tf_blade.saved_model.model import FunctionDef, SavedModel
from tf_blade.saved_model.portable import engine_node

# Ops that run the functions in their attributes as TensorFlow functions on the host; others (data sets, TPU calls, …)
# have rules of their own about what may be inside.
CALLERS = frozenset(
    {
        "BatchFunction",
        "Case",
        "If",
        "PartitionedCall",
        "StatefulPartitionedCall",
        "StatelessCase",
        "StatelessIf",
        "StatelessWhile",
        "While",
    }
)
# Whoever compiles such a function as a whole cannot take an engine in it.
_COMPILED_ATTRS = ("_XlaMustCompile", "_tpu_replicate", "_xla_compile_id")
# Methods of tables and other resources that make or fill them, and of trackables that save them.
_SETUP_METHODS = ("_create_resource", "_initialize", "_destroy_resource")


@dataclasses.dataclass(frozen=True)
class MainPart:
    """The part of the main graph that serves.

    Attributes:
        feeds: tensors that callers feed.
        fetches: tensors that callers fetch.
        targets: nodes that callers run for their effect.
        keep: tensors and nodes, of this part or others, that anything in the model refers to by name.
        reaches: for each signature of the model the names of the nodes that a call of it runs, of this part or others.
    """

    feeds: tuple[str, ...]
    fetches: tuple[str, ...]
    targets: tuple[str, ...]
    keep: tuple[str, ...] = ()
    reaches: tuple[frozenset[str], ...] = ()


@dataclasses.dataclass(frozen=True)
class Selection:
    """What to optimize.

    Attributes:
        bodies: names of functions, in the library's order.
        pinned: names of functions that something other than a plain call refers to: they cannot disappear.
        main: the part of the main graph, None when no signature is left.
        compiled: functions that XLA compiles, by themselves or as a part of others: they stay as they are.
    """

    bodies: tuple[str, ...]
    pinned: frozenset[str]
    main: MainPart | None
    compiled: tuple[str, ...] = ()


def select(model: SavedModel, signatures: Sequence[str] | None) -> Selection:
    """Finds the bodies to optimize for the named signatures; for all of them, and for Python's calls, when None.

    Raises:
        UnknownSignatureError: a name is no signature.
    """
    available = dict(model.signatures())
    for name in signatures or ():
        if name not in available:
            there = ", ".join(available) or "none"
            raise UnknownSignatureError(f"{model.path} has no signature {name!r}; there are: {there}")
    chosen = [available[name] for name in (available if signatures is None else signatures)]
    main = _main_part(model, chosen)
    nodes = {node.name: node for node in model.meta_graph.graph_def.node}
    if main is not None:
        # No signature feeds them, but somebody with a session may: their defaults are no constants.
        optional = [node.name for node in _reach(nodes, main) if node.op == "PlaceholderWithDefault"]
        named = {name.partition(":")[0] for name in main.feeds}
        feeds = (*main.feeds, *sorted(name for name in optional if name not in named))
        main = dataclasses.replace(main, feeds=feeds, reaches=_reaches(model, nodes, available.values()))
    roots = [name for node in _reach(nodes, main) for name in _called(node, model.functions)] if main else []
    if signatures is None:
        roots += [name for name in _python_functions(model) if name in model.functions]
    compiled = _compiled(model)
    reached = _closure(model.functions, roots) - compiled
    bodies = tuple(name for name in model.functions if name in reached)
    part = {node.name for node in _reach(nodes, main)} if main else set()
    kept = tuple(name for name in model.functions if name in compiled)
    return Selection(bodies, frozenset(_pinned(model, part)), main, kept)


def _main_part(model: SavedModel, signatures: Iterable[meta_graph_pb2.SignatureDef]) -> MainPart | None:
    feeds: dict[str, None] = {}
    fetches: dict[str, None] = {}
    targets: dict[str, None] = {}
    for signature in signatures:
        for info in signature.inputs.values():
            feeds.update(dict.fromkeys(_tensors(info)))
        for info in signature.outputs.values():
            # A signature without results names the node to run.
            (fetches if info.dtype else targets).update(dict.fromkeys(_tensors(info)))
    if not fetches and not targets:
        return None
    keep = tuple(sorted(referenced_names(model.meta_graph)))
    return MainPart(tuple(sorted(feeds)), tuple(sorted(fetches)), tuple(sorted(targets)), keep)


def _reaches(
    model: SavedModel,
    nodes: Mapping[str, node_def_pb2.NodeDef],
    signatures: Iterable[meta_graph_pb2.SignatureDef],
) -> tuple[frozenset[str], ...]:
    """What each signature runs, also those that stay as they are: they may share nodes with the others."""
    parts = [_main_part(model, [signature]) for signature in signatures]
    return tuple(frozenset(node.name for node in _reach(nodes, part)) for part in parts if part is not None)


def _tensors(info: meta_graph_pb2.TensorInfo) -> list[str]:
    kind = info.WhichOneof("encoding")
    if kind == "name":
        return [info.name]
    if kind == "coo_sparse":
        sparse = info.coo_sparse
        return [sparse.values_tensor_name, sparse.indices_tensor_name, sparse.dense_shape_tensor_name]
    if kind == "composite_tensor":
        return [name for item in info.composite_tensor.components for name in _tensors(item)]
    return []


def referenced_names(meta_graph: meta_graph_pb2.MetaGraphDef) -> set[str]:
    """Nodes and tensors of the main graph that anything outside of it names: all signatures, collections, the saver."""
    names: set[str] = set()
    for signature in meta_graph.signature_def.values():
        for info in [*signature.inputs.values(), *signature.outputs.values()]:
            names.update(_tensors(info))
    for key, collection in meta_graph.collection_def.items():
        names.update(collection.node_list.value)
        names.update(name for data in collection.bytes_list.value for name in _names_in(key, data))
    saver = meta_graph.saver_def
    names.update((saver.filename_tensor_name, saver.save_tensor_name, saver.restore_op_name))
    names.update(item.tensor_info.name for item in meta_graph.asset_file_def)
    names.discard("")
    return names


def _names_in(collection: str, data: bytes) -> list[str]:
    """What an entry of a TF1 collection names. Loading such a model looks all of it up."""
    if collection == "while_context":
        return _names_in_while(control_flow_pb2.WhileContextDef.FromString(data))
    if collection == "cond_context":
        return _names_in_cond(control_flow_pb2.CondContextDef.FromString(data))
    try:
        variable = variable_pb2.VariableDef.FromString(data)
    except DecodeError:
        return []  # an entry of another kind: strings, queue runners, what users put there
    return [variable.variable_name, variable.initializer_name, variable.snapshot_name, variable.initial_value_name]


def _names_in_while(context: control_flow_pb2.WhileContextDef) -> list[str]:
    names = [
        context.pivot_name,
        context.pivot_for_pred_name,
        context.pivot_for_body_name,
        context.maximum_iterations_name,
    ]
    names += [*context.loop_exit_names, *context.loop_enter_names, *_names_in_values(context.values_def)]
    return names + _names_in_nested(context.nested_contexts)


def _names_in_cond(context: control_flow_pb2.CondContextDef) -> list[str]:
    names = [context.pred_name, context.pivot_name, *_names_in_values(context.values_def)]
    return names + _names_in_nested(context.nested_contexts)


def _names_in_values(values: control_flow_pb2.ValuesDef) -> list[str]:
    return [*values.values, *values.external_values, *values.external_values.values()]


def _names_in_nested(contexts: Iterable[control_flow_pb2.ControlFlowContextDef]) -> list[str]:
    names: list[str] = []
    for item in contexts:
        kind = item.WhichOneof("ctxt")
        names += _names_in_while(item.while_ctxt) if kind == "while_ctxt" else _names_in_cond(item.cond_ctxt)
    return names


def _reach(nodes: Mapping[str, node_def_pb2.NodeDef], main: MainPart) -> Iterator[node_def_pb2.NodeDef]:
    fed = {name.partition(":")[0] for name in main.feeds}
    seen: set[str] = set()
    stack = [name.partition(":")[0] for name in (*main.fetches, *main.targets)]
    while stack:
        name = stack.pop()
        if name in seen or name not in nodes:
            continue
        seen.add(name)
        yield nodes[name]
        if name not in fed:
            stack.extend(text.removeprefix("^").partition(":")[0] for text in nodes[name].input)


def signature_nodes(model: SavedModel, name: str) -> Iterator[node_def_pb2.NodeDef]:
    """All nodes that a call of a signature may run, those of functions included."""
    main = _main_part(model, [model.meta_graph.signature_def[name]])
    nodes = {node.name: node for node in model.meta_graph.graph_def.node}
    roots: list[str] = []
    for node in _reach(nodes, main) if main is not None else ():
        yield node
        roots += [item for item in (*references(node), node.op) if item in model.functions]
    for function in sorted(all_called(model.functions, roots)):
        yield from model.functions[function].node_def


def all_called(functions: Mapping[str, FunctionDef], roots: Iterable[str]) -> set[str]:
    """The functions, and all that they name, and all that those name."""
    found: set[str] = set()
    stack = list(roots)
    while stack:
        name = stack.pop()
        if name in functions and name not in found:
            found.add(name)
            stack += [item for node in functions[name].node_def for item in (*references(node), node.op)]
    return found


def _python_functions(model: SavedModel) -> list[str]:
    """Concrete functions that a user of the loaded object can call."""
    objects = model.meta_graph.object_graph_def
    setup: set[int] = set()
    for item in objects.nodes:
        setup.update(child.node_id for child in item.children if child.local_name in _SETUP_METHODS)
        for saveable in item.saveable_objects.values():
            setup.update((saveable.save_function, saveable.restore_function))
    names: dict[str, None] = {}
    for index, item in enumerate(objects.nodes):
        if index in setup:
            continue
        kind = item.WhichOneof("kind")
        if kind == "function":
            names.update(dict.fromkeys(item.function.concrete_functions))
        elif kind == "bare_concrete_function":
            names[item.bare_concrete_function.concrete_function_name] = None
    excluded = _setup_functions(model, setup)
    return [name for name in names if name not in excluded]


def _setup_functions(model: SavedModel, indices: Iterable[int]) -> set[str]:
    """The concrete functions behind setup methods; they are children of themselves a second time, as `trace_0`."""
    nodes = model.meta_graph.object_graph_def.nodes
    names: set[str] = set()
    for index in indices:
        names.update(nodes[index].function.concrete_functions)
        name = nodes[index].bare_concrete_function.concrete_function_name
        if name:
            names.add(name)
    return names


def _called(node: node_def_pb2.NodeDef, functions: Mapping[str, FunctionDef]) -> list[str]:
    """Functions that a node runs in a way that allows engines inside of them."""
    if _is_compiled(node.attr) or engine_node(node) is not None:
        return []
    if node.op in functions:
        return [node.op]
    return references(node) if node.op in CALLERS else []


def references(node: node_def_pb2.NodeDef) -> list[str]:
    """All functions that a node's attributes name."""
    names: list[str] = []
    for key in sorted(node.attr):
        value = node.attr[key]
        names.extend(item.name for item in ([value.func] if value.HasField("func") else value.list.func))
    return names


def _is_compiled(attrs: Mapping[str, object]) -> bool:
    for name in _COMPILED_ATTRS:
        if name in attrs:
            value = attrs[name]
            if getattr(value, "b", False) or getattr(value, "s", b""):
                return True
    return False


def _compiled(model: SavedModel) -> set[str]:
    """Functions that XLA compiles, and those that are part of these, whoever else calls them: an engine stops it."""
    stack = [name for name, function in model.functions.items() if _is_compiled(function.attr)]
    for nodes in [model.meta_graph.graph_def.node, *(function.node_def for function in model.functions.values())]:
        for node in nodes:
            if _is_compiled(node.attr):
                stack += [node.op, *references(node)]
    found: set[str] = set()
    while stack:
        name = stack.pop()
        if name in found or name not in model.functions:
            continue
        found.add(name)
        for node in model.functions[name].node_def:
            stack += [node.op, *references(node)]
    return found


def _closure(functions: Mapping[str, FunctionDef], roots: Iterable[str]) -> set[str]:
    found: set[str] = set()
    stack = list(roots)
    while stack:
        name = stack.pop()
        if name in found or name not in functions or _is_compiled(functions[name].attr):
            continue
        found.add(name)
        for node in functions[name].node_def:
            stack.extend(_called(node, functions))
    return found


def _pinned(model: SavedModel, part: set[str]) -> Iterator[str]:
    """Functions that must exist under their names whatever is inlined. `part`: the main graph's nodes that serve."""
    objects = model.meta_graph.object_graph_def
    yield from objects.concrete_functions
    for item in objects.nodes:
        yield from item.function.concrete_functions
        yield item.bare_concrete_function.concrete_function_name
    library = model.meta_graph.graph_def.library
    for gradient in library.gradient:
        yield from (gradient.function_name, gradient.gradient_func)
    for registered in library.registered_gradients:
        yield registered.gradient_func
    for node in model.meta_graph.graph_def.node:
        if node.name not in part:
            yield node.op
        if node.name not in part or node.op not in _PLAIN_CALLS:
            yield from references(node)
    for function in library.function:
        if any(name in function.attr for name in _KEEP_ATTRS):
            yield function.signature.name
        yield from (item.s.decode() for key, item in function.attr.items() if key.endswith("_function_name"))
        for node in function.node_def:
            if node.op not in _PLAIN_CALLS:
                yield from references(node)


_PLAIN_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
# Functions marked so are what somebody looks for by name or wants as a unit.
_KEEP_ATTRS = ("_noinline", "_implements", "api_implements", "_XlaMustCompile", "_tf_data_function", "_xla_compile_id")


def callers(model: SavedModel) -> dict[str, frozenset[str]]:
    """For each function, the names of the functions whose nodes call or name it; "" for the main graph."""
    found: dict[str, set[str]] = {}
    bodies = [("", model.meta_graph.graph_def.node)]
    bodies += [(name, function.node_def) for name, function in model.functions.items()]
    for body, nodes in bodies:
        for node in nodes:
            for name in [node.op, *references(node)]:
                if name in model.functions:
                    found.setdefault(name, set()).add(body)
    return {name: frozenset(items) for name, items in found.items()}
