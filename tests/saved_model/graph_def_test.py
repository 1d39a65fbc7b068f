"""Bare GraphDefs, and large constants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest

import tf_blade
from tests.saved_model import workshop
from tf_blade import errors
from tf_blade.saved_model.model import read_saved_model

workshop.register()
v1 = tf.compat.v1
OPTIONS: dict[str, Any] = {"backends": ("no_engine",), **workshop.EAGER}


def _graph_def() -> Any:
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 4], name="x")
        rate = v1.placeholder_with_default(np.float32(0.5), [], name="rate")
        w = tf.constant(np.random.default_rng(0).standard_normal((4, 300)).astype(np.float32), name="w")
        hidden = tf.nn.relu(tf.matmul(x, w) * rate, name="hidden")
        tf.nn.top_k(hidden, 3, name="top")
        tf.reduce_sum(hidden, name="elsewhere")
    return graph.as_graph_def()


def _run(graph_def: Any, fetches: list[str], feeds: dict[str, Any]) -> list[Any]:
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(graph_def, name="")
        return session.run(fetches, feeds)


class GraphDefTest(absltest.TestCase):
    def test_results_and_names(self) -> None:
        graph_def = _graph_def()
        before = graph_def.SerializeToString(deterministic=True)
        found, report = tf_blade.optimize_graph_def(graph_def, outputs=["top:1", "hidden"], **OPTIONS)
        self.assertEqual(before, graph_def.SerializeToString(deterministic=True))
        self.assertGreater(report.totals.engines, 0)
        self.assertIn("BladeEngineOp", {node.op for node in found.node})
        fetches = ["top:0", "top:1", "hidden:0", "elsewhere:0"]
        for batch in (1, 3):
            feeds = {"x:0": np.random.default_rng(batch).standard_normal((batch, 4)).astype(np.float32)}
            for more in ({}, {"rate:0": np.float32(2.0)}):
                expected, result = (_run(item, fetches, {**feeds, **more}) for item in (graph_def, found))
                for mine, theirs in zip(expected, result, strict=True):
                    self.assertTrue(workshop.same(mine, theirs))

    def test_an_inner_tensor_can_be_an_input(self) -> None:
        graph_def = _graph_def()
        found, report = tf_blade.optimize_graph_def(
            graph_def, inputs=["hidden:0"], outputs=["top:0", "top:1"], **OPTIONS
        )
        del report
        feeds = {"hidden:0": np.random.default_rng(1).standard_normal((2, 300)).astype(np.float32)}
        expected, result = (_run(item, ["top:0", "top:1", "elsewhere:0"], feeds) for item in (graph_def, found))
        for mine, theirs in zip(expected, result, strict=True):
            self.assertTrue(workshop.same(mine, theirs))
        feeds = {"x:0": np.ones((2, 4), np.float32)}
        expected, result = (_run(item, ["top:0", "hidden:0"], feeds) for item in (graph_def, found))
        for mine, theirs in zip(expected, result, strict=True):
            self.assertTrue(workshop.same(mine, theirs))

    def test_unknown_tensors(self) -> None:
        for options in ({"outputs": ["nope"]}, {"outputs": ["hidden"], "inputs": ["nope:0"]}):
            with self.assertRaisesRegex(errors.InvalidSavedModelError, "no node 'nope'"):
                tf_blade.optimize_graph_def(_graph_def(), **options, **OPTIONS)

    def test_the_same_twice(self) -> None:
        first, second = (tf_blade.optimize_graph_def(_graph_def(), outputs=["top"], **OPTIONS)[0] for _ in range(2))
        self.assertEqual(first.SerializeToString(deterministic=True), second.SerializeToString(deterministic=True))


class LargeConstantTest(absltest.TestCase):
    def test_is_stored_once(self) -> None:
        """Its function goes into the caller, and the fallback function takes it as an argument."""

        class Model(tf.Module):
            def __init__(self) -> None:
                super().__init__()
                self.w = np.random.default_rng(0).standard_normal((64, 4096)).astype(np.float32)

            @tf.function(autograph=False)
            def inner(self, x: Any) -> Any:
                return tf.nn.relu(tf.matmul(x, self.w)) + 1.0

        model = Model()
        signature = tf.function(lambda x: {"y": model.inner(x) * 2.0}, input_signature=[tf.TensorSpec([None, 64])])
        folder = Path(self.create_tempdir().full_path)
        tf.saved_model.save(tf.Module(), str(folder / "src"), signatures=signature)
        report = tf_blade.optimize_saved_model(folder / "src", folder / "dst", verify=False, **OPTIONS)
        self.assertEqual(report.totals.engines, 1)
        sizes = [(folder / name / "saved_model.pb").stat().st_size for name in ("src", "dst")]
        self.assertGreater(sizes[0], model.w.nbytes)
        self.assertLess(sizes[1], sizes[0] * 1.05)
        functions = read_saved_model(folder / "dst").functions
        self.assertFalse(any("inner" in name for name in functions), list(functions))
        x = tf.constant(np.random.default_rng(1).standard_normal((3, 64)).astype(np.float32))
        mine, theirs = (
            tf.saved_model.load(str(folder / n)).signatures["serving_default"](x)["y"] for n in ("src", "dst")
        )
        self.assertTrue(workshop.same(mine, theirs))


if __name__ == "__main__":
    absltest.main()
