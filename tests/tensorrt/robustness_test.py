"""Whatever is wrong with TensorRT, or with one build: the model works, and the report says why it has no plan."""

from __future__ import annotations

import dataclasses
import os
import sys
import types
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

import tf_blade
from tests.cli import kit
from tests.saved_model import workshop
from tf_blade.backends.tensorrt import library, process
from tf_blade.backends.tensorrt.backend import TensorrtBackend
from tf_blade.errors import EnvironmentError_, InvalidInputError
from tf_blade.report.report import Report
from tf_blade.settings import Settings


class _Model(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable(np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec([None, 64], name="x")])
    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(tf.tanh(tf.matmul(x, self.w)) * 2.0 + 1.0)


_NEITHER = "tensorrt is not installed; tensorrt_rtx is not installed"


def _without_tensorrt() -> Any:
    return mock.patch.object(
        library, "_MODULES", {library.TENSORRT: ("no_tensorrt",), library.TENSORRT_RTX: ("no_tensorrt_rtx",)}
    )


class RobustnessTest(parameterized.TestCase):
    folder: Path
    module: _Model

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.module = _Model()

    def setUp(self) -> None:
        super().setUp()
        library.load.cache_clear()
        self.addCleanup(library.load.cache_clear)
        self.folder = Path(self.create_tempdir().full_path)
        tf.saved_model.save(self.module, str(self.folder / "original"))

    def optimize(self, *backends: str, **settings: Any) -> Report:
        """Optimizes the model, and compares what it then computes."""
        target = str(self.folder / "optimized")
        options: dict[str, Any] = {
            "tensorrt_targets": ("8.9",),
            "warmup": False,
            "min_cluster_gain_us": 0.0,
            **settings,
        }
        report = tf_blade.optimize_saved_model(str(self.folder / "original"), target, backends=backends, **options)
        x = tf.random.stateless_normal([5, 64], [1, 2])
        np.testing.assert_allclose(tf.saved_model.load(target)(x), self.module(x), atol=1e-5)
        return report

    def failure(self, report: Report) -> str:
        self.assertLen(report.build_failures, 1, report.to_text())
        self.assertEqual("tensorrt", report.build_failures[0].backend)
        return report.build_failures[0].reason

    def test_a_model_with_a_plan(self) -> None:
        report = self.optimize("tensorrt")
        self.assertEqual(1, report.totals.engines, report.to_text())
        self.assertEmpty(report.build_failures)

    def test_a_plan_and_an_engine_for_the_calls_outside_of_it(self) -> None:
        report = self.optimize("tensorrt", "disc")
        self.assertEqual(["tensorrt, then disc"], [item.backend for item in report.clusters], report.to_text())

    def refused(self, *backends: str) -> str:
        """The error of an optimization that must write nothing."""
        before = workshop.digest(self.folder)
        with self.assertRaises(EnvironmentError_) as caught:
            self.optimize(*backends)
        self.assertEqual(before, workshop.digest(self.folder))
        return str(caught.exception)

    def test_no_tensorrt(self) -> None:
        """Who asks for it, and for nothing else, is told what to install."""
        why = f"{_NEITHER}; {library.HOW_TO_INSTALL}"
        with _without_tensorrt():
            self.assertEqual(f"the backend tensorrt cannot be used: {why}", self.refused("tensorrt"))
            found = kit.call("optimize", self.folder / "original", self.folder / "new", "--backends=tensorrt")
            self.assertEqual((1, f"tf-blade: the backend tensorrt cannot be used: {why}\n"), (found.status, found.err))
        self.assertFalse((self.folder / "new").exists())

    def test_another_backend_where_there_is_no_tensorrt(self) -> None:
        with (
            _without_tensorrt(),
            self.assertLogs("tf_blade.pipeline", "WARNING") as logs,
        ):
            report = self.optimize("tensorrt", "disc")
        self.assertEqual(["disc"], [item.backend for item in report.clusters])
        note = f"the backend tensorrt was left out: {_NEITHER}; {library.HOW_TO_INSTALL}"
        self.assertEqual([note], report.notes)
        self.assertEqual([f"WARNING:tf_blade.pipeline:tf_blade: {note}"], logs.output)
        self.assertNotIn("not installed", "".join(group.reason for group in report.refusal_groups()))

    def test_the_variable_excludes_the_one_that_is_installed(self) -> None:
        """Nothing is to be installed then."""
        with mock.patch.dict(os.environ, {library.FLAVOR_VARIABLE: library.TENSORRT}):
            self.assertEqual(
                "the backend tensorrt cannot be used: TF_BLADE_TENSORRT=tensorrt asks for tensorrt and excludes"
                " tensorrt_rtx, which is installed: tensorrt is not installed; unset TF_BLADE_TENSORRT,"
                " or set it to tensorrt_rtx",
                self.refused("tensorrt"),
            )

    def test_a_tensorrt_that_is_too_old(self) -> None:
        old = types.ModuleType("tensorrt")
        old.__dict__["__version__"] = "8.6.1"
        patched = {library.FLAVOR_VARIABLE: library.TENSORRT}
        with mock.patch.dict(sys.modules, {"tensorrt": old}), mock.patch.dict(os.environ, patched):
            self.assertIn("tensorrt 8.6.1 is too old: 10.3 or later", self.refused("tensorrt"))

    def test_a_flavor_that_does_not_exist(self) -> None:
        with (
            mock.patch.dict(os.environ, {library.FLAVOR_VARIABLE: "tensorflow"}),
            self.assertRaisesRegex(EnvironmentError_, "say tensorrt or tensorrt_rtx"),
        ):
            library.load()

    @parameterized.parameters(
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
        ("raise SystemExit('it broke')", "exit status 1: it broke"),
    )
    def test_a_builder_that_dies(self, program: str, reason: str) -> None:
        with mock.patch.object(process, "COMMAND", (sys.executable, "-c", program)):
            self.assertRegex(self.failure(self.optimize("tensorrt")), reason)

    def test_a_builder_that_hangs(self) -> None:
        with mock.patch.object(process, "COMMAND", (sys.executable, "-c", "import time; time.sleep(600)")):
            report = self.optimize("tensorrt", tensorrt_seconds=0.5)
        self.assertEqual("the builder took longer than 0.5 s", self.failure(report))

    def test_a_builder_without_enough_memory(self) -> None:
        """The real one, which an address space of this size does not let finish."""
        report = self.optimize("tensorrt", tensorrt_memory_mb=700)
        self.assertRegex(self.failure(report), "ran out of memory")

    def test_refitted_plans_without_a_gpu(self) -> None:
        with mock.patch.dict(os.environ, CUDA_VISIBLE_DEVICES=""):
            report = self.optimize("tensorrt", tensorrt_weights="refit")
        why = r"built only on a machine with a GPU, .*: leave tensorrt_weights .* at its default, inputs, "
        self.assertRegex(self.failure(report), why)

    @parameterized.parameters("9.9", "9.0")
    def test_a_target_that_tensorrt_does_not_build_for(self, target: str) -> None:
        """An error at once, and not clusters without plans."""
        before = workshop.digest(self.folder)
        why = rf"names {target}; the installed tensorrt_rtx [\d.]+ builds for: .*8\.6, 8\.9, 12\.0"
        with self.assertRaisesRegex(InvalidInputError, why):
            self.optimize("tensorrt", "disc", tensorrt_targets=("8.9", target))
        self.assertEqual(before, workshop.digest(self.folder))

    def test_targets_do_not_matter_where_plans_are_for_the_gpu_at_hand(self) -> None:
        found = dataclasses.replace(library.load(), flavor=library.TENSORRT)
        with mock.patch.object(library, "load", return_value=found):
            TensorrtBackend().check(Settings(tensorrt_targets=("9.9",)))


if __name__ == "__main__":
    absltest.main()
