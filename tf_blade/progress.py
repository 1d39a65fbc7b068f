"""Progress of an optimization: which phase, which cluster, how far."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Protocol

import tqdm


class Progress(Protocol):
    """What the pipeline tells while it works."""

    def phase(self, name: str, total: int = 1) -> None:
        """A phase of `total` steps begins."""
        ...

    def step(self, text: str = "") -> None:
        """A step of the phase begins; `text` says what it is about (a cluster's name, a function)."""
        ...


class SilentProgress:
    """Tells nobody."""

    def phase(self, name: str, total: int = 1) -> None:
        """Nothing."""

    def step(self, text: str = "") -> None:
        """Nothing."""


class BarProgress:
    """A bar on standard error: the phase, its steps, and what is being worked on."""

    def __init__(self) -> None:
        self._bar: tqdm.tqdm[None] | None = None
        self._begun = 0

    def phase(self, name: str, total: int = 1) -> None:
        """Starts the phase's bar."""
        self.close()
        self._begun = 0
        self._bar = tqdm.tqdm(total=total, desc=f"{name:8}", unit="step", leave=False, dynamic_ncols=True)

    def step(self, text: str = "") -> None:
        """Shows what is being worked on; the step before is done."""
        if self._bar is None:
            return
        if self._begun:
            self._bar.update(1)
        self._begun += 1
        self._bar.set_postfix_str(text)

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


@contextlib.contextmanager
def progress_bar(*, enabled: bool) -> Iterator[Progress]:
    """A bar while the block runs; silent when not enabled, or when standard error is no terminal."""
    if not enabled or not sys.stderr.isatty():
        yield SilentProgress()
        return
    bar = BarProgress()
    try:
        yield bar
    finally:
        bar.close()
