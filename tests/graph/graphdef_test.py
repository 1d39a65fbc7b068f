"""Messages to graphs and back: byte for byte where nothing changed, and running the same where something did."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized
from tensorflow.core.framework import function_pb2

from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported
from tf_blade.graph.attributes import FunctionAttr, ShapeAttr, TensorAttr
from tf_blade.graph.graph import Graph
from tf_blade.graph.graphdef import (
    OpCatalog,
    function_def_from_graph,
    graph_def_from_graph,
    graph_from_function_def,
    graph_from_graph_def,
)

v1 = tf.compat.v1


def _concrete(function: Any, *specs: tf.TensorSpec) -> Any:
    return tf.function(function).get_concrete_function(*specs)


def _library() -> function_pb2.FunctionDefLibrary:
    """Functions with nested calls, several outputs, a loop, a branch, captured variables, strings and control edges."""
    count, table = tf.Variable(1.0), tf.Variable(tf.ones([5, 3]))

    @tf.function
    def inner(x: Any) -> Any:
        count.assign_add(1.0)
        values, indices = tf.nn.top_k(x, 2)
        return values * count, indices

    def outer(x: Any, names: Any) -> Any:
        first, second = tf.split(x, [2, 3], axis=1)
        values, indices = inner(tf.concat([second, first], 1))
        loop = tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, y * 2.0), [0, values])[1]
        branch = tf.cond(tf.reduce_sum(x) > 0.0, lambda: x + 1.0, lambda: -x)
        text = tf.strings.join([names, tf.constant(["a", "b"])], separator="-")
        half = tf.cast(tf.constant([1.5, -2.0], tf.bfloat16), tf.float32)
        return loop, indices, branch, text, half, tf.gather(table, indices)

    concrete = _concrete(outer, tf.TensorSpec([None, 5]), tf.TensorSpec([2], tf.string))
    library = function_pb2.FunctionDefLibrary()
    library.CopyFrom(concrete.graph.as_graph_def().library)
    library.function.add().CopyFrom(concrete.function_def)
    return library


def _main_graph() -> Any:
    """TF1: reference variables, Switch and Merge, a loop of single nodes, several outputs of one node."""
    v1.disable_control_flow_v2()
    try:
        with tf.Graph().as_default() as graph:
            x = v1.placeholder(tf.float32, [None, 4], name="x")
            w = v1.get_variable("w", initializer=np.ones((4, 4), np.float32), use_resource=False)
            with tf.control_dependencies([v1.assign_add(w, tf.ones_like(w))]):
                y = tf.matmul(x, w.read_value(), name="y")
            v1.cond(tf.reduce_sum(y) > 0.0, lambda: y + 1.0, lambda: y - 1.0)
            v1.while_loop(lambda i, _: i < 3, lambda i, z: (i + 1, z * 2.0), [0, y])
            tf.nn.top_k(y, 2, name="top")
            tf.identity(x, name="unused")
        return graph.as_graph_def()
    finally:
        v1.enable_control_flow_v2()


class FunctionTest(absltest.TestCase):
    def test_untouched_functions_come_back_byte_for_byte(self) -> None:
        library = _library()
        catalog = OpCatalog(library)
        self.assertGreater(len(library.function), 5)
        for function in library.function:
            graph = graph_from_function_def(function, catalog)
            written = function_def_from_graph(graph, function, catalog)
            self.assertEqual(
                written.SerializeToString(deterministic=True), function.SerializeToString(deterministic=True)
            )

    def test_functions_written_anew_compute_the_same(self) -> None:
        def body(x: Any) -> Any:
            parts = tf.split(x, 3, axis=1)
            values, indices = tf.nn.top_k(parts[2] * 2.0 + parts[0], 2)
            padded = tf.pad(values, [[0, 0], [1, 1]])
            return padded, indices, tf.constant(np.arange(5, dtype=np.int64)), tf.argmax(x, 1)

        concrete = _concrete(body, tf.TensorSpec([None, 6]))
        catalog = OpCatalog()
        graph = graph_from_function_def(concrete.function_def, catalog)
        fresh = Graph("written_anew")
        copies = {}
        for node in graph.topological_order():
            dtypes = [tensor.dtype for tensor in node.outputs]
            if node in graph.inputs:
                copies.update({node.outputs[0]: fresh.add_input(node.name, node.outputs[0].dtype)})
            else:
                copy = fresh.add_node(node.op, node.name, [copies[t] for t in node.inputs], node.attrs, dtypes)
                copies.update(zip(node.outputs, copy.outputs, strict=True))
                for key, value in copy.attrs.items():
                    if isinstance(value, TensorAttr):
                        copy.attrs[key] = TensorAttr(value.dtype, value.dims, value.array)  # without its message
        for output in graph.outputs:
            fresh.add_output(output.name, copies[output.tensor])
        function = function_def_from_graph(fresh, None, catalog)
        feed = np.random.default_rng(0).standard_normal((3, 6)).astype(np.float32)
        expected = [item.numpy() for item in concrete(tf.constant(feed))]
        with tf.Graph().as_default() as target, v1.Session() as session:
            x = v1.placeholder(tf.float32, [None, 6])
            graph_def = target.as_graph_def()
            graph_def.library.function.add().CopyFrom(function)
            call = graph_def.node.add(name="call", op="written_anew")
            call.input.append(x.op.name)
            found = tf.import_graph_def(graph_def, {x.op.name: x}, [f"call:{i}" for i in range(4)], name="again")
            for mine, theirs in zip(session.run(found, {x: feed}), expected, strict=True):
                np.testing.assert_array_equal(mine, theirs)

    def test_arguments_know_shapes_and_variables(self) -> None:
        variable = tf.Variable(tf.ones([7, 3]))
        concrete = _concrete(lambda x: tf.matmul(x, variable), tf.TensorSpec([None, 7], name="x"))
        function = concrete.function_def
        data = function.signature.input_arg[1].handle_data.add(dtype=1)  # as it is in a SavedModel
        for size in (7, 3):
            data.shape.dim.add(size=size)
        graph = graph_from_function_def(function, OpCatalog())
        x, handle = (node.outputs[0] for node in graph.inputs)
        assert x.shape is not None
        self.assertEqual((str(x.shape[0]), x.shape[1]), ("x_0", 7))
        self.assertEqual(handle.dtype, DType.RESOURCE)
        self.assertEqual(handle.handle, (DType.FLOAT, (7, 3)))

    def test_defaults_are_filled_in(self) -> None:
        concrete = _concrete(lambda x: tf.reduce_sum(x, 1), tf.TensorSpec([2, 3]))
        function = concrete.function_def
        for node_def in function.node_def:
            if "keep_dims" in node_def.attr:
                del node_def.attr["keep_dims"]
        graph = graph_from_function_def(function, OpCatalog())
        (total,) = (node for node in graph.nodes if node.op == "Sum")
        self.assertIs(total.attrs["keep_dims"], False)
        written = function_def_from_graph(graph, function, OpCatalog())
        self.assertEqual(written, function)

    def test_changes_are_written_and_nothing_else(self) -> None:
        concrete = _concrete(lambda x: tf.nn.leaky_relu(x, 0.25), tf.TensorSpec([2], name="x"))
        graph = graph_from_function_def(concrete.function_def, OpCatalog())
        (node,) = (node for node in graph.nodes if node.op == "LeakyRelu")
        node.attrs["alpha"] = 0.5
        node.attrs["_list"] = [1, 2]
        node.attrs["_function"] = FunctionAttr("f", {"T": DType.HALF})
        node.attrs["_shapes"] = [ShapeAttr((1, -1)), ShapeAttr(None)]
        written = function_def_from_graph(graph, concrete.function_def, OpCatalog())
        (found,) = (item for item in written.node_def if item.op == "LeakyRelu")
        self.assertEqual(found.attr["alpha"].f, 0.5)
        self.assertEqual(list(found.attr["_list"].list.i), [1, 2])
        self.assertEqual(found.attr["_function"].func.attr["T"].type, tf.float16.as_datatype_enum)
        self.assertEqual([item.unknown_rank for item in found.attr["_shapes"].list.shape], [False, True])
        for name in ("alpha", "_list", "_function", "_shapes"):
            del found.attr[name]
        (original,) = (item for item in concrete.function_def.node_def if item.op == "LeakyRelu")
        expected = type(original)()
        expected.CopyFrom(original)
        del expected.attr["alpha"]
        self.assertEqual(found, expected)

    def test_a_list_without_a_value_is_empty(self) -> None:
        function = _concrete(lambda x: tf.function(lambda: tf.constant(1.0))() + x, tf.TensorSpec([2], name="x"))
        message = function.function_def
        (call,) = [node for node in message.node_def if "Tin" in node.attr]
        call.attr["Tin"].Clear()
        graph = graph_from_function_def(message, OpCatalog(function.graph.as_graph_def().library))
        self.assertEqual(graph.node(call.name).attrs["Tin"], [])

    def test_unreadable_functions_are_refused(self) -> None:
        function = _concrete(lambda x: x + 1.0, tf.TensorSpec([2], name="x")).function_def

        def changed(**fields: Any) -> Any:
            copy = function_pb2.FunctionDef()
            copy.CopyFrom(function)
            node = next(item for item in copy.node_def if item.op == "AddV2")
            if "op" in fields:
                node.op = fields["op"]
            if "input" in fields:
                node.input[0] = fields["input"]
            if "placeholder" in fields:
                node.attr["T"].placeholder = fields["placeholder"]
            if "change" in fields:
                fields["change"](node)
            return copy

        for fields, words in (
            ({"op": "NoSuchOp"}, "op NoSuchOp is not registered"),
            ({"input": "nowhere:z:0"}, "nowhere, which does not exist"),
            ({"input": "add/y:nothing:0"}, "which does not exist"),
            ({"input": "add/y:output:3"}, "which does not exist"),
            ({"placeholder": "T"}, "attribute of the enclosing function"),
            ({"change": lambda node: node.input.pop()}, "AddV2 takes float, float, and is given float"),
            ({"change": lambda node: node.input.append("x")}, "AddV2 takes float, float, and is given float, float, "),
            ({"change": lambda node: setattr(node.attr["T"], "type", 3)}, "int32, int32, and is given float"),
            ({"change": lambda node: setattr(node.attr["T"], "type", 0)}, "takes invalid, invalid, and is given float"),
            ({"change": lambda node: node.attr["T"].Clear()}, "attribute 'T' is missing"),
            ({"change": lambda node: setattr(node.attr["T"], "i", 1)}, "'T' is of kind i; it should be of type type"),
        ):
            with self.assertRaisesRegex(Unsupported, words):
                graph_from_function_def(changed(**fields), OpCatalog())

    def test_unreadable_main_graphs_are_refused(self) -> None:
        with tf.Graph().as_default() as graph:
            total = tf.constant([1.0, 2.0], name="c") + tf.constant(3.0, name="d")
            tf.negative(total, name="rest")
        for change, words in (
            (lambda nodes: nodes["c"].attr["value"].tensor.tensor_shape.dim.add(size=3), "does not fit its shape"),
            (lambda nodes: nodes["c"].attr["value"].tensor.tensor_shape.dim.add(size=0), "does not fit its shape"),
            (lambda nodes: nodes["c"].attr["value"].tensor.tensor_shape.dim.add(size=-1), r"of shape \[2, -1\]"),
            # A message of a few bytes for terabytes.
            (lambda nodes: nodes["d"].attr["value"].tensor.tensor_shape.dim.add(size=2**40), "of shape"),
            (lambda nodes: setattr(nodes["d"], "name", "c"), "two nodes are called c|d does not exist"),
            (lambda nodes: nodes["add"].input.append("c:x:0"), "'x:0' is no number of an output"),
            (lambda nodes: nodes["rest"].input.append("c:-1"), "'-1' is no number of an output"),
            (lambda nodes: nodes["c"].attr["value"].Clear(), "attribute 'value' is missing"),
            (lambda nodes: setattr(nodes["c"].attr["value"], "s", b"1"), "'value' is of kind s"),
            (lambda nodes: nodes["add"].input.pop(), "AddV2 takes float, float, and is given float"),
        ):
            message = graph.as_graph_def()
            change({node.name: node for node in message.node})
            with self.assertRaisesRegex(Unsupported, words):
                graph_from_graph_def(message, OpCatalog(), fetches=["add"])
        message = graph.as_graph_def()
        message.node.add().CopyFrom(message.node[0])
        with self.assertRaisesRegex(Unsupported, "two nodes are called c"):
            graph_from_graph_def(message, OpCatalog(), fetches=["add"])


class ArrayTest(parameterized.TestCase):
    @parameterized.parameters(
        (np.arange(6, dtype=np.int32).reshape(2, 3),),
        (np.zeros((0, 3), np.float32),),
        (np.full((5, 4), 2.5, np.float64),),
        (np.array(True),),
        (np.array([1 + 2j, 3], np.complex64),),
        (np.full((3,), -1, np.int8),),
        (np.array([0.1, -2.0, 65504.0], np.float16),),
    )
    def test_constants(self, array: np.ndarray) -> None:
        with tf.Graph().as_default() as graph:
            tf.constant(array, name="c")
        found = graph_from_graph_def(graph.as_graph_def(), OpCatalog(), fetches=["c"])
        value = found.node("c").attrs["value"]
        assert isinstance(value, TensorAttr)
        assert value.array is not None
        np.testing.assert_array_equal(value.array, array)
        self.assertEqual(value.array.dtype, array.dtype)
        self.assertEqual(value.dims, array.shape)
        self.assertFalse(value.array.flags.writeable)


class MainGraphTest(absltest.TestCase):
    def test_untouched_graph_comes_back_byte_for_byte(self) -> None:
        graph_def = _main_graph()
        catalog = OpCatalog(graph_def.library)
        graph = graph_from_graph_def(
            graph_def, catalog, feeds=["x"], fetches=["top:1", "y", "cond/Merge", "while/Exit_1"]
        )
        self.assertFalse("unused" in graph)
        self.assertTrue(any(tensor.dtype == DType.FLOAT_REF for node in graph.nodes for tensor in node.outputs))
        self.assertTrue(any(node.op == "NextIteration" for node in graph.nodes))
        written = graph_def_from_graph(graph, graph_def, catalog, before=[node.name for node in graph.nodes])
        self.assertEqual(written.SerializeToString(deterministic=True), graph_def.SerializeToString(deterministic=True))

    def test_names_survive_that_the_rest_and_the_caller_use(self) -> None:
        """Every node of the part is replaced; fetches, the rest's inputs and targets are found under their names."""
        with tf.Graph().as_default() as original:
            x = v1.placeholder(tf.float32, [None], name="x")
            first = tf.identity(x * 2.0, name="first")
            top = tf.nn.top_k(first, 2, name="top")
            with tf.control_dependencies([tf.no_op(name="target")]):
                tf.identity(top.indices, name="rest")
            tf.negative(first, name="rest_too")
        graph_def = original.as_graph_def()
        catalog = OpCatalog()
        fetches = ["top:0", "first"]
        graph = graph_from_graph_def(graph_def, catalog, feeds=["x:0"], fetches=fetches, targets=["target"])
        self.assertEqual([output.name for output in graph.outputs], ["top:0", "top:1", "first:0"])
        before = [node.name for node in graph.nodes]
        clones = {graph.node("x").outputs[0]: graph.node("x").outputs[0]}
        nodes = {}
        for node in graph.topological_order():
            if node not in graph.inputs:
                # One clone takes a name that the rest of the graph uses.
                name = "rest" if node.name == "first" else f"clone_{node.name}"
                dtypes = [tensor.dtype for tensor in node.outputs]
                clone = graph.add_node(node.op, name, [clones[t] for t in node.inputs], node.attrs, dtypes)
                clones.update(zip(node.outputs, clone.outputs, strict=True))
                nodes[node] = clone
        for old, new in clones.items():
            if old is not new:
                graph.replace_uses(old, new)
        graph.control_outputs = [(name, nodes[node]) for name, node in graph.control_outputs]
        for node in reversed(list(nodes)):
            graph.remove_node(node)
        written = graph_def_from_graph(graph, graph_def, catalog, before=before)
        self.assertLen({node.name for node in written.node}, len(written.node))
        feed = np.array([3.0, 1.0, 2.0], np.float32)
        with tf.Graph().as_default(), v1.Session() as session:
            tf.import_graph_def(written, name="")
            values, first_value, rest, rest_too = session.run(
                ["top:0", "first:0", "rest:0", "rest_too:0"], {"x:0": feed}
            )
            session.run("target")
        np.testing.assert_array_equal(values, [6.0, 4.0])
        np.testing.assert_array_equal(first_value, feed * 2)
        np.testing.assert_array_equal(rest, [0, 2])
        np.testing.assert_array_equal(rest_too, feed * -2)

    def test_kept_names_become_outputs_if_they_are_in_the_part(self) -> None:
        with tf.Graph().as_default() as original:
            x = v1.placeholder(tf.float32, [None], name="x")
            inner = tf.negative(x, name="inner")
            tf.identity(inner, name="y")
            tf.identity(x, name="elsewhere")
        graph = graph_from_graph_def(
            original.as_graph_def(),
            OpCatalog(),
            feeds=["x"],
            fetches=["y"],
            keep=["inner", "elsewhere", "x:0", "gone:1"],
        )
        self.assertEqual([output.name for output in graph.outputs], ["y:0", "x:0", "inner:0"])
        self.assertEqual([name for name, _ in graph.control_outputs], ["inner"])

    def test_fetching_what_does_not_exist(self) -> None:
        with tf.Graph().as_default() as original:
            tf.constant(1.0, name="c")
        for name in ("nothing", "c:1"):
            with self.assertRaises(Unsupported):
                graph_from_graph_def(original.as_graph_def(), OpCatalog(), fetches=[name])


if __name__ == "__main__":
    absltest.main()
