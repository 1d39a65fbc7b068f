"""Control results of functions with engines, and what TensorFlow does with calls of such functions."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest

import tf_blade
from tf_blade import runtime
from tf_blade.dtypes import DType
from tf_blade.graph.graph import Graph, Node, Tensor
from tf_blade.rewrite.ends import end_after_effects, end_after_reads

F = DType.FLOAT


def _node(graph: Graph, op: str, name: str, *inputs: Tensor) -> Node:
    return graph.add_node(op, name, inputs, {"T": F}, [F])


def _is_stateful(op: str) -> bool:
    return op in ("Engine", "ReadVariableOp")


class EndsTest(absltest.TestCase):
    def test_last_stateful_nodes_become_control_results(self) -> None:
        """
        x ─► first ─► relu ─► second ─► y       first comes before second, alone comes before nothing
        ╰──► alone
        """
        graph = Graph("f")
        x = graph.add_input("x", F)
        first = _node(graph, "Engine", "first", x)
        second = _node(graph, "Engine", "second", _node(graph, "Relu", "relu", first.outputs[0]).outputs[0])
        alone = _node(graph, "Engine", "alone", x)
        graph.add_output("y", second.outputs[0])
        end_after_effects(graph, _is_stateful)
        self.assertCountEqual(graph.control_outputs, [("second", second), ("alone", alone)])

    def test_what_a_control_result_waits_for_needs_none_of_its_own(self) -> None:
        graph = Graph("f")
        x = graph.add_input("x", F)
        engine = _node(graph, "Engine", "engine", x)
        end = graph.add_node("NoOp", "end", (), {}, (), control_inputs=[engine])
        graph.add_output("y", engine.outputs[0])
        graph.control_outputs.append(("end", end))
        end_after_effects(graph, _is_stateful)
        self.assertEqual(graph.control_outputs, [("end", end)])

    def test_an_end_comes_after_all_inputs_and_reads(self) -> None:
        graph = Graph("f")
        x = graph.add_input("x", F)
        handle = graph.add_input("v", DType.RESOURCE)
        read = graph.add_node("ReadVariableOp", "read", [handle], {"dtype": F}, [F])
        total = graph.add_node("AddV2", "end", [x, read.outputs[0]], {"T": F}, [F])
        graph.add_output("y", total.outputs[0])
        end_after_reads(graph)
        ((name, end),) = graph.control_outputs
        self.assertEqual((end.op, end.name), ("NoOp", name))
        self.assertNotEqual(name, total.name)
        self.assertCountEqual(end.control_inputs, [x.node, handle.node, read])

    def test_reads_for_nobody_stay_so(self) -> None:
        graph = Graph("f")
        handle = graph.add_input("v", DType.RESOURCE)
        read = graph.add_node("ReadVariableOp", "read", [handle], {"dtype": F}, [F])
        graph.add_output("y", read.outputs[0])
        end_after_effects(graph, _is_stateful)
        self.assertEqual(graph.control_outputs, [])


class Model(tf.Module):
    """A layer, with a node in its middle that no engine takes."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.Variable(tf.ones([64, 64]) / 64)

    @tf.function(input_signature=[tf.TensorSpec([None, 64], tf.float32, "x")])
    def serve(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Two products."""
        middle = tf.raw_ops.CheckNumerics(tensor=tf.nn.relu(x @ self.weights), message="middle")
        return {"y": tf.tanh(middle @ self.weights), "z": tf.reduce_sum(tf.exp(-middle @ self.weights), 1)}


def _ops_run(folder: Path, feed: np.ndarray) -> tuple[dict[str, np.ndarray], set[str]]:
    """A session's results, and the ops of the nodes that it executed."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signature = tf.compat.v1.saved_model.load(session, ["serve"], str(folder)).signature_def["serving_default"]
        fetches = {key: item.name for key, item in signature.outputs.items()}
        options = tf.compat.v1.RunOptions(output_partition_graphs=True)
        metadata = tf.compat.v1.RunMetadata()
        results: dict[str, Any] = session.run(
            fetches, {signature.inputs["x"].name: feed}, options=options, run_metadata=metadata
        )
        return results, {node.op for graph in metadata.partition_graphs for node in graph.node}


class InliningTest(absltest.TestCase):
    def test_sessions_inline_functions_that_hold_engines(self) -> None:
        runtime.load()
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "source", Path(folder) / "target"
            model = Model()
            tf.saved_model.save(model, str(source), signatures=model.serve)
            tf_blade.optimize_saved_model(source, target, verify=False)
            feed = np.linspace(-1, 1, 3 * 64, dtype=np.float32).reshape(3, 64)
            expected, _ = _ops_run(source, feed)
            actual, ops = _ops_run(target, feed)
        self.assertIn("BladeEngineOp", ops)
        self.assertNotIn("StatefulPartitionedCall", ops)
        for key, value in expected.items():
            np.testing.assert_allclose(actual[key], value, rtol=1e-5)


if __name__ == "__main__":
    absltest.main()
