"""A stream of lengths that no process has seen before: what the first call at each costs, against steady ones.

Lengths come in groups. A framework's turn is one pass over a group, each length once and for the first time, and then
further passes over the same lengths in the same order, so that first and steady calls find the caches alike.
"""

from __future__ import annotations

import random
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.cpu.peers.driver import Team, WorkerError
from benchmarks.cpu.peers.measure import load
from benchmarks.cpu.peers.rows import LONGEST, STREAMS, case_name

WARM = 128  # the length that everyone has seen: start-up is not what a stream measures
_SHORTEST = 8
_GROUP = 10
# XLA compiles for each length, most of a second for BERT-base: some lengths tell as much as all.
MOST = {"xla": 20}


def lengths(count: int, seed: int = 0) -> list[int]:
    """Different lengths in random order, without `WARM`.

    Raises:
        ValueError: there are not so many.
    """
    possible = [length for length in range(_SHORTEST, LONGEST + 1) if length != WARM]
    if count > len(possible):
        raise ValueError(f"there are {len(possible)} different lengths, not {count}")
    return random.Random(seed).sample(possible, count)


def groups(items: Sequence[int], size: int = _GROUP) -> list[list[int]]:
    """The items in order, `size` at a time."""
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


def measure(
    team: Team, prepared: Mapping[str, Any], family: str, items: Sequence[int], passes: int
) -> dict[str, dict[str, list[float]]]:
    """The lengths, and milliseconds of first and steady calls, of each framework; through sessions where it has one."""
    model = STREAMS[family]
    for reason in load(team, prepared, [model]).values():
        print(f"{family}: {reason}", file=sys.stderr)
    found: dict[str, dict[str, list[float]]] = {}
    ways: dict[str, str] = {}
    for name in list(team.processes):
        ways[name] = _give(team, prepared, family, name, [WARM])[-1]
        found[f"{name}.{ways[name]}"] = {"lengths": [], "first_ms": [], "steady_ms": []}
        team.turn(name, "time", case=case_name(family, WARM), call=ways[name], seconds=0.5)
    for group in groups(items):
        for name in list(team.processes):
            into = found[f"{name}.{ways[name]}"]
            if len(into["lengths"]) < MOST.get(name, len(items)):
                try:
                    _turn(team, prepared, family, group, name, ways[name], passes, into)
                except WorkerError as error:
                    print(f"{family}: {error}", file=sys.stderr)
                    team.drop(name)
    return found


def _give(team: Team, prepared: Mapping[str, Any], family: str, name: str, items: Sequence[int]) -> list[str]:
    ways: list[str] = []
    for length in items:
        case = case_name(family, length)
        file = prepared["inputs"][case]
        ways = team.turn(name, "inputs", case=case, model=STREAMS[family], file=file)["calls"]
    return ways


def _turn(
    team: Team,
    prepared: Mapping[str, Any],
    family: str,
    group: Sequence[int],
    name: str,
    way: str,
    passes: int,
    into: dict[str, list[float]],
) -> None:
    _give(team, prepared, family, name, group)
    warm = case_name(family, WARM)
    cases = [warm, *(case_name(family, length) for length in group)]
    first, *steady = (team.turn(name, "pass", cases=cases, call=way)["times"][1:] for _ in range(1 + passes))
    into["lengths"] += group
    into["first_ms"] += [seconds * 1e3 for seconds in first]
    into["steady_ms"] += [statistics.median(times) * 1e3 for times in zip(*steady, strict=True)]
