"""Clusters replaced by engine ops, on graphs made by hand: what is rewired, what stays, what goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from absl.testing import absltest

from tf_blade.dtypes import DType
from tf_blade.graph import legality
from tf_blade.graph.attributes import FunctionAttr, TensorAttr
from tf_blade.graph.graph import Graph, Node, Tensor
from tf_blade.rewrite.replace import Replacement, replace_clusters
from tf_blade.stages import BuiltEngine, Cluster

F = DType.FLOAT


def _op(graph: Graph, op: str, name: str, *inputs: Tensor, control: Sequence[Node] = (), **attrs: Any) -> Tensor:
    return graph.add_node(op, name, inputs, {"T": F, **attrs}, [F], control_inputs=control).outputs[0]


def _const(graph: Graph, name: str, control: Sequence[Node] = ()) -> Tensor:
    value = np.ones(2, np.float32)
    attrs: dict[str, Any] = {"dtype": F, "value": TensorAttr(F, (2,), value)}
    return graph.add_node("Const", name, (), attrs, [F], control_inputs=control).outputs[0]


def _replace(graph: Graph, *clusters: tuple[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]]) -> list[Node]:
    """Each cluster: its nodes' outputs, its inputs, its outputs."""
    items = []
    for index, (nodes, inputs, outputs) in enumerate(clusters):
        members = tuple(tensor.node for tensor in nodes)
        cluster = Cluster(f"__f_{index}", "test", members, tuple(inputs), tuple(outputs), 0)
        items.append(Replacement(cluster, (BuiltEngine("test", b"bytes", 0.0),), f"fallback_{index}"))
    ops = replace_clusters(graph, items)
    legality.check(graph)
    graph.topological_order()
    return ops


class ReplaceTest(absltest.TestCase):
    def test_attributes(self) -> None:
        graph = Graph("f")
        x = graph.add_input("x", F)
        y = _op(graph, "Relu", "relu", x)
        graph.add_output("y", y)
        y.shape = (3,)
        (op,) = _replace(graph, ([y], [x], [y]))
        self.assertEqual(op.op, "BladeEngineOp")
        self.assertEqual(op.name, "f_0")  # no leading underscore: TensorFlow allows none
        self.assertEqual(
            op.attrs,
            {
                "Tin": [F],
                "Tout": [F],
                "fallback": FunctionAttr("fallback_0"),
                "engines": [b"bytes"],
                "cluster": b"__f_0",
            },
        )
        self.assertEqual(op.outputs[0].shape, (3,))

    def test_int32_is_marked_as_the_machines(self) -> None:
        graph = Graph("f")
        x, n = graph.add_input("x", F), graph.add_input("n", DType.INT32)
        y = _op(graph, "Relu", "relu", x)
        m = graph.add_node("Neg", "neg", [n], {"T": DType.INT32}, [DType.INT32]).outputs[0]
        for name, tensor in (("y", y), ("m", m)):
            graph.add_output(name, tensor)
        (op,) = _replace(graph, ([y, m], [x, n], [m, y]))
        self.assertEqual((op.attrs["_input_hostmem"], op.attrs["_output_hostmem"]), ([1], [0]))

    def test_control_outputs_that_become_one_op_are_named_once(self) -> None:
        graph = Graph("f")
        x = graph.add_input("x", F)
        relu, exp = _op(graph, "Relu", "relu", x), _op(graph, "Exp", "exp", x)
        outside = _op(graph, "Neg", "neg", x)
        for name, tensor in (("y", relu), ("z", exp), ("r", outside)):
            graph.add_output(name, tensor)
            graph.control_outputs.append((f"{name}_end", tensor.node))
        (op,) = _replace(graph, ([relu, exp], [x], [relu, exp]))
        self.assertEqual(graph.control_outputs, [("y_end", op), ("r_end", outside.node)])

    def test_an_output_that_is_fetched_and_read_inside_and_outside(self) -> None:
        """
        x ─► [relu ─► exp] ─► y          relu is read by exp inside, by neg outside, and fetched
               ├──► neg ─► z
               ╰──► r
        """
        graph = Graph("f")
        x = graph.add_input("x", F)
        relu = _op(graph, "Relu", "relu", x)
        exp = _op(graph, "Exp", "exp", relu)
        neg = _op(graph, "Neg", "neg", relu)
        for name, tensor in (("y", exp), ("z", neg), ("r", relu)):
            graph.add_output(name, tensor)
        (op,) = _replace(graph, ([relu, exp], [x], [relu, exp]))
        self.assertEqual({node.name for node in graph.nodes}, {"x", "neg", "f_0"})
        self.assertEqual(neg.node.inputs, (op.outputs[0],))
        self.assertEqual([item.tensor for item in graph.outputs], [op.outputs[1], neg, op.outputs[0]])

    def test_a_cluster_that_reads_another(self) -> None:
        graph = Graph("f")
        x = graph.add_input("x", F)
        a = _op(graph, "Relu", "a", x)
        middle = _op(graph, "Unknown", "middle", a)
        b = _op(graph, "Add", "b", a, middle)
        graph.add_output("y", b)
        first, second = _replace(graph, ([a], [x], [a]), ([b], [a, middle], [b]))
        self.assertEqual(second.inputs, (first.outputs[0], middle))
        self.assertEqual({node.name for node in graph.nodes}, {"x", "middle", "f_0", "f_1"})

    def test_shared_constants_stay_for_those_who_read_them(self) -> None:
        graph = Graph("f")
        x = graph.add_input("x", F)
        shared, own = _const(graph, "shared"), _const(graph, "own")
        a = _op(graph, "Add", "a", x, shared)
        b = _op(graph, "Mul", "b", a, own)
        outside = _op(graph, "Unknown", "outside", shared, b)
        c = _op(graph, "Sub", "c", outside, shared)
        graph.add_output("y", c)
        _replace(graph, ([shared, own, a, b], [x], [b]), ([shared, c], [outside], [c]))
        self.assertEqual({node.name for node in graph.nodes}, {"x", "shared", "outside", "f_0", "f_1"})

    def test_reads_that_must_run_are_run_by_the_engine(self) -> None:
        """A traced function names every read of a variable among the nodes that must run."""
        graph = Graph("f")
        x, handle = graph.add_input("x", F), graph.add_input("v", DType.RESOURCE)
        read = graph.add_node("ReadVariableOp", "read", [handle], {"dtype": F}, [F]).outputs[0]
        y = _op(graph, "Mul", "mul", x, read)
        graph.add_output("y", y)
        graph.control_outputs.append(("read", read.node))
        (op,) = _replace(graph, ([read, y], [x, handle], [y]))
        self.assertEqual(op.inputs, (x, handle))
        self.assertEqual(graph.control_outputs, [("read", op)])
        self.assertEqual({node.name for node in graph.nodes}, {"x", "v", "f_0"})

    def test_control_edges_across_the_border(self) -> None:
        graph = Graph("f")
        x = graph.add_input("x", F)
        before = graph.add_node("NoOp", "before", (), {}, ())
        a = _op(graph, "Relu", "a", x, control=[before])
        b = _op(graph, "Exp", "b", a, control=[a.node])
        after = graph.add_node("NoOp", "after", (), {}, (), control_inputs=[a.node, b.node])
        graph.add_output("y", b)
        graph.control_outputs.append(("after", after))
        (op,) = _replace(graph, ([a, b], [x], [b]))
        self.assertEqual(op.control_inputs, (before,))
        self.assertEqual(after.control_inputs, (op,))

    def test_what_constants_wait_for_does_not_delay_the_engine(self) -> None:
        """c waits for p, which waits for the engine: the engine has its own c and must not wait for p."""
        graph = Graph("f")
        x = graph.add_input("x", F)
        a = _op(graph, "Relu", "a", x)
        p = _op(graph, "Unknown", "p", a)
        c = _const(graph, "c", control=[p.node])
        b = _op(graph, "Add", "b", a, c)
        late = graph.add_node("NoOp", "late", (), {}, (), control_inputs=[c.node])
        graph.add_output("y", b)
        graph.control_outputs.append(("late", late))
        (op,) = _replace(graph, ([a, c, b], [x], [a, b]))
        self.assertEqual(op.control_inputs, ())
        self.assertEqual(late.control_inputs, (p.node,))

    def test_nobody_is_placed_beside_a_node_that_is_gone(self) -> None:
        graph = Graph("f")
        x = graph.add_input("x", F)
        a = _op(graph, "Relu", "a", x)
        one = _op(graph, "Unknown", "one", a, _class=[b"loc:@a"])
        two = _op(graph, "Unknown", "two", one, _class=[b"loc:@a", b"loc:@one"])
        graph.add_output("y", two)
        _replace(graph, ([a], [x], [a]))
        self.assertNotIn("_class", one.node.attrs)
        self.assertEqual(two.node.attrs["_class"], [b"loc:@one"])

    def test_names_that_are_taken(self) -> None:
        graph = Graph("f")
        x = graph.add_input("x", F)
        a = _op(graph, "Relu", "f_0", x)
        b = _op(graph, "Unknown", "f_0_1", a)
        graph.add_output("y", b)
        (op,) = _replace(graph, ([a], [x], [a]))
        self.assertIn(op.name, {"f_0", "f_0_2"})
        self.assertEqual(b.node.inputs, (op.outputs[0],))


if __name__ == "__main__":
    absltest.main()
