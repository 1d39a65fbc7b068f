"""The instruction set levels of this machine, as far as TF_BLADE_MAX_ISA lets tests use them."""

from __future__ import annotations

import functools
import os
from pathlib import Path

_AVX512 = frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"})


@functools.cache
def runnable_levels() -> tuple[str, ...]:
    """The levels in ascending order; the first is there on every machine that runs the tests."""
    limit = os.environ.get("TF_BLADE_MAX_ISA", "").removeprefix("x86-64-v")
    if limit.isdigit() and int(limit) < 4:
        return ("x86-64-v3",)
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("flags"):
            return ("x86-64-v3", "x86-64-v4") if set(line.split()) >= _AVX512 else ("x86-64-v3",)
    return ("x86-64-v3",)
