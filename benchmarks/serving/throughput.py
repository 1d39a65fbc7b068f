"""Requests a second by concurrency: TensorFlow and the optimized model side by side, called from C threads.

    python -m benchmarks.serving.throughput [--model ranking] [--batch 8] [--seconds 1] [--rounds 5]

Sessions have two intra-op threads. It exits with 1 if TensorFlow is faster at some concurrency, or if 8 threads serve
less than 1.5 times what one does.
"""

from __future__ import annotations

import argparse
import dataclasses
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


@dataclasses.dataclass(frozen=True)
class Rate:
    """What a model served: requests a second, and the processors' microseconds that each took."""

    requests: float
    processor_us: float


def measure(name: str, sizes: dict[str, int], seconds: float, rounds: int) -> dict[int, tuple[Rate, Rate]]:
    """By concurrency: TensorFlow's and tf_blade's, medians of rounds that alternate."""
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
        rates: tuple[list[Any], list[Any]] = ([], [])
        concurrency = ",".join(map(str, CONCURRENCY))
        for _ in range(rounds):
            for model, rate in zip((source, target), rates, strict=True):
                command = [program, runtime.library_path(), model, folder / "config", seconds, concurrency]
                line = [*map(str, command), *arguments]
                result = subprocess.run(line, check=True, capture_output=True, text=True)
                rate.append([[float(number) for number in line.split()] for line in result.stdout.splitlines()])
    original, ours = (np.median(rate, axis=0) for rate in rates)
    return {threads: (Rate(*original[i]), Rate(*ours[i])) for i, threads in enumerate(CONCURRENCY)}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--model", default="ranking")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    sizes = {"batch": options.batch, "length": options.length}
    found = measure(options.model, sizes, options.seconds, options.rounds)
    print("| threads | TensorFlow | tf_blade | | µs of processors, TensorFlow | tf_blade |\n|---|---|---|---|---|---|")
    for threads, (original, ours) in found.items():
        rates = f"{original.requests:.0f} | {ours.requests:.0f} | {ours.requests / original.requests:.2f}"
        print(f"| {threads} | {rates} | {original.processor_us:.0f} | {ours.processor_us:.0f} |")
    scaling = found[8][1].requests / found[1][1].requests
    print(f"8 threads against 1: {scaling:.2f}")
    faster = all(ours.requests >= original.requests for original, ours in found.values())
    return 0 if faster and scaling >= 1.5 else 1


if __name__ == "__main__":
    sys.exit(main())
