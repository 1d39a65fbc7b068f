"""Times rows in rounds: in each round every framework has one turn at every row, then the next round begins."""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.cpu.peers.driver import ForeignLoad, Team, WorkerError
from benchmarks.cpu.peers.frameworks import Array
from benchmarks.cpu.peers.rows import EMPTY, Row

REFERENCE = "tensorflow"
_ROUNDS = 9  # of calls that are short
_MIN_ROUNDS = 5
_MOST_FOREIGN = 0.03  # share of the processors that others may have in a round
_PATIENCE = 2.5
_EMPTY_TURN = 0.015


@dataclasses.dataclass
class Timing:
    """The times of one way to call one framework on one row, in seconds."""

    times: list[float] = dataclasses.field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Milliseconds: the median, the quartiles, and how many calls they are of."""
        low, middle, high = np.percentile(np.asarray(self.times) * 1e3, (25, 50, 75))
        return {"ms": float(middle), "low": float(low), "high": float(high), "calls": len(self.times)}


def load(team: Team, prepared: Mapping[str, Any], models: Sequence[str]) -> dict[str, str]:
    """Loads models in all processes at once; frameworks that fail leave the team. Gives their reasons."""
    failures = {}
    for model in models:
        for name, process in team.processes.items():
            process.begin("load", name=model, path=prepared["paths"][name][model])
        for name, process in list(team.processes.items()):
            try:
                process.end()
            except WorkerError as error:
                failures[name] = str(error)
                team.drop(name)
    return failures


def give_inputs(team: Team, prepared: Mapping[str, Any], row: Row) -> dict[str, list[str]]:
    """Hands a row's inputs to all; the ways to call of each framework that can take them."""
    calls = {}
    for name in list(team.processes):
        try:
            file = prepared["inputs"][row.name]
            calls[name] = team.turn(name, "inputs", case=row.name, model=row.model, file=file)["calls"]
        except WorkerError as error:
            print(f"{row.name}: {error}", file=sys.stderr)
    return calls


def difference(output: Array, expected: Array) -> float:
    """The largest difference of two outputs, relative to the largest magnitude of the expected one."""
    if output.shape != expected.shape:
        return float("inf")
    if not expected.size:
        return 0.0
    largest = float(np.max(np.abs(expected))) or 1.0
    worst = float(np.max(np.abs(output.astype(np.float64) - expected.astype(np.float64))))
    return worst / largest if np.isfinite(worst) else float("inf")


def check(team: Team, row: Row, calls: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """How far each way to call is from TensorFlow's output; frameworks that fail are not among them."""
    outputs: dict[str, Array] = {}
    for name, ways in calls.items():
        for way in ways:
            try:
                outputs[f"{name}.{way}"] = team.processes[name].output(row.name, way)
            except WorkerError as error:
                print(f"{row.name}: {error}", file=sys.stderr)
    expected = outputs.get(f"{REFERENCE}.python")
    return {key: float("nan") if expected is None else difference(value, expected) for key, value in outputs.items()}


def measure(
    team: Team, prepared: Mapping[str, Any], rows: Sequence[Row], seconds: float
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of one model, and the empty model's call beside each: names and results, as results.json has them."""
    models = [EMPTY, *dict.fromkeys(row.model for row in rows if row.model != EMPTY)]
    failures = load(team, prepared, models)
    for reason in failures.values():
        print(f"{models[-1]}: {reason}", file=sys.stderr)
    empty = Row(EMPTY, EMPTY, {"batch": 1}, 0.0, 0.0)
    empty_ways = give_inputs(team, prepared, empty)
    for row in rows:
        ways = empty_ways if row.model == EMPTY else give_inputs(team, prepared, row)
        errors = check(team, row, ways)
        idle = team.idle_share()
        timed, others = _rounds(team, row.name, list(errors), seconds)
        found = {
            "calls": {key: timing.to_json() for key, timing in timed.items() if timing.times},
            "empty": found_empty(team, empty_ways) if row.model != EMPTY else {},
            "errors": errors,
            "failed": failures,
            "idle": {name: round(share, 3) for name, share in idle.items() if share > 0.02},
            "foreign_load": round(others, 3),
            "when": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
        }
        yield row.name, found


def found_empty(team: Team, ways: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Median milliseconds of each way to call the empty model, in the same processes."""
    keys = [f"{name}.{way}" for name, calls in ways.items() if name in team.processes for way in calls]
    timed, _ = _rounds(team, EMPTY, keys, len(keys) * _ROUNDS * _EMPTY_TURN)
    return {key: statistics.median(timing.times) * 1e3 for key, timing in timed.items() if timing.times}


def _rounds(team: Team, case: str, keys: Sequence[str], seconds: float) -> tuple[dict[str, Timing], float]:
    """The times of the quietest rounds, and the share of the machine that others had in them.

    Rounds in which others had too much are made again, for as long as `_PATIENCE` times the time asked for.
    """
    turn = seconds / max(1, len(keys)) / _ROUNDS
    rounds: list[tuple[float, dict[str, list[float]]]] = []
    start = time.perf_counter()
    while True:
        others, times = ForeignLoad(), {}
        for key in keys:
            name, way = key.split(".")
            times[key] = team.turn(name, "time", case=case, call=way, seconds=turn)["times"]
        rounds.append((others.share(), times))
        quiet = [item for item in rounds if item[0] <= _MOST_FOREIGN]
        spent = (time.perf_counter() - start) / max(seconds, 1e-3)
        if (len(quiet) >= _MIN_ROUNDS and spent >= 1) or (spent >= _PATIENCE and len(rounds) >= _MIN_ROUNDS):
            break
    if len(quiet) < _MIN_ROUNDS:
        quiet = sorted(rounds, key=lambda item: item[0])[:_MIN_ROUNDS]
    timed = {key: Timing([value for _, times in quiet for value in times[key]]) for key in keys}
    return timed, statistics.mean(share for share, _ in quiet)
