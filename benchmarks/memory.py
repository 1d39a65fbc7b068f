"""Size on disk and peak memory of a served model: the original against the optimized one, each in a process of its own.

`python -m benchmarks.memory` measures an encoder of BERT-base's size and 100 requests of 1×128 tokens; --model and
--sizes choose others of the zoo's full-size models.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_SIZE_RATIO = 1.05
MAX_MEMORY_RATIO = 1.6


def folder_bytes(folder: Path) -> int:
    """The sum of the sizes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def peak_bytes() -> int:
    """The most memory that this process has held at any time."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmHWM")


def serve(folder: Path, model: str, sizes: Mapping[str, int], requests: int) -> dict[str, int]:
    """Loads a SavedModel into this process, runs requests, and tells the peak and what engines did."""
    import tensorflow as tf

    from tests import zoo
    from tf_blade import runtime

    runtime.load()
    feeds = zoo.get(model, full=True).example(sizes)["serving_default"]
    imported = peak_bytes()
    function = tf.saved_model.load(str(folder)).signatures["serving_default"]
    inputs = {name: tf.constant(value) for name, value in feeds.items()}
    for _ in range(requests):
        function(**inputs)
    clusters = runtime.runtime_stats()["clusters"]
    return {
        "imported": imported,
        "peak": peak_bytes(),
        "engine_runs": sum(item["engine_runs"] for item in clusters),
        "fallbacks": sum(sum(item["fallbacks"].values()) for item in clusters),
    }


def measure(folder: Path, model: str, sizes: Mapping[str, int], requests: int) -> dict[str, int]:
    """The same in a fresh process.

    Raises:
        subprocess.CalledProcessError: the process failed; its output says why.
    """
    command = [sys.executable, "-m", "benchmarks.memory", "--serve", str(folder), "--model", model]
    command += ["--requests", str(requests), "--sizes", ",".join(f"{key}={value}" for key, value in sizes.items())]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return result


def optimize(model: str, target: Path) -> Path:
    """Builds a full-size zoo model, if it is not in the cache, and optimizes it; in a process of its own."""
    script = (
        "import sys, tf_blade; from tests import zoo; source = zoo.saved(sys.argv[1], full=True);"
        "tf_blade.optimize_saved_model(source, sys.argv[2], verify=False); sys.stdout.write(f'\\n{source}')"
    )
    command = [sys.executable, "-c", script, model, str(target)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.splitlines()[-1])


def report(source: Path, target: Path, before: Mapping[str, int], after: Mapping[str, int]) -> bool:
    """Prints both models' figures; whether they are within the limits."""
    sizes = folder_bytes(source), folder_bytes(target)
    peaks = before["peak"], after["peak"]
    ok = True
    for title, (mine, theirs), limit in (("on disk", sizes, MAX_SIZE_RATIO), ("peak memory", peaks, MAX_MEMORY_RATIO)):
        ratio = theirs / mine
        ok &= ratio <= limit
        sys.stdout.write(
            f"{title:12} {mine / 1e6:9.1f} MB  ->  {theirs / 1e6:9.1f} MB   × {ratio:.3f} (at most {limit})\n"
        )
    served, fallbacks = after["engine_runs"], after["fallbacks"]
    sys.stdout.write(f"of the peaks, {before['imported'] / 1e6:.1f} MB are TensorFlow before a model is loaded\n")
    sys.stdout.write(f"engines served {served} calls, TensorFlow {fallbacks}\n")
    return ok and served > 0 and fallbacks == 0


def main(argv: list[str] | None = None) -> int:
    """The command; 1 when a limit is passed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="encoder_base", help="a full-size zoo model")
    parser.add_argument("--sizes", default="batch=1,length=128", help="of the unknown dimensions")
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--serve", type=Path, help="only load this folder, run the requests, and print JSON")
    options = parser.parse_args(argv)
    sizes = {key: int(value) for key, value in (item.split("=") for item in options.sizes.split(","))}
    if options.serve is not None:
        sys.stdout.write(json.dumps(serve(options.serve, options.model, sizes, options.requests)) + "\n")
        return 0
    with tempfile.TemporaryDirectory(prefix="tf_blade_memory_") as scratch:
        target = Path(scratch) / "optimized"
        source = optimize(options.model, target)
        before, after = (measure(folder, options.model, sizes, options.requests) for folder in (source, target))
        return 0 if report(source, target, before, after) else 1


if __name__ == "__main__":
    sys.exit(main())
