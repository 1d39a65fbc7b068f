"""Signatures that share a part of a main graph, and feed and fail apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

import tf_blade
from tests.saved_model import workshop

workshop.register()
v1 = tf.compat.v1
OPTIONS: dict[str, Any] = {"backends": ("no_engine",), **workshop.EAGER}


def _save(folder: Path) -> None:
    """Signature `one` feeds x; `two` feeds x and y, reads what `one` computes, and fails where shapes differ."""
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = (v1.placeholder(tf.float32, [None, 4], name=name) for name in "xy")
        shared = tf.nn.relu(tf.tanh(x))
        one = tf.exp(tf.square(shared), name="one")
        two = tf.sigmoid(shared + tf.nn.softmax(y), name="two")
        info = v1.saved_model.utils.build_tensor_info
        build = v1.saved_model.signature_def_utils.build_signature_def
        signatures = {
            "one": build({"x": info(x)}, {"r": info(one)}, "tensorflow/serving/predict"),
            "two": build({"x": info(x), "y": info(y)}, {"r": info(two)}, "tensorflow/serving/predict"),
        }
        builder = v1.saved_model.builder.SavedModelBuilder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()


class DemandsTest(parameterized.TestCase):
    @parameterized.parameters(None, "one", "two")
    def test_a_signature_runs_without_what_others_feed(self, chosen: str | None) -> None:
        folder = Path(self.create_tempdir().full_path)
        src, dst = folder / "src", folder / "dst"
        _save(src)
        report = tf_blade.optimize_saved_model(src, dst, signatures=chosen and (chosen,), **OPTIONS)
        self.assertGreater(report.totals.engines, 0)
        x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
        with tf.Graph().as_default(), v1.Session() as session:
            v1.saved_model.load(session, ["serve"], str(dst))
            shared = np.maximum(np.tanh(x), 0)
            np.testing.assert_allclose(session.run("one:0", {"x:0": x}), np.exp(shared**2), rtol=1e-5)
            with self.assertRaises(tf.errors.InvalidArgumentError):
                session.run("two:0", {"x:0": x, "y:0": np.zeros((3, 4), np.float32)})
            expected = 1 / (1 + np.exp(-shared - 0.25))
            np.testing.assert_allclose(session.run("two:0", {"x:0": x, "y:0": 0 * x}), expected, rtol=1e-5)


if __name__ == "__main__":
    absltest.main()
