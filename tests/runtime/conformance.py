"""Builds and runs the conformance suite of engines (custom_ops/conformance) on an engine file."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.runtime import native


def run_suite(engine: bytes, symbols: Sequence[int] = (), sanitizer: str = "") -> tuple[bool, str]:
    """Whether an engine keeps the contract, and what the suite printed. `symbols` are the symbols' values."""
    folder_ = native.CUSTOM_OPS / "conformance"
    program = native.program(folder_ / "conformance.cc", sanitizer, (folder_ / "test_engine.cc",))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "engine"
        file.write_bytes(engine)
        result = native.run(program, [file, *map(str, symbols)])
    return result.returncode == 0, result.stdout + result.stderr
