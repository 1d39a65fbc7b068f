"""Compiles the CPU kernel templates for each instruction set level and calls them with NumPy arrays."""

import ctypes
import functools
import itertools
import pathlib
import subprocess
import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_FLAGS = ("-std=c++17", "-O3", "-Wall", "-Wextra", "-Werror", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd")
_CPU_FLAG = {"x86-64-v3": " avx2 ", "x86-64-v4": " avx512vl "}
CONFIGS = tuple(itertools.product(_CPU_FLAG, (1, 2)))  # (instruction set level, threads)
OK, NO_MEMORY = 0, 4

Array = npt.NDArray[Any]


@functools.cache
def _library(isa: str) -> ctypes.CDLL:
    """Compiles the kernels for an instruction set level; skips the calling test where the CPU cannot run it."""
    if _CPU_FLAG[isa] not in pathlib.Path("/proc/cpuinfo").read_text().replace("\n", " "):
        raise absltest.SkipTest(f"this CPU has no {isa}")
    path = pathlib.Path(tempfile.mkdtemp()) / "kernels.so"
    source = str(_ROOT / "tests" / "native" / "kernels.cc")
    command = ["c++", *_FLAGS, f"-march={isa}", "-fPIC", "-shared", "-pthread", f"-I{_ROOT}", source, "-o", str(path)]
    subprocess.run(command, check=True)
    library = ctypes.CDLL(str(path))
    library.guarded_alloc.restype = ctypes.c_void_p
    return library


class Kernels:
    """Calls kernels with arrays that end where readable memory ends."""

    def __init__(self, isa: str, threads: int) -> None:
        self.library = _library(isa)
        self.threads = threads

    def guarded(self, array: Array) -> Array:
        pointer = self.library.guarded_alloc(ctypes.c_size_t(array.nbytes))
        memory = (ctypes.c_char * array.nbytes).from_address(pointer)
        copy: Array = np.frombuffer(memoryview(memory), array.dtype).reshape(array.shape)
        copy[...] = array
        return copy

    def call(self, name: str, sizes: tuple[int, ...], *arguments: Array | int | None) -> int:
        numbers = (ctypes.c_int64 * len(sizes))(*sizes)
        converted = [ctypes.c_void_p(a.ctypes.data) if isinstance(a, np.ndarray) else a for a in arguments]
        return int(getattr(self.library, name)(self.threads, numbers, *converted))


def with_epilogue(c: Array, bias: Array, row: Array) -> Array:
    """What the test's epilogue computes of c [rows, columns]."""
    result: Array = 2.0 * c + bias[None, :].astype(np.float64) + row[:, None].astype(np.float64)
    return result


def assert_close(actual: Array, expected: Array, terms: int) -> None:
    """Operands are standard normal, so sums of `terms` products have errors near sqrt(terms) roundings."""
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=4e-6 * (1 + terms**0.5))


def normal(random: np.random.Generator, *shape: int) -> Array:
    values: Array = random.standard_normal(shape).astype(np.float32)
    return values
