"""Profiles from sample inputs, batch sizes and nothing at all; together they cover the ranges that they are made of."""

from __future__ import annotations

import itertools
from pathlib import Path
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
from tf_blade.clusters.ranges import GivenRanges, parse_ranges
from tf_blade.dtypes import DType
from tf_blade.engines.format import read_engine
from tf_blade.engines.plan import PLAN_DATA_SECTION, PlanSection, PlanTensor, write_plan
from tf_blade.engines.plan_sizes import PlanSizes, read_plan_sizes
from tf_blade.errors import EngineFormatError, Unsupported
from tf_blade.graph.graph import Graph
from tf_blade.inputs import InputSpec
from tf_blade.saved_model.model import read_saved_model
from tf_blade.saved_model.portable import engine_node
from tf_blade.saved_model.serving_config import batching_params
from tf_blade.stages import Cluster, ClusterGraph

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


class _Lengths(tf.Module):
    """A batch and a length; the first thing that it does makes twice that length of it."""

    @tf.function(input_signature=[tf.TensorSpec([None, None, 8], name="x"), tf.TensorSpec([None], name="y")])
    def __call__(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(tf.tanh(tf.exp(tf.concat([x, x], 1)) * y[:, None, None]))


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


class GivenRangesTest(parameterized.TestCase):
    """Where the arguments of a graph have the names of inputs, others, or those of a main graph's placeholders."""

    @parameterized.parameters(("x", "n"), ("args_0", "args_1"), ("Placeholder_1", "Placeholder"))
    def test_names(self, first: str, second: str) -> None:
        specs = [InputSpec(name, np.dtype(np.float32), (None,)) for name in ("n", "x")]
        if first.startswith("args"):
            first, second = second, first  # in the order of their names
        placeholders = {"Placeholder_1": "x", "Placeholder": "n"}
        given = GivenRanges(parse_ranges(["x[0]=2:4:6"]), {"serve": specs}, placeholders)
        graph, piece = self.graph(first, second)
        self.assertEqual(["x[0]"], given.unused())
        self.assertEqual({"s0": (5, 9, 13)}, given.of(graph, piece))
        self.assertEqual([], given.unused())

    def graph(self, first: str, second: str) -> tuple[Graph, ClusterGraph]:
        """A cluster that reads something twice as long, and one more, as the first argument."""
        graph, inner = Graph("serve"), Graph("cluster")
        arguments = [(first, N), (second, L)] if first != "args_1" else [(second, L), (first, N)]
        for name, dim in arguments:
            node = graph.add_node("_Arg", name, [], {}, [DType.FLOAT])
            node.outputs[0].shape = (dim,)
            graph.inputs.append(node)
        long = graph.add_node("Twice", "long", [graph.inputs[0].outputs[0]], {}, [DType.FLOAT])
        long.outputs[0].shape = (symbolic.add(symbolic.mul(2, N), 1),)
        inside = inner.add_node("_Arg", "input_0", [], {}, [DType.FLOAT])
        inside.outputs[0].shape = (symbolic.symbol("s0"),)
        inner.inputs.append(inside)
        cluster = Cluster("c", "tensorrt", (), (long.outputs[0],), (), 0)
        return graph, ClusterGraph(cluster, inner, frozenset())

    def test_a_section_that_is_cut_or_of_another_layout(self) -> None:
        tensor, output = PlanTensor("x", 0, 1, 1), PlanTensor("y", 0, 1, 1)
        data = write_plan(PlanSection("tensorrt", 1, 1, (tensor,), (output,), ((((1, 2, 3),),),)))
        self.assertEqual(PlanSizes((tensor,), ((((1, 2, 3),),),)), read_plan_sizes(data))
        for wrong, message in ((data[:-9], "malformed"), (b"\7" + data[1:], "layout 7; this reads 1")):
            with self.assertRaisesRegex(EngineFormatError, message):
                read_plan_sizes(wrong)


if __name__ == "__main__":
    absltest.main()
