"""What TensorRT says: into the log channel, and the last error kept for whoever asks why."""

from __future__ import annotations

import functools
import re
from typing import Any, Protocol

from tf_blade import observe
from tf_blade.backends.tensorrt.library import Library

_log = observe.logger("tensorrt")


class Messages(Protocol):
    """An `ILogger` that remembers."""

    last_error: str


@functools.cache
def make_messages(library: Library) -> Any:
    """The logger; one for a library, which lives as long as it: TensorRT keeps the first that it gets."""
    severity = library.trt.ILogger.Severity

    base: Any = library.trt.ILogger

    class _Messages(base):
        def __init__(self) -> None:
            super().__init__()
            self.last_error = ""

        def log(self, level: Any, message: str) -> None:
            if level in (severity.INTERNAL_ERROR, severity.ERROR):
                self.last_error = _short(message)
                _log.info("error: %s", message)
            elif level == severity.WARNING:
                _log.info("warning: %s", message)

    return _Messages()


def _short(message: str) -> str:
    """The message without where in TensorRT's sources it comes from."""
    text = re.sub(r"^\S*: Error Code \d+: ", "", message)
    text = re.sub(r"\s*In \w+ at /_src\S+\)?", "", text)
    return text.strip()[:300]
