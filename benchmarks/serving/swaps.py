"""New weights under load: threads call an optimized model while its weights are assigned, again and again.

    python -m benchmarks.serving.swaps [--swaps 1000] [--threads 8]

The model's weights are one variable, so an assignment changes them all at once, and each response must be that of one
version. (Of several variables a caller may see some new and some old: assignments are one after the other.)
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import tf_blade

_WIDTH, _CLASSES = 48, 8


class Packed(tf.Module):
    """Two dense layers whose weights lie in one variable: `weights` is [_WIDTH * _WIDTH + _WIDTH * _CLASSES]."""

    def __init__(self, version: int = 0) -> None:
        super().__init__()
        self.weights = tf.Variable(weights_of(version))

    @tf.function(input_signature=[tf.TensorSpec([None, _WIDTH], tf.float32, "x")])
    def serve(self, x: Any) -> dict[str, Any]:
        """Class scores."""
        hidden, scores = tf.split(self.weights, [_WIDTH * _WIDTH, _WIDTH * _CLASSES])
        x = tf.nn.relu(tf.matmul(x, tf.reshape(hidden, [_WIDTH, _WIDTH])))
        return {"y": tf.matmul(x, tf.reshape(scores, [_WIDTH, _CLASSES]))}


def weights_of(version: int) -> np.ndarray:
    """Weights of a version; no two give a response that could be taken for the other's."""
    values = np.random.default_rng(version).standard_normal(_WIDTH * _WIDTH + _WIDTH * _CLASSES)
    return values.astype(np.float32) / 8


def response_of(version: int, x: np.ndarray) -> np.ndarray:
    """What a version responds, by NumPy."""
    weights = weights_of(version).astype(np.float64)
    hidden, scores = weights[: _WIDTH * _WIDTH], weights[_WIDTH * _WIDTH :]
    return np.maximum(x @ hidden.reshape(_WIDTH, _WIDTH), 0) @ scores.reshape(_WIDTH, _CLASSES)


@dataclasses.dataclass
class Outcome:
    """What became of the responses.

    Attributes:
        whole: that match one version of the weights.
        torn: that match none.
        versions: how many versions were seen in responses.
        fallbacks: calls that TensorFlow served, by reason.
        inits: times that the engines prepared weights.
    """

    responses: int
    whole: int
    torn: int
    versions: int
    fallbacks: dict[str, int]
    inits: int


def _model(folder: Path) -> Any:
    source, target = folder / "source", folder / "optimized"
    model = Packed()
    tf.saved_model.save(model, str(source), signatures={"serving_default": model.serve})
    tf_blade.optimize_saved_model(source, target, verify=False, warmup=False, min_cluster_gain_us=0)
    return tf.saved_model.load(str(target))


def run(swaps: int, threads: int) -> Outcome:
    """Swaps weights so often, each time after some responses, while `threads` call."""
    x = np.random.default_rng(7).standard_normal((4, _WIDTH)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        loaded = _model(Path(folder))
    serve = loaded.signatures["serving_default"]
    input_ = tf.constant(x)
    tf_blade.reset_runtime_stats()
    stop = threading.Event()
    responses: list[list[np.ndarray]] = [[] for _ in range(threads)]

    def call(mine: list[np.ndarray]) -> None:
        while not stop.is_set():
            mine.append(serve(x=input_)["y"].numpy())

    workers = [threading.Thread(target=call, args=(mine,)) for mine in responses]
    for worker in workers:
        worker.start()
    for version in range(1, swaps + 1):
        before = sum(map(len, responses))
        while sum(map(len, responses)) < before + threads // 2:
            stop.wait(0.0005)
        loaded.weights.assign(weights_of(version))
    stop.set()
    for worker in workers:
        worker.join()
    return _judge([item for mine in responses for item in mine], [response_of(v, x) for v in range(swaps + 1)])


def _judge(responses: list[np.ndarray], expected: list[np.ndarray]) -> Outcome:
    table = np.stack(expected)
    scale = float(np.max(np.abs(table)))
    seen: set[int] = set()
    torn = 0
    for response in responses:
        errors = np.max(np.abs(table - response), axis=(1, 2)) / scale
        nearest = int(np.argmin(errors))
        if errors[nearest] < 1e-4:
            seen.add(nearest)
        else:
            torn += 1
    clusters = tf_blade.runtime_stats()["clusters"]
    fallbacks: dict[str, int] = {}
    for item in clusters:
        for reason, number in item["fallbacks"].items():
            fallbacks[reason] = fallbacks.get(reason, 0) + number
    inits = sum(engine["inits"] for item in clusters for engine in item["engines"])
    return Outcome(len(responses), len(responses) - torn, torn, len(seen), fallbacks, inits)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--swaps", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=8)
    options = parser.parse_args()
    outcome = run(options.swaps, options.threads)
    sys.stdout.write(json.dumps(dataclasses.asdict(outcome)) + "\n")
    return 1 if outcome.torn else 0


if __name__ == "__main__":
    sys.exit(main())
