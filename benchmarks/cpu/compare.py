"""TensorFlow against tf_blade on all full-size models of the zoo: `python -m benchmarks.cpu.compare [NAME ...]`.

Both models run in one process on the same inputs, calls interleaved, with two threads; the figures are medians. Needs
an otherwise idle machine. Writes `results/compare.md` and `results/compare.json` beside this file.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

THREADS = 2
SECONDS = 3.0
RESULTS = pathlib.Path(__file__).parent / "results"


@dataclasses.dataclass(frozen=True)
class Row:
    """One model and signature at one size; see tf_blade.bench.Timing."""

    model: str
    signature: str
    sizes: str
    original_ms: float
    optimized_ms: float
    calls: int

    @property
    def ratio(self) -> float:
        """How many times faster the optimized model is."""
        return self.original_ms / self.optimized_ms


def measure(name: str, seconds: float) -> list[Row]:
    """Optimizes a model of the zoo, and times it at the sizes it names for that, else at the first of its grid."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    import tf_blade
    from tests import zoo
    from tf_blade.bench import bench_saved_model

    model, source, rows = zoo.get(name, full=True), zoo.saved(name, full=True), []
    with tempfile.TemporaryDirectory(prefix="tf_blade_") as folder:
        target = pathlib.Path(folder) / "optimized"
        tf_blade.optimize_saved_model(source, target, verify=False)
        for sizes in model.bench or model.grid()[:2]:
            samples = {signature: [feeds] for signature, feeds in model.example(sizes).items()}
            found = bench_saved_model(
                source, target, signatures=list(samples), sample_inputs=samples, seconds=seconds
            ).timings
            text = " ".join(f"{key}={value}" for key, value in sizes.items())
            rows += [Row(name, t.signature, text, t.original_ms, t.optimized_ms, t.calls) for t in found]
    return rows


def to_markdown(rows: Sequence[Row]) -> str:
    """The table."""
    lines = [
        f"Median milliseconds a call, {THREADS} threads. Above 1, tf_blade is faster.",
        "",
        "| model | signature | sizes | TensorFlow ms | tf_blade ms | ratio |",
        "|---|---|---|---:|---:|---:|",
    ]
    for row in rows:
        figures = f"{row.original_ms:.3f} | {row.optimized_ms:.3f} | {row.ratio:.2f}"
        lines.append(f"| {row.model} | {row.signature} | {row.sizes} | {figures} |")
    return "\n".join(lines) + "\n"


def to_json(rows: Sequence[Row]) -> str:
    """The same and the number of calls, as JSON."""
    items: list[dict[str, Any]] = [{**dataclasses.asdict(row), "ratio": row.ratio} for row in rows]
    return json.dumps({"threads": THREADS, "rows": items}, indent=2) + "\n"


def main() -> None:
    """Measures the named models, each in a process of its own, and writes the results as they come."""
    from tests import zoo

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="models of the zoo; all full-size ones when not given")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each model and size")
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for name in options.names or list(zoo.FULL):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found = pool.apply(measure, (name, options.seconds))
        for row in found:
            print(f"{row.model:18} {row.sizes:30} {row.original_ms:10.3f} {row.optimized_ms:10.3f} {row.ratio:6.2f}")
        rows += found
        (options.output / "compare.md").write_text(to_markdown(rows), encoding="utf-8")
        (options.output / "compare.json").write_text(to_json(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
