"""Profiles from sample inputs, batch sizes and nothing at all; together they cover the ranges that they are made of."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

import tf_blade
from tests.cli import kit
from tests.folders import class_folder
from tf_blade import symbolic
from tf_blade.backends.tensorrt import process
from tf_blade.backends.tensorrt.convert import PlanInput
from tf_blade.backends.tensorrt.profiles import Range, bounds, derive
from tf_blade.dtypes import DType
from tf_blade.engines.format import read_engine
from tf_blade.engines.plan import PLAN_DATA_SECTION, PlanSection, PlanTensor, write_plan
from tf_blade.engines.plan_sizes import PlanSizes, read_plan_sizes
from tf_blade.errors import EngineFormatError, Unsupported
from tf_blade.saved_model.model import read_saved_model
from tf_blade.saved_model.portable import engine_node
from tf_blade.saved_model.serving_config import batching_params

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

    def test_of_sizes_that_batches_are_padded_to(self) -> None:
        """Each is the end of a range and tuned for; what is left of four profiles is for the lengths."""
        profiles = derive(INPUTS, padded=(4, 32), given={"s1": Range(2, 8, 512)})
        pieces = [Range(1, 4, 4), Range(5, 32, 32)]
        lengths = [Range(2, 8, 32), Range(33, 33, 512)]
        self.assertCountEqual(
            [(batch, length) for batch in pieces for length in lengths], [(p["s0"], p["s1"]) for p in profiles]
        )

    def test_of_many_sizes_that_batches_are_padded_to(self) -> None:
        profiles = derive(INPUTS, padded=(1, 2, 4, 8, 16, 32, 64, 128))
        self.assertEqual([2, 8, 32, 128], [item["s0"].opt for item in profiles])
        self.assertEqual([(1, 2), (3, 8), (9, 32), (33, 128)], [(p["s0"].min, p["s0"].max) for p in profiles])
        self.assertEqual({Range(1, 128, 512)}, {item["s1"] for item in profiles})

    def test_a_number_of_tokens_is_no_batch(self) -> None:
        """It is first wherever it is; but the samples have more than a server batches."""
        tokens = PlanInput("tokens", 1, DType.FLOAT, (L,), None)
        profiles = derive((INPUTS[1], tokens), [{"s0": 2, "s1": 300}], padded=(4, 32))
        self.assertEqual({Range(1, 4, 4), Range(5, 32, 32)}, {item["s0"] for item in profiles})
        self.assertEqual({Range(1, 23, 23), Range(24, 300, 512)}, {item["s1"] for item in profiles})

    def test_content_is_no_batch(self) -> None:
        """Though it is the first thing, and the only one, that a scalar holds."""
        size = PlanInput("size", 1, DType.INT32, (), np.array(L, dtype=object))
        profiles = derive((INPUTS[1], size))
        self.assertEqual({Range(1, 8, 64)}, {item["s0"] for item in profiles})
        self.assertEqual((1, 512), (profiles[0]["s1"].min, profiles[-1]["s1"].max))

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


class _Lengths(tf.Module):
    """A batch and a length; the first thing that it does makes twice that length of it."""

    @tf.function(input_signature=[tf.TensorSpec([None, None, 8], name="x"), tf.TensorSpec([None], name="y")])
    def __call__(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(tf.tanh(tf.exp(tf.concat([x, x], 1)) * y[:, None, None]))


class _Renamed(tf.Module):
    """A function with names of its own, that two signatures call: their names are in no order that it knows of."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, 8], name="inputs"),
            tf.TensorSpec([None, None, 8], name="inputs_1"),
            tf.TensorSpec([None], name="inputs_2"),
        ]
    )
    def __call__(self, x: tf.Tensor, y: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(tf.tanh(tf.exp(tf.concat([x, y], 1)) * z[:, None, None]))

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], name="scale"),
            tf.TensorSpec([None, None, 8], name="ids"),
            tf.TensorSpec([None, None, 8], name="types"),
        ]
    )
    def serve(self, scale: tf.Tensor, ids: tf.Tensor, types: tf.Tensor) -> tf.Tensor:
        return self(tf.identity(types), ids, scale)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 8], name="both")])
    def twice(self, both: tf.Tensor) -> tf.Tensor:
        return self(both, both, both[:, 0, 0])


class WhatBuildersGetTest(absltest.TestCase):
    def test_sample_inputs(self) -> None:
        sample = {"x": np.zeros((3, 5, 8), np.float32), "y": np.zeros(3, np.float32)}
        (job,) = self.jobs(_Lengths(), sample_inputs={"serving_default": [sample]})
        (sizes,) = job.observed
        self.assertCountEqual([3, 5], sizes.values())

    def test_arguments_that_are_not_named_like_inputs(self) -> None:
        """Ranges and samples go where the signatures' calls put inputs: the first is the types, the next the ids."""
        model = _Renamed()
        sizes = {"ids": (3, 5, 8), "types": (3, 6, 8), "scale": (3,)}
        (job,) = self.jobs(
            model,
            {"serving_default": model.serve, "twice": model.twice},
            sample_inputs={"serving_default": [{name: np.zeros(size, np.float32) for name, size in sizes.items()}]},
            tensorrt_ranges=("ids[1]=3:7:9", "types[1]=4:10:20", "both[1]=2:6"),
        )
        self.assertEqual({"s1": (2, 10, 20), "s2": (2, 7, 9)}, job.ranges)
        self.assertEqual(({"s0": 3, "s1": 6, "s2": 5},), job.observed)

    def jobs(self, model: tf.Module, signatures: Any = None, **options: Any) -> list[process.Job]:
        """What is asked of the builder. It refuses everything: no more than that is looked at."""
        folder = Path(self.create_tempdir().full_path)
        tf.saved_model.save(model, str(folder / "original"), signatures=signatures or model.__call__)
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
                min_cluster_gain_us=0.0,
                warmup=False,
                **options,
            )
        return seen


class BuiltPlansTest(absltest.TestCase):
    """What is given stands in the plans, exactly."""

    folder: Path
    quick = ("--backends=tensorrt", "--tensorrt-targets=8.9", "--min-cluster-gain-us=0", "--no-warmup", "--no-verify")

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.folder = class_folder(cls)
        model = _Lengths()
        tf.saved_model.save(model, str(cls.folder / "src"), signatures=model.__call__)

    def profiles(self, *argv: str) -> list[dict[str, list[tuple[int, ...]]]]:
        """The least, tuned-for and largest shape of each input, of each profile of the one plan."""
        found = kit.call("optimize", self.folder / "src", self.folder / "dst", "--overwrite", *self.quick, *argv)
        self.assertEqual(found.status, 0, found.err)
        (node,) = (
            item
            for function in read_saved_model(self.folder / "dst").functions.values()
            for node in function.node_def
            if (item := engine_node(node)) is not None
        )
        plan = read_plan_sizes(read_engine(node.engines[0]).sections[PLAN_DATA_SECTION])
        names = {1: "y", 3: "x"}
        return [
            {
                names[tensor.rank]: list(zip(*ranges, strict=True))
                for tensor, ranges in zip(plan.inputs, profile, strict=True)
            }
            for profile in plan.profiles
        ]

    def test_given_ranges(self) -> None:
        (profile,) = self.profiles("--tensorrt-ranges=x[0]=2:3:5,x[1]=4:32:64")
        self.assertEqual({"x": [(2, 4, 8), (3, 32, 8), (5, 64, 8)], "y": [(2,), (3,), (5,)]}, profile)

    def test_ranges_that_differ_where_sizes_cannot(self) -> None:
        ranges = "--tensorrt-ranges=x[0]=2:3,y[0]=2:4"
        found = kit.call("optimize", self.folder / "src", self.folder / "other", *self.quick, ranges)
        message = "tf-blade: x[0] and y[0] are always equal in the model, and their ranges differ\n"
        self.assertEqual((found.status, found.err), (1, message))
        self.assertFalse((self.folder / "other").exists())

    def test_a_wide_range_and_one_size(self) -> None:
        first, second = self.profiles("--tensorrt-ranges=y[0]=2,x[1]=1:100")
        self.assertEqual([(2, 1, 8), (2, 10, 8), (2, 10, 8)], first["x"])
        self.assertEqual([(2, 11, 8), (2, 100, 8), (2, 100, 8)], second["x"])

    def test_batching_parameters(self) -> None:
        file = self.folder / "batching.txt"
        file.write_text(
            "# of a server\nmax_batch_size { value: 6 }\nallowed_batch_sizes: [2, 6]\nnum_batch_threads { value: 4 }\n"
        )
        profiles = self.profiles(f"--batching-parameters-file={file}", "--tensorrt-ranges=x[1]=4", "--serving")
        self.assertEqual([(1, 4, 8), (2, 4, 8), (2, 4, 8)], profiles[0]["x"])
        self.assertEqual([(3, 4, 8), (6, 4, 8), (6, 4, 8)], profiles[1]["x"])
        self.assertLen(profiles, 2)
        self.assertEqual(file.read_text(), (self.folder / "dst" / "batching_params.pbtxt").read_text())

    def test_batching_parameters_that_this_writes(self) -> None:
        """They have a largest batch, and pad to no size."""
        file = self.folder / "written.txt"
        file.write_text(batching_params([3, 9]))
        (profile,) = self.profiles(f"--batching-parameters-file={file}", "--tensorrt-ranges=x[1]=4")
        self.assertEqual([(1, 4, 8), (8, 4, 8), (9, 4, 8)], profile["x"])


class PlanSizesTest(absltest.TestCase):
    def test_a_section_that_is_cut_or_of_another_layout(self) -> None:
        tensor, output = PlanTensor("x", 0, 1, 1), PlanTensor("y", 0, 1, 1)
        data = write_plan(PlanSection("tensorrt", 1, 1, (tensor,), (output,), ((((1, 2, 3),),),)))
        self.assertEqual(PlanSizes((tensor,), ((((1, 2, 3),),),)), read_plan_sizes(data))
        for wrong, message in ((data[:-9], "malformed"), (b"\7" + data[1:], "layout 7; this reads 1")):
            with self.assertRaisesRegex(EngineFormatError, message):
                read_plan_sizes(wrong)

    def test_a_section_with_more_profiles_than_there_are(self) -> None:
        """Of a plan without inputs a profile takes no bytes: their number alone says how many there are."""
        data = write_plan(PlanSection("tensorrt", 0, 0, (), (), ((),)))
        at = len(data) - 8  # no weights follow
        self.assertEqual(PlanSizes((), ((),)), read_plan_sizes(data))
        self.assertLen(read_plan_sizes(data[:at] + struct.pack("<I", 64) + data[at + 4 :]).profiles, 64)
        for count in (65, 2**32 - 1):
            with self.assertRaisesRegex(EngineFormatError, f"malformed: {count} profiles, and 64 at the most"):
                read_plan_sizes(data[:at] + struct.pack("<I", count) + data[at + 4 :])


if __name__ == "__main__":
    absltest.main()
