"""A process with one framework: reads a request a line from standard input, writes an answer a line, in JSON.

    {"do": "load", "name": ..., "path": ...}                      → {"seconds": ...}
    {"do": "inputs", "case": ..., "model": ..., "file": ...}      → {"calls": [...]}
    {"do": "output", "case": ..., "call": ..., "file": ...}       → {}
    {"do": "time", "case": ..., "call": ..., "seconds": ...}      → {"times": [...]}      without those that warm up
    {"do": "pass", "cases": [...], "call": ...}                   → {"times": [...]}      one call of each case

A request that fails is answered {"error": ...}. Whatever libraries print goes to standard error.
"""

from __future__ import annotations

import gc
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.cpu.peers import frameworks

_MOST_WARM = 0.02  # seconds of calls at the start of a turn that are not timed; at least one call
_LONG = 0.05  # a first call as long as this counts: it finds nothing in the caches that matters


class Worker:
    """The models and inputs of one process."""

    def __init__(self, framework: str, threads: int) -> None:
        self._framework, self._threads = framework, threads
        self._models: dict[str, frameworks.Model] = {}
        self._cases: dict[str, tuple[frameworks.Model, dict[str, frameworks.Call]]] = {}
        self._memory: list[object] = []  # inputs that frameworks refer to without owning them

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Does what a request says."""
        actions: dict[str, Callable[..., dict[str, Any]]] = {
            "load": self._load,
            "inputs": self._inputs,
            "output": self._output,
            "time": self._time,
            "pass": self._pass,
        }
        return actions[request.pop("do")](**request)

    def _load(self, name: str, path: str) -> dict[str, Any]:
        start = time.perf_counter()
        self._models[name] = frameworks.load(self._framework, pathlib.Path(path), self._threads)
        return {"seconds": time.perf_counter() - start}

    def _inputs(self, case: str, model: str, file: str) -> dict[str, Any]:
        with np.load(file) as arrays:
            inputs = {name: frameworks.aligned(arrays[name]) for name in arrays.files}
        self._cases[case] = (self._models[model], self._models[model].calls(inputs))
        self._memory.append(inputs)
        return {"calls": list(self._cases[case][1])}

    def _output(self, case: str, call: str, file: str) -> dict[str, Any]:
        model, calls = self._cases[case]
        np.save(file, model.output(calls[call]()))
        return {}

    def _time(self, case: str, call: str, seconds: float) -> dict[str, Any]:
        function = self._cases[case][1][call]
        start = time.perf_counter()
        function()
        first = time.perf_counter() - start
        while time.perf_counter() - start < min(_MOST_WARM, seconds / 4):
            function()
        times = [first] if first > _LONG else []
        if not times:
            start = time.perf_counter()
        end = time.perf_counter()
        while end - start < seconds:
            begin = time.perf_counter()
            function()
            end = time.perf_counter()
            times.append(end - begin)
        return {"times": times}

    def _pass(self, cases: list[str], call: str) -> dict[str, Any]:
        times = []
        for case in cases:
            function = self._cases[case][1][call]
            begin = time.perf_counter()
            function()
            times.append(time.perf_counter() - begin)
        return {"times": times}


def main() -> None:
    """Serves requests until standard input ends."""
    framework, threads = sys.argv[1], int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker(framework, threads)
    gc.disable()
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:  # noqa: BLE001  whatever a framework throws is the driver's to report
            answer = {"error": f"{type(error).__name__}: {error}"[:2000]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
