"""Models of TensorFlow 1 whose meta graphs have other tags, or of which there are several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

import tf_blade
from tests.cli import kit
from tests.saved_model import workshop

workshop.register()
v1 = tf.compat.v1
_X = np.linspace(-1.0, 1.0, 12, dtype=np.float32).reshape(3, 4)


def _save(folder: Path, tag_sets: tuple[tuple[str, ...], ...]) -> None:
    builder = v1.saved_model.Builder(str(folder))
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 4], name="x")
        w = v1.get_variable("w", initializer=np.full((4, 4), 0.3, np.float32), use_resource=True)
        outputs = {"y": tf.tanh(tf.matmul(x, w)) * 2.0}
        session.run(v1.global_variables_initializer())
        signature = v1.saved_model.signature_def_utils.predict_signature_def({"x": x}, outputs)
        builder.add_meta_graph_and_variables(session, tag_sets[0], {"serving_default": signature})
        for tags in tag_sets[1:]:
            builder.add_meta_graph(tags, {"serving_default": signature})
    builder.save()


def _run(folder: Path, tags: tuple[str, ...]) -> Any:
    with tf.Graph().as_default(), v1.Session() as session:
        signature = v1.saved_model.load(session, tags, str(folder)).signature_def["serving_default"]
        return session.run(signature.outputs["y"].name, {signature.inputs["x"].name: _X})


class TagsTest(parameterized.TestCase):
    @parameterized.parameters(
        (("serve",), (("serve",), ("train",))),
        (("serve",), (("gpu", "serve"), ("serve",))),
        (("gpu", "serve"), (("gpu", "serve"),)),
        (("gpu", "serve"), (("train",), ("gpu", "serve"), ("serve", "tpu"))),
    )
    def test_the_served_one_is_optimized(self, served: tuple[str, ...], tag_sets: tuple[tuple[str, ...], ...]) -> None:
        """It is verified, and has warmup requests, by loaders that are asked for its tags."""
        folder = Path(self.create_tempdir().full_path)
        src, dst = folder / "src", folder / "dst"
        _save(src, tag_sets)
        report = tf_blade.optimize_saved_model(src, dst, backends=("no_engine",), **workshop.EAGER)
        self.assertEqual(report.totals.engines, 1)
        self.assertTrue((dst / "assets.extra" / "tf_serving_warmup_requests").exists())
        told = f"of the model's meta graphs the one tagged {{{', '.join(served)}}} is optimized; others stay"
        self.assertEqual(told in report.notes, len(tag_sets) > 1, report.notes)
        before, after = (SavedModel.FromString((item / "saved_model.pb").read_bytes()) for item in (src, dst))
        for old, new in zip(before.meta_graphs, after.meta_graphs, strict=True):
            tags = tuple(sorted(old.meta_info_def.tags))
            self.assertEqual(old != new, tags == served)
            np.testing.assert_allclose(_run(dst, tags), _run(src, tags), rtol=1e-6)
        found = kit.call("verify", src, dst)
        self.assertEqual(found.status, 0, found.err)
        found = kit.call("bench", src, dst, "--seconds=0", "--callable")
        self.assertEqual(found.status, 0, found.err)
        self.assertIn("session", found.out)


if __name__ == "__main__":
    absltest.main()
