"""Runs a builder in a process of its own, so that one that crashes, hangs or eats memory costs its cluster only."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tf_blade.backends.tensorrt.builder import PlanOptions
from tf_blade.errors import Unsupported
from tf_blade.graph.graph import Graph
from tf_blade.graph.printer import print_graph

# What builds; the folder of the job follows.
COMMAND: tuple[str, ...] = (sys.executable, "-m", "tf_blade.backends.tensorrt.child")
_ROOT = Path(__file__).resolve().parents[3]
# Of what a builder that failed without a reason has written, so much is told.
_TOLD = 300
_NO_MEMORY = ("bad_alloc", "memory", "cannot allocate")


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a builder may take.

    Attributes:
        seconds: of time.
        memory_mb: of address space, in MiB; 0: no limit.
    """

    seconds: float
    memory_mb: int = 0


@dataclasses.dataclass(frozen=True)
class Job:
    """What to build.

    Attributes:
        weights: the inputs of the graph that are weights, beside variables' handles.
        ranges: of symbols, as least, typical and largest value.
        observed: the symbols' values in the sample inputs.
        batch_sizes: those that a server batches to.
        padded: those that a server pads batches to.
    """

    graph: Graph
    weights: frozenset[str]
    options: PlanOptions
    ranges: Mapping[str, tuple[int, int, int]] = dataclasses.field(default_factory=dict)
    observed: Sequence[Mapping[str, int]] = ()
    batch_sizes: Sequence[int] = ()
    padded: Sequence[int] = ()


def build(job: Job, limits: Limits) -> tuple[bytes, Any]:
    """The plan, and its description.

    Raises:
        Unsupported: there is none; says why.
    """
    with tempfile.TemporaryDirectory(prefix="tf_blade_tensorrt_") as name:
        folder = Path(name)
        (folder / "graph.txt").write_text(print_graph(job.graph, full=True), encoding="utf-8")
        (folder / "job.json").write_text(json.dumps(_described(job, limits)), encoding="utf-8")
        _run([*COMMAND, str(folder)], folder, limits)
        plan = (folder / "plan").read_bytes()
        return plan, json.loads((folder / "tensorrt.json").read_text(encoding="utf-8"))


def _described(job: Job, limits: Limits) -> dict[str, Any]:
    return {
        "weights": sorted(job.weights),
        "options": dataclasses.asdict(job.options),
        "ranges": {name: list(item) for name, item in job.ranges.items()},
        "observed": [dict(item) for item in job.observed],
        "batch_sizes": list(job.batch_sizes),
        "padded": list(job.padded),
        "memory_mb": limits.memory_mb,
    }


def _run(command: Sequence[str], folder: Path, limits: Limits) -> None:
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_ROOT), environment.get("PYTHONPATH"))))
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        try:
            code = process.wait(limits.seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Unsupported(f"the builder took longer than {limits.seconds:g} s") from None
        except BaseException:
            process.kill()
            process.wait()
            raise
    if code:
        raise Unsupported(_why(folder, code, limits))


def _why(folder: Path, code: int, limits: Limits) -> str:
    refusal, output = folder / "refusal.txt", folder / "output.txt"
    reason = refusal.read_text(encoding="utf-8") if refusal.exists() else ""
    said = reason or " ".join(output.read_text(encoding="utf-8", errors="replace").split())[-_TOLD:]
    # Where some of TensorRT's threads get no memory they abort; others say so in words of their own.
    if limits.memory_mb and any(sign in said.lower() for sign in _NO_MEMORY):
        return f"the builder ran out of memory (limit {limits.memory_mb} MiB): {said}"
    if reason:
        return reason
    colon = ": " if said else ""
    if code < 0:
        return f"the builder was killed by {signal.Signals(-code).name}{colon}{said}"
    return f"the builder failed with exit status {code}{colon}{said}"
