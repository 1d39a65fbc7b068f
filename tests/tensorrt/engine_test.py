"""The engine file of a plan: its sections, its signature, and that building it again gives the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from absl.testing import absltest

from tests.tensorrt import kit
from tf_blade import pipeline
from tf_blade.backends import registry
from tf_blade.backends.tensorrt import process
from tf_blade.backends.tensorrt.backend import TensorrtBackend, signature_of
from tf_blade.backends.tensorrt.builder import PlanOptions
from tf_blade.backends.tensorrt.weights import REFIT, WeightStore
from tf_blade.engines.format import EngineFile, read_engine
from tf_blade.engines.plan import PLAN_DATA_SECTION, PLAN_SECTION
from tf_blade.saved_model.model import read_saved_model
from tf_blade.settings import Settings
from tf_blade.stages import BuiltEngine, ClusterGraph


class _Model(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable(np.random.default_rng(0).standard_normal((3, 3, 8, 16)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec([None, None, 12, 8], name="x")])
    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(tf.nn.relu(tf.nn.conv2d(x, self.w, 1, "SAME")))


class EngineFileTest(absltest.TestCase):
    built: list[tuple[ClusterGraph, BuiltEngine]]
    again: list[BuiltEngine]
    settings = Settings(
        backends=("tensorrt",), tensorrt_targets=("8.9", "8.0"), min_cluster_gain_us=0.0, warmup=False, batch_sizes=(4,)
    )

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.built, cls.again = [], []
        built, again = cls.built, cls.again

        class _Keeping(TensorrtBackend):
            def build(self, cluster: ClusterGraph, settings: Settings) -> BuiltEngine:
                built.append((cluster, super().build(cluster, settings)))
                again.append(super().build(cluster, settings))
                return built[-1][1]

        folder = Path(absltest.TEST_TMPDIR.value) / "tensorrt_engine_model"
        tf.saved_model.save(_Model(), str(folder))
        registry.register("tensorrt", _Keeping)
        try:
            pipeline.optimize_in_memory(read_saved_model(folder), cls.settings)
        finally:
            registry.unregister("tensorrt")

    @property
    def cluster(self) -> ClusterGraph:
        return self.built[0][0]

    @property
    def engine(self) -> EngineFile:
        return read_engine(self.built[0][1].engine)

    def test_what_it_holds(self) -> None:
        self.assertLen(self.built, 1)
        engine = self.engine
        self.assertEqual("tensorrt", engine.backend)
        self.assertEqual((80, 89), engine.compute_capabilities)
        self.assertEqual([PLAN_SECTION, PLAN_DATA_SECTION], list(engine.sections))
        self.assertCountEqual(["data", "weight"], [item.kind for item in engine.signature.inputs])
        self.assertNotIn(b"\0" * (3 * 3 * 8 * 16 * 4), engine.sections[PLAN_DATA_SECTION])

    def test_building_again_gives_the_same(self) -> None:
        self.assertEqual(self.built[0][1].engine, self.again[0].engine)

    def test_a_timing_cache_is_kept_and_read(self) -> None:
        cache = Path(self.create_tempdir().full_path) / "deep" / "cache"
        options = PlanOptions(compute_capabilities=(89,), timing_cache=str(cache))
        job = process.Job(self.cluster.graph, self.cluster.weights, options)
        sizes = []
        for _ in range(2):
            process.build(job, process.Limits(300))
            sizes.append(cache.stat().st_size)
        self.assertGreater(sizes[0], 0)

    def test_weights_that_a_plan_is_refitted_with(self) -> None:
        converted = kit.converter().convert(self.cluster.graph, self.cluster.weights, store=WeightStore(REFIT))
        (weight,) = converted.refits
        self.assertEqual(((3, 3, 8, 16), (3, 2, 0, 1)), (weight.dims, weight.permutation))
        self.assertLen(converted.inputs, 1)
        self.assertEqual("weight", signature_of(self.cluster).inputs[weight.index].kind)


if __name__ == "__main__":
    absltest.main()
