"""Models whose tensors have sizes that only the data decide: one engine, TensorFlow's numbers and errors."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

import tf_blade
from tests.e2e import engines_only, kit
from tf_blade import runtime


class Picker(tf.Module):
    """A detector of images of any size: products before and after boxes are picked, and a second choice among them."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        self.filters, self.boxes, self.classes, self.embed = (
            tf.Variable(rng.normal(size=shape).astype(np.float32) * 0.3)
            for shape in ((3, 3, 16, 32), (32, 16), (32, 4), (16, 8))
        )

    def detect(self, image: tf.Tensor, threshold: tf.Tensor) -> dict[str, tf.Tensor]:
        cells = tf.reshape(tf.nn.relu(tf.nn.conv2d(image[None], self.filters, 1, "SAME")), [-1, 32])
        features, scores = cells @ self.boxes, tf.nn.softmax(cells @ self.classes)
        boxes = tf.sigmoid(features[:, :4])
        picked = tf.image.non_max_suppression(boxes, tf.reduce_max(scores, 1), 20, threshold, 0.3)
        found = tf.gather(features, picked)
        return {
            "boxes": tf.gather(boxes, picked),
            "classes": tf.argmax(tf.gather(scores, picked), 1),
            "embedding": tf.nn.relu(found @ self.embed),
            "positive": tf.boolean_mask(found, found[:, 0] > 0),
            "count": tf.size(picked),
        }


@functools.cache
def _models() -> tuple[Path, Path]:
    folder = Path(kit.scratch().name) / "picker"
    specs = [tf.TensorSpec([None, None, 16], tf.float32, "image"), tf.TensorSpec([], tf.float32, "threshold")]
    model = Picker()
    signature = tf.function(model.detect, input_signature=specs)
    tf.saved_model.save(model, str(folder / "src"), signatures=signature)
    report = tf_blade.optimize_saved_model(folder / "src", folder / "dst", verify=False, isas=kit.host_isas())
    assert len(report.clusters) == 1, report
    assert engines_only.flops_inside(report) >= 0.95, report
    return folder / "src", folder / "dst"


class DynamicSizesTest(parameterized.TestCase):
    @parameterized.parameters((0, 3), (1, 1), (5, 7), (40, 40), (13, 2))
    def test_one_engine_has_tensorflows_numbers(self, height: int, width: int) -> None:
        given, optimized = (tf.saved_model.load(str(path)).signatures["serving_default"] for path in _models())
        runtime.reset_runtime_stats()
        image = np.random.default_rng(height).normal(size=(height, width, 16)).astype(np.float32)
        wanted = given(image=image, threshold=0.5)
        found = optimized(image=image, threshold=0.5)
        for name, value in wanted.items():
            self.assertEqual(found[name].shape, value.shape)
        self.assertLess(kit.largest_error(wanted, found), kit.TOLERANCE)
        served, fallbacks = kit.engine_counters()
        self.assertEqual(sum(served.values()), 1)
        self.assertEmpty(fallbacks)

    def test_errors_are_tensorflows(self) -> None:
        optimized = tf.saved_model.load(str(_models()[1])).signatures["serving_default"]
        image = np.zeros((2, 2, 16), np.float32)
        with self.assertRaisesRegex(tf.errors.InvalidArgumentError, "iou_threshold must be in"):
            optimized(image=image, threshold=1.5)


if __name__ == "__main__":
    absltest.main()
