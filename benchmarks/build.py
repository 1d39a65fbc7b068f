"""What optimizing and loading cost: `python -m benchmarks.build [MODEL ...]`, full-size models of the zoo.

For each model: seconds to optimize, of these in the C++ compiler, the engines' bytes, and seconds until a loaded model
has answered its first request, original against optimized, each in a process of its own. `--layers` builds one encoder
with 12 and with 24 layers instead: kernels that are the same are generated and compiled once, so the second should cost
little more. Without verification and the warmup file, for which the model is loaded and run. Needs an otherwise idle
machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
MODELS = ("encoder_base", "resnet50", "ranking", "mobilenet_v3")
LIMITS = {"encoder_base": 60.0, "resnet50": 90.0}
MAX_LAYERS_RATIO = 1.3
MAX_LOAD_RATIO = 1.5
_RUNS = 3


def optimize(source: Path, target: Path) -> dict[str, float]:
    """Optimizes in this process: seconds, of these in the compiler, and bytes of the engines."""
    import tf_blade
    from tf_blade.backends.disc import toolchain

    compiling = 0.0
    images = 0
    build = toolchain.build

    def timed(*arguments: Any) -> bytes:
        nonlocal compiling, images
        begin = time.perf_counter()
        image = build(*arguments)
        compiling += time.perf_counter() - begin
        images += len(image)
        return image

    begin = time.perf_counter()
    with mock.patch.object(toolchain, "build", timed):
        tf_blade.optimize_saved_model(source, target, verify=False, warmup=False)
    return {"seconds": time.perf_counter() - begin, "compiler": compiling, "bytes": float(images)}


def first_answer(folder: Path, model: str) -> dict[str, float]:
    """Loads in this process and answers one request: seconds for each."""
    import tensorflow as tf

    from tests import zoo
    from tf_blade import runtime

    runtime.load()
    case = zoo.get(model, full=True)
    signature, feeds = next(iter(case.example(case.grid()[0]).items()))
    begin = time.perf_counter()
    function = tf.saved_model.load(str(folder)).signatures[signature]
    loaded = time.perf_counter()
    function(**{name: tf.constant(value) for name, value in feeds.items()})
    return {"load": loaded - begin, "first": time.perf_counter() - loaded}


def encoder(layers: int, folder: Path) -> None:
    """Saves an encoder of BERT-base's width."""
    from tests.zoo import encoder as models

    models.module_encoder(dataclasses.replace(models.BASE, layers=layers), seed=3)(folder)


def in_process(*arguments: str) -> dict[str, float]:
    """One of the steps above in a fresh process.

    Raises:
        subprocess.CalledProcessError: it failed; its output says why.
    """
    command = [sys.executable, "-m", "benchmarks.build", "--step", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def step(arguments: list[str]) -> dict[str, float]:
    """What `in_process` runs."""
    kind, *rest = arguments
    if kind == "optimize":
        return optimize(Path(rest[0]), Path(rest[1]))
    if kind == "first":
        return first_answer(Path(rest[0]), rest[1])
    encoder(int(rest[0]), Path(rest[1]))
    return {}


def measure(model: str, scratch: Path) -> bool:
    """Prints a model's figures; whether they are within the limits."""
    from tests import zoo

    source, target = zoo.saved(model, full=True), scratch / model
    built = in_process("optimize", str(source), str(target))
    runs = [[in_process("first", str(folder), model) for _ in range(_RUNS)] for folder in (source, target)]
    loads = [min(run["load"] for run in found) for found in runs]
    firsts = [min(run["first"] for run in found) for found in runs]
    sys.stdout.write(
        f"{model:16} optimize {built['seconds']:6.1f} s, compiler {built['compiler']:6.1f} s, engines"
        f" {built['bytes'] / 1e6:5.2f} MB; load {loads[0]:5.2f} -> {loads[1]:5.2f} s, first call"
        f" {firsts[0]:5.2f} -> {firsts[1]:5.2f} s\n"
    )
    return built["seconds"] <= LIMITS.get(model, 1e9) and loads[1] <= MAX_LOAD_RATIO * loads[0]


def measure_layers(scratch: Path) -> bool:
    """Prints what 12 and 24 layers cost; whether the ratio is within its limit."""
    seconds = []
    for layers in (12, 24):
        source, target = scratch / f"source{layers}", scratch / f"target{layers}"
        in_process("encoder", str(layers), str(source))
        built = in_process("optimize", str(source), str(target))
        seconds.append(built)
        sys.stdout.write(
            f"{layers} layers: optimize {built['seconds']:6.1f} s, compiler {built['compiler']:6.1f} s, engines"
            f" {built['bytes'] / 1e6:5.2f} MB\n"
        )
    ratio = seconds[1]["compiler"] / seconds[0]["compiler"]
    whole = seconds[1]["seconds"] / seconds[0]["seconds"]
    sys.stdout.write(f"24 over 12 layers: compiler × {ratio:.2f}, all × {whole:.2f} (at most {MAX_LAYERS_RATIO})\n")
    return whole <= MAX_LAYERS_RATIO


def main(argv: list[str] | None = None) -> int:
    """The command; 1 when a limit is passed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--layers", action="store_true", help="12 against 24 layers instead")
    parser.add_argument("--step", nargs="+", help="one step in this process; prints JSON")
    options = parser.parse_args(argv)
    if options.step is not None:
        sys.stdout.write("\n" + json.dumps(step(options.step)) + "\n")
        return 0
    with tempfile.TemporaryDirectory(prefix="tf_blade_build_") as folder:
        if options.layers:
            return 0 if measure_layers(Path(folder)) else 1
        within = [measure(model, Path(folder)) for model in options.models]
        return 0 if all(within) else 1


if __name__ == "__main__":
    sys.exit(main())
