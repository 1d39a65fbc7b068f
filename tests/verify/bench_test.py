"""bench times both models on the same inputs, and the ratio is the right way round."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest

from tests.folders import class_folder
from tests.saved_model import models
from tf_blade.bench import Benchmark, Timing, bench_saved_model
from tf_blade.errors import InvalidInputError, TfBladeError, UnknownSignatureError


class Work(tf.Module):
    """A product repeated; more repetitions take longer."""

    def __init__(self, repetitions: int) -> None:
        super().__init__()
        self.w = tf.Variable(np.eye(256, dtype=np.float32))
        self.repetitions = repetitions

    @tf.function(input_signature=[tf.TensorSpec([None, 256], name="x")])
    def serve(self, x: Any) -> Any:
        for _ in range(self.repetitions):
            x = tf.matmul(x, self.w)
        return {"y": x}


class BenchTest(absltest.TestCase):
    folder: Path

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.folder = class_folder(cls)
        for name, repetitions in (("slow", 400), ("fast", 1)):
            module = Work(repetitions)
            tf.saved_model.save(module, str(cls.folder / name), signatures=module.serve)
        models.labels(cls.folder / "labels")

    def test_the_faster_model_has_a_ratio_above_one(self) -> None:
        sample = {"x": np.ones((64, 256), np.float32)}
        for first, second, faster in (("slow", "fast", True), ("fast", "slow", False)):
            result = bench_saved_model(
                self.folder / first,
                self.folder / second,
                sample_inputs={"serving_default": [sample]},
                seconds=1,
                through_session=True,
            )
            self.assertEqual([item.through for item in result.timings], ["python", "session"])
            for item in result.timings:
                # 400 times the work: which one is faster shows on the busiest machine
                self.assertEqual(item.ratio > 1.0, faster, result.to_text())
                self.assertEqual(item.sizes, "x[64, 256]")
                self.assertGreaterEqual(item.calls, 5)

    def test_random_inputs_at_two_sizes(self) -> None:
        fast = self.folder / "fast"
        begin = time.perf_counter()
        result = bench_saved_model(fast, fast, seconds=0.05)
        self.assertLess(time.perf_counter() - begin, 30)
        self.assertEqual([item.sizes for item in result.timings], ["x[1, 256]", "x[8, 256]"])

    def test_strings_through_a_session(self) -> None:
        labels = self.folder / "labels"
        result = bench_saved_model(labels, labels, seconds=0.05, through_session=True)
        self.assertEqual([item.through for item in result.timings], ["python", "session"] * 2)

    def test_text_and_json(self) -> None:
        result = Benchmark(
            (Timing("serve", "x[1, 2]", 3.0, 1.5, 100), Timing("serve", "x[1, 2]", 1.0, 4.0, 50, "session"))
        )
        lines = result.to_text().splitlines()
        self.assertRegex(lines[0], r"^signature +inputs +called through +TensorFlow ms +tf_blade ms +ratio$")
        self.assertRegex(lines[1], r"^serve +x\[1, 2\] +python +3\.000 +1\.500 +2\.00$")
        self.assertRegex(lines[2], r"^serve +x\[1, 2\] +session +1\.000 +4\.000 +0\.25$")
        self.assertEqual([item["ratio"] for item in json.loads(result.to_json())], [2.0, 0.25])

    def test_what_cannot_be_timed(self) -> None:
        fast = self.folder / "fast"
        with self.assertRaises(UnknownSignatureError):
            bench_saved_model(fast, fast, signatures=["other"])
        bad = {"x": np.ones((64, 255), np.float32)}
        with self.assertRaisesRegex(InvalidInputError, r"float32\[\?, 256\]"):
            bench_saved_model(fast, fast, sample_inputs={"serving_default": [bad]})
        for seconds in (-1.0, math.inf, math.nan):
            with self.assertRaisesRegex(TfBladeError, "finite number"):
                bench_saved_model(fast, fast, seconds=seconds)


if __name__ == "__main__":
    absltest.main()
