"""Weights live once: not in engines, shared by signatures, and read anew when a variable is assigned."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest

import tf_blade
from tests import zoo
from tests.e2e import damage, kit
from tf_blade import runtime

_CHANNELS = 16


class Folded(tf.Module):
    """A convolution whose batch norm is folded into it, and a dense layer; two signatures share the variables."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(3)

        def weight(*shape: int, offset: float = 0.0) -> tf.Variable:
            return tf.Variable((offset + 0.3 * rng.standard_normal(shape)).astype(np.float32))

        self.kernel = weight(3, 3, 3, _CHANNELS)
        self.scale, self.offset, self.mean = weight(_CHANNELS, offset=1.0), weight(_CHANNELS), weight(_CHANNELS)
        self.variance = tf.Variable(rng.uniform(0.5, 1.5, _CHANNELS).astype(np.float32))
        self.dense, self.bias = weight(_CHANNELS, 8), weight(8)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, "image")])
    def features(self, image: Any) -> dict[str, Any]:
        """Means of channels."""
        x = tf.nn.conv2d(image, self.kernel, 1, "SAME")
        x, *_ = tf.compat.v1.nn.fused_batch_norm(
            x, self.scale, self.offset, self.mean, self.variance, is_training=False
        )
        return {"features": tf.reduce_mean(tf.nn.relu(x), [1, 2])}

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, "image")])
    def classify(self, image: Any) -> dict[str, Any]:
        """Probabilities."""
        return {"probabilities": tf.nn.softmax(tf.matmul(self.features(image)["features"], self.dense) + self.bias)}


_FOLDED_VARIABLES = ("kernel", "scale", "offset", "mean", "variance", "dense", "bias")


class AssignedVariablesTest(absltest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def check(self, source: Path, examples: zoo.Feeds, variables: tuple[str, ...]) -> None:
        """Assigns the variables one after the other, to original and optimized model alike."""
        target = self.folder / "optimized"
        report = tf_blade.optimize_saved_model(source, target, verify=False, isas=kit.host_isas())
        self.assertEmpty(report.build_failures)
        original, optimized = (tf.saved_model.load(str(path)) for path in (source, target))
        runtime.reset_runtime_stats()
        before = self.compare(original, optimized, examples, "as saved")
        generator = np.random.default_rng(11)
        for name in variables:
            values = getattr(original, name).numpy()
            values = values * generator.uniform(0.5, 1.5, values.shape).astype(values.dtype) + np.float32(0.05)
            for model in (original, optimized):
                getattr(model, name).assign(values)
            after = self.compare(original, optimized, examples, f"{name} assigned")
            self.assertTrue(any(np.max(np.abs(after[key] - before[key])) > 1e-4 for key in before), f"{name} is unused")
            before = after
        _, fallbacks = kit.engine_counters()
        self.assertEmpty(fallbacks)

    def compare(self, original: Any, optimized: Any, examples: zoo.Feeds, when: str) -> dict[str, Any]:
        """Both models' results compared; gives them."""
        results = {}
        for signature, feeds in examples.items():
            tensors = {key: tf.constant(value) for key, value in feeds.items()}
            expected, found = (model.signatures[signature](**tensors) for model in (original, optimized))
            self.assertLessEqual(kit.largest_error(expected, found), kit.TOLERANCE, f"{signature}, {when}")
            results.update({f"{signature}/{name}": value.numpy() for name, value in expected.items()})
        return results

    def test_three_signatures(self) -> None:
        variables = ("kernel", "bias", "project", "project_bias", "head", "head_bias")
        self.check(zoo.saved("three_signatures"), zoo.get("three_signatures").example(), variables)

    def test_what_init_folds(self) -> None:
        model, source = Folded(), self.folder / "source"
        signatures = {"serving_default": model.classify, "features": model.features}
        tf.saved_model.save(model, str(source), signatures=signatures)
        image = np.random.default_rng(5).standard_normal((2, 24, 20, 3)).astype(np.float32)
        self.check(source, {name: {"image": image} for name in signatures}, _FOLDED_VARIABLES)
        inits = [engine["inits"] for item in runtime.runtime_stats()["clusters"] for engine in item["engines"]]
        self.assertGreaterEqual(max(inits), len(_FOLDED_VARIABLES) - 1)

    def test_values_that_come_back(self) -> None:
        """A state prepared for other values is not taken for these, whatever address they are at."""
        model, source, target = Folded(), self.folder / "source", self.folder / "optimized"
        tf.saved_model.save(model, str(source), signatures={"serving_default": model.features})
        tf_blade.optimize_saved_model(source, target, verify=False, isas=kit.host_isas())
        original, optimized = (tf.saved_model.load(str(path)) for path in (source, target))
        image = tf.constant(np.random.default_rng(5).standard_normal((2, 24, 20, 3)).astype(np.float32))
        values = [original.offset.numpy() + shift for shift in range(4)]
        wanted = []
        for value in values:
            original.offset.assign(value)
            wanted.append(original.signatures["serving_default"](image=image)["features"].numpy())
        for step in range(40):
            optimized.offset.assign(values[step % 4])
            found = optimized.signatures["serving_default"](image=image)["features"].numpy()
            np.testing.assert_allclose(found, wanted[step % 4], rtol=1e-4, atol=1e-5)


class DroppedInVariablesTest(absltest.TestCase):
    def test_variables_folder_of_another_training(self) -> None:
        """New weights of the same architecture, copied over an optimized model's: no new optimization is needed."""
        folder = Path(self.create_tempdir().full_path)
        image = np.random.default_rng(5).standard_normal((2, 24, 20, 3)).astype(np.float32)
        results = []
        for name, factor in (("first", 1.0), ("second", 0.5)):
            model = Folded()
            for variable in model.trainable_variables:
                variable.assign(factor * variable + (1 - factor))
            tf.saved_model.save(model, str(folder / name), signatures={"serving_default": model.classify})
            results.append(model.classify(image)["probabilities"].numpy())
        self.assertGreater(np.max(np.abs(results[0] - results[1])), 1e-3)
        target = folder / "optimized"
        tf_blade.optimize_saved_model(folder / "first", target, verify=False, warmup=False, isas=kit.host_isas())
        for name, expected in zip(("first", "second", "first"), (*results, results[0]), strict=True):
            shutil.copytree(folder / name / "variables", target / "variables", dirs_exist_ok=True)
            runtime.reset_runtime_stats()
            found = tf.saved_model.load(str(target)).signatures["serving_default"](image=image)
            np.testing.assert_allclose(found["probabilities"], expected, rtol=1e-4, atol=1e-5)
            self.assertEmpty(kit.engine_counters()[1])


class SizeTest(absltest.TestCase):
    def test_engines_hold_no_weights(self) -> None:
        source = zoo.saved("encoder_medium", full=True)
        target = Path(self.create_tempdir().full_path) / "optimized"
        report = tf_blade.optimize_saved_model(source, target, verify=False, isas=kit.host_isas())
        before, after = (
            sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) for folder in (source, target)
        )
        self.assertLessEqual(after, 1.05 * before)
        (engine,) = damage.engines(target)
        self.assertLess(len(engine), 0.02 * before)
        self.assertEqual(report.totals.engine_bytes, len(engine))
        # No run of bytes of any weight is in the engine or anywhere else in the graph.
        graph = (target / "saved_model.pb").read_bytes()
        original = tf.saved_model.load(str(source))
        variables = original.signatures["serving_default"].variables
        self.assertNotEmpty(variables)
        for variable in variables:
            if variable.shape.num_elements() >= 256:
                self.assertNotIn(variable.numpy().reshape(-1)[7:39].tobytes(), graph, variable.name)


if __name__ == "__main__":
    absltest.main()
