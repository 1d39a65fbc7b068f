"""What the end-to-end tests share: the host's instruction set, models optimized once, comparisons and counters."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import tf_blade
from tests import zoo
from tests.isa import runnable_levels
from tf_blade.compare import relative_error
from tf_blade.report.report import Report

TOLERANCE = 1e-4


def host_isas() -> tuple[str, ...]:
    """The one instruction set level that engines run at on this machine: the others need not be compiled here."""
    return runnable_levels()[-1:]


@functools.cache
def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder that lives as long as the process."""
    return tempfile.TemporaryDirectory(prefix="tf_blade_e2e_")


@functools.cache
def optimized(name: str) -> tuple[Path, Report]:
    """A small zoo model optimized for this machine, once in each process; treat it as read-only."""
    target = Path(scratch().name) / name
    report = tf_blade.optimize_saved_model(zoo.saved(name), target, verify=False, warmup=False, isas=host_isas())
    return target, report


def largest_error(expected: Mapping[str, Any], found: Mapping[str, Any]) -> float:
    """Over all outputs; infinite where they are not the same outputs."""
    if set(expected) != set(found):
        return float("inf")
    return max(relative_error(np.asarray(value), np.asarray(found[name])) for name, value in expected.items())


def engine_counters() -> tuple[dict[str, int], dict[str, int]]:
    """Calls that engines served by cluster, and calls that TensorFlow served by reason, since the last reset."""
    served: dict[str, int] = {}
    fallbacks: dict[str, int] = {}
    for item in tf_blade.runtime_stats()["clusters"]:
        served[item["cluster"]] = served.get(item["cluster"], 0) + item["engine_runs"]
        for reason, number in item["fallbacks"].items():
            fallbacks[reason] = fallbacks.get(reason, 0) + number
    return served, {reason: number for reason, number in fallbacks.items() if number}
