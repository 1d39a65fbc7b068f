"""Graphs as text and back."""

from __future__ import annotations

import ml_dtypes
import numpy as np
from absl.testing import absltest, parameterized

from tests.property.random_graphs import random_graph
from tf_blade import symbolic
from tf_blade.dtypes import DType
from tf_blade.graph import legality
from tf_blade.graph.attributes import Attr, FunctionAttr, PlaceholderAttr, ShapeAttr, TensorAttr
from tf_blade.graph.graph import Graph
from tf_blade.graph.parser import GraphSyntaxError, parse_graph
from tf_blade.graph.printer import print_graph, print_neighbourhood


def _everything() -> Graph:
    s, v = symbolic.symbol("s0"), symbolic.value_symbol("v0")
    odd = symbolic.symbol("serving/x_0")
    graph = Graph("f")
    x = graph.add_input("x", DType.FLOAT, (s, 2 * s + 1, symbolic.floordiv(s, 3), 4))
    y = graph.add_input(
        "y", DType.FLOAT, (symbolic.maximum(s, 2), symbolic.mod(s, 5), symbolic.broadcast_dim(s, odd), s**2)
    )
    handle = graph.add_input("w", DType.RESOURCE, ())
    handle.handle = (DType.FLOAT, (3, odd))
    size = graph.add_input("size", DType.INT32, (2, 2))
    size.value = np.array([[4, s], [v, v - s]], dtype=object)
    attrs: dict[str, Attr] = {
        "a_bool": True, "b_int": -3, "c_float": 0.1, "d_nan": float("nan"), "e_inf": -float("inf"),
        "f_bytes": b"x -> {}'\"\n",
        "g_type": DType.HALF, "h_shape": ShapeAttr((1, -1)), "i_unknown": ShapeAttr(None), "j_scalar": ShapeAttr(()),
        "k_function": FunctionAttr("g.h", {"T": DType.INT8, "n": [1, 2]}), "l_placeholder": PlaceholderAttr("T"),
        "m_list": [b"a", b""], "n_types": [DType.FLOAT, DType.BOOL], "o_empty": [], "p_floats": [1.0, 2.5],
    }  # fmt: skip
    node = graph.add_node(
        "Odd>Op",
        "scope/odd.name-1",
        [x, y, handle, size],
        attrs,
        [DType.FLOAT, DType.INT32],
        device="/job:a/device:CPU:0",
    )
    node.outputs[1].shape = ()
    node.outputs[1].value = np.array(v + 1, dtype=object)
    array = np.arange(30, dtype=np.float32).reshape(5, 6).astype(ml_dtypes.bfloat16)
    value: dict[str, Attr] = {"dtype": DType.BFLOAT16, "value": TensorAttr(DType.BFLOAT16, (5, 6), array)}
    constant = graph.add_node("Const", "c", (), value, [DType.BFLOAT16], control_inputs=[node])
    graph.add_node("NoOp", "nothing", (), {}, [], control_inputs=[constant, node])
    graph.add_output("y", node.outputs[0])
    graph.control_outputs.append(("done", graph.node("nothing")))
    graph.keep.add("c")
    graph.demands = (frozenset({"y", "done"}), frozenset())
    return graph


class RoundTripTest(parameterized.TestCase):
    def test_everything(self) -> None:
        graph = _everything()
        text = print_graph(graph, full=True)
        result = parse_graph(text)
        legality.check(result)
        self.assertEqual(print_graph(result, full=True), text)
        for old, new in zip(graph.nodes, result.nodes, strict=True):
            self.assertEqual((new.name, new.op, new.device), (old.name, old.op, old.device))
            self.assertEqual([t.name for t in new.inputs], [t.name for t in old.inputs])
            self.assertEqual([n.name for n in new.control_inputs], [n.name for n in old.control_inputs])
            for before, after in zip(old.outputs, new.outputs, strict=True):
                self.assertEqual((after.dtype, after.shape, after.handle), (before.dtype, before.shape, before.handle))
                if before.value is not None:
                    np.testing.assert_array_equal(after.value, before.value)
        attrs = dict(graph.node("scope/odd.name-1").attrs)
        parsed = dict(result.node("scope/odd.name-1").attrs)
        self.assertNotEqual(parsed.pop("d_nan"), attrs.pop("d_nan"), "NaN")
        self.assertEqual(parsed, attrs)
        self.assertEqual({k: type(v) for k, v in parsed.items()}, {k: type(v) for k, v in attrs.items()})
        constant = result.node("c").attrs["value"]
        assert isinstance(constant, TensorAttr) and constant.array is not None
        np.testing.assert_array_equal(constant.array, np.arange(30).reshape(5, 6))
        self.assertEqual(result.keep, {"c"})
        self.assertEqual(result.demands, graph.demands)
        self.assertEqual([(n, m.name) for n, m in result.control_outputs], [("done", "nothing")])
        self.assertEqual([node.name for node in result.inputs], ["x", "y", "w", "size"])

    def test_strings(self) -> None:
        import tensorflow as tf

        message = tf.make_tensor_proto([b"a", b"\x00bc"])
        graph = Graph()
        attrs: dict[str, Attr] = {"dtype": DType.STRING, "value": TensorAttr(DType.STRING, (2,), None, message)}
        graph.add_node("Const", "words", (), attrs, [DType.STRING])
        value = parse_graph(print_graph(graph, full=True)).node("words").attrs["value"]
        assert isinstance(value, TensorAttr)
        self.assertEqual(value.message, message)

    @parameterized.parameters(range(30))
    def test_random_graphs(self, seed: int) -> None:
        graph, _ = random_graph(seed)
        text = print_graph(graph, full=True)
        self.assertEqual(print_graph(parse_graph(text), full=True), text)

    def test_loops(self) -> None:
        graph = Graph()
        merge = graph.add_node("Merge", "merge", (), {}, [DType.FLOAT])
        back = graph.add_node("NextIteration", "back", merge.outputs, {}, [DType.FLOAT])
        graph.append_input(merge, back.outputs[0])
        text = print_graph(graph)
        self.assertEqual(print_graph(parse_graph(text)), text)


class ShortTest(absltest.TestCase):
    def test_large_constants_are_named_by_hash(self) -> None:
        graph = Graph()
        for name, fill in (("a", 1), ("b", 2)):
            array = np.full(1000, fill, np.float32)
            attrs: dict[str, Attr] = {"dtype": DType.FLOAT, "value": TensorAttr(DType.FLOAT, (1000,), array)}
            graph.add_node("Const", name, (), attrs, [DType.FLOAT])
        text = print_graph(graph)
        self.assertLess(len(text), 300)
        first, second = (line.split("sha256=")[1] for line in text.splitlines()[1:3])
        self.assertNotEqual(first.split("'")[1], second.split("'")[1])
        with self.assertRaisesRegex(GraphSyntaxError, "full=True"):
            parse_graph(text)

    def test_types_have_names(self) -> None:
        """Also where a message prints whole shapes and lists of types."""
        self.assertEqual("[float, int64_ref] float", f"{[DType.FLOAT, DType.INT64_REF]} {DType.FLOAT!r}")

    def test_neighbourhood(self) -> None:
        graph = Graph()
        x = graph.add_input("x", DType.FLOAT, (4,))
        tensor = x
        for name in "abcde":
            tensor = graph.add_node("Relu", name, [tensor], {}, [DType.FLOAT]).outputs[0]
        lines = print_neighbourhood(graph.node("c")).splitlines()
        self.assertEqual([line.split(" = ")[0] for line in lines], ["  b", "> c", "  d"])


class SyntaxTest(parameterized.TestCase):
    @parameterized.parameters(
        ("", "does not start"),
        ("graph {\n  what\n}", "line 2"),
        ("graph {\n  a = Relu(b:0) {} -> FLOAT\n}", "b"),
        ("graph {\n  a = Relu() {x: 1+} -> FLOAT\n}", "line 2"),
        ("graph {\n  a = Relu() {} -> WHAT\n}", "WHAT"),
        ("graph {\n  a = Relu() {} -> FLOAT[open('x')]\n}", "line 2"),
        ("graph {\n  a = Relu() {x: __import__('os')} -> FLOAT\n}", "line 2"),
        ("graph {\n  a = Relu() {} -> FLOAT\n  output y = a:1\n}", "line 3"),
        ("graph {\n  a = Relu() {} -> FLOAT\n  a = Relu() {} -> FLOAT\n}", "line 3"),
    )
    def test_errors_say_where(self, text: str, expected: str) -> None:
        with self.assertRaisesRegex(GraphSyntaxError, expected):
            parse_graph(text)


if __name__ == "__main__":
    absltest.main()
