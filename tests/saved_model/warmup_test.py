"""The warmup file and what else TensorFlow Serving reads, written and read back."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

import tf_blade
from tests.folders import class_folder
from tests.isa import runnable_levels
from tests.saved_model import models, workshop
from tf_blade import runtime
from tf_blade import warmup as maker
from tf_blade.engines.format import EngineFile, read_engine, write_engine
from tf_blade.engines.plan import PLAN_DATA_SECTION, PlanSection, PlanTensor, write_plan
from tf_blade.engines.signature import EngineInput, EngineSignature
from tf_blade.errors import EnvironmentError_, InvalidInputError, TfBladeError
from tf_blade.inputs import OTHER_SIZES, InputSpec
from tf_blade.report.report import Report
from tf_blade.saved_model import warmup
from tf_blade.saved_model.plan_stand_ins import stood_in, with_stand_ins
from tf_blade.saved_model.portable import engine_attributes
from tf_blade.warmup import make_warmup

v1 = tf.compat.v1
_QUICK: dict[str, Any] = {**workshop.EAGER, "backends": ("no_engine",), "verify": False}
_WARMUP = "assets.extra/tf_serving_warmup_requests"


class Words(tf.Module):
    """Strings and numbers in, both of a batch; a part that only strings reach; a signature without a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable(np.random.default_rng(1).standard_normal((4, 64)).astype(np.float32))
        self.table = tf.Variable(np.random.default_rng(2).standard_normal((16, 64)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec([None, 4], name="x"), tf.TensorSpec([None], tf.string, name="word")])
    def serve(self, x: Any, word: Any) -> Any:
        y = tf.tanh(tf.matmul(x, self.w)) * 2.0
        z = tf.nn.softmax(tf.gather(self.table, tf.strings.to_hash_bucket_fast(word, 16)) * 0.5)
        return {"y": y + z, "word": tf.strings.upper(word)}

    @tf.function(input_signature=[tf.TensorSpec([4, 64], name="x")])
    def fixed(self, x: Any) -> Any:
        return {"p": tf.nn.softmax(tf.exp(x * 0.1) * self.w)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="example")])
    def parsed(self, example: Any) -> Any:
        return {"x": tf.io.parse_example(example, {"x": tf.io.FixedLenFeature([4], tf.float32)})["x"]}


def _read(folder: Path) -> list[Any]:
    """Signature and inputs of each record, as a server decodes them."""
    requests = []
    for data in tf.data.TFRecordDataset(str(folder / _WARMUP)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(data)
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        requests.append((request.model_spec.signature_name, inputs))
    return requests


class _Served:
    """A model in a session."""

    def __init__(self, folder: Path) -> None:
        self.session = v1.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            self.signatures = v1.saved_model.load(self.session, ["serve"], str(folder)).signature_def

    def run(self, signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
        definition = self.signatures[signature]
        feeds = {definition.inputs[name].name: value for name, value in inputs.items()}
        result: dict[str, Any] = self.session.run({n: info.name for n, info in definition.outputs.items()}, feeds)
        return result


class WarmupTest(parameterized.TestCase):
    def setUp(self) -> None:
        super().setUp()
        workshop.register()
        self.folder = Path(self.create_tempdir().full_path)
        self.source, self.target = self.folder / "source", self.folder / "target"

    def words(self, *names: str) -> None:
        model = Words()
        signatures = {"serving_default" if name == "serve" else name: getattr(model, name) for name in names}
        tf.saved_model.save(model, str(self.source), signatures=signatures)

    def test_no_engine_prepares_anything_after_warmup(self) -> None:
        self.words("serve", "fixed")
        report = tf_blade.optimize_saved_model(
            self.source, self.target, batch_sizes=[1, 3, 6], isas=runnable_levels()[-1:], **workshop.EAGER
        )
        clusters = {item.name for item in report.clusters if item.backend}
        self.assertLen(clusters, 2)
        self.assertEqual(report.notes, [])
        requests = _read(self.target)
        self.assertEqual([signature for signature, _ in requests], ["fixed", *["serving_default"] * 3])
        self.assertEqual([len(inputs["word"]) for _, inputs in requests[1:]], [1, 3, 6])
        served, original = _Served(self.target), _Served(self.source)
        runtime.reset_runtime_stats()
        for signature, inputs in requests:
            self.check(served.run(signature, inputs), original.run(signature, inputs))
        before = self.counters()
        self.assertEqual(set(before), clusters)
        for name, (runs, _, fallbacks) in before.items():
            self.assertGreater(runs, 0, name)
            self.assertEqual(fallbacks, 0, name)
        # Engines without weights share what this process prepared for another session.
        self.assertGreater(sum(inits for _, inits, _ in before.values()), 0)
        # The request path: sizes that the warmup did not have.
        for rows in (2, 11):
            x = np.random.default_rng(rows).standard_normal((rows, 4)).astype(np.float32)
            inputs = {"x": x, "word": np.array([b"w%d" % i for i in range(rows)], object)}
            self.check(served.run("serving_default", inputs), original.run("serving_default", inputs))
        served.run("fixed", {"x": np.ones((4, 64), np.float32)})
        after = self.counters()
        for name, (runs, inits, fallbacks) in after.items():
            self.assertGreater(runs, before[name][0], name)
            self.assertEqual((inits, fallbacks), before[name][1:], name)

    def counters(self) -> dict[str, tuple[int, int, int]]:
        """Runs, inits and fallbacks of each cluster that was called."""
        return {
            item["cluster"]: (
                item["engine_runs"],
                sum(engine["inits"] for engine in item["engines"]),
                sum(item["fallbacks"].values()),
            )
            for item in tf_blade.runtime_stats()["clusters"]
            if item["calls"]
        }

    def check(self, found: dict[str, Any], expected: dict[str, Any]) -> None:
        self.assertEqual(set(found), set(expected))
        for name, value in expected.items():
            if value.dtype.kind == "f":
                np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5)
            else:
                np.testing.assert_array_equal(found[name], value)

    def test_the_same_bytes_each_time(self) -> None:
        self.words("serve", "fixed")
        again = self.folder / "again"
        for target in (self.target, again):
            tf_blade.optimize_saved_model(self.source, target, serving=True, **_QUICK)
        self.assertEqual(len(_read(self.target)), 3)
        self.assertEqual((self.target / _WARMUP).read_bytes(), (again / _WARMUP).read_bytes())

    def test_what_random_inputs_do_not_fit(self) -> None:
        self.words("parsed")
        report = tf_blade.optimize_saved_model(self.source, self.target, **_QUICK)
        self.assertFalse((self.target / _WARMUP).exists())
        self.assertIn("signature parsed has no warmup request: it rejects random inputs; give sample", report.notes[0])
        feature = tf.train.Feature(float_list=tf.train.FloatList(value=[1, 2, 3, 4]))
        example = tf.train.Example(features=tf.train.Features(feature={"x": feature})).SerializeToString()
        samples = {"parsed": [{"example": np.array([example], object)}]}
        report = tf_blade.optimize_saved_model(
            self.source, self.target, sample_inputs=samples, overwrite=True, batch_sizes=(2, 5), **_QUICK
        )
        self.assertEqual(report.notes, [])
        self.assertEqual([len(inputs["example"]) for _, inputs in _read(self.target)], [2, 5])
        outputs = _Served(self.target).run(*_read(self.target)[1])
        np.testing.assert_array_equal(outputs["x"], np.tile(np.array([[1, 2, 3, 4]], np.float32), (5, 1)))

    def test_rows_of_sample_inputs_are_repeated_or_dropped(self) -> None:
        models.shared(self.source)
        x = np.arange(12, dtype=np.float32).reshape(3, 4)
        tf_blade.optimize_saved_model(
            self.source, self.target, sample_inputs={"embed": [{"x": x}]}, batch_sizes=(2, 4), **_QUICK
        )
        requests = _read(self.target)
        self.assertEqual([name for name, _ in requests], ["embed"] * 2 + ["score"] * 2 + ["serving_default"] * 2)
        np.testing.assert_array_equal(requests[0][1]["x"], x[:2])
        np.testing.assert_array_equal(requests[1][1]["x"], x[[0, 1, 2, 0]])

    def test_sample_inputs_that_do_not_fit(self) -> None:
        models.shared(self.source)
        for sample in ({"y": np.ones((2, 4))}, {"x": np.ones((2, 5), np.float32)}):
            with self.assertRaises(InvalidInputError):
                tf_blade.optimize_saved_model(self.source, self.target, sample_inputs={"embed": [sample]}, **_QUICK)
            self.assertFalse(self.target.exists())

    def test_requests_that_would_change_state_are_not_written(self) -> None:
        models.counter(self.source)
        report = tf_blade.optimize_saved_model(self.source, self.target, **_QUICK)
        self.assertFalse((self.target / _WARMUP).exists())
        self.assertIn("changes state (AssignAddVariableOp, AssignVariableOp)", "".join(report.notes))

    def test_existing_file_is_kept_and_none_on_demand(self) -> None:
        models.labels(self.source)
        tf_blade.optimize_saved_model(self.source, self.target, **_QUICK)
        self.assertEqual((self.target / _WARMUP).read_bytes(), (self.source / _WARMUP).read_bytes())
        (self.source / _WARMUP).unlink()
        tf_blade.optimize_saved_model(self.source, self.target, warmup=False, overwrite=True, **_QUICK)
        self.assertFalse((self.target / _WARMUP).exists())

    def test_without_the_package(self) -> None:
        models.dense(self.source)
        with mock.patch.dict("sys.modules", {"tensorflow_serving": None, "tensorflow_serving.apis": None}):
            self.assertIsNone(self.no_module())
            with mock.patch.object(warmup, "prediction_logs", return_value=None):
                report = tf_blade.optimize_saved_model(self.source, self.target, **_QUICK)
                self.assertIn("no warmup file was written: tensorflow-serving-api is not installed", report.notes[-1])
                self.assertFalse((self.target / _WARMUP).exists())
                with self.assertRaisesRegex(EnvironmentError_, "pip install --no-deps"):
                    tf_blade.optimize_saved_model(self.source, self.folder / "other", serving=True, **_QUICK)

    def no_module(self) -> Any:
        name = "tensorflow_serving.apis.prediction_log_pb2"
        with mock.patch.dict("sys.modules", {name: None}):
            return warmup.prediction_logs()

    @parameterized.parameters(((), "none"), ((0,), "0"), ((4, -1), "4, -1"), ((2**31,), "2147483648"))
    def test_batch_sizes_that_are_none(self, sizes: tuple[int, ...], given: str) -> None:
        message = rf"batch_sizes \(--batch-sizes\) must be numbers from 1 to 2147483647; given are {given}$"
        with self.assertRaisesRegex(TfBladeError, message):
            tf_blade.optimize_saved_model(self.source, self.target, batch_sizes=sizes)

    def test_requests_that_are_too_large_are_not_made(self) -> None:
        models.shared(self.source)
        options = {**_QUICK, "signatures": ("embed",), "batch_sizes": (2, 2**31 - 1)}
        samples = {"embed": [{"x": np.ones((3, 4), np.float32)}]}
        report = tf_blade.optimize_saved_model(self.source, self.target, sample_inputs=samples, **options)
        rows = "with 2147483647 rows: it would have"
        self.assertEqual(
            [note for note in report.notes if "no warmup request" in note],
            [
                f"no warmup request of embed {rows} {2**31 * 16 - 16} bytes",
                f"no warmup request of score {rows} {2**31 * 32 - 32} bytes",
                f"no warmup request of serving_default {rows} {2**31 * 16 - 16} bytes",
            ],
        )
        self.assertEqual([name for name, _ in _read(self.target)], ["embed", "score", "serving_default"])

    def test_a_sample_that_the_model_rejects_costs_its_request_alone(self) -> None:
        self.words("parsed", "fixed")
        samples = {"parsed": [{"example": np.array([b"no example"], object)}]}
        report = tf_blade.optimize_saved_model(self.source, self.target, sample_inputs=samples, **_QUICK)
        told = [note for note in report.notes if "parsed has no warmup request of a sample that it rejects: " in note]
        self.assertLen(told, 1, report.notes)
        self.assertEqual([name for name, _ in _read(self.target)], ["fixed"])

    def test_samples_as_lists(self) -> None:
        """Numbers without a type, none at all, and such as no type of the input's size can hold."""

        class Small(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None], tf.uint8, "x"), tf.TensorSpec([None], tf.int64, "n")])
            def serve(self, x: Any, n: Any) -> Any:
                return {"y": tf.tanh(tf.cast(x, tf.float32)) * 2.0, "n": n + 1}

        model = Small()
        tf.saved_model.save(model, str(self.source), signatures=model.serve)

        def optimize(*samples: Any) -> Any:
            options = {**_QUICK, "verify": True, "overwrite": True, "batch_sizes": (1,)}
            samples_of = {"serving_default": list(samples)}
            return tf_blade.optimize_saved_model(self.source, self.target, sample_inputs=samples_of, **options)

        optimize({"x": [7, 255], "n": [1]}, {"x": [], "n": []})
        self.assertEqual(
            [{name: value.tolist() for name, value in inputs.items()} for _, inputs in _read(self.target)],
            [{"x": [7, 255], "n": [1]}, {"x": [], "n": []}],
        )
        before = workshop.digest(self.target)
        with (
            mock.patch.object(workshop.NoEngine, "build", side_effect=AssertionError("an engine was built")),
            self.assertRaisesRegex(InvalidInputError, "input 'x' of .* is uint8.*from 0 to 255; given is 256"),
        ):
            optimize({"x": [256], "n": [1]})
        self.assertEqual(before, workshop.digest(self.target))


class _Rows(tf.Module):
    """A batch of rows, whose length is free too, and weights to prepare."""

    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable(np.random.default_rng(1).standard_normal((16, 32)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec([None, None, 16], name="x")])
    def serve(self, x: Any) -> Any:
        return {"y": tf.nn.softmax(tf.tanh(tf.matmul(x, self.w)) * 2.0)}


class EdgesTest(parameterized.TestCase):
    """Sizes to try, at the edges of what engines take."""

    @parameterized.parameters(([2, 9], 1), ([2, 9, 40], 2), ([1, 8, 512], 3))
    def test_the_smallest_of_all(self, edges: list[int], axes: int) -> None:
        found = maker._sizes_at(edges, [InputSpec("x", np.dtype(np.float32), (None,) * axes)])
        usual = [1, *[OTHER_SIZES[0]] * (axes - 1)]
        every = set(itertools.product(*({*edges, size} for size in usual)))
        few = sorted((item for item in every if math.prod(item) <= 2**14), key=lambda item: (math.prod(item), item))
        self.assertEqual([dict(enumerate(item)) for item in few[:64]], found)

    def test_many_axes_do_not_multiply(self) -> None:
        """Their product would take hours."""
        found = maker._sizes_at(range(1, 60), [InputSpec("x", np.dtype(np.float32), (None,) * 6)])
        self.assertLen(found, 64)
        self.assertEqual(dict.fromkeys(range(6), 1), found[0])


class PlansTest(absltest.TestCase):
    """A plan before DISC's engine: after the warmup file neither prepares anything on the request path, on a machine
    that refuses the plan, nor on one that runs it.
    """

    folder: Path
    report: Report

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.folder = class_folder(cls)
        model = _Rows()
        tf.saved_model.save(model, str(cls.folder / "src"), signatures=model.serve)
        cls.report = tf_blade.optimize_saved_model(
            cls.folder / "src",
            cls.folder / "dst",
            backends=("tensorrt", "disc"),
            tensorrt_targets=("8.9",),
            tensorrt_ranges=("x[0]=2:3:9", "x[1]=20:24:40"),
            isas=runnable_levels()[-1:],
            verify=False,
            **workshop.EAGER,
        )

    def check(self, folder: Path, engines: int, loaded: int) -> None:
        """Replays the file as a server does, and then calls sizes that it does not have.

        Args:
            folder: the model.
            engines: number of engines that its op has.
            loaded: number of those that this machine loads, the last ones.
        """
        served, original = _Served(folder), _Served(self.folder / "src")
        runtime.reset_runtime_stats()
        for signature, inputs in _read(folder):
            np.testing.assert_allclose(
                served.run(signature, inputs)["y"], original.run(signature, inputs)["y"], rtol=1e-4, atol=1e-6
            )
        before = self.engines()
        self.assertLen(before, engines)
        for runs, refused in before[engines - loaded :]:
            self.assertGreater(runs, 0)
            self.assertEqual("", refused)
        inits = self.inits()
        # Inside of all ranges, outside of the batches', of the lengths', of both.
        for batch, length in ((5, 30), (10, 30), (5, 41), (1, 7), (100, 90), (0, 3), (2, 600)):
            x = np.random.default_rng(batch).standard_normal((batch, length, 16)).astype(np.float32)
            found, expected = (model.run("serving_default", {"x": x})["y"] for model in (served, original))
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
        self.assertEqual(inits, self.inits(), "weights were prepared on the request path")
        after = self.engines()
        for (runs, _), (more, _) in zip(before[engines - loaded :], after[engines - loaded :], strict=True):
            self.assertGreater(more, runs)
        (cluster,) = (item for item in tf_blade.runtime_stats()["clusters"] if item["calls"])
        self.assertEqual({}, cluster["fallbacks"])

    def engines(self) -> list[tuple[int, str]]:
        (cluster,) = (item for item in tf_blade.runtime_stats()["clusters"] if item["calls"])
        return [(engine["runs"], engine["load_refusal"]) for engine in cluster["engines"]]

    def inits(self) -> list[int]:
        (cluster,) = (item for item in tf_blade.runtime_stats()["clusters"] if item["calls"])
        return [engine["inits"] for engine in cluster["engines"]]

    def test_where_the_plan_is_refused(self) -> None:
        self.check(self.folder / "dst", engines=2, loaded=1 if runtime.lacks_backend("tensorrt") else 2)

    def test_where_the_plan_runs(self) -> None:
        with with_stand_ins(self.folder / "dst") as folder:
            self.assertNotEqual(folder, self.folder / "dst")
            self.check(folder, engines=2, loaded=2)

    def test_records(self) -> None:
        """The usual ones, one in the plan's sizes, and one outside: here the usual ones are that."""
        self.assertEqual([], [note for note in self.report.notes if "warmup" in note])
        shapes = [inputs["x"].shape for _, inputs in _read(self.folder / "dst")]
        inside = [2 <= batch <= 9 and 20 <= length <= 40 for batch, length, _ in shapes]
        self.assertEqual([(1, 16, 16), (8, 16, 16)], shapes[:2])
        self.assertEqual([False, False, True], inside)

    def test_default_ranges_are_left_by_a_small_record(self) -> None:
        """Here the usual ones are inside of the plan's sizes. What is outside is one value, said once."""
        target = self.folder / "wide"
        shutil.copytree(self.folder / "dst", target)
        path = target / "saved_model.pb"
        message = saved_model_pb2.SavedModel.FromString(path.read_bytes())
        for attribute in engine_attributes(message):
            plan = read_engine(attribute.list.s[0])
            (number,) = (i for i, item in enumerate(plan.signature.inputs) if item.kind == "data")
            x, y = PlanTensor("x", number, 1, 3), PlanTensor("y", 0, 1, 3)
            ranges = ((((1, 8, 64), (1, 64, 128), (16, 16, 16)),), (((1, 8, 64), (129, 256, 512), (16, 16, 16)),))
            section = PlanSection("tensorrt_rtx", len(plan.signature.inputs), 1, (x,), (y,), ranges)
            wide = dataclasses.replace(plan, sections={PLAN_DATA_SECTION: write_plan(section)})
            attribute.list.s[0] = write_engine(wide)
        path.write_bytes(message.SerializeToString(deterministic=True))
        made = make_warmup(warmup.prediction_logs(), target, batch_sizes=(1, 8))
        self.assertEqual((), made.notes)
        warmup.write_warmup(target, made.records)
        self.assertEqual([(1, 16, 16), (8, 16, 16), (65, 1, 16)], [inputs["x"].shape for _, inputs in _read(target)])
        self.assertLess(len(made.records[2]), 200)
        with with_stand_ins(target) as folder:
            self.check(folder, engines=2, loaded=2)
        sample = np.random.default_rng(3).standard_normal((3, 24, 16)).astype(np.float32)
        samples = {"serving_default": [{"x": sample}]}
        made = make_warmup(warmup.prediction_logs(), target, batch_sizes=(1, 8), samples=samples)
        warmup.write_warmup(target, made.records)
        arrays = [inputs["x"] for _, inputs in _read(target)]
        self.assertEqual([(1, 24, 16), (8, 24, 16), (65, 24, 16)], [item.shape for item in arrays])
        np.testing.assert_array_equal(sample[np.arange(65) % 3], arrays[2])

    def test_a_plan_of_all_sizes_leaves_nothing_for_others(self) -> None:
        """One without unknown sizes takes every call."""
        signature = EngineSignature((), (EngineInput("x", 1, ((("const", 4),),)),), ())
        disc = EngineFile("disc", "1", signature, bytes(32), {})
        tensors = (PlanTensor("x", 0, 1, 1),), ()
        section = PlanSection("tensorrt", 1, 0, *tensors, ((((4, 4, 4),),),))
        plan = dataclasses.replace(disc, backend="tensorrt", sections={PLAN_DATA_SECTION: write_plan(section)})
        files = [write_engine(plan), write_engine(disc)]
        self.assertEqual([files[1]], stood_in(files))
        self.assertEqual([files[0]], stood_in(files[:1]))
        self.assertEqual([b"none", files[1]], stood_in([b"none", files[1]]))
        damaged = write_engine(dataclasses.replace(plan, sections={PLAN_DATA_SECTION: b"cut"}))
        self.assertEqual([damaged, files[1]], stood_in([damaged, files[1]]))
        with mock.patch.dict(os.environ, {"TF_BLADE_TRUSTED_KEYS": "keys"}):  # which have signed none
            self.assertEqual(files, stood_in(files))


class ServingFilesTest(absltest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        workshop.register()
        self.folder = Path(self.create_tempdir().full_path)
        self.source = self.folder / "source"

    def config(self, target: Path) -> Any:
        config = model_server_config_pb2.ModelServerConfig()
        text_format.Parse((target / "assets.extra/model.config").read_text(), config)
        (item,) = config.model_config_list.config
        return item

    def test_batching_fits_the_warmup(self) -> None:
        models.shared(self.source)
        (self.folder / "ranker").mkdir()
        target = self.folder / "ranker" / "3"
        tf_blade.optimize_saved_model(self.source, target, serving=True, batch_sizes=(4, 16, 1), **_QUICK)
        largest = max(len(value) for _, inputs in _read(target) for value in inputs.values())
        self.assertEqual(largest, 16)
        lines = (target / "batching_params.pbtxt").read_text().split("\n")
        self.assertIn("max_batch_size { value: 16 }", lines)
        self.assertIn("# The warmup file has requests of 1, 4, 16 rows.", lines)
        item = self.config(target)
        self.assertEqual((item.name, item.base_path), ("ranker", "/models/ranker"))
        self.assertEqual(item.model_platform, "tensorflow")

    def test_a_signature_that_cannot_be_batched(self) -> None:
        models.branches(self.source)
        target = self.folder / "loops"
        report = tf_blade.optimize_saved_model(self.source, target, serving=True, **_QUICK)
        self.assertFalse((target / "batching_params.pbtxt").exists())
        self.assertIn("input 'steps' has no dimension for batches", "".join(report.notes))
        self.assertEqual(self.config(target).name, "loops")


if __name__ == "__main__":
    absltest.main()
