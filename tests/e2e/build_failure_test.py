"""What goes wrong while engines are built costs engines, never the model; strict mode makes it an error."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest import mock

import tensorflow as tf
from absl.testing import absltest, parameterized

import tf_blade
from tests import zoo
from tests.e2e import damage, kit
from tf_blade import runtime
from tf_blade.backends import registry
from tf_blade.backends.disc.backend import DiscBackend
from tf_blade.errors import StrictModeError
from tf_blade.report.report import Report
from tf_blade.settings import Settings
from tf_blade.stages import BuiltEngine, ClusterGraph

_MODEL = "three_signatures"


class _StrangeError(Exception):
    """What no one has heard of; not even its text can be had."""

    def __str__(self) -> str:
        return ""


class _Raising(DiscBackend):
    """Takes what DISC takes, and fails at each build."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    @property
    def name(self) -> str:
        return "raising"

    def build(self, cluster: ClusterGraph, settings: Settings) -> BuiltEngine:
        raise self._error


class _Garbage(DiscBackend):
    """Gives bytes that are no engine."""

    @property
    def name(self) -> str:
        return "garbage"

    def build(self, cluster: ClusterGraph, settings: Settings) -> BuiltEngine:
        return BuiltEngine(self.name, b"not an engine", 0.0)


_ERRORS: dict[str, Exception] = {
    "value": ValueError("of no value"),
    "memory": MemoryError(),
    "key": KeyError("missing"),
    "recursion": RecursionError("too deep"),
    "assertion": AssertionError(),
    "os": OSError(28, "No space left on device"),
    "unicode": UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    "tensorflow": tf.errors.InternalError(None, None, "inside"),
    "stop_iteration": StopIteration(),
    "strange": _StrangeError(),
}


class BuildFailureTest(parameterized.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.source = zoo.saved(_MODEL)
        self.target = Path(self.create_tempdir().full_path) / "optimized"

    def optimize(self, **options: Any) -> Report:
        return tf_blade.optimize_saved_model(self.source, self.target, isas=kit.host_isas(), **options)

    def check_results(self) -> tuple[int, dict[str, int]]:
        """Compares all signatures with TensorFlow; gives the calls that engines served, and the fallbacks."""
        original, optimized = (tf.saved_model.load(str(path)) for path in (self.source, self.target))
        runtime.reset_runtime_stats()
        for signature, feeds in zoo.get(_MODEL).example().items():
            tensors = {key: tf.constant(value) for key, value in feeds.items()}
            expected, found = (model.signatures[signature](**tensors) for model in (original, optimized))
            self.assertLessEqual(kit.largest_error(expected, found), kit.TOLERANCE, signature)
        served, fallbacks = kit.engine_counters()
        return sum(served.values()), fallbacks

    def assert_stays_tensorflow(self, report: Report, reason: str) -> None:
        self.assertEqual(report.totals.engines, 0)
        self.assertLen(report.build_failures, len(report.clusters))
        for failure in report.build_failures:
            self.assertIn(reason, failure.reason)
        self.assertIn(reason, report.to_text())
        self.assertEmpty(damage.engines(self.target))
        self.assertEqual(self.check_results(), (0, {}))

    @parameterized.parameters(("/nonexistent/c++", "/nonexistent/c++"), ("false", "the C++ compiler failed (1)"))
    def test_no_compiler(self, compiler: str, reason: str) -> None:
        with mock.patch.dict(os.environ, {"TF_BLADE_CXX": compiler}):
            self.assert_stays_tensorflow(self.optimize(), reason)
            with self.assertRaises(StrictModeError) as caught:
                tf_blade.optimize_saved_model(self.source, self.target.with_name("strict"), strict=True)
        self.assertIn(reason, str(caught.exception))
        self.assertFalse(self.target.with_name("strict").exists())
        self.assertEqual([path.name for path in self.target.parent.iterdir()], [self.target.name])

    @parameterized.named_parameters((name, error) for name, error in _ERRORS.items())
    def test_backend_raises(self, error: Exception) -> None:
        registry.register("raising", lambda: _Raising(error))
        self.addCleanup(registry.unregister, "raising")
        self.assert_stays_tensorflow(self.optimize(backends=("raising",), verify=False), type(error).__name__)
        with self.assertRaisesRegex(StrictModeError, type(error).__name__):
            tf_blade.optimize_saved_model(
                self.source, self.target.with_name("strict"), backends=("raising",), strict=True
            )
        self.assertFalse(self.target.with_name("strict").exists())

    def test_the_next_backend_builds(self) -> None:
        registry.register("raising", lambda: _Raising(RuntimeError("no luck")))
        self.addCleanup(registry.unregister, "raising")
        report = self.optimize(backends=("raising", "disc"))
        self.assertEqual({item.backend for item in report.clusters}, {"disc"})
        self.assertEqual({item.reason for item in report.build_failures}, {"RuntimeError: no luck"})
        served, fallbacks = self.check_results()
        self.assertGreater(served, 0)
        self.assertEmpty(fallbacks)

    def test_backend_gives_what_is_no_engine(self) -> None:
        registry.register("garbage", _Garbage)
        self.addCleanup(registry.unregister, "garbage")
        report = self.optimize(backends=("garbage",))
        self.assertGreater(report.totals.engines, 0)
        served, fallbacks = self.check_results()
        self.assertEqual((served, set(fallbacks)), (0, {"corrupt"}))


if __name__ == "__main__":
    absltest.main()
