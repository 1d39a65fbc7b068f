"""Who served the calls of engine ops in this process."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from tf_blade import runtime

_UNKNOWN = "unknown"  # the backend of an engine whose file cannot be read


# An op, in the statistics: its cluster's name, which clusters of other models may share, and the hashes of its engines.
_Op = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Engine:
    backend: str
    runs: int
    refused: Mapping[str, int]
    load_refusal: str

    def since(self, before: _Engine | None) -> _Engine:
        if before is None:
            return self
        refused = {reason: count - before.refused.get(reason, 0) for reason, count in self.refused.items()}
        return dataclasses.replace(self, runs=self.runs - before.runs, refused=refused)

    def reasons(self) -> frozenset[str]:
        """Why it refused to serve: what its last load said, or what calls of it met."""
        met = {reason for reason, count in self.refused.items() if count}
        return frozenset([self.load_refusal] if self.load_refusal else met)


@dataclasses.dataclass(frozen=True)
class EngineCalls:
    """Counts of calls.

    Attributes:
        calls: of engine ops.
        engine_runs: those of them that an engine served.
        fallbacks: the others, by reason.
        ops: for each op that was called, the calls and those of them that an engine served.
        engines: of these ops, by op and place.
    """

    calls: int = 0
    engine_runs: int = 0
    fallbacks: Mapping[str, int] = dataclasses.field(default_factory=dict)
    ops: Mapping[_Op, tuple[int, int]] = dataclasses.field(default_factory=dict)
    engines: Mapping[tuple[_Op, int], _Engine] = dataclasses.field(default_factory=dict)

    @staticmethod
    def so_far() -> EngineCalls:
        """Of all engine ops, since the process began."""
        calls, runs, fallbacks = 0, 0, dict[str, int]()
        ops: dict[_Op, tuple[int, int]] = {}
        engines: dict[tuple[_Op, int], _Engine] = {}
        for cluster in runtime.runtime_stats()["clusters"]:
            op = cluster["cluster"], *(engine["hash"] for engine in cluster["engines"])
            before = ops.get(op, (0, 0))
            ops[op] = (before[0] + cluster["calls"], before[1] + cluster["engine_runs"])
            calls += cluster["calls"]
            runs += cluster["engine_runs"]
            for reason, count in cluster["fallbacks"].items():
                fallbacks[reason] = fallbacks.get(reason, 0) + count
            for item in cluster["engines"]:
                backend = item["backend"] or _UNKNOWN
                engines[op, item["index"]] = _Engine(backend, item["runs"], item["refused"], item["load_refusal"])
        return EngineCalls(calls, runs, fallbacks, ops, engines)

    def __sub__(self, before: EngineCalls) -> EngineCalls:
        """What came since."""
        since = {reason: count - before.fallbacks.get(reason, 0) for reason, count in self.fallbacks.items()}
        fallbacks = {reason: count for reason, count in since.items() if count}
        ops = {}
        for op, (calls, runs) in self.ops.items():
            old_calls, old_runs = before.ops.get(op, (0, 0))
            if calls != old_calls:
                ops[op] = (calls - old_calls, runs - old_runs)
        engines = {key: item.since(before.engines.get(key)) for key, item in self.engines.items() if key[0] in ops}
        return EngineCalls(self.calls - before.calls, self.engine_runs - before.engine_runs, fallbacks, ops, engines)

    def unserved(self) -> tuple[str, ...]:
        """The clusters of ops that were called, and none of whose calls an engine served."""
        return tuple(sorted({op[0] for op, (_, runs) in self.ops.items() if not runs}))

    def backends(self) -> dict[str, int]:
        """For each backend that the called ops have engines of, the calls that these served."""
        found: dict[str, int] = {}
        for item in self.engines.values():
            found[item.backend] = found.get(item.backend, 0) + item.runs
        return found

    def idle(self) -> dict[str, tuple[str, ...]]:
        """Those of these backends whose engines served no call, with why they refused to."""
        return {
            name: tuple(
                sorted({why for item in self.engines.values() if item.backend == name for why in item.reasons()})
            )
            for name, runs in self.backends().items()
            if not runs
        }


def lines(
    calls: int,
    engine_runs: int,
    fallbacks: Mapping[str, int],
    backends: Mapping[str, int],
    idle: Mapping[str, Sequence[str]],
) -> list[str]:
    """Who served calls, for a report: a line, and one for each backend whose engines served none."""
    if not calls:
        return []
    each = ", ".join(f"{name} {runs}" for name, runs in backends.items()) if len(backends) > 1 else ""
    reasons = "".join(f"; {count} fell back: {reason}" for reason, count in fallbacks.items())
    found = [f"engines served {engine_runs} of {calls} calls of engine ops{f' ({each})' if each else ''}{reasons}"]
    if len(backends) > 1:
        found += ["; ".join((f"no engine of {name} served a call", *why)) for name, why in idle.items()]
    return found
