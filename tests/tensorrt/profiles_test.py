"""Profiles from sample inputs, batch sizes and nothing at all; together they cover the ranges that they are made of."""

from __future__ import annotations

import itertools
from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

import tf_blade
from tf_blade import symbolic
from tf_blade.backends.tensorrt import process
from tf_blade.backends.tensorrt.convert import PlanInput
from tf_blade.backends.tensorrt.profiles import Range, bounds, derive
from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported

N, L = symbolic.symbol("s0"), symbolic.symbol("s1")
INPUTS = (PlanInput("x", 0, DType.FLOAT, (N, L, 8), None), PlanInput("y", 1, DType.FLOAT, (N,), None))


class ProfilesTest(parameterized.TestCase):
    def test_of_nothing(self) -> None:
        profiles = derive(INPUTS)
        self.assertEqual({Range(1, 8, 64)}, {item["s0"] for item in profiles})
        self.assertEqual([Range(1, 8, 8), Range(9, 64, 64), Range(65, 128, 512)], [item["s1"] for item in profiles])

    def test_of_samples(self) -> None:
        profiles = derive(INPUTS, [{"s0": 2, "s1": 100}, {"s0": 3, "s1": 7}, {"s0": 3, "s1": 9}])
        self.assertEqual({Range(1, 3, 64)}, {item["s0"] for item in profiles})
        self.assertEqual((1, 128), (profiles[0]["s1"].min, profiles[-1]["s1"].max))

    def test_of_batch_sizes(self) -> None:
        (profile,) = derive(INPUTS[1:], batch_sizes=(1, 4, 16))
        self.assertEqual({"s0": Range(1, 4, 16)}, profile)

    def test_of_given_ranges(self) -> None:
        (profile,) = derive(INPUTS, given={"s0": Range(1, 1, 1), "s1": Range(3, 4, 5)})
        self.assertEqual({"s0": Range(1, 1, 1), "s1": Range(3, 4, 5)}, profile)

    @parameterized.parameters(17, 100, 1000, 100_000)
    def test_pieces_cover_a_wide_range(self, largest: int) -> None:
        profiles = derive(INPUTS[1:], given={"s0": Range(1, 2, largest)})
        covered = [size for item in profiles for size in (item["s0"].min, item["s0"].max)]
        self.assertEqual((1, largest), (covered[0], covered[-1]))
        for before, after in itertools.pairwise(profiles):
            self.assertEqual(before["s0"].max + 1, after["s0"].min)
        for item in profiles:
            self.assertTrue(item["s0"].min <= item["s0"].opt <= item["s0"].max)

    def test_sizes_begin_where_nothing_vanishes(self) -> None:
        """Of an image that is pooled three times by two."""
        pooled = symbolic.floordiv(L, 8)
        profiles = derive(INPUTS, given={"s0": Range(1, 1, 1)}, dims=(pooled, symbolic.symbol("unknown")))
        self.assertEqual(8, profiles[0]["s1"].min)
        self.assertEqual(512, profiles[-1]["s1"].max)

    def test_bounds_of_expressions(self) -> None:
        profile = {"s0": Range(1, 4, 8), "s1": Range(2, 3, 4)}
        self.assertEqual(((2, 7, -3), (12, 7, 1), (32, 7, 6)), bounds((N * L, 7, N - L + 0), profile))


class SamplesTest(absltest.TestCase):
    def test_sample_inputs_reach_the_builder(self) -> None:
        class Model(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None, None, 8], name="x"), tf.TensorSpec([None], name="y")])
            def __call__(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
                return tf.nn.softmax(tf.tanh(tf.exp(x) * y[:, None, None]))

        folder = Path(self.create_tempdir().full_path)
        model = Model()
        tf.saved_model.save(model, str(folder / "original"), signatures=model.__call__)
        sample = {"x": np.zeros((3, 5, 8), np.float32), "y": np.zeros(3, np.float32)}
        seen: list[process.Job] = []

        def build(job: process.Job, limits: process.Limits) -> None:
            del limits
            seen.append(job)
            raise Unsupported("enough is known")

        with mock.patch.object(process, "build", build):
            tf_blade.optimize_saved_model(
                str(folder / "original"),
                str(folder / "optimized"),
                backends=("tensorrt",),
                sample_inputs={"serving_default": [sample]},
                min_cluster_gain_us=0.0,
                warmup=False,
            )
        (job,) = seen
        (sizes,) = job.observed
        self.assertCountEqual([3, 5], sizes.values())


if __name__ == "__main__":
    absltest.main()
