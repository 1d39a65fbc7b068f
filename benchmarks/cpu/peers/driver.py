"""Worker processes, all kept alive, of which one at a time does something."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.cpu.peers.frameworks import Array

_TICKS = os.sysconf("SC_CLK_TCK")


class WorkerError(Exception):
    """A worker could not do what it was asked."""


class Process:
    """One worker process."""

    def __init__(self, framework: str, threads: int) -> None:
        self.framework = framework
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed by close()
        command = [sys.executable, "-m", "benchmarks.cpu.peers.worker", framework, str(threads)]
        environment = {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "", **os.environ}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=environment
        )

    def begin(self, do: str, **request: Any) -> None:
        """Sends a request without waiting for the answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._died() from error

    def end(self) -> dict[str, Any]:
        """Waits for the answer of the request before.

        Raises:
            WorkerError: it failed, or the process ended.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._died()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self.framework}: {answer['error']}")
        return answer

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Sends a request and waits for its answer."""
        self.begin(do, **request)
        return self.end()

    def output(self, case: str, call: str) -> Array:
        """The output of one call."""
        with tempfile.TemporaryDirectory(prefix="tf_blade_") as folder:
            file = pathlib.Path(folder) / "output.npy"
            self.ask("output", case=case, call=call, file=str(file))
            array: Array = np.load(file)
            return array

    def cpu_seconds(self) -> float:
        """CPU time that the process has used so far, all threads."""
        fields = pathlib.Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _died(self) -> WorkerError:
        self._process.wait()
        self._errors.seek(0)
        tail = self._errors.read().decode(errors="replace")[-2000:]
        return WorkerError(f"{self.framework}: the process ended ({self._process.returncode}):\n{tail}")


class Team:
    """One process a framework. Between turns there is a pause in which threads that spin after work go to sleep."""

    def __init__(self, frameworks: Sequence[str], threads: int, *, pause: float = 0.01) -> None:
        self.processes = {name: Process(name, threads) for name in frameworks}
        self._pause = pause

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.close()

    def drop(self, framework: str) -> None:
        """Ends a framework's process that failed."""
        self.processes.pop(framework).close()

    def turn(self, framework: str, do: str, **request: Any) -> dict[str, Any]:
        """One process works, the others are idle."""
        time.sleep(self._pause)
        return self.processes[framework].ask(do, **request)

    def idle_share(self, seconds: float = 0.5) -> dict[str, float]:
        """CPU that each process uses while nobody has anything to do, as a share of one processor."""
        before = {name: process.cpu_seconds() for name, process in self.processes.items()}
        time.sleep(seconds)
        return {name: (p.cpu_seconds() - before[name]) / seconds for name, p in self.processes.items()}


class ForeignLoad:
    """How busy the machine was with anything but this process and its children while it was measured."""

    def __init__(self) -> None:
        self._before = self._read()

    def share(self) -> float:
        """The share of all processors' time since the beginning."""
        total, busy, own = (after - before for after, before in zip(self._read(), self._before, strict=True))
        return max(0.0, (busy - own) / total) if total > 0 else 0.0

    @staticmethod
    def _read() -> tuple[float, float, float]:
        fields = [int(value) for value in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        idle = fields[3] + fields[4]
        return sum(fields) / _TICKS, (sum(fields) - idle) / _TICKS, _tree_seconds(os.getpid())


def _tree_seconds(root: int) -> float:
    """CPU seconds of a process, its living descendants, and its dead children."""
    parents, seconds = {}, {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:  # it ended while we were looking
            continue
        parents[int(folder.name)] = int(fields[1])
        seconds[int(folder.name)] = sum(int(value) for value in fields[11:15]) / _TICKS

    def descends(pid: int) -> bool:
        while pid in parents and pid != root:
            pid = parents[pid]
        return pid == root

    return sum(value for pid, value in seconds.items() if descends(pid))
