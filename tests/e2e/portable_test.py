"""A portable encoder in processes that have the op library, and in others that have never heard of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest

import tf_blade
from tests import zoo
from tests.e2e import kit
from tests.native import capi
from tf_blade import runtime

v1 = tf.compat.v1
_MODEL = "encoder_module"
_OUTPUT = "probabilities"
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
np.savez(results, **found)
"""


class PortableModelTest(absltest.TestCase):
    folder: Path
    model: Path
    requests: list[dict[str, np.ndarray]]
    expected: list[np.ndarray]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.folder = Path(kit.scratch().name)
        cls.model = cls.folder / "portable"
        isas = kit.host_isas()
        tf_blade.optimize_saved_model(zoo.saved(_MODEL), cls.model, portable=True, isas=isas, warmup=False)
        example = zoo.get(_MODEL)
        sizes = example.grid()
        cls.requests = [dict(example.example(s, seed=i)["serving_default"]) for i, s in enumerate(sizes)]
        function = tf.saved_model.load(str(zoo.saved(_MODEL))).signatures["serving_default"]
        cls.expected = [
            function(**{name: tf.constant(value) for name, value in request.items()})[_OUTPUT].numpy()
            for request in cls.requests
        ]

    def check(self, answers: list[np.ndarray]) -> None:
        self.assertLen(answers, len(self.expected))
        for expected, found in zip(self.expected, answers, strict=True):
            error = kit.largest_error({_OUTPUT: expected}, {_OUTPUT: np.asarray(found).reshape(expected.shape)})
            self.assertLessEqual(error, kit.TOLERANCE)

    def test_python_without_the_library(self) -> None:
        requests, results = self.folder / "requests.npz", self.folder / "results.npz"
        arrays: dict[str, Any] = {
            f"{i}/{name}": value for i, request in enumerate(self.requests) for name, value in request.items()
        }
        np.savez(requests, **arrays)
        command = [sys.executable, "-c", _STOCK, *map(str, (self.model, requests, results))]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = np.load(results)
        for loader in ("loaded", "session"):
            self.check([found[f"{index}/{loader}"] for index in range(len(self.requests))])

    def test_python_with_the_library(self) -> None:
        function = tf.saved_model.load(str(self.model)).signatures["serving_default"]
        runtime.reset_runtime_stats()
        calls = [{name: tf.constant(value) for name, value in request.items()} for request in self.requests]
        self.check([function(**call)[_OUTPUT].numpy() for call in calls])
        served, fallbacks = kit.engine_counters()
        self.assertEqual((list(served.values()), fallbacks), ([len(calls)], {}))
        with tf.Graph().as_default(), v1.Session() as session:
            signature = v1.saved_model.load(session, ["serve"], str(self.model)).signature_def["serving_default"]
            feeds = [{signature.inputs[n].name: value for n, value in request.items()} for request in self.requests]
            self.check([session.run(signature.outputs[_OUTPUT].name, feed) for feed in feeds])
        served, fallbacks = kit.engine_counters()
        self.assertEqual((list(served.values()), fallbacks), ([2 * len(calls)], {}))

    def serve_in_c(self, library: str, preload: str = "") -> tuple[int, str, list[str]]:
        """Status, standard error and lines of the C server."""
        with tf.Graph().as_default(), v1.Session() as session:
            signature = v1.saved_model.load(session, ["serve"], str(self.model)).signature_def["serving_default"]
        names = sorted(signature.inputs)
        tensors = [signature.outputs[_OUTPUT].name, *(signature.inputs[name].name for name in names)]
        text = "\n".join(
            " ".join(map(str, (*request[names[0]].shape, *(n for name in names for n in request[name].reshape(-1)))))
            for request in self.requests
        )
        program = self.folder / "capi_serve"
        if not program.exists():
            capi.build_program(self.folder, Path(__file__).with_name("capi_serve.c"))
        env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
        if preload:
            env |= {"LD_PRELOAD": preload, "LD_LIBRARY_PATH": tf.sysconfig.get_lib()}
        command = [program, library, self.model, *tensors]
        done = subprocess.run(command, input=text, capture_output=True, text=True, env=env, check=False)
        return done.returncode, done.stderr, done.stdout.strip().split("\n")

    def check_c(self, library: str, preload: str = "") -> Any:
        """Compares what the C server answers; gives its statistics."""
        status, error, lines = self.serve_in_c(library, preload)
        self.assertEqual(status, 0, error)
        answers, place = [], 0
        while place < len(lines) - 1:
            count = int(lines[place])
            answers.append(np.array([float(line) for line in lines[place + 1 : place + 1 + count]], np.float32))
            place += 1 + count
        self.check(answers)
        return json.loads(lines[-1])

    def test_c_without_the_library(self) -> None:
        self.assertEqual(self.check_c("-"), {})

    def test_c_with_the_library_loaded(self) -> None:
        (cluster,) = self.check_c(runtime.library_path())["clusters"]
        self.assertEqual((cluster["engine_runs"], cluster["fallbacks"]), (len(self.requests), {}))

    def test_c_with_the_library_preloaded(self) -> None:
        (cluster,) = self.check_c("-", preload=runtime.library_path())["clusters"]
        self.assertEqual((cluster["engine_runs"], cluster["fallbacks"]), (len(self.requests), {}))

    def test_c_with_a_second_copy_is_refused(self) -> None:
        copy = self.folder / "libanother_name.so"
        shutil.copyfile(runtime.library_path(), copy)
        status, error, _ = self.serve_in_c(str(copy), preload=runtime.library_path())
        self.assertEqual(status, 1)
        self.assertIn("BladeEngineOp is registered already: it is linked into this program, or another copy", error)


if __name__ == "__main__":
    absltest.main()
