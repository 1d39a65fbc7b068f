"""Each rule finds what breaks it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from absl.testing import absltest, parameterized

from tf_blade.dtypes import DType
from tf_blade.errors import LegalityError
from tf_blade.graph import legality
from tf_blade.graph.attributes import TensorAttr
from tf_blade.graph.graph import Graph


def _graph() -> Graph:
    graph = Graph("g")
    x = graph.add_input("x", DType.FLOAT, (4,))
    value = TensorAttr(DType.FLOAT, (4,), np.ones(4, np.float32))
    c = graph.add_node("Const", "c", (), {"dtype": DType.FLOAT, "value": value}, [DType.FLOAT])
    a = graph.add_node("AddV2", "a", [x, c.outputs[0]], {"T": DType.FLOAT}, [DType.FLOAT])
    b = graph.add_node("Relu", "b", [a.outputs[0]], {"T": DType.FLOAT}, [DType.FLOAT], control_inputs=[c])
    graph.add_output("y", b.outputs[0])
    graph.control_outputs.append(("done", b))
    graph.keep.add("a")
    return graph


def _foreign(graph: Graph) -> None:
    other = _graph()
    graph.append_input(graph.node("b"), other.node("a").outputs[0])


def _one_sided(graph: Graph) -> None:
    del graph.node("a").outputs[0]._uses[(graph.node("b"), 0)]


def _forgotten_use(graph: Graph) -> None:
    graph.node("b")._inputs.pop()


def _one_sided_control(graph: Graph) -> None:
    del graph.node("c")._control_uses[graph.node("b")]


def _waits_for_itself(graph: Graph) -> None:
    graph.add_control_input(graph.node("b"), graph.node("b"))


def _stolen_output(graph: Graph) -> None:
    graph.node("b").outputs = graph.node("a").outputs


def _argument_order(graph: Graph) -> None:
    graph.add_input("z", DType.FLOAT)
    graph.inputs.reverse()


def _argument_with_input(graph: Graph) -> None:
    graph.append_input(graph.node("x"), graph.node("c").outputs[0])


def _constant_type(graph: Graph) -> None:
    graph.node("c").attrs["dtype"] = DType.INT32


def _content_shape(graph: Graph) -> None:
    graph.node("a").outputs[0].value = np.array([1, 2], dtype=object)


def _cycle(graph: Graph) -> None:
    graph.append_input(graph.node("a"), graph.node("b").outputs[0])


def _two_names(graph: Graph) -> None:
    graph.add_output("y", graph.node("a").outputs[0])


def _lost_output(graph: Graph) -> None:
    graph.add_output("z", _graph().node("a").outputs[0])


def _lost_control_output(graph: Graph) -> None:
    graph.control_outputs.append(("z", _graph().node("a")))


def _lost_keep(graph: Graph) -> None:
    graph.keep.add("nowhere")


class LegalityTest(parameterized.TestCase):
    def test_a_legal_graph(self) -> None:
        legality.check(_graph())

    @parameterized.parameters(
        (_foreign, "not in the graph"),
        (_one_sided, "does not know"),
        (_forgotten_use, "believes that b reads it"),
        (_one_sided_control, "waits for c, which does not know"),
        (_waits_for_itself, "waits for itself"),
        (_stolen_output, "belongs to another node|does not know|believes"),
        (_argument_order, "is not argument number"),
        (_argument_with_input, "an argument reads something"),
        (_constant_type, "another type"),
        (_content_shape, "known content of a:0"),
        (_cycle, "cycle"),
        (_two_names, "two outputs have one name"),
        (_lost_output, "output z"),
        (_lost_control_output, "control output z"),
        (_lost_keep, "nowhere must be kept"),
    )
    def test_a_broken_graph(self, damage: Callable[[Graph], None], expected: str) -> None:
        graph = _graph()
        damage(graph)
        with self.assertRaisesRegex(LegalityError, expected):
            legality.check(graph, after="some_pass")

    def test_the_message_shows_the_neighbours_and_the_pass(self) -> None:
        graph = _graph()
        _one_sided(graph)
        with self.assertRaisesRegex(LegalityError, r"after some_pass[\s\S]*> b = Relu") as caught:
            legality.check(graph, after="some_pass")
        self.assertIn("a = AddV2", str(caught.exception))


if __name__ == "__main__":
    absltest.main()
