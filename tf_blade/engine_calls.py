"""Who served the calls of engine ops in this process."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from tf_blade import runtime


@dataclasses.dataclass(frozen=True)
class EngineCalls:
    """Counts of calls.

    Attributes:
        calls: of engine ops.
        engine_runs: those of them that an engine served.
        fallbacks: the others, by reason.
        clusters: for each cluster that was called, the calls and those of them that an engine served.
    """

    calls: int = 0
    engine_runs: int = 0
    fallbacks: Mapping[str, int] = dataclasses.field(default_factory=dict)
    clusters: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)

    @staticmethod
    def so_far() -> EngineCalls:
        """Of all engine ops, since the process began."""
        calls, runs, fallbacks = 0, 0, dict[str, int]()
        clusters: dict[str, tuple[int, int]] = {}
        for cluster in runtime.runtime_stats()["clusters"]:
            before = clusters.get(cluster["cluster"], (0, 0))
            clusters[cluster["cluster"]] = (before[0] + cluster["calls"], before[1] + cluster["engine_runs"])
            calls += cluster["calls"]
            runs += cluster["engine_runs"]
            for reason, count in cluster["fallbacks"].items():
                fallbacks[reason] = fallbacks.get(reason, 0) + count
        return EngineCalls(calls, runs, fallbacks, clusters)

    def __sub__(self, before: EngineCalls) -> EngineCalls:
        """What came since."""
        since = {reason: count - before.fallbacks.get(reason, 0) for reason, count in self.fallbacks.items()}
        fallbacks = {reason: count for reason, count in since.items() if count}
        clusters = {}
        for name, (calls, runs) in self.clusters.items():
            old_calls, old_runs = before.clusters.get(name, (0, 0))
            if calls != old_calls:
                clusters[name] = (calls - old_calls, runs - old_runs)
        return EngineCalls(self.calls - before.calls, self.engine_runs - before.engine_runs, fallbacks, clusters)

    def unserved(self) -> tuple[str, ...]:
        """The clusters that were called, and none of whose calls an engine served."""
        return tuple(sorted(name for name, (_, runs) in self.clusters.items() if not runs))

    def lines(self) -> list[str]:
        """A line for a report; none where no engine op was called."""
        if not self.calls:
            return []
        reasons = "".join(f"; {count} fell back: {reason}" for reason, count in self.fallbacks.items())
        return [f"engines served {self.engine_runs} of {self.calls} calls of engine ops{reasons}"]
