"""A portable encoder in processes that have the op library, and in others that have never heard of it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest

import tf_blade
from tests import zoo
from tests.e2e import c_server, kit
from tests.saved_model import models, workshop
from tf_blade import runtime
from tf_blade.report.report import Report
from tf_blade.saved_model.model import read_saved_model
from tf_blade.saved_model.portable import engine_node

v1 = tf.compat.v1
_OUTPUT = c_server.OUTPUT
# TensorFlow alone, in Python: the outputs by both loaders, to a file.
_STOCK = """
import sys
import numpy as np
import tensorflow as tf
model, requests, results = sys.argv[1:]
requests = np.load(requests)
function = tf.saved_model.load(model).signatures["serving_default"]
found = {}
session = tf.compat.v1.Session(graph=tf.Graph())
with session.graph.as_default():
    signature = tf.compat.v1.saved_model.load(session, ["serve"], model).signature_def["serving_default"]
for index in range(len(requests.files) // 2):
    feeds = {name: requests[f"{index}/{name}"] for name in ("ids", "mask")}
    found[f"{index}/loaded"] = function(**{name: tf.constant(item) for name, item in feeds.items()})["probabilities"]
    tensors = {signature.inputs[name].name: item for name, item in feeds.items()}
    found[f"{index}/session"] = session.run(signature.outputs["probabilities"].name, tensors)
assert not any(name.startswith("tf_blade") for name in sys.modules)
assert not hasattr(tf.raw_ops, "BladeEngineOp")
# The server's warmup requests.
import tensorflow_serving.apis.prediction_log_pb2 as logs
records = list(tf.data.TFRecordDataset(f"{model}/assets.extra/tf_serving_warmup_requests").as_numpy_iterator())
for record in records:
    request = logs.PredictionLog.FromString(record).predict_log.request
    feeds = {signature.inputs[name].name: tf.make_ndarray(item) for name, item in request.inputs.items()}
    session.run({name: info.name for name, info in signature.outputs.items()}, feeds)
np.savez(results, warmups=len(records), **found)
"""


# A server's sessions for two versions of a model, one of them twice, which begin at once: the engines held, in lines.
_SHARED = """
import gc, os, sys, threading
import numpy as np
import tensorflow as tf
import tf_blade.runtime
v1 = tf.compat.v1
versions, requests = sys.argv[1:-1], np.load(sys.argv[-1])
feeds = {name: requests[f"0/{name}"] for name in ("ids", "mask")}

def held():
    gc.collect()
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    print(sum("tf_blade_engine" in os.readlink(link) for link in links if os.path.lexists(link)))

def call(session, signature):
    session.run(signature.outputs["probabilities"].name, {signature.inputs[n].name: x for n, x in feeds.items()})

tf_blade.runtime.load()
sessions = []
for version in versions:
    session = v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        model = v1.saved_model.load(session, ["serve"], version)
    sessions.append((session, model.signature_def["serving_default"]))
held()
threads = [threading.Thread(target=call, args=pair) for pair in sessions * 3]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
held()
loaded = tf.saved_model.load(versions[0])
loaded.signatures["serving_default"](**{name: tf.constant(item) for name, item in feeds.items()})
while sessions:
    sessions.pop()[0].close()
    held()
del session, loaded
held()
(cluster,) = tf_blade.runtime_stats()["clusters"]
print(cluster["engine_runs"], cluster["fallbacks"])
"""

# A task of a cluster, without the library.
_TASK = """
import sys
import tensorflow as tf
cluster = tf.train.ClusterSpec({"worker": sys.argv[1:]})
tf.distribute.Server(cluster, job_name="worker", task_index=1).join()
"""
# Another task, with the library, which places a model on the first.
_MASTER = """
import sys
import numpy as np
import tensorflow as tf
import tf_blade.runtime
v1 = tf.compat.v1
model, requests, results, *addresses = sys.argv[1:]
requests = np.load(requests)
tf_blade.runtime.load()
cluster = tf.train.ClusterSpec({"worker": addresses})
server = tf.distribute.Server(cluster, job_name="worker", task_index=0)
found = {}
with tf.Graph().as_default(), v1.Session(server.target) as session, tf.device("/job:worker/task:1"):
    signature = v1.saved_model.load(session, ["serve"], model).signature_def["serving_default"]
    for index in range(len(requests.files) // 2):
        feeds = {signature.inputs[name].name: requests[f"{index}/{name}"] for name in ("ids", "mask")}
        found[str(index)] = session.run(signature.outputs["probabilities"].name, feeds)
np.savez(results, **found)
print(*tf_blade.runtime_stats()["portable_calls"])
"""


def _free_addresses(number: int) -> list[str]:
    """Of this machine; all found before any is let go, so that they differ."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(number)]
    addresses = [f"localhost:{item.getsockname()[1]}" for item in sockets]
    for item in sockets:
        item.close()
    return addresses


class PortableModelTest(absltest.TestCase):
    folder: Path
    model: Path
    report: Report
    requests: list[c_server.Request]
    expected: list[np.ndarray]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.folder = Path(kit.scratch().name)
        cls.model = cls.folder / "portable"
        isas = kit.host_isas()
        options: dict[str, Any] = {"isas": isas, "serving": True, "batch_sizes": (1, 3)}
        cls.report = tf_blade.optimize_saved_model(zoo.saved(c_server.MODEL), cls.model, portable=True, **options)
        cls.requests = c_server.requests()
        cls.expected = c_server.expected(cls.requests)

    def check(self, answers: list[np.ndarray]) -> None:
        self.assertLessEqual(c_server.largest_error(self.expected, answers), kit.TOLERANCE)

    def requests_file(self) -> Path:
        file = self.folder / "requests.npz"
        arrays: dict[str, Any] = {
            f"{i}/{name}": value for i, request in enumerate(self.requests) for name, value in request.items()
        }
        np.savez(file, **arrays)
        return file

    def test_engines_are_shared_and_freed(self) -> None:
        """By sessions and versions of a model, with cold starts at the same time, until the last of them is gone."""
        version = self.folder / "version_2"
        shutil.copytree(self.model, version)
        command = [sys.executable, "-c", _SHARED, *map(str, (self.model, version, self.model, self.requests_file()))]
        root = Path(runtime.__file__).resolve().parents[1]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.split("\n"), ["0", "1", "1", "1", "1", "0", "10 {}", ""])

    def test_python_without_the_library(self) -> None:
        results = self.folder / "results.npz"
        command = [sys.executable, "-c", _STOCK, *map(str, (self.model, self.requests_file(), results))]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = np.load(results)
        for loader in ("loaded", "session"):
            self.check([found[f"{index}/{loader}"] for index in range(len(self.requests))])
        self.assertGreaterEqual(int(found["warmups"]), 2)
        for name in ("batching_params.pbtxt", "assets.extra/model.config"):
            self.assertTrue((self.model / name).exists(), name)

    def test_clusters_with_tasks_without_the_library(self) -> None:
        addresses = _free_addresses(2)
        with subprocess.Popen(
            [sys.executable, "-c", _TASK, *addresses], cwd=self.folder, stderr=subprocess.DEVNULL
        ) as task:
            try:
                results = self.folder / "task_results.npz"
                arguments = map(str, (self.model, self.requests_file(), results, *addresses))
                root = Path(runtime.__file__).resolve().parents[1]
                command = [sys.executable, "-c", _MASTER, *arguments]
                done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=120)
            finally:
                task.kill()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, "device\n")
        found = np.load(results)
        self.check([found[str(index)] for index in range(len(self.requests))])

    def test_python_with_the_library(self) -> None:
        function = tf.saved_model.load(str(self.model)).signatures["serving_default"]
        runtime.reset_runtime_stats()
        calls = [{name: tf.constant(value) for name, value in request.items()} for request in self.requests]
        self.check([function(**call)[_OUTPUT].numpy() for call in calls])
        self.check_counters(len(calls))
        with tf.Graph().as_default(), v1.Session() as session:
            run, output = self.session_calls(session)
            self.check(run(output))
        self.check_counters(2 * len(calls))

    def check_counters(self, runs: int) -> None:
        """Other tests' models may be in this process too; none of them runs."""
        served, fallbacks = kit.engine_counters()
        self.assertEqual(([count for count in served.values() if count], fallbacks), ([runs], {}))

    def test_gradients_are_those_of_the_original(self) -> None:
        """TensorFlow asks the calls for more results then, which no engine gives."""
        found = []
        for path in (zoo.saved(c_server.MODEL), self.model):
            model = tf.saved_model.load(str(path))  # must outlive the calls
            function = model.signatures["serving_default"]
            runtime.reset_runtime_stats()
            with tf.GradientTape() as tape:
                output = function(**{name: tf.constant(value) for name, value in self.requests[-1].items()})[_OUTPUT]
                loss = tf.reduce_sum(tf.square(output))
            # By indices: gradients of embeddings' tables are sparse.
            gradients = tape.gradient(loss, function.graph.trainable_variables)
            found.append([None if item is None else tf.convert_to_tensor(item).numpy() for item in gradients])
        _, fallbacks = kit.engine_counters()
        self.assertEqual(fallbacks, {"signature": 1})
        self.assertEqual([item is None for item in found[0]], [item is None for item in found[1]])
        pairs = [(a, b) for a, b in zip(*found, strict=True) if a is not None]
        self.assertGreater(len(pairs), 8)
        for expected, gradient in pairs:
            scale = np.max(np.abs(expected), initial=1e-30)
            self.assertLessEqual(np.max(np.abs(expected - gradient), initial=0.0), 1e-4 * scale)

    def test_sessions_are_extended(self) -> None:
        """After runs: by an op, by a variable with its initializer and Saver, by another portable model."""
        source, other = self.folder / "dense", self.folder / "dense_portable"
        models.dense(source)
        tf_blade.optimize_saved_model(source, other, portable=True, isas=kit.host_isas(), **workshop.EAGER)
        x = np.linspace(-1.0, 1.0, 12, dtype=np.float32).reshape(3, 4)
        expected = tf.saved_model.load(str(source)).signatures["serving_default"](x=tf.constant(x))["sum"].numpy()
        pruned = v1.ConfigProto(graph_options=v1.GraphOptions(place_pruned_graph=True))
        for config in (None, pruned):
            with self.subTest(config), tf.Graph().as_default() as graph, v1.Session(config=config) as session:
                runtime.reset_runtime_stats()
                run, output = self.session_calls(session)
                self.check(run(output))
                self.check([answer / 2.0 for answer in run(output * 2.0)])
                scale = v1.get_variable("scale", initializer=3.0, use_resource=True)
                session.run(scale.initializer)
                saver = v1.train.Saver([scale])
                path = saver.save(session, str(self.folder / "scale"))
                session.run(scale.assign(0.0))
                saver.restore(session, path)
                self.check([answer / 3.0 for answer in run(output * scale)])
                added = v1.saved_model.load(session, ["serve"], str(other), import_scope="other")
                signature = added.signature_def["serving_default"]
                feed = {f"other/{signature.inputs['x'].name}": x}
                found = session.run(f"other/{signature.outputs['sum'].name}", feed)
                self.assertLessEqual(kit.largest_error({"sum": expected}, {"sum": found}), kit.TOLERANCE)
                self.check(run(output))
                self.check([answer - 1.0 for answer in run(graph.get_tensor_by_name(output.name) + 1.0)])
                served, fallbacks = kit.engine_counters()
                runs = sorted(count for count in served.values() if count)
                # The other model has two engines.
                self.assertEqual((runs, fallbacks), ([1, 1, 5 * len(self.requests)], {}))

    def session_calls(self, session: Any) -> tuple[Callable[[Any], list[np.ndarray]], Any]:
        """Runs all requests for a tensor; and the model's output."""
        signature = v1.saved_model.load(session, ["serve"], str(self.model)).signature_def["serving_default"]
        feeds = [{signature.inputs[n].name: value for n, value in request.items()} for request in self.requests]
        output = session.graph.get_tensor_by_name(signature.outputs[_OUTPUT].name)
        return lambda tensor: [session.run(tensor, feed) for feed in feeds], output

    def serve_in_c(
        self, library: str, preload: str = "", model: Path | None = None, extension: Path | None = None
    ) -> c_server.Served:
        program = self.folder / "capi_serve"
        if not program.exists():
            c_server.build(self.folder)
        return c_server.serve(
            program, model or self.model, self.requests, library=library, preload=preload, extension=extension
        )

    def check_c(self, library: str, preload: str = "") -> dict[str, Any]:
        """Compares what the C server answers; gives its statistics."""
        served = self.serve_in_c(library, preload)
        self.assertEqual(served.status, 0, served.error)
        self.check(served.answers)
        return served.stats

    def test_verification_compares_both_ways(self) -> None:
        """Engines that are right do not hide a subgraph that is wrong, which servers without the library would run."""
        broken = self.folder / "broken"
        shutil.copytree(self.model, broken)
        model = read_saved_model(broken)
        calls = filter(None, (engine_node(node) for f in model.functions.values() for node in f.node_def))
        for call in calls:
            fallback = model.functions[call.fallback]
            next(node for node in fallback.node_def if node.op == "AddV2").op = "Sub"
        (broken / "saved_model.pb").write_bytes(model.message.SerializeToString(deterministic=True))
        result = tf_blade.verify_saved_model(zoo.saved(c_server.MODEL), broken)
        self.assertFalse(result.ok)
        self.assertEqual({item.engines for item in result.errors if not item.ok}, {False})
        self.assertEqual({item.engines for item in result.errors}, {True, False})
        self.assertEqual((result.calls, result.fallbacks), (result.engine_runs, {}))
        self.assertIn(f"{_OUTPUT} (without engines)  WRONG", result.to_text())

    def test_bench_and_inspection(self) -> None:
        runtime.reset_runtime_stats()
        result = tf_blade.bench_saved_model(
            zoo.saved(c_server.MODEL),
            self.model,
            sample_inputs={"serving_default": [self.requests[0]]},
            seconds=0.1,
            through_session=True,
        )
        self.assertEqual([item.through for item in result.timings], ["python", "session"])
        served, fallbacks = kit.engine_counters()
        self.assertGreater(sum(served.values()), 0)
        self.assertEqual(fallbacks, {})
        inspection = tf_blade.inspect_saved_model(self.model)
        self.assertLen(inspection.engine_ops, self.report.totals.engines)
        self.assertEmpty(inspection.refused)
        self.assertIn("portable", inspection.to_text().split("\n")[0])

    def test_c_without_the_library(self) -> None:
        self.assertEqual(self.check_c("-"), {})

    def test_c_with_the_library_loaded(self) -> None:
        """Before and after the session is extended."""
        definition = v1.GraphDef()
        definition.node.add(name="extended", op="Neg", input=["answer"]).attr["T"].type = tf.float32.as_datatype_enum
        extension = self.folder / "extension.pb"
        extension.write_bytes(definition.SerializeToString())
        served = self.serve_in_c(runtime.library_path(), extension=extension)
        self.assertEqual(served.status, 0, served.error)
        self.check([served.answers[0], *(-answer for answer in served.answers[1:])])
        (cluster,) = served.stats["clusters"]
        self.assertEqual((cluster["engine_runs"], cluster["fallbacks"]), (len(self.requests), {}))
        self.assertEqual(set(served.stats["portable_calls"]), {"engine"})

    def test_c_with_the_library_preloaded(self) -> None:
        (cluster,) = self.check_c("-", preload=runtime.library_path())["clusters"]
        self.assertEqual((cluster["engine_runs"], cluster["fallbacks"]), (len(self.requests), {}))

    def test_damage_is_told_once_and_counted(self) -> None:
        damaged = self.folder / "damaged"
        shutil.copytree(self.model, damaged)
        model = read_saved_model(damaged)
        for function in model.functions.values():
            for call in filter(engine_node, function.node_def):
                call.attr["_blade_engines"].i = 3
        (damaged / "saved_model.pb").write_bytes(model.message.SerializeToString(deterministic=True))
        served = self.serve_in_c(runtime.library_path(), model=damaged)
        self.assertEqual(served.status, 0, served.error)
        self.check(served.answers)
        self.assertEqual((served.stats["clusters"], set(served.stats["portable_calls"])), ([], {"damaged"}))
        said = [line for line in served.error.splitlines() if "stays a plain call of TensorFlow" in line]
        self.assertLen(said, 1)
        self.assertIn("_blade_engines is no list of engine files", said[0])

    def test_c_with_a_second_copy_is_refused(self) -> None:
        copy = self.folder / "libanother_name.so"
        shutil.copyfile(runtime.library_path(), copy)
        served = self.serve_in_c(str(copy), preload=runtime.library_path())
        self.assertEqual(served.status, 1)
        already = "BladeEngineOp is registered already: it is linked into this program, or another copy"
        self.assertIn(already, served.error)

    def test_c_with_a_second_copy_preloaded_uses_one(self) -> None:
        """Nobody waits for the registration's status: it must not end the process."""
        copy = self.folder / "libpreloaded.so"
        shutil.copyfile(runtime.library_path(), copy)
        served = self.serve_in_c("-", preload=f"{runtime.library_path()} {copy}")
        self.assertEqual(served.status, 0, served.error)
        self.assertIn("BladeEngineOp is registered already", served.error)
        self.assertIn("this one stays unused", served.error)


if __name__ == "__main__":
    absltest.main()
