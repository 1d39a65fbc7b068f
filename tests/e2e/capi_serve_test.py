"""An optimized encoder in a C program: what a server without Python answers is what TensorFlow answers in Python."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest

from tests import zoo
from tests.e2e import kit
from tests.native import capi
from tf_blade import runtime

_MODEL = "encoder_module"
_OUTPUT = "probabilities"


def _text(feeds: zoo.Feeds, names: Sequence[str]) -> str:
    """A request as the program reads it."""
    values = feeds["serving_default"]
    sizes = values[names[0]].shape
    return " ".join(str(number) for number in (*sizes, *(item for name in names for item in values[name].reshape(-1))))


def _answers(lines: Sequence[str]) -> list[np.ndarray]:
    answers, place = [], 0
    while place < len(lines):
        count = int(lines[place])
        answers.append(np.array([float(line) for line in lines[place + 1 : place + 1 + count]], np.float32))
        place += 1 + count
    return answers


class CServerTest(absltest.TestCase):
    def serve(self, folder: Path, requests: Sequence[zoo.Feeds]) -> tuple[list[np.ndarray], dict[str, Any]]:
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            signature = tf.compat.v1.saved_model.load(session, ["serve"], str(folder)).signature_def["serving_default"]
        names = sorted(signature.inputs)
        program = capi.build_program(Path(self.create_tempdir().full_path), Path(__file__).with_name("capi_serve.c"))
        tensors = [signature.outputs[_OUTPUT].name, *(signature.inputs[name].name for name in names)]
        done = subprocess.run(
            [program, runtime.library_path(), folder, *tensors],
            input="\n".join(_text(request, names) for request in requests),
            capture_output=True,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        *lines, stats = done.stdout.strip().split("\n")
        return _answers(lines), json.loads(stats)

    def test_encoder(self) -> None:
        model = zoo.get(_MODEL)
        requests = [model.example(sizes, seed=seed) for seed, sizes in enumerate(model.grid())]
        target, report = kit.optimized(_MODEL)
        answers, stats = self.serve(target, requests)
        self.assertLen(answers, len(requests))
        function = tf.saved_model.load(str(zoo.saved(_MODEL))).signatures["serving_default"]
        for request, answer in zip(requests, answers, strict=True):
            feeds = {name: tf.constant(value) for name, value in request["serving_default"].items()}
            expected = function(**feeds)[_OUTPUT].numpy()
            found = answer.reshape(expected.shape)
            self.assertLessEqual(kit.largest_error({_OUTPUT: expected}, {_OUTPUT: found}), kit.TOLERANCE)
        self.assertEqual([item["cluster"] for item in stats["clusters"]], [item.name for item in report.clusters])
        self.assertEqual([item["engine_runs"] for item in stats["clusters"]], [len(requests)])
        self.assertEqual([item["fallbacks"] for item in stats["clusters"]], [{}])


if __name__ == "__main__":
    absltest.main()
