"""TensorRT plans of the zoo's models: `python -m benchmarks.tensorrt.plans [NAMES] [--full] [--write FILE]`.

For each model and precision: how many engines, how much of the model's work is in them, how long the builder took, and
how large plans are: as they are stored, with the weights outside, and as they would be with the weights' values inside.
It needs no GPU where TensorRT-RTX is installed. Nothing runs the plans.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests import zoo
from tf_blade import pipeline
from tf_blade.backends import registry
from tf_blade.backends.tensorrt import library
from tf_blade.backends.tensorrt.backend import TensorrtBackend
from tf_blade.backends.tensorrt.builder import PlanOptions, make_plan
from tf_blade.backends.tensorrt.convert import Converter, type_of
from tf_blade.backends.tensorrt.precision import PRECISIONS
from tf_blade.backends.tensorrt.profiles import derive
from tf_blade.backends.tensorrt.weights import PLAN, WeightStore
from tf_blade.errors import BuildFailure
from tf_blade.saved_model.model import read_saved_model
from tf_blade.settings import Settings
from tf_blade.stages import BuiltEngine, ClusterGraph

MODELS = ("encoder_module", "resnet50", "mobilenet_v3", "unet", "vit", "ranking", "detector")
# Models whose full size has another name.
FULL_NAMES = {"encoder_module": "encoder_base"}
TARGET = "8.9"


@dataclasses.dataclass(frozen=True)
class Row:
    """A model in one precision.

    Attributes:
        coverage: the part of the estimated FLOPs that is in engines.
        seconds: of the builds.
        plan_bytes: of the plans as they are stored.
        whole_bytes: of plans with the weights inside; 0 where they were not built.
        failures: why clusters got none.
    """

    model: str
    precision: str
    engines: int
    coverage: float
    seconds: float
    plan_bytes: int
    whole_bytes: int
    failures: tuple[str, ...] = ()


class _Recorder(TensorrtBackend):
    """Keeps the clusters that it builds plans of."""

    def __init__(self, clusters: list[ClusterGraph]) -> None:
        super().__init__()
        self._clusters = clusters

    def build(self, cluster: ClusterGraph, settings: Settings) -> BuiltEngine:
        self._clusters.append(cluster)
        return super().build(cluster, settings)


def measure(
    name: str, precisions: Sequence[str], *, full: bool = False, whole: bool = True, **settings: Any
) -> list[Row]:
    """The rows of a model. Clusters are the same in each precision: they are found once."""
    clusters: list[ClusterGraph] = []
    registry.register("tensorrt", lambda: _Recorder(clusters))
    try:
        chosen = Settings(
            backends=("tensorrt",), tensorrt_precision=precisions[0], tensorrt_targets=(TARGET,), **settings
        )
        model = read_saved_model(Path(zoo.saved(name, full=full)))
        _, report = pipeline.optimize_in_memory(model, chosen)
    finally:
        registry.unregister("tensorrt")
    totals = report.totals
    first = Row(
        model=name,
        precision=precisions[0],
        engines=totals.engines,
        coverage=totals.nominal_flops_in_engines / max(totals.nominal_flops, 1),
        seconds=0.0,
        plan_bytes=0,
        whole_bytes=0,
        failures=tuple(item.reason for item in report.build_failures),
    )
    built = [(item.seconds, dict(item.details)) for item in report.clusters if item.backend]
    rows = [_with_plans(first, built, clusters, whole)]
    for precision in precisions[1:]:
        row = dataclasses.replace(first, precision=precision)
        again, failures = _built(clusters, dataclasses.replace(chosen, tensorrt_precision=precision))
        row = dataclasses.replace(row, engines=len(again), coverage=row.coverage * (not failures), failures=failures)
        rows.append(_with_plans(row, again, clusters, whole))
    return rows


def _built(clusters: Sequence[ClusterGraph], settings: Settings) -> tuple[list[tuple[float, Any]], tuple[str, ...]]:
    """Seconds and details of the clusters' plans, and why some have none."""
    built, failures = [], []
    for cluster in clusters:
        try:
            engine = TensorrtBackend().build(cluster, settings)
        except BuildFailure as error:
            failures.append(error.reason)
        else:
            built.append((engine.seconds, dict(engine.details)))
    return built, tuple(failures)


def _with_plans(row: Row, built: Sequence[tuple[float, Any]], clusters: Sequence[ClusterGraph], whole: bool) -> Row:
    return dataclasses.replace(
        row,
        seconds=sum(seconds for seconds, _ in built),
        plan_bytes=sum(int(details["plan"].partition(" ")[0]) for _, details in built),
        whole_bytes=sum(_whole(cluster, row.precision) for cluster in clusters) if whole else 0,
    )


def _whole(cluster: ClusterGraph, precision: str) -> int:
    """The size of a cluster's plan with values of its weights' shapes inside."""
    rng = np.random.default_rng(0)
    contents = {}
    for index, node in enumerate(cluster.graph.inputs):
        if node.outputs[0].handle is not None or node.name in cluster.weights:
            dtype, shape = type_of(node.outputs[0])
            contents[index] = rng.standard_normal([int(dim) for dim in shape], np.float32).astype(dtype.numpy)
    converter = Converter(library.load())
    store = WeightStore(PLAN, contents)
    converted = converter.convert(cluster.graph, cluster.weights, precision=PRECISIONS[precision], store=store)
    options = PlanOptions(precision, (int(TARGET.replace(".", "")),), weights_as=PLAN)
    return len(make_plan(converter, converted, derive(converted.inputs, dims=converted.network.dims), options))


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| model | precision | engines | FLOPs in engines | build, s | plan, MB | with weights inside, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        size, whole = (f"{number / 1e6:.1f}" for number in (row.plan_bytes, row.whole_bytes))
        cells = (row.model, row.precision, row.engines, f"{row.coverage:.1%}", f"{row.seconds:.1f}", size, whole)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, ""])


def _write(path: Path, rows: Sequence[Row]) -> None:
    """All rows so far: builds take long."""
    found = library.load()
    content = {"library": f"{found.flavor} {found.version}", "rows": [dataclasses.asdict(row) for row in rows]}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "fp16"], choices=sorted(PRECISIONS))
    parser.add_argument("--full", action="store_true", help="models of the size that people serve")
    parser.add_argument("--write", metavar="FILE", help="write the rows as JSON too")
    arguments = parser.parse_args()
    rows = []
    begin = time.perf_counter()
    for name in arguments.models:
        model = FULL_NAMES.get(name, name) if arguments.full else name
        for row in measure(model, arguments.precisions, full=arguments.full):
            rows.append(row)
            print(row, file=sys.stderr, flush=True)
        if arguments.write:
            _write(Path(arguments.write), rows)
    print(table(rows))
    print(f"{time.perf_counter() - begin:.0f} s in all", file=sys.stderr)
    return int(any(row.failures for row in rows))


if __name__ == "__main__":
    sys.exit(main())
