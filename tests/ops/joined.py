"""Rows compiled together, each with its own unknown dimensions.

Compiling is slow, so many rows share one executable. Rows rely on conditions that not all sizes meet; each row has
therefore symbols of its own, and gets in every call sizes at which both TensorFlow and the interpreter compute it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest

from tests.isa import runnable_levels
from tests.ops import compiled, harness
from tests.ops.harness import OpCase
from tf_blade.settings import Settings


@dataclasses.dataclass(frozen=True)
class Call:
    """Inputs of a row, and TensorFlow's results."""

    what: str
    arrays: tuple[np.ndarray, ...]
    wanted: tuple[np.ndarray, ...]


def chunks(cases: Sequence[OpCase], size: int) -> list[tuple[Any, ...]]:
    """Rows that compute, in named groups for a parameterized test."""
    rows = [case for case in cases if not case.refusal]
    return [(f"{start // size}_{rows[start].name}", *rows[start : start + size]) for start in range(0, len(rows), size)]


def runnable() -> tuple[str, ...]:
    """The instruction set levels that are compiled for and that this machine has."""
    return tuple(isa for isa in Settings().isas if isa in runnable_levels())


def check(test: absltest.TestCase, cases: Sequence[OpCase], *, isa: str = "x86-64-v3") -> None:
    """Compiles the rows into one executable and compares all calls of all rows with TensorFlow."""
    rows = [_renamed(case, index) for index, case in enumerate(cases)]
    calls = [list(_calls(case)) for case in cases]
    for case, given in zip(cases, calls, strict=True):
        test.assertTrue(given, f"{case.name}: computed at no size")
    joined = harness.lower_case(_joined(rows))
    host = compiled.Host(joined.module, isa)
    for number in range(max(map(len, calls))):
        chosen = [given[number % len(given)] for given in calls]
        arrays = [array for call in chosen for array in call.arrays]
        results = iter(host.run(harness.module_inputs(joined, arrays)))
        for case, call in zip(cases, chosen, strict=True):
            for index, wanted in enumerate(call.wanted):
                result = next(results)
                with test.subTest(call.what):
                    harness.assert_close(result, wanted, case.tolerance, f"{call.what} result {index} compiled")


def _renamed(case: OpCase, index: int) -> OpCase:
    inputs = tuple(
        dataclasses.replace(arg, shape=tuple(f"{dim}{index}" if isinstance(dim, str) else dim for dim in arg.shape))
        for arg in case.inputs
    )
    return dataclasses.replace(case, inputs=inputs)


def _joined(rows: Sequence[OpCase]) -> OpCase:
    def fn(*tensors: tf.Tensor) -> list[Any]:
        rest, results = list(tensors), []
        for case in rows:
            results += tf.nest.flatten(case.fn(*rest[: len(case.inputs)]))
            del rest[: len(case.inputs)]
        return results

    return OpCase("joined", fn, tuple(arg for case in rows for arg in case.inputs))


def _calls(case: OpCase) -> Iterator[Call]:
    """The row at each of its sizes where both sides compute it."""
    lowered = harness.lower_case(case)
    for sizes in case.all_sizes():
        rng = np.random.default_rng(len(case.name) + sum(sizes.values()))
        arrays = [arg.fill(rng, sizes) for arg in case.inputs]
        wanted = harness.expected(lowered, arrays)
        if isinstance(wanted, Exception):
            continue
        try:
            harness.interpret(lowered, arrays)
        except harness.REFUSALS:
            continue
        yield Call(f"{case.name} {sizes}", tuple(arrays), tuple(wanted))
