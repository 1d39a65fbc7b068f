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
    """

    calls: int = 0
    engine_runs: int = 0
    fallbacks: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @staticmethod
    def so_far() -> EngineCalls:
        """Of all engine ops, since the process began."""
        calls, runs, fallbacks = 0, 0, dict[str, int]()
        for cluster in runtime.runtime_stats()["clusters"]:
            calls += cluster["calls"]
            runs += cluster["engine_runs"]
            for reason, count in cluster["fallbacks"].items():
                fallbacks[reason] = fallbacks.get(reason, 0) + count
        return EngineCalls(calls, runs, fallbacks)

    def __sub__(self, before: EngineCalls) -> EngineCalls:
        """What came since."""
        since = {reason: count - before.fallbacks.get(reason, 0) for reason, count in self.fallbacks.items()}
        fallbacks = {reason: count for reason, count in since.items() if count}
        return EngineCalls(self.calls - before.calls, self.engine_runs - before.engine_runs, fallbacks)

    def lines(self) -> list[str]:
        """A line for a report; none where no engine op was called."""
        if not self.calls:
            return []
        reasons = "".join(f"; {count} fell back: {reason}" for reason, count in self.fallbacks.items())
        return [f"engines served {self.engine_runs} of {self.calls} calls of engine ops{reasons}"]
