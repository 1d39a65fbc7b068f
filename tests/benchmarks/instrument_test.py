"""Counters in generated code: they count, the results stay, and work is what the arithmetic says."""

from pathlib import Path

import numpy as np
import tensorflow as tf
from absl.testing import absltest

import tf_blade
from benchmarks.cpu import profile
from benchmarks.cpu.instrument import Recorder

_ROWS, _WIDTH, _LAYERS = 96, 128, 4


class InstrumentTest(absltest.TestCase):
    def _save(self, folder: Path) -> None:
        module = tf.Module()
        weights = np.random.default_rng(0).standard_normal((_LAYERS, _WIDTH, _WIDTH)).astype(np.float32)
        module.weights = [tf.Variable(weight * _WIDTH**-0.5) for weight in weights]

        @tf.function(input_signature=[tf.TensorSpec([None, _WIDTH], tf.float32, "x")])
        def serve(x: tf.Tensor) -> dict[str, tf.Tensor]:
            for weight in module.weights:
                x = tf.nn.relu(tf.matmul(x, weight) + 0.1)
            return {"y": x}

        module.serve = serve
        tf.saved_model.save(module, str(folder), signatures=serve)

    def test_a_matrix_product_is_counted(self) -> None:
        folder = Path(self.create_tempdir().full_path)
        self._save(folder / "model")
        recorder = Recorder(folder / "source")
        with recorder.patched():
            tf_blade.optimize_saved_model(
                folder / "model", folder / "fast", verify=False, strict=True, min_cluster_gain_us=0
            )
        self.assertTrue((folder / "source" / "engine0.cc").exists())
        function = tf.saved_model.load(str(folder / "fast")).signatures["serving_default"]
        x = tf.constant(np.random.default_rng(1).standard_normal((_ROWS, _WIDTH)).astype(np.float32))
        expected = tf.saved_model.load(str(folder / "model")).signatures["serving_default"](x=x)["y"]
        calls, seconds = profile.sample(lambda: function(x=x), recorder, 0.05)
        np.testing.assert_allclose(function(x=x)["y"], expected, rtol=1e-4, atol=1e-4)

        self.assertGreaterEqual(calls, 5)
        products = [entry for entry in recorder.entries if entry.flops]
        self.assertEqual([entry.flops for entry in products], [2 * _ROWS * _WIDTH**2] * _LAYERS)
        moved = 4 * (2 * _ROWS * _WIDTH + _WIDTH**2)
        for product in products:
            self.assertBetween(product.bytes, moved, 2 * moved)
            self.assertBetween(profile.seconds(product), 1e-7, seconds)


if __name__ == "__main__":
    absltest.main()
