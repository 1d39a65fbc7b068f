"""Who served the calls of engine ops in this process."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tf_blade import runtime

_UNKNOWN = "unknown"  # the backend of an engine whose file cannot be read


@dataclasses.dataclass(frozen=True)
class EngineCalls:
    """Counts of calls.

    Attributes:
        calls: of engine ops.
        engine_runs: those of them that an engine served.
        fallbacks: the others, by reason.
        clusters: for each cluster that was called, the calls and those of them that an engine served.
        engines: for each cluster that was called and each backend that it has an engine of, the calls that this served.
        refusals: for each of these, why it refused to serve, if it did.
    """

    calls: int = 0
    engine_runs: int = 0
    fallbacks: Mapping[str, int] = dataclasses.field(default_factory=dict)
    clusters: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    engines: Mapping[tuple[str, str], int] = dataclasses.field(default_factory=dict)
    refusals: Mapping[tuple[str, str], frozenset[str]] = dataclasses.field(default_factory=dict)

    @staticmethod
    def so_far() -> EngineCalls:
        """Of all engine ops, since the process began."""
        calls, runs, fallbacks = 0, 0, dict[str, int]()
        clusters: dict[str, tuple[int, int]] = {}
        engines: dict[tuple[str, str], int] = {}
        refusals: dict[tuple[str, str], frozenset[str]] = {}
        for cluster in runtime.runtime_stats()["clusters"]:
            before = clusters.get(cluster["cluster"], (0, 0))
            clusters[cluster["cluster"]] = (before[0] + cluster["calls"], before[1] + cluster["engine_runs"])
            calls += cluster["calls"]
            runs += cluster["engine_runs"]
            for reason, count in cluster["fallbacks"].items():
                fallbacks[reason] = fallbacks.get(reason, 0) + count
            for engine in cluster["engines"]:
                key = cluster["cluster"], engine["backend"] or _UNKNOWN
                engines[key] = engines.get(key, 0) + engine["runs"]
                refusals[key] = refusals.get(key, frozenset()) | _reasons(engine)
        return EngineCalls(calls, runs, fallbacks, clusters, engines, refusals)

    def __sub__(self, before: EngineCalls) -> EngineCalls:
        """What came since."""
        since = {reason: count - before.fallbacks.get(reason, 0) for reason, count in self.fallbacks.items()}
        fallbacks = {reason: count for reason, count in since.items() if count}
        clusters = {}
        for name, (calls, runs) in self.clusters.items():
            old_calls, old_runs = before.clusters.get(name, (0, 0))
            if calls != old_calls:
                clusters[name] = (calls - old_calls, runs - old_runs)
        engines = {key: runs - before.engines.get(key, 0) for key, runs in self.engines.items() if key[0] in clusters}
        calls, runs = self.calls - before.calls, self.engine_runs - before.engine_runs
        return EngineCalls(calls, runs, fallbacks, clusters, engines, self.refusals)

    def unserved(self) -> tuple[str, ...]:
        """The clusters that were called, and none of whose calls an engine served."""
        return tuple(sorted(name for name, (_, runs) in self.clusters.items() if not runs))

    def backends(self) -> dict[str, int]:
        """For each backend that the called clusters have engines of, the calls that these served."""
        found: dict[str, int] = {}
        for (_, backend), runs in self.engines.items():
            found[backend] = found.get(backend, 0) + runs
        return found

    def idle(self) -> dict[str, tuple[str, ...]]:
        """Those of these backends whose engines served no call, with why they refused to."""
        return {
            name: tuple(sorted({text for key in self.engines if key[1] == name for text in self.refusals.get(key, ())}))
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


def _reasons(engine: Mapping[str, Any]) -> frozenset[str]:
    """Why an engine refused to serve: what its last load said, or what calls of it met."""
    return frozenset([engine["load_refusal"]] if engine["load_refusal"] else engine["refused"])
