"""Every model of the zoo, optimized, against TensorFlow: numbers over sizes of unknown dimensions, where they ran."""

from __future__ import annotations

import pathlib
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

import tf_blade
from tests import zoo
from tf_blade.compare import relative_error

TOLERANCE = 1e-4
# The number of clusters that each model's graph allows: what must stay TensorFlow (strings, tables, loops, suppression)
# cuts it, nothing else does.
MAX_CLUSTERS = {
    "encoder_keras": 1,
    "encoder_module": 1,
    "vit": 1,
    "resnet50": 1,
    "mobilenet_v3": 1,
    "efficientnet_b0": 1,
    "unet": 1,
    "decoder_step": 1,
    "ranking": 1,
    "chain": 1,
    "text_cnn": 1,
}


def counts(cluster_names: set[str]) -> tuple[int, dict[str, int]]:
    """Calls that engines of these clusters served, and fallbacks by reason."""
    served, fallbacks = 0, dict[str, int]()
    for cluster in tf_blade.runtime_stats()["clusters"]:
        if cluster["cluster"] in cluster_names:
            served += cluster["engine_runs"]
            for reason, number in cluster["fallbacks"].items():
                fallbacks[reason] = fallbacks.get(reason, 0) + number
    return served, fallbacks


class ZooModelsTest(parameterized.TestCase):
    @parameterized.named_parameters((name, name) for name in zoo.SMALL)
    def test_model(self, name: str) -> None:
        model, source = zoo.get(name), zoo.saved(name)
        with tempfile.TemporaryDirectory() as scratch:
            target = pathlib.Path(scratch) / "optimized"
            report = tf_blade.optimize_saved_model(source, target, verify=False)
            self.check_report(model, report)
            self.compare(model, source, target, {cluster.name for cluster in report.clusters})

    def check_report(self, model: zoo.ZooModel, report: Any) -> None:
        self.assertEmpty(report.build_failures, report.to_text())
        self.assertNotEmpty(report.clusters, report.to_text())
        if model.engine_flops is not None:
            self.assertGreaterEqual(report.engine_flops_share, model.engine_flops, report.to_text())
        if model.name in MAX_CLUSTERS:
            self.assertLessEqual(len(report.clusters), MAX_CLUSTERS[model.name], report.to_text())

    def compare(self, model: zoo.ZooModel, source: pathlib.Path, target: pathlib.Path, clusters: set[str]) -> None:
        original, optimized = tf.saved_model.load(str(source)), tf.saved_model.load(str(target))
        grid = model.grid()
        self.assertTrue(all(len({item[dim] for item in grid}) >= 5 for dim in model.dims))
        for seed, sizes in enumerate(grid):
            for signature, feeds in model.example(sizes, seed=seed).items():
                tensors = {key: tf.constant(value) for key, value in feeds.items()}
                expected = original.signatures[signature](**tensors)
                found = optimized.signatures[signature](**tensors)
                self.assertEqual(set(expected), set(found))
                for output, value in expected.items():
                    error = relative_error(np.asarray(value), np.asarray(found[output]))
                    self.assertLessEqual(error, TOLERANCE, f"{signature}/{output} at {sizes}")
        served, fallbacks = counts(clusters)
        self.assertEmpty(fallbacks)
        self.assertGreaterEqual(served, len(grid))


if __name__ == "__main__":
    absltest.main()
