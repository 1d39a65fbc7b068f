"""Soak: threads call an encoder and a ranking model at random shapes while engines fail and one of them is corrupt.

    python -m benchmarks.serving.soak [--minutes 10] [--threads 8] [--small]

Every response is compared with TensorFlow's. It prints what happened as JSON and exits with 1 if a response was wrong
or lost, a call hung, or resident memory grew by more than 2% after the first minute.

TensorFlow's allocator takes memory in regions, each twice as large as the one before, and returns none; engines keep
scratch memory for as many calls as were at work at once. Both are as large as the worst moment so far, whenever that
comes. So it is made to come before the clock starts: all threads at once send the largest requests, to the engines and
to the original models. What grows from there on is a leak.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

MAX_GROWTH = 0.02
TOLERANCE = 1e-4
_SETTLED_S = 60.0
_HANG_S = 120.0
_NAMES = {"full": ("encoder_medium", "ranking"), "small": ("encoder_module", "ranking")}


@dataclasses.dataclass(frozen=True)
class Request:
    """A call to come, and TensorFlow's answer to it."""

    model: str
    feeds: Mapping[str, Any]
    expected: Mapping[str, np.ndarray]


@dataclasses.dataclass
class Outcome:
    """What became of the calls.

    Attributes:
        settled_bytes: resident memory after the first minute; 0 in shorter runs.
        last_bytes: at the end, median of ten seconds.
        resident_mb: each minute, from the beginning on.
        engines_mb: at the same times, scratch memory and prepared weights.
        fallbacks: calls that TensorFlow served, by reason.
    """

    calls: int = 0
    wrong: int = 0
    lost: int = 0
    hung: int = 0
    worst: float = 0.0
    settled_bytes: int = 0
    last_bytes: int = 0
    engine_runs: int = 0
    resident_mb: list[int] = dataclasses.field(default_factory=list)
    engines_mb: list[int] = dataclasses.field(default_factory=list)
    fallbacks: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def growth(self) -> float:
        """Of resident memory after the first minute."""
        return self.last_bytes / self.settled_bytes - 1 if self.settled_bytes else 0.0

    @property
    def good(self) -> bool:
        """Whether all that must hold held."""
        return not (self.wrong or self.lost or self.hung) and self.calls > 0 and self.growth < MAX_GROWTH


def resident_bytes() -> int:
    """What this process holds in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def engine_bytes() -> int:
    """What engines hold in memory now."""
    import tf_blade

    stats = tf_blade.runtime_stats()
    states = sum(engine["state_bytes"] for item in stats["clusters"] for engine in item["engines"])
    return int(stats["scratch_bytes"] + states)


def _requests(name: str, full: bool, original: Any, count: int, longest: int) -> list[Request]:
    from tests import zoo

    rng = np.random.default_rng(3)
    requests = []
    for seed in range(count):
        # Small batches are as frequent as large ones.
        sizes = {"batch": int(2 ** rng.uniform(0, 5)), "length": int(rng.integers(1, longest + 1))}
        (feeds,) = zoo.get(name, full=full).example(sizes, seed=seed).values()
        expected = {key: value.numpy() for key, value in original(**feeds).items()}
        requests.append(Request(name, feeds, expected))
    return requests


def _prepare(folder: Path, full: bool, count: int) -> tuple[dict[str, Any], dict[str, list[Any]], list[Request]]:
    """By model the original, and the callables to choose from, one with a corrupt engine among them; the requests."""
    import tensorflow as tf

    import tf_blade
    from tests import zoo
    from tests.e2e import damage

    originals: dict[str, Any] = {}
    callables: dict[str, list[Any]] = {}
    requests: list[Request] = []
    for name in _NAMES["full" if full else "small"]:
        source, target = zoo.saved(name, full=full), folder / name
        tf_blade.optimize_saved_model(source, target, verify=False, warmup=False)
        corrupt = damage.rewritten(target, folder / f"{name}_corrupt", lambda data: data[:-9] + b"?" + data[-8:])
        models = [tf.saved_model.load(str(path)) for path in (source, target, target, target, corrupt)]
        original, *served = (model.signatures["serving_default"] for model in models)
        originals[name] = original
        requests += _requests(name, full, original, count, 256 if full else 24)
        # One corrupt engine in all.
        callables[name] = served if name == "ranking" else served[:-1]
    return originals, callables, requests


class _Soak:
    def __init__(self, callables: Mapping[str, list[Any]], requests: list[Request]) -> None:
        self.callables, self.requests = callables, requests
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.outcome = Outcome()
        self.begun: dict[int, float] = {}

    def work(self, number: int) -> None:
        from tf_blade.compare import relative_error

        rng = np.random.default_rng(100 + number)
        while not self.stop.is_set():
            request = self.requests[rng.integers(len(self.requests))]
            served = self.callables[request.model]
            self.begun[number] = time.monotonic()
            try:
                found = served[rng.integers(len(served))](**request.feeds)
                errors = [relative_error(value, found[key].numpy()) for key, value in request.expected.items()]
            except Exception as error:  # noqa: BLE001 - whatever it is, a response was lost
                sys.stderr.write(f"lost: {error}\n")
                errors = []
            with self.lock:
                self.outcome.calls += 1
                self.outcome.lost += not errors
                worst = max(errors, default=0.0)
                self.outcome.wrong += worst > TOLERANCE
                self.outcome.worst = max(self.outcome.worst, worst)
        del self.begun[number]

    def warm_up(self, threads: int, originals: Mapping[str, Any]) -> None:
        """Instantiates functions, which the first call does, then makes memory as large as it will ever have to be."""
        for request in self.requests:
            for serve in self.callables[request.model]:
                serve(**request.feeds)
        for name, original in originals.items():
            requests = [request for request in self.requests if request.model == name]
            largest = max(requests, key=lambda request: sum(np.size(value) for value in request.feeds.values()))
            for serve in (original, *self.callables[name]):
                with concurrent.futures.ThreadPoolExecutor(threads) as pool:
                    started = threading.Barrier(threads)
                    for done in [pool.submit(_together, started, serve, largest) for _ in range(threads)]:
                        done.result()

    def run(self, seconds: float, threads: int) -> Outcome:
        import tf_blade

        tf_blade.reset_runtime_stats()
        workers = [threading.Thread(target=self.work, args=(number,), daemon=True) for number in range(threads)]
        for worker in workers:
            worker.start()
        samples = self._watch(seconds)
        self.stop.set()
        for worker in workers:
            worker.join(_HANG_S)
        self.outcome.hung = sum(worker.is_alive() for worker in workers)
        self.outcome.last_bytes = int(np.median(samples[-10:]))
        for item in tf_blade.runtime_stats()["clusters"]:
            self.outcome.engine_runs += item["engine_runs"]
            for reason, number in item["fallbacks"].items():
                self.outcome.fallbacks[reason] = self.outcome.fallbacks.get(reason, 0) + number
        return self.outcome

    def _watch(self, seconds: float) -> list[int]:
        samples, begin = [], time.monotonic()
        while time.monotonic() - begin < seconds:
            time.sleep(min(1.0, seconds / 10))
            samples.append(resident_bytes())
            if time.monotonic() - begin >= 60 * len(self.outcome.resident_mb):
                self.outcome.resident_mb.append(samples[-1] >> 20)
                self.outcome.engines_mb.append(engine_bytes() >> 20)
            if time.monotonic() - begin >= _SETTLED_S and not self.outcome.settled_bytes:
                self.outcome.settled_bytes = max(samples[-10:])
        return samples


def _together(started: threading.Barrier, serve: Any, request: Request) -> None:
    started.wait()
    serve(**request.feeds)


def run(seconds: float, *, threads: int = 8, full: bool = True, requests: int = 100, faults: str = "1/100") -> Outcome:
    """Soaks for so long; `requests` are made for each model, and used again and again."""
    os.environ["TF_BLADE_FAULTS"] = faults
    try:
        with tempfile.TemporaryDirectory() as folder:
            originals, callables, made = _prepare(Path(folder), full, requests)
            soak = _Soak(callables, made)
            soak.warm_up(threads, originals)
            return soak.run(seconds, threads)
    finally:
        del os.environ["TF_BLADE_FAULTS"]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--small", action="store_true", help="the zoo's small models")
    options = parser.parse_args()
    outcome = run(60 * options.minutes, threads=options.threads, full=not options.small)
    print(
        json.dumps({**dataclasses.asdict(outcome), "growth": round(outcome.growth, 4), "good": outcome.good}, indent=2)
    )
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())
