"""Calls from the main graph: engines that find the variables of a session by name.

A session runs the main graph, where each variable is a node of its own that hands its handle to the function called;
for small models these nodes take longer than the engine. The main graph calls copies of the functions instead, whose
engine ops name the variables in attributes:

    x ──► call of f ──► y          x ──► call of f__session ──► y
    w ──►  │                =>
           ╰ BladeEngineOp(x, w)          ╰ BladeEngineOp(x, variables=["w"])

The functions themselves stay for whoever calls them with handles: TensorFlow 2's loader, in Python or C++.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from tensorflow.core.framework import types_pb2
from tensorflow.core.framework.node_def_pb2 import NodeDef

from tf_blade.passes.effects import CALL_OPS
from tf_blade.saved_model.model import FunctionDef, SavedModel

ENGINE_OP = "BladeEngineOp"
SUFFIX = "__session"
# TensorFlow's name for variables without one.
_ANONYMOUS = b"cd2c89b7-88b7-44c8-ad83-06c2a9158347"
_CPU = "/device:CPU:0"
# What a session calls its default container. Said aloud, so that a container that a caller asks for when it loads the
# model (`tf.container`) does not move variables away from where engines look.
_CONTAINER = b"localhost"


@dataclasses.dataclass(frozen=True)
class Sessions:
    """What differs for sessions.

    Attributes:
        functions: copies of functions, in order.
        nodes: nodes of the main graph written anew, by name: calls of these copies, and the variables, which are kept
            where engines look for them.
    """

    functions: tuple[FunctionDef, ...] = ()
    nodes: Mapping[str, NodeDef] = dataclasses.field(default_factory=dict)


def bind_sessions(model: SavedModel, functions: Mapping[str, FunctionDef]) -> Sessions:
    """Copies for the calls in the model's main graph.

    Args:
        model: the original.
        functions: all functions of the optimized model.
    """
    binder = _Binder(functions)
    main = model.meta_graph.graph_def.node
    by_name = {node.name: node for node in main if node.op == "VarHandleOp"}
    nodes: dict[str, NodeDef] = {}
    for node in main:
        name = _callee(node, functions)
        if name is None:
            continue
        uses = binder.uses(name)
        sources = {place: by_name.get(text.removesuffix(":0")) for place, text in enumerate(_data_inputs(node))}
        variables = {place: source for place, source in sources.items() if source is not None}
        handles = {
            place: variable for place, variable in variables.items() if place in uses.free and _is_named(variable)
        }
        if not handles or any(variable.device not in ("", _CPU) for variable in variables.values()):
            continue
        copy = NodeDef()
        copy.CopyFrom(node)
        binder.rewrite_call(copy, name, handles)
        nodes[node.name] = copy
        for place, variable in variables.items():
            if place in uses.read:
                placed = NodeDef()
                placed.CopyFrom(variable)
                placed.device = _CPU
                placed.attr["container"].s = _container(variable)
                nodes[variable.name] = placed
    return Sessions(tuple(binder.made.values()), nodes)


def _is_named(node: NodeDef) -> bool:
    """Whether the variable's handle is that of its container and name, on the variable's device."""
    return not node.input and _text(node, "shared_name") not in (b"", _ANONYMOUS)


def _text(node: NodeDef, name: str) -> bytes:
    """An attribute; asking the message itself would add the attribute to it."""
    return bytes(node.attr[name].s) if name in node.attr else b""


def _container(variable: NodeDef) -> bytes:
    return _text(variable, "container") or _CONTAINER


def _data_inputs(node: NodeDef) -> list[str]:
    return [text for text in node.input if not text.startswith("^")]


def _callee(node: NodeDef, functions: Mapping[str, FunctionDef]) -> str | None:
    name = node.attr["f"].func.name if node.op in CALL_OPS else ""
    return name if name in functions else None


@dataclasses.dataclass(frozen=True)
class _Uses:
    """Arguments that engine ops read, and those that nothing else does."""

    read: frozenset[int] = frozenset()
    free: frozenset[int] = frozenset()


class _Binder:
    """Makes the copies, each once for the same variables."""

    def __init__(self, functions: Mapping[str, FunctionDef]) -> None:
        self.functions = functions
        self.made: dict[tuple[str, tuple[tuple[int, str], ...]], FunctionDef] = {}
        self._uses: dict[str, _Uses] = {}

    def uses(self, name: str) -> _Uses:
        """What the function and those that it calls do with its arguments."""
        known = self._uses.get(name)
        if known is None:
            self._uses[name] = _Uses()  # for a function that calls itself
            known = self._uses[name] = self._find_uses(self.functions[name])
        return known

    def _find_uses(self, function: FunctionDef) -> _Uses:
        pinned = {text.partition(":")[0] for text in function.ret.values()}
        read: set[str] = set()
        for node in function.node_def:
            callee = _callee(node, self.functions)
            uses = self.uses(callee) if callee is not None else _Uses()
            pinned.update(text.removeprefix("^") for text in node.input if text.startswith("^"))
            for place, text in enumerate(_data_inputs(node)):
                if node.op == ENGINE_OP or place in uses.read:
                    read.add(text)
                if place not in uses.free and (node.op != ENGINE_OP or node.device not in ("", _CPU)):
                    pinned.add(text)
        arguments = enumerate(function.signature.input_arg)
        places = {place: arg.name for place, arg in arguments if arg.type == types_pb2.DT_RESOURCE and arg.name in read}
        return _Uses(frozenset(places), frozenset(place for place, text in places.items() if text not in pinned))

    def copy(self, name: str, handles: Mapping[int, NodeDef]) -> FunctionDef:
        """The function without these arguments."""
        key = (name, tuple((place, variable.name) for place, variable in sorted(handles.items())))
        known = self.made.get(key)
        if known is not None:
            return known
        original = self.functions[name]
        function = FunctionDef()
        function.CopyFrom(original)
        by_name = {original.signature.input_arg[place].name: variable for place, variable in handles.items()}
        for node in function.node_def:
            callee = _callee(node, self.functions)
            if node.op != ENGINE_OP and callee is None:
                continue
            inner = {place: by_name[text] for place, text in enumerate(_data_inputs(node)) if text in by_name}
            if inner and callee is not None:
                self.rewrite_call(node, callee, inner)
            elif inner:
                _rewrite_engine(node, inner)
        _drop_arguments(function, frozenset(handles))
        taken = {*self.functions, *(item.signature.name for item in self.made.values())}
        function.signature.name = _unique(name + SUFFIX, taken.__contains__)
        self.made[key] = function
        return function

    def rewrite_call(self, node: NodeDef, name: str, handles: Mapping[int, NodeDef]) -> None:
        """Makes a call one of the copy."""
        node.attr["f"].func.name = self.copy(name, handles).signature.name
        kept = _drop_inputs(node, frozenset(handles))
        _move_places(node, "_read_only_resource_inputs", kept)


def _unique(name: str, is_taken: Callable[[str], bool]) -> str:
    result, number = name, 0
    while is_taken(result):
        number += 1
        result = f"{name}_{number}"
    return result


def _drop_inputs(node: NodeDef, places: frozenset[int]) -> dict[int, int]:
    """Takes data inputs from a node; the new places of those that stay, by their old ones."""
    data = _data_inputs(node)
    control = [text for text in node.input if text.startswith("^")]
    kept = [place for place in range(len(data)) if place not in places]
    types = list(node.attr["Tin"].list.type)
    del node.input[:]
    node.input.extend([*(data[place] for place in kept), *control])
    del node.attr["Tin"].list.type[:]
    node.attr["Tin"].list.type.extend(types[place] for place in kept)
    node.attr["Tin"].list.SetInParent()
    return {place: number for number, place in enumerate(kept)}


def _move_places(node: NodeDef, name: str, kept: Mapping[int, int]) -> None:
    """Changes an attribute that lists data inputs as those inputs have moved."""
    if name not in node.attr:
        return
    listed = node.attr[name].list.i
    places = [kept[place] for place in listed if place in kept]
    del listed[:]
    listed.extend(places)


def _rewrite_engine(node: NodeDef, variables: Mapping[int, NodeDef]) -> None:
    node.device = _CPU  # the call may ask for another device
    _move_places(node, "_input_hostmem", _drop_inputs(node, frozenset(variables)))
    places = sorted(variables)
    node.attr["variables"].list.s.extend(_text(variables[place], "shared_name") for place in places)
    node.attr["containers"].list.s.extend(_container(variables[place]) for place in places)
    node.attr["places"].list.i.extend(places)


def _drop_arguments(function: FunctionDef, places: frozenset[int]) -> None:
    count = len(function.signature.input_arg)
    kept = {place: number for number, place in enumerate(p for p in range(count) if p not in places)}
    for place in sorted(places, reverse=True):
        del function.signature.input_arg[place]
    original = FunctionDef()
    original.CopyFrom(function)
    function.arg_attr.clear()
    for place, number in kept.items():
        if place in original.arg_attr:
            function.arg_attr[number].CopyFrom(original.arg_attr[place])
    function.resource_arg_unique_id.clear()
    for place, number in kept.items():
        if place in original.resource_arg_unique_id:
            function.resource_arg_unique_id[number] = original.resource_arg_unique_id[place]
    if "_input_shapes" in function.attr and len(function.attr["_input_shapes"].list.shape) == count:
        shapes = function.attr["_input_shapes"].list.shape
        for place in sorted(places, reverse=True):
            del shapes[place]
