"""Requests a second by concurrency: TensorFlow and the optimized model side by side, called from C threads.

    python -m benchmarks.serving.throughput [--model ranking] [--batch 8] [--seconds 1.5] [--rounds 3]

Sessions have two intra-op threads. It exits with 1 if TensorFlow is faster at some concurrency, or if 8 threads serve
less than 1.5 times what one does.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import tf_blade
from tests import zoo
from tests.native import capi
from tf_blade import runtime

CONCURRENCY = (1, 2, 4, 8, 16)
_HERE = Path(__file__).resolve().parent


def _arguments(model: Path, feeds: dict[str, Any], folder: Path) -> list[str]:
    """The output's name, and each input's name, type, dimensions and file."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(model))
        signature = loaded.signature_def["serving_default"]
    arguments = [next(iter(signature.outputs.values())).name]
    for name, value in feeds.items():
        array = np.asarray(value)
        info = signature.inputs[name]
        (folder / name).write_bytes(array.astype(tf.dtypes.as_dtype(info.dtype).as_numpy_dtype).tobytes())
        arguments += [info.name, str(info.dtype), *map(str, array.shape), str(folder / name)]
    return arguments


def measure(name: str, sizes: dict[str, int], seconds: float, rounds: int) -> dict[int, tuple[float, float]]:
    """By concurrency: requests a second of TensorFlow and of tf_blade, medians of rounds that alternate."""
    source = zoo.saved(name, full=True)
    (feeds,) = zoo.get(name, full=True).example(sizes).values()
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=2)
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        target = folder / "optimized"
        tf_blade.optimize_saved_model(source, target, verify=False, warmup=False)
        program = capi.build_program(folder, _HERE / "throughput.c")
        (folder / "config").write_bytes(config.SerializeToString())
        arguments = _arguments(source, dict(feeds), folder)
        found: dict[int, tuple[float, float]] = {}
        for threads in CONCURRENCY:
            rates: tuple[list[float], list[float]] = ([], [])
            for _ in range(rounds):
                for model, rate in zip((source, target), rates, strict=True):
                    command = [program, runtime.library_path(), model, folder / "config", seconds, threads]
                    line = [*map(str, command), *arguments]
                    result = subprocess.run(line, check=True, capture_output=True, text=True)
                    rate.append(float(result.stdout))
            found[threads] = (statistics.median(rates[0]), statistics.median(rates[1]))
    return found


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--model", default="ranking")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    sizes = {"batch": options.batch, "length": options.length}
    found = measure(options.model, sizes, options.seconds, options.rounds)
    print("| threads | TensorFlow | tf_blade | |\n|---|---|---|---|")
    for threads, (original, ours) in found.items():
        print(f"| {threads} | {original:.0f} | {ours:.0f} | {ours / original:.2f} |")
    scaling = found[8][1] / found[1][1]
    print(f"8 threads against 1: {scaling:.2f}")
    return 0 if all(ours >= original for original, ours in found.values()) and scaling >= 1.5 else 1


if __name__ == "__main__":
    sys.exit(main())
