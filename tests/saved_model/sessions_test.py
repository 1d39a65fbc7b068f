"""Main graphs that call engines which find their variables by name: what sessions run, and whose values they see."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import absltest

import tf_blade
from tests.folders import class_folder
from tests.saved_model.workshop import EAGER
from tf_blade import runtime
from tf_blade.saved_model import writer
from tf_blade.saved_model.model import read_saved_model


class Inner(tf.Module):
    """Called by two signatures, so that it stays a function of its own; one variable is read outside of engines too."""

    def __init__(self) -> None:
        super().__init__()
        random = np.random.default_rng(5)
        self.kernel = tf.Variable(random.standard_normal((8, 8)).astype(np.float32), name="kernel")
        self.bias = tf.Variable(random.standard_normal(8).astype(np.float32), name="bias")
        self.shared = tf.Variable(random.standard_normal(8).astype(np.float32), name="shared")

    @tf.function(input_signature=[tf.TensorSpec([None, 8], tf.float32, "x")])
    def layer(self, x: tf.Tensor) -> tf.Tensor:
        """An engine, a node that no engine takes, and one more engine."""
        hidden = tf.nn.relu(x @ self.kernel + self.bias)
        checked = tf.raw_ops.CheckNumerics(tensor=hidden, message="hidden")
        kept = tf.raw_ops.CheckNumerics(tensor=self.shared.read_value(), message="shared")
        return tf.tanh(checked @ self.kernel) * self.shared + kept

    @tf.function(input_signature=[tf.TensorSpec([None, 8], tf.float32, "x")])
    def once(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """The layer."""
        return {"y": self.layer(x)}

    @tf.function(input_signature=[tf.TensorSpec([None, 8], tf.float32, "x")])
    def twice(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """The layer on itself."""
        return {"y": self.layer(self.layer(x))}

    @tf.function(input_signature=[tf.TensorSpec([8], tf.float32, "value")])
    def train(self, value: tf.Tensor) -> dict[str, tf.Tensor]:
        """Writes the bias."""
        self.bias.assign(value)
        return {"sum": tf.reduce_sum(self.bias)}


class SessionsTest(absltest.TestCase):
    source: Path
    target: Path

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        runtime.load()
        folder = class_folder(cls)
        cls.source, cls.target = folder / "source", folder / "target"
        model = Inner()
        signatures = {"once": model.once, "twice": model.twice, "train": model.train}
        tf.saved_model.save(model, str(cls.source), signatures=signatures)
        tf_blade.optimize_saved_model(cls.source, cls.target, **EAGER)

    def run_all(
        self, folder: Path, feeds: list[tuple[str, np.ndarray]], device: str = "", container: str = ""
    ) -> tuple[list[np.ndarray], list[Any]]:
        """The answers of one session in order, and the nodes that the last call executed."""
        config = tf.compat.v1.ConfigProto(device_count={"CPU": 2})
        with tf.Graph().as_default(), tf.compat.v1.Session(config=config) as session:
            with tf.device(device), tf.compat.v1.container(container):
                signatures = tf.compat.v1.saved_model.load(session, ["serve"], str(folder)).signature_def
            answers = []
            metadata = tf.compat.v1.RunMetadata()
            for name, feed in feeds:
                (fed,), (fetched,) = signatures[name].inputs.values(), signatures[name].outputs.values()
                options = tf.compat.v1.RunOptions(output_partition_graphs=True)
                answers.append(session.run(fetched.name, {fed.name: feed}, options=options, run_metadata=metadata))
            return answers, [node for graph in metadata.partition_graphs for node in graph.node]

    def test_answers_follow_the_variables(self) -> None:
        random = np.random.default_rng(6)
        feeds = [("once", random.standard_normal((3, 8)).astype(np.float32))]
        feeds += [("train", np.full(8, 0.5, np.float32)), feeds[0], ("train", np.full(8, -2, np.float32)), feeds[0]]
        feeds += [("twice", random.standard_normal((size, 8)).astype(np.float32)) for size in (1, 0, 5)]
        expected, _ = self.run_all(self.source, feeds)
        actual, _ = self.run_all(self.target, feeds)
        for mine, theirs in zip(actual, expected, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)
        self.assertGreater(float(np.abs(expected[0] - expected[2]).max()), 1e-3)

    def test_only_variables_that_others_read_are_handed_over(self) -> None:
        _, nodes = self.run_all(self.target, [("once", np.ones((2, 8), np.float32))])
        handles = [node.attr["shared_name"].s for node in nodes if node.op == "VarHandleOp"]
        named = {name for node in nodes if node.op == "BladeEngineOp" for name in node.attr["variables"].list.s}
        self.assertContainsSubset({b"kernel", b"bias"}, named)
        self.assertEqual({*handles, *named}, {b"kernel", b"bias", b"shared"})
        self.assertNoCommonElements({b"kernel", b"bias"}, handles)

    def test_variables_are_found_whatever_device_the_model_is_loaded_for(self) -> None:
        feeds = [("twice", np.full((2, 8), 0.25, np.float32))]
        expected, _ = self.run_all(self.source, feeds)
        for device in ("/device:CPU:0", "/device:CPU:1"):
            with self.subTest(device):
                runtime.reset_runtime_stats()
                actual, nodes = self.run_all(self.target, feeds, device)
                np.testing.assert_allclose(actual[0], expected[0], rtol=1e-5, atol=1e-6)
                self.assertIn("BladeEngineOp", {node.op for node in nodes})
                self.assertEqual(
                    {}, {k: n for c in runtime.runtime_stats()["clusters"] for k, n in c["fallbacks"].items()}
                )

    def test_variables_are_found_when_the_model_is_loaded_into_a_container(self) -> None:
        feeds = [("twice", np.full((2, 8), 0.25, np.float32)), ("train", np.full(8, 0.5, np.float32))]
        feeds.append(feeds[0])
        expected, _ = self.run_all(self.source, feeds, container="apart")
        actual, _ = self.run_all(self.target, feeds, container="apart")
        for mine, theirs in zip(actual, expected, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)

    def test_no_copies_where_the_file_would_become_too_large(self) -> None:
        size = (self.target / "saved_model.pb").stat().st_size
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "target"
            with mock.patch.object(writer, "MAX_BYTES", size + 1000):  # less than is kept free
                tf_blade.optimize_saved_model(self.source, target, **EAGER)
            feeds = [("twice", np.full((2, 8), 0.25, np.float32))]
            expected, _ = self.run_all(self.source, feeds)
            actual, nodes = self.run_all(target, feeds)
        np.testing.assert_allclose(actual[0], expected[0], rtol=1e-5, atol=1e-6)
        engines = [node for node in nodes if node.op == "BladeEngineOp"]
        self.assertNotEmpty(engines)
        self.assertEqual([0] * len(engines), [len(node.attr["variables"].list.s) for node in engines])

    def test_a_fallback_finds_the_variables(self) -> None:
        feeds = [("once", np.full((2, 8), 0.25, np.float32))]
        expected, _ = self.run_all(self.source, feeds)
        with self.subTest("engines that are refused"), tempfile.TemporaryDirectory() as folder:
            model = read_saved_model(self.target)
            for function in model.meta_graph.graph_def.library.function:
                for node in function.node_def:
                    if node.op == "BladeEngineOp":
                        node.attr["engines"].list.s[:] = [b"no engine"]
            damaged = Path(folder) / "damaged"
            tf.io.gfile.makedirs(str(damaged))
            for path in self.target.rglob("*"):
                if path.is_file() and path.name not in ("saved_model.pb", "fingerprint.pb"):
                    place = damaged / path.relative_to(self.target)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(path.read_bytes())
            (damaged / "saved_model.pb").write_bytes(model.message.SerializeToString())
            actual, _ = self.run_all(damaged, feeds)
        np.testing.assert_array_equal(actual[0], expected[0])


if __name__ == "__main__":
    absltest.main()
