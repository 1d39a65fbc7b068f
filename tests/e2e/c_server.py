"""Drives capi_serve, a server in C, with the requests of a small encoder and compares what it answers."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tests import zoo
from tests.e2e import kit
from tests.native import capi

MODEL = "encoder_module"
OUTPUT = "probabilities"

Request = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Served:
    """What the program did.

    Attributes:
        status: its exit status; `error` is what it wrote to standard error.
        answers: the elements of each answer.
        stats: the runtime's statistics; empty where there is no op library.
    """

    status: int
    error: str
    answers: list[np.ndarray]
    stats: dict[str, Any]


def build(folder: Path) -> Path:
    """Compiles the program, which loads the op library or has it preloaded."""
    return capi.build_program(folder, Path(__file__).with_name("capi_serve.c"))


def requests() -> list[Request]:
    """Requests of different sizes."""
    model = zoo.get(MODEL)
    return [model.example(sizes, seed=seed)["serving_default"] for seed, sizes in enumerate(model.grid())]


def expected(calls: Sequence[Request]) -> list[np.ndarray]:
    """TensorFlow's answers, from the original model."""
    function = tf.saved_model.load(str(zoo.saved(MODEL))).signatures["serving_default"]
    return [function(**{name: tf.constant(value) for name, value in call.items()})[OUTPUT].numpy() for call in calls]


def largest_error(wanted: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> float:
    """Over all answers; infinite where there are not as many."""
    if len(wanted) != len(found):
        return float("inf")
    pairs = zip(wanted, found, strict=True)
    return max(kit.largest_error({OUTPUT: one}, {OUTPUT: other.reshape(one.shape)}) for one, other in pairs)


def _text(call: Request, names: Sequence[str]) -> str:
    """A request as the program reads it."""
    sizes = call[names[0]].shape
    return " ".join(str(number) for number in (*sizes, *(item for name in names for item in call[name].reshape(-1))))


def _answers(lines: Sequence[str]) -> list[np.ndarray]:
    answers, place = [], 0
    while place < len(lines):
        count = int(lines[place])
        answers.append(np.array([float(line) for line in lines[place + 1 : place + 1 + count]], np.float32))
        place += 1 + count
    return answers


def serve(
    program: Path,
    model: Path,
    calls: Sequence[Request],
    *,
    library: str = "-",
    preload: str = "",
    extension: Path | None = None,
) -> Served:
    """Sends the requests to one process, which loads `library` ("-": none) or starts with `preload` in it.

    `extension` is a file with a graph definition for capi_serve.
    """
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signature = tf.compat.v1.saved_model.load(session, ["serve"], str(model)).signature_def["serving_default"]
    names = sorted(signature.inputs)
    tensors = [signature.outputs[OUTPUT].name, *(signature.inputs[name].name for name in names)]
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "1"}
    if preload:
        env |= {"LD_PRELOAD": preload, "LD_LIBRARY_PATH": tf.sysconfig.get_lib()}
    done = subprocess.run(
        [program, library, model, *tensors, *([] if extension is None else [f"+{extension}"])],
        input="\n".join(_text(call, names) for call in calls),
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )
    if done.returncode != 0:
        return Served(done.returncode, done.stderr, [], {})
    *lines, stats = done.stdout.strip().split("\n")
    return Served(0, done.stderr, _answers(lines), json.loads(stats))
