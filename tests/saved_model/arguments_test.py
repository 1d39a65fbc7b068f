"""Which inputs of signatures functions' arguments are: through calls of calls, and in graphs that are no good."""

from __future__ import annotations

from pathlib import Path

from absl.testing import absltest
from tensorflow.core.protobuf import saved_model_pb2

from tf_blade.saved_model.arguments import arguments_of
from tf_blade.saved_model.model import SavedModel, saved_model_from


def _node(nodes: object, op: str, name: str, *inputs: str, calls: str = "") -> None:
    node = nodes.add(op=op, name=name, input=inputs)  # type: ignore[attr-defined]
    if calls:
        node.attr["f"].func.name = calls


class ArgumentsTest(absltest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.message = saved_model_pb2.SavedModel()
        self.meta_graph = self.message.meta_graphs.add()
        self.nodes = self.meta_graph.graph_def.node

    def signature(self, name: str, **inputs: str) -> None:
        for key, tensor in inputs.items():
            self.meta_graph.signature_def[name].inputs[key].name = tensor

    def function(self, name: str, *arguments: str) -> object:
        function = self.meta_graph.graph_def.library.function.add()
        function.signature.name = name
        for item in arguments:
            function.signature.input_arg.add(name=item)
        return function.node_def

    def model(self) -> SavedModel:
        return saved_model_from(Path("model"), self.message, 0)

    def test_through_calls(self) -> None:
        self.signature("one", ids="serve_ids:0", mask="serve_mask:0")
        self.signature("two", words="serve_words:0", mask="serve_mask:0")
        _node(self.nodes, "StatefulPartitionedCall", "a", "serve_mask", "serve_ids:0", "^other", calls="outer")
        _node(self.nodes, "PartitionedCall", "b", "serve_mask", "serve_words", calls="outer")
        inside = self.function("outer", "x", "y")
        _node(inside, "Identity", "same", "y")
        _node(inside, "Identity", "too", "same:output:0")
        _node(inside, "Cast", "cast", "x")
        _node(inside, "inner", "call", "cast:y:0", "too:output:0", "x")
        self.function("inner", "cast", "words", "kept")
        self.function("alone", "x")
        found = arguments_of(self.model())
        both = frozenset({"ids", "words"})
        self.assertEqual({"x": frozenset({"mask"}), "y": both}, found["outer"])
        self.assertEqual({"cast": frozenset(), "words": both, "kept": frozenset({"mask"})}, found["inner"])
        self.assertEqual({"serve_ids", "serve_mask", "serve_words"}, set(found[""]))
        self.assertNotIn("alone", found)

    def test_circles_and_calls_that_do_not_fit(self) -> None:
        """Each is an error of TensorFlow's to tell."""
        self.signature("one", x="x:0", y="")
        _node(self.nodes, "Identity", "a", "b")
        _node(self.nodes, "Identity", "b", "a")
        _node(self.nodes, "PartitionedCall", "c", "a", "x", "x", calls="again")
        _node(self.nodes, "PartitionedCall", "d", "x", calls="missing")
        _node(self.nodes, "PartitionedCall", "e", "x")
        inside = self.function("again", "x", "y")
        _node(inside, "again", "first", "y")
        _node(inside, "again", "second", "z:0", "x")
        model = self.model()
        before = self.message.SerializeToString(deterministic=True)
        found = arguments_of(model)
        self.assertEqual({"x": frozenset({"x"}), "y": frozenset({"x"})}, found["again"])
        self.assertEqual({"", "again"}, set(found))
        self.assertEqual(before, self.message.SerializeToString(deterministic=True))


if __name__ == "__main__":
    absltest.main()
