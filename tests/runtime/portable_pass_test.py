"""The graph pass for portable models: what it makes of graphs and functions, and beside devices of any kind."""

from __future__ import annotations

import ctypes
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

from absl.testing import absltest, parameterized
from google.protobuf import text_format
from tensorflow.core.framework.function_pb2 import FunctionDef
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.framework.node_def_pb2 import NodeDef

import tf_blade
from tests.runtime import native
from tf_blade import runtime

_CALL, _ENGINE = "StatefulPartitionedCall", "BladeEngineOp"
_FLOAT = "value { list { type: DT_FLOAT } }"
_TYPES = f'attr {{ key: "Tin" {_FLOAT} }} attr {{ key: "Tout" {_FLOAT} }}'
_ENGINES = 'attr { key: "_blade_engines" value { list { s: "engine" } } }'


def _node(text: str) -> NodeDef:
    return text_format.Parse(text, NodeDef())


def _names(key: str, *functions: str) -> str:
    """An attribute that names a function, or a list of them."""
    values = " ".join(f'func {{ name: "{function}" }}' for function in functions)
    return f'attr {{ key: "{key}" value {{ {values if len(functions) == 1 else f"list {{ {values} }}"} }} }}'


def _call(name: str, function: str, x: str = "x", more: str = "") -> NodeDef:
    return _node(f'name: "{name}" op: "{_CALL}" input: "{x}" {_names("f", function)} {_TYPES} {more}')


def _function(name: str, *nodes: NodeDef, interface: str = "") -> FunctionDef:
    """Of a float, which every node reads; the result is the first node's."""
    function = FunctionDef()
    function.signature.name = name
    function.signature.input_arg.add(name="x", type=1)
    function.signature.output_arg.add(name="y", type=1)
    function.node_def.extend(nodes)
    outputs = {_CALL: "output", "PartitionedCall": "output", _ENGINE: "outputs"}
    function.ret["y"] = f"{nodes[0].name}:{outputs.get(nodes[0].op, 'y')}:0" if nodes else "x"
    if interface:
        function.attr["api_implements"].s = interface.encode()
    return function


def _graph(
    *nodes: NodeDef, functions: tuple[FunctionDef, ...] = (), gradients: tuple[tuple[str, str], ...] = ()
) -> GraphDef:
    graph = GraphDef()
    graph.versions.producer = 2000
    graph.node.append(_node('name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } }'))
    graph.node.append(_node('name: "i" op: "Placeholder" attr { key: "dtype" value { type: DT_INT32 } }'))
    graph.node.extend(nodes)
    graph.library.function.extend(functions)
    for function, gradient in gradients:
        graph.library.gradient.add(function_name=function, gradient_func=gradient)
    return graph


# What becomes an engine, in a function, and a function without.
_INNER = _function("inner", _call("engine", "subgraph", more=_ENGINES))
_SUBGRAPH, _PLAIN = _function("subgraph"), _function("plain")
# Ways to have a function run.
_USES: dict[str, str] = {
    "call": f'op: "PartitionedCall" input: "x" {_TYPES} {_names("f", "inner")}',
    "stateful_call": f'op: "{_CALL}" input: "x" {_TYPES} {_names("f", "inner")}',
    "op": 'op: "inner" input: "x"',
    "while": f'op: "While" input: "x" attr {{ key: "T" {_FLOAT} }} {_names("cond", "plain")} {_names("body", "inner")}',
    "if": f'op: "If" input: "x" input: "x" attr {{ key: "Tcond" value {{ type: DT_FLOAT }} }} {_TYPES}'
    f" {_names('then_branch', 'inner')} {_names('else_branch', 'plain')}",
    "case": f'op: "Case" input: "i" input: "x" {_TYPES} {_names("branches", "plain", "inner")}',
    "function_of_function": f'op: "{_CALL}" input: "x" {_TYPES} attr {{ key: "f" value {{ func {{ name: "plain" '
    f"{_names('g', 'inner')} }} }} }}",
    "engine": f'op: "{_ENGINE}" input: "x" {_TYPES} {_names("fallback", "inner")}'
    ' attr { key: "engines" value { list { } } } attr { key: "cluster" value { s: "c" } }',
}
_GRADIENT = (
    'name: "gradient" op: "SymbolicGradient" input: "x" input: "x" attr { key: "Tin" value { list { type: DT_FLOAT'
    f' type: DT_FLOAT }} }} }} attr {{ key: "Tout" {_FLOAT} }} {_names("f", "inner")}'
)


@functools.cache
def _library() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as scratch:
        library = native.tensorflow_library(Path(scratch), "portable_pass_run.cc", "metrics_dump.cc")
    for name in ("run_pass", "dump_metrics"):
        getattr(library, name).restype = ctypes.c_char_p
    library.graph_after_pass.restype = ctypes.c_void_p
    return library


class _PassTest(parameterized.TestCase):
    library: ctypes.CDLL

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        runtime.load()
        cls.library = _library()

    def after_pass(self, graph: GraphDef, type_: str = "", task: int = 0) -> GraphDef:
        data = graph.SerializeToString()
        failed = self.library.run_pass(type_.encode(), task, data, ctypes.c_size_t(len(data)))
        self.assertEqual(failed.decode(), "")
        size = ctypes.c_size_t()
        found = self.library.graph_after_pass(ctypes.byref(size))
        return GraphDef.FromString(ctypes.string_at(found, size.value))


class CallsTest(_PassTest):
    """Calls of the graph, among devices that this machine need not have."""

    @parameterized.parameters(
        ("", "", _ENGINE, "engine"),
        ("GPU", "", _CALL, "device"),
        ("TPU", "/device:TPU:0", _CALL, "device"),
        ("GPU", "/device:CPU:0", _ENGINE, "engine"),
        ("XLA_CPU", "", _ENGINE, "engine"),
        ("", "/device:GPU:0", _CALL, "device"),
        ("", "no device's name", _CALL, "device"),
    )
    def test_calls_that_may_run_on_other_devices_stay(self, type_: str, device: str, op: str, result: str) -> None:
        """TensorFlow would have to find a place for the engine op, which has a kernel for CPUs alone."""
        self.check_call(type_, 0, device, "", op, result)

    @parameterized.parameters("", "/job:localhost/task:0/device:CPU:0", "/job:localhost/task:1/device:CPU:0")
    def test_calls_that_may_run_in_other_processes_stay(self, device: str) -> None:
        """These need not know the engine op."""
        self.check_call("CPU", 1, device, "", _CALL, "device")

    @parameterized.parameters("_xla_compile_id", "_tpu_replicate")
    def test_calls_with_marks_of_xla_stay(self, mark: str) -> None:
        self.check_call("", 0, "", mark, _CALL, "compiled")

    def test_int32_of_the_engine_op_is_the_machines_as_that_of_calls(self) -> None:
        call = _call("call", "subgraph", more=_ENGINES)
        call.input.append("i")
        call.attr["Tin"].list.type.append(3)
        call.attr["Tout"].list.type[:] = [3, 1, 3]
        call.attr["_input_hostmem"].list.i.append(7)
        found = self.after_pass(_graph(call, functions=(_SUBGRAPH,)))
        (node,) = (node for node in found.node if node.name == "call")
        self.assertEqual(node.op, _ENGINE)
        self.assertEqual(list(node.attr["_input_hostmem"].list.i), [1])
        self.assertEqual(list(node.attr["_output_hostmem"].list.i), [0, 2])

    def check_call(self, type_: str, task: int, device: str, mark: str, op: str, result: str) -> None:
        runtime.reset_runtime_stats()
        call = _call("call", "subgraph", more=_ENGINES)
        call.device = device
        if mark:
            call.attr[mark].s = b"mark"
        found = self.after_pass(_graph(call, functions=(_SUBGRAPH,)), type_, task)
        self.assertEqual([node.op for node in found.node if node.name == "call"], [op])
        self.assertEqual(tf_blade.runtime_stats()["portable_calls"], {result: 1})
        points = self.library.dump_metrics(b"/tf_blade/portable_calls").decode().splitlines()
        self.assertEqual(points, [f"/tf_blade/portable_calls{{result={result}}} 1"])


class FunctionsTest(_PassTest):
    """Functions get copies with engines; they themselves stay as a session has them, which may be extended."""

    def copies(self, before: GraphDef, after: GraphDef) -> dict[str, FunctionDef]:
        """The functions that are new, by the originals' names; all others, and gradients, are as they were."""
        found = {function.signature.name: function for function in after.library.function}
        for function in before.library.function:
            self.assertEqual(found.pop(function.signature.name), function)
        for gradient in before.library.gradient:
            self.assertIn(gradient, after.library.gradient)
        self.assertTrue(all("_blade_" in name for name in found), found.keys())
        return {name.rpartition("_blade_")[0]: function for name, function in found.items()}

    def prepared(self, graph: GraphDef) -> GraphDef:
        """With the defaults that TensorFlow fills in, and the calls as they are."""
        with runtime.without_portable_engines():
            found = self.after_pass(graph)
        self.assertEqual(_sorted(found).library, _sorted(graph).library)
        runtime.reset_runtime_stats()
        return found

    @parameterized.parameters(*_USES)
    def test_nodes_use_the_copies(self, use: str) -> None:
        """Nodes of the graph and of functions."""
        outer = _function("outer", _node(f'name: "use" {_USES[use]}'))
        if use == "case":
            outer.node_def[0].input[0] = "i:output"
            outer.node_def.add(name="i", op="Placeholder").attr["dtype"].type = 3
        before = self.prepared(
            _graph(
                _node(f'name: "use" {_USES[use]}'), _call("call", "outer"), functions=(_INNER, _SUBGRAPH, _PLAIN, outer)
            )
        )
        after = self.after_pass(before)
        copies = self.copies(before, after)
        self.assertEqual(copies.keys(), {"inner", "outer"})
        (engine,) = copies["inner"].node_def
        self.assertEqual((engine.op, engine.attr["fallback"].func.name), (_ENGINE, "subgraph"))
        self.assertEqual(copies["inner"].ret["y"], "engine:outputs:0")
        names = {name: copy.signature.name for name, copy in copies.items()}
        for nodes, originals in ((after.node, before.node), (copies["outer"].node_def, outer.node_def)):
            for node, original in zip(sorted(nodes, key=_name), sorted(originals, key=_name), strict=True):
                self.assertEqual(_redirected(node, {}), _redirected(original, names))

    def test_a_second_run_changes_nothing(self) -> None:
        """Of the pass, over its result; or over the graph as it was and the library as it is, after an extension."""
        nested = _function("outer", _call("call", "inner"), _call("engine", "subgraph", more=_ENGINES))
        before = self.prepared(_graph(_call("call", "outer"), functions=(_INNER, _SUBGRAPH, nested)))
        after = self.after_pass(before)
        self.assertEqual(_sorted(self.after_pass(after)), _sorted(after))
        extended = GraphDef.FromString(after.SerializeToString())
        extended.ClearField("node")
        extended.node.extend(before.node)
        self.assertEqual(_sorted(self.after_pass(extended)), _sorted(after))

    def test_other_decisions_make_other_copies(self) -> None:
        """An extension has XLA compile a function that was not compiled before."""
        outer = _function("outer", _call("call", "inner"), _call("engine", "subgraph", more=_ENGINES))
        before = self.prepared(_graph(_call("call", "outer"), functions=(_INNER, _SUBGRAPH, outer)))
        extended = self.after_pass(before)
        first = self.copies(before, extended)
        extended.ClearField("node")
        extended.node.extend(before.node)
        extended.node.append(_call("compiled", "inner", more='attr { key: "_XlaMustCompile" value { b: true } }'))
        copies = self.copies(extended, self.after_pass(extended))
        self.assertEqual(copies.keys(), {"outer"})
        self.assertNotEqual(copies["outer"].signature.name, first["outer"].signature.name)
        self.assertEqual({node.name: node.op for node in copies["outer"].node_def}, {"call": _CALL, "engine": _ENGINE})
        (call,) = (node for node in copies["outer"].node_def if node.name == "call")
        self.assertEqual(call.attr["f"].func.name, "inner")

    @parameterized.parameters(
        ("_XlaMustCompile", lambda value: setattr(value, "b", True)),
        ("_xla_compile_id", lambda value: setattr(value, "s", b"1")),
    )
    def test_functions_that_xla_compiles_stay(self, mark: str, set_: Callable[..., None]) -> None:
        """Those of a marked node, those of a function that is marked, and all that these call."""
        outer = _function("outer", _call("call", "inner"))
        marked_call = _call("call", "outer")
        set_(marked_call.attr[mark])
        marked = _function("marked", _call("call", "outer"))
        set_(marked.attr[mark])
        for node in (marked_call, _call("call", "marked")):
            before = self.prepared(_graph(node, _call("plain", "inner"), functions=(_INNER, _SUBGRAPH, outer, marked)))
            self.assertEqual(_sorted(self.after_pass(before)), _sorted(before))
            self.assertEqual(tf_blade.runtime_stats()["portable_calls"], {"compiled": 1})

    def test_functions_that_nobody_calls_are_left_alone(self) -> None:
        before = self.prepared(_graph(_call("call", "plain"), functions=(_INNER, _SUBGRAPH, _PLAIN)))
        self.assertEqual(_sorted(self.after_pass(before)), _sorted(before))
        self.assertEqual(tf_blade.runtime_stats()["portable_calls"], {})

    def test_functions_that_call_each_other(self) -> None:
        one = _function("one", _call("call", "two"))
        two = _function("two", _call("call", "one"), _call("engine", "subgraph", more=_ENGINES))
        before = self.prepared(_graph(_call("call", "one"), functions=(one, two, _SUBGRAPH)))
        copies = self.copies(before, self.after_pass(before))
        called = {name: copy.node_def[0].attr["f"].func.name for name, copy in copies.items()}
        self.assertEqual(called, {"one": copies["two"].signature.name, "two": copies["one"].signature.name})

    def test_gradient_functions(self) -> None:
        """A gradient function that is given goes with the copy."""
        backward = _function("backward", _call("engine", "subgraph", more=_ENGINES))
        plain = _function("inner")
        for inner, given, copied in ((_INNER, "plain", False), (plain, "backward", True), (_INNER, "backward", True)):
            functions = (inner, backward, _SUBGRAPH, _PLAIN)
            before = self.prepared(_graph(_node(_GRADIENT), functions=functions, gradients=(("inner", given),)))
            after = self.after_pass(before)
            copies = self.copies(before, after)
            self.assertEqual(copies.keys(), {"inner", "backward"} if copied else {"inner"})
            copy = copies["inner"].signature.name
            gradient = copies["backward"].signature.name if copied else "plain"
            found = {item.function_name: item.gradient_func for item in after.library.gradient}
            self.assertEqual((found["inner"], found[copy]), (given, gradient))
            self.assertEqual([node.attr["f"].func.name for node in after.node if node.op == "SymbolicGradient"], [copy])

    def test_functions_that_tensorflow_differentiates_stay(self) -> None:
        """It cannot differentiate an engine op. Who calls the function calls engines all the same."""
        before = self.prepared(_graph(_node(_GRADIENT), _call("call", "inner"), functions=(_INNER, _SUBGRAPH)))
        after = self.after_pass(before)
        copy = self.copies(before, after)["inner"].signature.name
        named = {node.name: node.attr["f"].func.name for node in after.node if "f" in node.attr}
        self.assertEqual(named, {"gradient": "inner", "call": copy})

    def test_implementations_of_one_interface(self) -> None:
        """Grappler exchanges them by device: copies among copies, and not for originals, which have no engines."""
        one = _function("one", _call("engine", "subgraph", more=_ENGINES), interface="lstm")
        two, other = _function("two", interface="lstm"), _function("other", interface="gru")
        before = self.prepared(
            _graph(_call("call", "two"), _call("last", "other"), functions=(one, two, other, _SUBGRAPH))
        )
        after = self.after_pass(before)
        copies = self.copies(before, after)
        self.assertEqual(copies.keys(), {"one", "two"})
        interfaces = {copy.attr["api_implements"].s for copy in copies.values()}
        self.assertLen(interfaces, 1)
        self.assertNotIn(b"lstm", interfaces)
        named = {node.name: node.attr["f"].func.name for node in after.node if "f" in node.attr}
        self.assertEqual(named, {"call": copies["two"].signature.name, "last": "other"})

    def test_calls_are_decided_once_for_each_place(self) -> None:
        runtime.reset_runtime_stats()
        nodes = (_call("one", "inner"), _call("two", "inner"), _call("three", "subgraph", more=_ENGINES))
        self.after_pass(_graph(*nodes, functions=(_INNER, _SUBGRAPH)))
        self.assertEqual(tf_blade.runtime_stats()["portable_calls"], {"engine": 2})


def _name(node: NodeDef) -> str:
    return node.name


def _sorted(graph: GraphDef) -> GraphDef:
    found = GraphDef()
    found.node.extend(sorted(graph.node, key=_name))
    found.library.function.extend(sorted(graph.library.function, key=lambda item: item.signature.name))
    found.library.gradient.extend(sorted(graph.library.gradient, key=lambda item: item.function_name))
    return found


def _redirected(node: NodeDef, names: dict[str, str]) -> NodeDef:
    """The node with other functions' names."""
    text = text_format.MessageToString(node)
    for name, other in names.items():
        text = text.replace(f'"{name}"', f'"{other}"')
    return text_format.Parse(text, NodeDef())


if __name__ == "__main__":
    absltest.main()
