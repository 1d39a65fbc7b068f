"""Every model of the zoo, optimized, against TensorFlow: numbers over sizes of unknown dimensions, where they ran."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

import tf_blade
from tests import zoo
from tests.e2e import damage, kit
from tf_blade import runtime
from tf_blade.engines.format import read_engine
from tf_blade.report.report import Report

# The clusters that a model's graph allows: only what must stay TensorFlow (strings, tables, loops, suppression) and
# signatures that call nothing in common cut it.
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
    "tf1_resource": 1,
    "tf1_ref": 1,
    "tf1_frozen": 1,
}
# Models that TensorFlow itself runs rightly on no rows at all; its convolutions do not.
EMPTY_BATCH = frozenset({"encoder_keras", "encoder_module", "decoder_step", "ranking", "chain", "three_signatures"})
# What a user of the loaded object calls, beside signatures: the feeds of a signature give the arguments.
CALLS: dict[str, tuple[tuple[str, str], ...]] = {
    "encoder_keras": (("serve", "serving_default"),),
    "text_classifier": (("serve", "serving_default"),),
    "labeller": (("serve", "serving_default"),),
    "three_signatures": (("embed", "embed"), ("score", "score"), ("classify", "serving_default")),
}


def named(result: Any) -> dict[str, Any]:
    """What a call gave, as a mapping."""
    if isinstance(result, dict):
        return result
    return {str(index): value for index, value in enumerate(tf.nest.flatten(result))}


class ZooModelsTest(parameterized.TestCase):
    @parameterized.named_parameters((name, name) for name in zoo.SMALL)
    def test_model(self, name: str) -> None:
        self.check(name, kit.host_isas())

    @parameterized.named_parameters((name, name) for name in ("encoder_module", "tf1_resource", "unet", "ranking"))
    def test_code_for_avx2(self, name: str) -> None:
        self.check(name, ("x86-64-v3",))

    def check(self, name: str, isas: tuple[str, ...]) -> None:
        model, source = zoo.get(name), zoo.saved(name)
        with tempfile.TemporaryDirectory() as scratch:
            target = Path(scratch) / "optimized"
            report = tf_blade.optimize_saved_model(source, target, verify=False, isas=isas)
            self.check_report(model, report)
            self.check_symbols(target, report)
            original, optimized = (tf.saved_model.load(str(path)) for path in (source, target))
            runtime.reset_runtime_stats()
            self.compare_signatures(model, original, optimized)
            self.compare_calls(model, original, optimized)
            self.check_counters(report)

    def check_report(self, model: zoo.ZooModel, report: Report) -> None:
        self.assertEmpty(report.build_failures, report.to_text())
        self.assertNotEmpty(report.clusters, report.to_text())
        self.assertLen(report.clusters, report.totals.engines)
        if model.engine_flops is not None:
            self.assertGreaterEqual(report.engine_flops_share, model.engine_flops, report.to_text())
        if model.name in MAX_CLUSTERS:
            self.assertLessEqual(len(report.clusters), MAX_CLUSTERS[model.name], report.to_text())

    def check_symbols(self, target: Path, report: Report) -> None:
        """Executables need the C library's memory functions and nothing else, and give one symbol."""
        engines = damage.engines(target)
        self.assertLen(engines, report.totals.engines)
        for data in engines:
            executable = target.parent / "engine.so"
            executable.write_bytes(read_engine(data).sections["elf"])
            command = ["nm", "--dynamic", "--format=posix", str(executable)]
            lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
            symbols = {"undefined": set[str](), "defined": set[str]()}
            for line in lines:
                name, kind, *_ = line.split()
                symbols["undefined" if kind in "Uwv" else "defined"].add(name.split("@")[0])
            self.assertLessEqual(symbols["undefined"], {"memcpy", "memmove", "memset", "memcmp"})
            self.assertEqual(symbols["defined"], {"tf_blade_executable"})

    def compare_signatures(self, model: zoo.ZooModel, original: Any, optimized: Any) -> None:
        grid = model.grid()
        self.assertTrue(all(len({item[dim] for item in grid}) >= 5 for dim in model.dims))
        if model.name in EMPTY_BATCH:
            grid.append(grid[0] | {"batch": 0})
        for seed, sizes in enumerate(grid):
            for signature, feeds in model.example(sizes, seed=seed).items():
                functions = original.signatures[signature], optimized.signatures[signature]
                self.compare(functions, (), feeds, f"{signature} at {sizes}")

    def compare_calls(self, model: zoo.ZooModel, original: Any, optimized: Any) -> None:
        examples = model.example(seed=99)
        for attribute, signature in CALLS.get(model.name, ()):
            functions = getattr(original, attribute), getattr(optimized, attribute)
            values = tuple(examples[signature].values())
            # Keras's functions take the inputs of a model with several as one list.
            args = [list(values)] if model.name == "encoder_keras" else values
            self.compare(functions, args, {}, f"{attribute}()")

    def compare(
        self, functions: tuple[Callable[..., Any], Callable[..., Any]], args: Any, feeds: dict[str, Any], where: str
    ) -> None:
        positional = tf.nest.map_structure(tf.constant, list(args))
        tensors = {key: tf.constant(value) for key, value in feeds.items()}
        expected, found = (named(function(*positional, **tensors)) for function in functions)
        for key, value in expected.items():
            if value.shape.num_elements() and value.dtype.is_floating:
                self.assertGreater(float(np.max(np.abs(value))), 0.0, f"{where}: {key} says nothing")
        self.assertLessEqual(kit.largest_error(expected, found), kit.TOLERANCE, where)

    def check_counters(self, report: Report) -> None:
        served, fallbacks = kit.engine_counters()
        self.assertEmpty(fallbacks)
        for cluster in report.clusters:
            self.assertGreater(served.get(cluster.name, 0), 0, f"{cluster.name} never ran; {served}")


if __name__ == "__main__":
    absltest.main()
