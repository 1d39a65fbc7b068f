"""The counters as TensorFlow's registry of metrics has them, which model servers export."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl.testing import absltest

from tests.runtime import engine_kit as kit
from tests.runtime import native


def _dumper(folder: Path) -> ctypes.CDLL:
    library = native.tensorflow_library(folder, "metrics_dump.cc")
    library.dump_metrics.restype = ctypes.c_char_p
    library.dump_metrics.argtypes = [ctypes.c_char_p]
    return library


class MetricsTest(absltest.TestCase):
    def test_counters_are_exported(self) -> None:
        dumper = _dumper(Path(self.create_tempdir().full_path))
        engine = kit.affine_engine()
        model = kit.Affine([engine], "exported")
        x = tf.constant(np.ones((6, kit.K), np.float32))
        for _ in range(3):
            model.serve(x)
        bad = np.ones((2, kit.K), np.float32)
        bad[0, 0] = 1004.0
        for _ in range(7):
            model.serve(tf.constant(bad))
        lines = dumper.dump_metrics(b"/tf_blade/").decode().splitlines()
        points = dict(line.rsplit(" ", 1) for line in lines if "cluster=exported" in line)
        name = f"cluster=exported;engine={kit.stats_of('exported')['engines'][0]['hash']}"
        expected = {
            "/tf_blade/calls{cluster=exported}": 10,
            "/tf_blade/engine_runs{cluster=exported}": 3,
            "/tf_blade/fallbacks{cluster=exported;reason=run_error}": 5,
            "/tf_blade/fallbacks{cluster=exported;reason=breaker_open}": 2,
            "/tf_blade/inits{" + name + "}": 1,
            "/tf_blade/init_time_us{" + name + "}": 1,
            "/tf_blade/breaker{" + name + "}": 1,
            "/tf_blade/breaker_openings{" + name + "}": 1,
            "/tf_blade/shadow_runs{" + name + "}": 0,
            "/tf_blade/shadow_drifts{" + name + "}": 0,
            "/tf_blade/shapes{cluster=exported;shape=batch<=8}": 3,
            "/tf_blade/shapes{cluster=exported;shape=batch<=2}": 5,
            "/tf_blade/contexts{cluster=exported}": 1,
            "/tf_blade/bytes{cluster=exported;kind=files}": len(engine),
        }
        self.assertEqual({key: int(points.get(key, -1)) for key in expected}, expected)
        self.assertGreater(int(points["/tf_blade/bytes{cluster=exported;kind=weights}"]), 0)
        of_call = int(points["/tf_blade/call_scratch_bytes{cluster=exported}"])
        (held,) = [int(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("/tf_blade/scratch_bytes")]
        self.assertBetween(of_call, 1, held)


if __name__ == "__main__":
    absltest.main()
