"""The backend as the runtime sees it: which inputs it watches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from absl.testing import absltest

import tf_blade
from tf_blade import runtime

SIZE = 64


class Product(tf.Module):
    """A product whose weights are packed once, and a table that is gathered from in each call."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        self.w = tf.Variable(rng.standard_normal((SIZE, SIZE)).astype(np.float32))
        self.scale = tf.Variable(rng.standard_normal(SIZE).astype(np.float32))
        self.table = tf.Variable(rng.standard_normal((9, SIZE)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec([None, SIZE]), tf.TensorSpec([None], tf.int32)])
    def __call__(self, x: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        product = tf.matmul(x + tf.gather(self.table, ids), self.w) * tf.exp(self.scale)
        return tf.nn.softmax(tf.tanh(product))


class WatchedWeightsTest(absltest.TestCase):
    def test_assigned_variables_are_seen(self) -> None:
        module = Product()
        folder = Path(self.create_tempdir().full_path)
        tf.saved_model.save(module, str(folder / "original"))
        tf_blade.optimize_saved_model(str(folder / "original"), str(folder / "optimized"), strict=True)
        loaded = tf.saved_model.load(str(folder / "optimized"))
        x, ids = tf.random.stateless_normal([5, SIZE], [1, 2]), tf.constant([0, 8, 3, 3, 1])
        runtime.reset_runtime_stats()
        np.testing.assert_allclose(loaded(x, ids), module(x, ids), atol=1e-5)
        for name in ("w", "scale", "table"):
            value = tf.random.stateless_normal(getattr(module, name).shape, [3, 4])
            for item in (module, loaded):
                getattr(item, name).assign(value)
            np.testing.assert_allclose(loaded(x, ids), module(x, ids), atol=1e-5, err_msg=name)
        stats = runtime.runtime_stats()["clusters"]
        self.assertEqual(4, sum(item["engine_runs"] for item in stats))
        self.assertFalse(any(item["fallbacks"] for item in stats))


if __name__ == "__main__":
    absltest.main()
