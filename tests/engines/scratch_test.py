"""The memory that an engine says a call plans is what the call takes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest

import tf_blade
from tests.e2e import damage, kit
from tf_blade.engines.format import read_engine
from tf_blade.engines.scratch import SCRATCH_SECTION, read_scratch, write_scratch
from tf_blade.errors import EngineFormatError
from tf_blade.report.engines import engine_file_report
from tf_blade.symbolic import run_program, symbol


class ScratchTest(absltest.TestCase):
    def test_round_trip(self) -> None:
        batch, length = symbol("batch"), symbol("length")
        size = 64 + 12 * batch * length + 4 * batch**2
        program, names = read_scratch(write_scratch(size))
        self.assertEqual(run_program(program, values={"batch": 3, "length": 5}, names=names), 64 + 180 + 36)

    def test_malformed(self) -> None:
        for data in (b"", b"{}", b"[1]", b'{"symbols": [], "program": [["sym", 0]]}', b'{"symbols": 1, "program": []}'):
            with self.assertRaises(EngineFormatError):
                read_scratch(data)

    def test_formula_against_what_a_run_takes(self) -> None:
        spec = tf.TensorSpec([None, None, 24], tf.float32, "x")

        @tf.function(input_signature=[spec])
        def serve(x: Any) -> dict[str, Any]:
            y = tf.nn.softmax(tf.matmul(x, x, transpose_b=True))
            return {"y": tf.matmul(y, x) / (1.0 + tf.reduce_sum(tf.abs(x), -1, keepdims=True))}

        module = tf.Module()
        module.serve = serve
        folder = self.create_tempdir().full_path
        tf.saved_model.save(module, f"{folder}/source", signatures={"serving_default": serve})
        made = tf_blade.optimize_saved_model(
            f"{folder}/source",
            f"{folder}/target",
            verify=False,
            warmup=False,
            isas=kit.host_isas(),
            min_cluster_gain_us=0.0,
        )
        (data,) = damage.engines(Path(folder) / "target")
        engine = read_engine(data)
        program, names = read_scratch(engine.sections[SCRATCH_SECTION])
        report = engine_file_report(data)
        self.assertRegex(report.scratch, r"\*")
        (batch, length) = (item.name for item in engine.signature.symbols)
        self.assertEqual(report.output_bytes, f"96*{batch}*{length}")
        before = 0
        loaded = tf.saved_model.load(f"{folder}/target").signatures["serving_default"]
        for sizes in ((1, 40), (3, 100), (8, 300)):
            loaded(x=tf.constant(np.ones((*sizes, 24), np.float32)))
            planned = run_program(program, values=dict(zip((batch, length), sizes, strict=True)), names=names)
            scratch = {item["cluster"]: item["call_scratch_bytes"] for item in tf_blade.runtime_stats()["clusters"]}
            (held,) = [scratch[cluster.name] for cluster in made.clusters if cluster.name in scratch]
            self.assertGreater(held, before)
            # Packed operands come on top of what is planned, each thread's.
            self.assertLessEqual(planned, held + 64 * 64)
            self.assertLessEqual(held, 2 * planned + 2**20 + 2**17 * (os.cpu_count() or 1))
            self.assertGreaterEqual(planned, 4 * sizes[0] * sizes[1])
            before = held


if __name__ == "__main__":
    absltest.main()
