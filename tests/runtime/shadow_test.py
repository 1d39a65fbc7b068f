"""Shadowed calls: TensorFlow's results are returned, the engine's are compared, and drift opens the breaker."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from tests.runtime import engine_kit as kit
from tf_blade import runtime

_ROOT = Path(__file__).resolve().parents[2]
_DRIFTING = "MARK=0.5f"  # adds to each result


def _values(rows: int = 4, first: float | None = None) -> np.ndarray:
    values = np.random.default_rng(rows).standard_normal((rows, kit.K)).astype(np.float32)
    if first is not None:
        values[0, 0] = first
    return values


def _x(rows: int = 4, first: float | None = None) -> tf.Tensor:
    return tf.constant(_values(rows, first))


def _shadowed(engine: bytes, cluster: str, share: str, tolerance: str = "") -> kit.Affine:
    """A model whose kernel was made with TF_BLADE_SHADOW set."""
    model = kit.Affine([engine], cluster)
    with mock.patch.dict(os.environ, {"TF_BLADE_SHADOW": share, "TF_BLADE_SHADOW_TOLERANCE": tolerance}):
        model.serve(_x(3))
    return model


class ShadowTest(parameterized.TestCase):
    def assert_is_tensorflows(self, model: kit.Affine, x: Any) -> None:
        np.testing.assert_allclose(model.serve(x)["y"], model.expected(x), rtol=1e-5, atol=1e-5)

    def test_engine_that_agrees(self) -> None:
        model = _shadowed(kit.affine_engine(), "agrees", "1/1")
        for rows in range(9):
            self.assert_is_tensorflows(model, _x(rows))
        stats = kit.stats_of("agrees")
        shadow = stats["engines"][0]["shadow"]
        self.assertEqual((stats["calls"], stats["shadowed"], stats["engine_runs"], stats["fallbacks"]), (10, 10, 0, {}))
        self.assertEqual((shadow["runs"], shadow["drifts"], shadow["skipped"]), (10, 0, 0))
        self.assertLess(shadow["max_drift"], 1e-5)

    def test_drift_is_counted_returned_to_nobody_and_opens_the_breaker(self) -> None:
        model = _shadowed(kit.affine_engine(_DRIFTING), "drifts", "1/1")
        for _ in range(7):
            self.assert_is_tensorflows(model, _x())
        stats = kit.stats_of("drifts")
        engine = stats["engines"][0]
        self.assertEqual((stats["shadowed"], stats["fallbacks"]), (3, {"breaker_open": 5}))
        self.assertEqual((engine["shadow"]["runs"], engine["shadow"]["drifts"]), (3, 3))
        self.assertEqual((engine["breaker"], engine["openings"]), ("open", 1))
        self.assertGreater(engine["shadow"]["max_drift"], 0.05)

    def test_after_a_drift_only_a_comparison_closes_the_breaker(self) -> None:
        """Few calls are shadowed, so that a probe that nobody compares would succeed."""
        model = _shadowed(kit.affine_engine(_DRIFTING), "probed", "1/3")
        while kit.stats_of("probed")["engines"][0]["breaker"] == "closed":
            model.serve(_x())
        for _ in range(2):
            time.sleep(1.1)
            self.assert_is_tensorflows(model, _x())
        self.assertNotEqual(kit.stats_of("probed")["engines"][0]["breaker"], "closed")
        self.assertEqual(kit.stats_of("probed")["engines"][0]["shadow"]["drifts"], 4)

    def test_tolerance(self) -> None:
        model = _shadowed(kit.affine_engine(_DRIFTING), "tolerant", "1/1", "1000")
        for _ in range(5):
            self.assert_is_tensorflows(model, _x())
        shadow = kit.stats_of("tolerant")["engines"][0]["shadow"]
        self.assertEqual((shadow["runs"], shadow["drifts"]), (6, 0))

    @parameterized.parameters(("1/4", 150, 70), ("1/100000000", 1, 0), ("", 0, 0), ("0.5", 0, 0), ("1/0", 0, 0))
    def test_share(self, share: str, most: int, least: int) -> None:
        name = f"share {share}"
        model = _shadowed(kit.affine_engine(), name, share)
        call = model.serve.get_concrete_function()
        x = _x()
        for _ in range(399):
            call(x)
        stats = kit.stats_of(name)
        self.assertBetween(stats["shadowed"], least, most)
        self.assertEqual(stats["shadowed"] + stats["engine_runs"], 400)

    def test_changing_weights_are_no_drift(self) -> None:
        model = _shadowed(kit.affine_engine(), "changing", "1/1")
        call = model.serve.get_concrete_function()
        x, stop = _x(), threading.Event()

        def serve() -> None:
            while not stop.is_set():
                call(x)

        threads = [threading.Thread(target=serve) for _ in range(3)]
        for thread in threads:
            thread.start()
        for step in range(200):
            model.b.assign(tf.fill([kit.N], float(step)))
        stop.set()
        for thread in threads:
            thread.join()
        stats = kit.stats_of("changing")
        shadow = stats["engines"][0]["shadow"]
        self.assertEqual((shadow["drifts"], shadow["runs"] + shadow["skipped"]), (0, stats["calls"]))

    def test_error_of_tensorflow_alone_is_drift(self) -> None:
        w, b = tf.ones([kit.K, kit.N]), tf.ones([kit.N])
        spec = tf.TensorSpec(None, tf.float32)

        @tf.function(input_signature=[spec, spec, spec])
        def fails(x: Any, w: Any, b: Any) -> Any:
            with tf.control_dependencies([tf.raw_ops.Assert(condition=False, data=["no such row"])]):
                return tf.matmul(x, w) + b

        with (
            mock.patch.dict(os.environ, {"TF_BLADE_SHADOW": "1/1"}),
            self.assertRaisesRegex(tf.errors.InvalidArgumentError, "no such row"),
        ):
            engines = [kit.affine_engine()]
            kit.blade_engine([_x(), w, b], [tf.float32], fails.get_concrete_function(), engines, "tf_fails_alone")
        shadow = kit.stats_of("tf_fails_alone")["engines"][0]["shadow"]
        self.assertEqual((shadow["runs"], shadow["drifts"]), (1, 1))


class BreakerTest(absltest.TestCase):
    def test_rearms_after_a_pause(self) -> None:
        model = kit.Affine([kit.affine_engine("MARK=100.0f")], "rearms")
        for _ in range(6):
            model.serve(_x(first=1004.0))
        self.assertEqual(kit.stats_of("rearms")["engines"][0]["breaker"], "open")
        time.sleep(1.1)
        # The probe fails: now it stays open for two seconds.
        model.serve(_x(first=1004.0))
        time.sleep(1.1)
        np.testing.assert_allclose(model.serve(_x())["y"], model.expected(_x()), rtol=1e-5, atol=1e-5)
        engine = kit.stats_of("rearms")["engines"][0]
        self.assertEqual((engine["refused"], engine["openings"]), ({"run_error": 6, "breaker_open": 2}, 2))
        time.sleep(1.1)
        np.testing.assert_allclose(model.serve(_x())["y"], model.expected(_x()) + 100, rtol=1e-5, atol=1e-4)
        self.assertEqual(kit.stats_of("rearms")["engines"][0]["breaker"], "closed")


class CountersTest(absltest.TestCase):
    def test_bytes_contexts_and_shapes(self) -> None:
        engine = kit.affine_engine()
        model = kit.Affine([engine], "held")
        for rows in (0, 1, 3, 4, 33):
            model.serve(_x(rows))
        stats = kit.stats_of("held")
        (item,) = stats["engines"]
        self.assertEqual(item["file_bytes"], len(engine))
        self.assertGreaterEqual(item["state_bytes"], 4 * (kit.K * kit.N + kit.N))
        self.assertBetween(stats["call_scratch_bytes"], 4 * 33 * kit.N, 4 * 33 * kit.N + 4096)
        self.assertGreaterEqual(runtime.runtime_stats()["scratch_bytes"], stats["call_scratch_bytes"])
        self.assertEqual(stats["contexts"], 1)
        shapes = {shape["up_to"]["batch"]: shape["calls"] for shape in item["shapes"]}
        self.assertEqual(shapes, {0: 1, 1: 1, 4: 2, 64: 1})
        # New weights: a state in the place of the one before, which nobody holds any more.
        model.w.assign(tf.ones([kit.K, kit.N]))
        model.serve(_x())
        self.assertEqual(kit.stats_of("held")["engines"][0]["state_bytes"], item["state_bytes"])


class ThreadsTest(absltest.TestCase):
    def test_engines_use_the_sessions_threads(self) -> None:
        """In a process of its own: TensorFlow makes its pool once, of the size that its first session is given."""
        command = [sys.executable, "-m", "tests.runtime.threads_main", "3"]
        result = subprocess.run(command, cwd=_ROOT, check=True, capture_output=True, text=True)
        threads, kept, left = result.stdout.split()
        self.assertEqual(threads, "3.0")
        # With the last engine op goes what calls have left for later ones.
        self.assertEqual((kept, left), ("True", "0"))

    def test_deadline_ends_a_run(self) -> None:
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            fallback = kit.fallback_function(resources=False)
            w, b = tf.ones([kit.K, kit.N]), tf.ones([kit.N])
            x = tf.compat.v1.placeholder(tf.float32, [None, kit.K])
            y = kit.blade_engine([x, w, b], [tf.float32], fallback, [kit.affine_engine()], "deadline")[0]
            session.run(y, {x: _values()})
            options = tf.compat.v1.RunOptions(timeout_in_ms=200)
            begin = time.monotonic()
            with self.assertRaises((tf.errors.DeadlineExceededError, tf.errors.CancelledError)):
                session.run(y, {x: _values(first=1008.0)}, options=options)
            self.assertLess(time.monotonic() - begin, 20)
        self.assertEqual(kit.stats_of("deadline")["fallbacks"], {})


if __name__ == "__main__":
    absltest.main()
