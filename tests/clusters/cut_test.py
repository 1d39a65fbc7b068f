"""The graph of a cluster: names, symbols, values, weights."""

from __future__ import annotations

import numpy as np
from absl.testing import absltest

from tests.clusters.sketch import EAGER, add, add_const, find, sketch
from tf_blade import symbolic
from tf_blade.clusters.cluster import find_clusters
from tf_blade.clusters.cut import cut
from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported
from tf_blade.graph.graph import Graph, Tensor
from tf_blade.stages import ClusterGraph, Verdict


def _content(*items: symbolic.Dim) -> np.ndarray:
    result = np.empty(len(items), dtype=object)
    result[:] = items
    return result


def _items(tensor: Tensor) -> list[symbolic.Dim]:
    return [] if tensor.value is None else list(tensor.value)


def _cut_one(graph: Graph) -> ClusterGraph:
    (cluster,) = find(graph).clusters
    return cut(cluster, EAGER)


class StructureTest(absltest.TestCase):
    def test_nodes_edges_and_borders(self) -> None:
        graph = sketch("a -> b -> c; a -^ c", outputs=["b"])
        add_const(graph, "large", np.ones(400))
        graph.append_input(graph.node("c"), graph.node("large").outputs[0])
        result = _cut_one(graph)
        self.assertEqual([node.name for node in result.graph.inputs], ["input_0", "input_1"])
        self.assertEqual(result.weights, {"input_1"})
        self.assertEqual(
            [(o.name, o.tensor.name) for o in result.graph.outputs], [("output_0", "b:0"), ("output_1", "c:0")]
        )
        c = result.graph.node("c")
        self.assertEqual([t.name for t in c.inputs], ["b:0", "input_1:0"])
        self.assertEqual(c.control_inputs, (result.graph.node("a"),))
        self.assertEqual(c.outputs[0].shape, (8,))

    def test_the_original_is_untouched(self) -> None:
        graph = sketch("a -> b")
        before = [(node.name, [t.name for t in node.inputs]) for node in graph.nodes]
        _cut_one(graph)
        self.assertEqual([(node.name, [t.name for t in node.inputs]) for node in graph.nodes], before)
        self.assertEqual(len(graph.node("a").outputs[0].uses), 1)

    def test_a_node_named_as_an_input_gets_another_name(self) -> None:
        result = _cut_one(sketch("input_0 -> b"))
        self.assertEqual([node.name for node in result.graph.nodes], ["input_0", "input_0_1", "b"])

    def test_variables_come_as_handles(self) -> None:
        graph = sketch("a -> b")
        handle = graph.add_input("v", DType.RESOURCE)
        handle.handle = (DType.FLOAT, (8, symbolic.symbol("w")))
        read = graph.add_node("ReadVariableOp", "read", [handle], {"dtype": DType.FLOAT}, [DType.FLOAT])
        graph.append_input(graph.node("b"), read.outputs[0])
        arg = _cut_one(graph).graph.inputs[1].outputs[0]
        self.assertEqual(arg.dtype, DType.RESOURCE)
        self.assertEqual(arg.handle, (DType.FLOAT, (8, symbolic.symbol("s0"))))


class SymbolTest(absltest.TestCase):
    def _two_inputs(self, a: symbolic.Shape, b: symbolic.Shape) -> Graph:
        graph = Graph("g")
        x, y = graph.add_input("x", DType.FLOAT, a), graph.add_input("y", DType.FLOAT, b)
        node = graph.add_node("AddV2", "add", [x, y], {"T": DType.FLOAT}, [DType.FLOAT])
        node.outputs[0].shape = a
        graph.add_output("add", node.outputs[0])
        return graph

    def _shapes(self, graph: Graph) -> list[symbolic.Shape | None]:
        return [node.outputs[0].shape for node in _cut_one(graph).graph.nodes]

    def test_symbols_are_named_in_order_of_appearance(self) -> None:
        p, q = symbolic.symbol("s17"), symbolic.symbol("s3")
        s0, s1 = symbolic.symbol("s0"), symbolic.symbol("s1")
        self.assertEqual(self._shapes(self._two_inputs((p, 4, q), (q, 1, p))), [(s0, 4, s1), (s1, 1, s0), (s0, 4, s1)])

    def test_an_expression_over_bound_symbols_stays(self) -> None:
        p, s0 = symbolic.symbol("p"), symbolic.symbol("s0")
        self.assertEqual(self._shapes(self._two_inputs((2 * p, 4), (p, 4)))[:2], [(2 * s0, 4), (s0, 4)])

    def test_any_other_expression_is_a_symbol_of_its_own(self) -> None:
        p, q, s0, s1 = (symbolic.symbol(name) for name in ("p", "q", "s0", "s1"))
        shapes = self._shapes(self._two_inputs((2 * p, q), (2 * p, 1)))
        self.assertEqual(shapes[:2], [(s1, s0), (s1, 1)])
        self.assertIsNone(shapes[2], "2 * p is not known to be s1 inside")

    def test_layers_that_differ_in_names_alone_are_equal(self) -> None:
        p, q = symbolic.symbol("p"), symbolic.symbol("q")
        self.assertEqual(self._shapes(self._two_inputs((p, q), (q,))), self._shapes(self._two_inputs((q, p), (p,))))

    def test_content_of_integer_inputs(self) -> None:
        p, q = symbolic.symbol("p"), symbolic.symbol("q")
        unknown = symbolic.value_symbol("unknown")
        graph = Graph("g")
        x = graph.add_input("x", DType.FLOAT, (p, 4))
        shape = graph.add_input("shape", DType.INT32, (5,))
        shape.value = _content(2 * p, unknown + 1, unknown, 7, q)
        node = graph.add_node("Reshape", "reshape", [x, shape], {"T": DType.FLOAT}, [DType.FLOAT])
        add(graph, "relu", "Relu", ["reshape"])
        node.outputs[0].shape = (2 * p, unknown + 1, unknown, 7, q)
        graph.add_output("y", graph.node("relu").outputs[0])
        result = _cut_one(graph)
        s0, v0, v1 = symbolic.symbol("s0"), symbolic.value_symbol("v0"), symbolic.symbol("v1")
        self.assertEqual(_items(result.graph.inputs[1].outputs[0]), [2 * s0, v0 + 1, v0, 7, v1])
        self.assertEqual(result.graph.node("reshape").outputs[0].shape, (2 * s0, v0 + 1, v0, 7, v1))

    def test_content_that_no_symbol_explains(self) -> None:
        p = symbolic.symbol("p")
        graph = Graph("g")
        shape = graph.add_input("shape", DType.INT32, (2,))
        shape.value = _content(3 * p, 3 * p)
        node = graph.add_node(
            "Fill", "fill", [shape, graph.add_input("x", DType.FLOAT, ())], {"T": DType.FLOAT}, [DType.FLOAT]
        )
        graph.add_output("y", node.outputs[0])
        verdicts = [
            Verdict(n, "" if n.op == "_Arg" else "disc", (("disc", Unsupported("argument")),), 0) for n in graph.nodes
        ]
        (cluster,) = find_clusters(graph, verdicts, EAGER).clusters
        v0 = symbolic.symbol("v0")
        self.assertEqual(_items(cut(cluster, EAGER).graph.inputs[0].outputs[0]), [v0, v0])


if __name__ == "__main__":
    absltest.main()
