"""The scalar math functions of generated code against NumPy, in units in the last place, for both instruction sets."""

from __future__ import annotations

import ctypes
import math
import pathlib
import re
import subprocess
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized

Array = npt.NDArray[Any]

_HEADERS = pathlib.Path(__file__).resolve().parents[2] / "custom_ops" / "disc" / "cpu"
_FLAGS = [
    "-std=c++17",
    "-O3",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-Wall",
    "-Wextra",
]
_ISAS = ("v3", "v4")

_UNARY = (
    *("exp", "expm1", "log", "log1p", "tanh", "sigmoid", "erf", "erfc", "sinh", "cosh", "sin", "cos", "tan"),
    *("asin", "acos", "atan", "gelu_erf", "gelu_tanh", "swish", "hard_swish", "hard_sigmoid", "softplus"),
)
_BINARY = ("pow", "atan2")
# float64 sin, cos and tan have a branch for huge arguments.
_VECTORIZED = [f"{name}_f32" for name in (*_UNARY, *_BINARY)] + [
    f"{name}_f64" for name in (*_UNARY, *_BINARY) if name not in ("sin", "cos", "tan")
]


def _source() -> str:
    lines = ['#include "math.h"', '#include "lanes_math.h"', "using namespace blade;"]
    for name in _UNARY:
        lines.append(
            f'extern "C" void {name}_lanes(const float* __restrict x, float* __restrict y, long n) {{\n'
            "  for_lanes<2>(0, n, [=](auto at, int64_t i, int) BLADE_LAMBDA "
            f"{{ at.store(y + i, fn_{name}(at.load(x + i))); }});\n}}"
        )
    lines.append(lines[-1].replace(f"{_UNARY[-1]}", "exp_difference"))
    for suffix, ctype in (("f32", "float"), ("f64", "double")):
        for name in _UNARY:
            lines.append(
                f'extern "C" void {name}_{suffix}(const {ctype}* __restrict x, {ctype}* __restrict y, long n) '
                f"{{ for (long i = 0; i < n; ++i) y[i] = math::{name}(x[i]); }}"
            )
        for name in _BINARY:
            lines.append(
                f'extern "C" void {name}_{suffix}(const {ctype}* __restrict x, const {ctype}* __restrict z, '
                f"{ctype}* __restrict y, long n) {{ for (long i = 0; i < n; ++i) y[i] = math::{name}(x[i], z[i]); }}"
            )
    return "\n".join(lines) + "\n"


class _Library:
    """The functions above compiled for one instruction set."""

    def __init__(self, isa: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self._folder.name)
        source = folder / "math.cc"
        self.path = folder / "math.so"
        source.write_text(_source())
        command = ["g++", *_FLAGS, f"-march=x86-64-{isa}", "-fPIC", "-shared", "-nostdlib", f"-I{_HEADERS}"]
        done = subprocess.run(
            [*command, str(source), "-o", str(self.path)], capture_output=True, text=True, check=False
        )
        if done.returncode or done.stderr:
            raise AssertionError(done.stderr)
        self.library = ctypes.CDLL(str(self.path))

    def __call__(self, name: str, *arguments: Array, lanes: bool = False) -> Array:
        result = np.empty_like(arguments[0])
        suffix = "lanes" if lanes else "f32" if result.dtype == np.float32 else "f64"
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in (*arguments, result)]
        getattr(self.library, f"{name}_{suffix}")(*pointers, ctypes.c_long(result.size))
        return result


_cache: dict[str, _Library] = {}


def _library(isa: str) -> _Library:
    if isa not in _cache:
        _cache[isa] = _Library(isa)
    return _cache[isa]


def _runs_here(isa: str) -> bool:
    flags = pathlib.Path("/proc/cpuinfo").read_text()
    return isa == "v3" or all(f in flags for f in ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"))


def _ulps(got: Array, want: Array) -> Array:
    """Errors of `got` against `want` (of a wider type), in ulps of got's type; infinite for a wrong NaN or sign."""
    info = np.finfo(got.dtype)
    rounded = want.astype(got.dtype)
    exponent = np.clip(np.frexp(np.abs(want))[1], info.minexp + 1, info.maxexp) - (info.nmant + 1)
    errors = np.abs(got.astype(want.dtype) - want) / np.ldexp(np.ones_like(want), exponent)
    same = (got == rounded) & (np.signbit(got) == np.signbit(rounded)) | np.isnan(got) & np.isnan(rounded)
    # A result that overflows where the exact one just does not is off by less than it seems.
    top = np.abs(want) > info.max * (1 - 2.0 ** -(info.nmant - 1))
    errors = np.where(np.isinf(got) & top & (np.sign(got) == np.sign(want)), 1.0, errors)
    wrong = np.isnan(errors) | (np.signbit(got) != np.signbit(rounded)) & ~np.isnan(rounded)
    return np.where(same, 0.0, np.where(wrong, np.inf, errors))


def _special(dtype: Any) -> Array:
    info = np.finfo(dtype)
    near = [
        info.smallest_subnormal,
        info.smallest_normal,
        info.eps,
        0.5,
        1,
        1.5,
        2,
        3,
        4,
        10,
        22,
        88.72283,
        103.97,
        info.max,
    ]
    values = np.array([0.0, np.inf, np.nan, *near, math.pi / 2, math.pi, 709.78, 710.4, 745.1], dtype)
    with np.errstate(over="ignore"):
        values = np.concatenate([values, np.nextafter(values, dtype(np.inf)), np.nextafter(values, dtype(0))])
    return np.concatenate([values, -values])


def _floats(step: int) -> Array:
    """Every `step`-th float32, special values, and a dense sample of moderate ones."""
    every = np.arange(0, 2**32, step, dtype=np.uint64).astype(np.uint32).view(np.float32)
    dense = np.linspace(-20, 20, 200_001, dtype=np.float32)
    return np.concatenate([every, _special(np.float32), dense])


def _doubles(count: int) -> Array:
    random = np.random.default_rng(7)
    every = random.integers(0, 2**64, count, dtype=np.uint64).view(np.float64)
    moderate = random.normal(size=count) * 10.0 ** random.integers(-6, 3, count)
    return np.concatenate([every, moderate, _special(np.float64), np.arange(1, 2000) * (math.pi / 2)])


_erf = np.vectorize(math.erf, otypes=[np.float64])
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def _sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)


def _softplus(x: Array) -> Array:
    return np.where(x > 0, x, 0) + np.log1p(np.exp(-np.abs(x)))


_REFERENCES: dict[str, Callable[..., Array]] = {
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "tanh": np.tanh, "sigmoid": _sigmoid,
    "erf": _erf, "erfc": _erfc, "sinh": np.sinh, "cosh": np.cosh, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "softplus": _softplus,
    "pow": np.power, "atan2": np.arctan2,
}  # fmt: skip
_TIGHT = {"exp", "log", "tanh", "erf", "sigmoid", "pow"}


def _numbered(isas: tuple[str, ...], names: tuple[str, ...]) -> list[tuple[str, str, str]]:
    return [(f"{name}_{isa}", name, isa) for isa in isas if _runs_here(isa) for name in names]


class MathTest(parameterized.TestCase):
    def _check(self, name: str, limit: float, got: Array, want: Array, *arguments: Array) -> None:
        errors = _ulps(got, want)
        worst = int(np.argmax(errors))
        at = [float(a[worst]) for a in arguments]
        self.assertLessEqual(errors[worst], limit, f"{name}{at}: got {got[worst]!r}, want {want[worst]!r}")

    @parameterized.named_parameters(_numbered(_ISAS, tuple(n for n in _REFERENCES if n not in _BINARY)))
    def test_float32(self, name: str, isa: str) -> None:
        x = _floats(30011 if name in ("erf", "erfc") else 2053)
        with np.errstate(all="ignore"):
            want = _REFERENCES[name](x.astype(np.float64))
            for lanes in (False, True):
                self._check(name, 2.0 if name in _TIGHT else 4.0, _library(isa)(name, x, lanes=lanes), want, x)

    @parameterized.named_parameters(_numbered(_ISAS, tuple(n for n in _REFERENCES if n not in _BINARY)))
    def test_float64(self, name: str, isa: str) -> None:
        x = _doubles(100_000)
        with np.errstate(all="ignore"):
            wide = x if name in ("erf", "erfc") else x.astype(np.longdouble)
            # The reference for erf and erfc is itself a rounded double.
            limit = 5.0 if name in ("erf", "erfc") else 4.0
            self._check(name, limit, _library(isa)(name, x), _REFERENCES[name](wide), x)

    @parameterized.named_parameters(_numbered(_ISAS, _BINARY))
    def test_binary(self, name: str, isa: str) -> None:
        for dtype, wide in ((np.float32, np.float64), (np.float64, np.longdouble)):
            special = _special(dtype)
            random = np.random.default_rng(3)
            x = (np.exp(random.normal(size=200_000) * 5) * random.choice([-1, 1, 1], 200_000)).astype(dtype)
            z = (random.normal(size=200_000) * 10.0 ** random.integers(-2, 3, 200_000)).astype(dtype)
            z = np.where(random.random(z.size) < 0.2, np.rint(z), z).astype(dtype)
            pairs = np.meshgrid(special, np.concatenate([special, np.arange(-5, 6).astype(dtype)]))
            x = np.concatenate([x, pairs[0].ravel()])
            z = np.concatenate([z, pairs[1].ravel()])
            with np.errstate(all="ignore"):
                want = _REFERENCES[name](x.astype(wide), z.astype(wide))
                limit = 2.0 if dtype == np.float32 else 4.0
                self._check(name, limit, _library(isa)(name, x, z), want, x, z)

    @parameterized.parameters(isa for isa in _ISAS if _runs_here(isa))
    def test_exp_of_a_difference(self, isa: str) -> None:
        """Off by 2.3 ulp and what rounding the operand once more costs; infinities and NaNs as ever."""
        x = _floats(2053)
        x = np.concatenate([x[~(x > 0)], np.linspace(-104, 0, 100_001, dtype=np.float32)])
        got = _library(isa)("exp_difference", x, lanes=True)
        with np.errstate(all="ignore"):
            want = np.exp(x.astype(np.float64))
            more = np.where(want > 0, 1.3 * np.abs(x), 0)
        errors = _ulps(got, want) - more
        worst = int(np.argmax(errors))
        self.assertLessEqual(errors[worst], 2.3, f"{x[worst]!r}: got {got[worst]!r}, want {want[worst]!r}")
        special = _library(isa)("exp_difference", np.array([0, -np.inf, -3e38, np.nan], np.float32), lanes=True)
        np.testing.assert_array_equal(special, np.array([1, 0, 0, np.nan], np.float32))

    @parameterized.parameters(isa for isa in _ISAS if _runs_here(isa))
    def test_activations(self, isa: str) -> None:
        """Compositions, whose cancellation makes absolute error the measure."""
        for dtype, tolerance in ((np.float32, 3e-7), (np.float64, 1e-15)):
            x = np.linspace(-12, 12, 24_001).astype(dtype)
            wide = x.astype(np.float64)
            relu6 = np.clip(wide + 3, 0, 6)
            wants = {
                "gelu_erf": 0.5 * wide * (1 + _erf(wide / math.sqrt(2))),
                "gelu_tanh": 0.5 * wide * (1 + np.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3))),
                "swish": wide * _sigmoid(wide),
                "hard_swish": wide * relu6 / 6,
                "hard_sigmoid": relu6 / 6,
            }
            for name, want in wants.items():
                for lanes in (False, True) if dtype == np.float32 else (False,):
                    got = _library(isa)(name, x, lanes=lanes)
                    np.testing.assert_allclose(got, want, rtol=4 * np.finfo(dtype).eps, atol=tolerance, err_msg=name)
        special = np.array([np.inf, -np.inf, np.nan, 0, -0.0, 3e38, -3e38, 1e-40], np.float32)
        for lanes in (False, True):
            got = _library(isa)("gelu_erf", special, lanes=lanes)
            np.testing.assert_array_equal(got, np.array([np.inf, np.nan, np.nan, 0, 0, 3e38, 0, 5e-41], np.float32))

    @parameterized.parameters(("v3", "ymm"), ("v4", "zmm"))
    def test_vectorizes_and_needs_no_library(self, isa: str, register: str) -> None:
        path = str(_library(isa).path) if _runs_here(isa) else str(_Library(isa).path)
        undefined = subprocess.run(["nm", "-u", path], capture_output=True, text=True, check=True).stdout
        self.assertEqual(undefined.split(), [])
        text = subprocess.run(
            ["objdump", "-d", "--no-show-raw-insn", path], capture_output=True, text=True, check=True
        ).stdout
        bodies = dict(re.findall(r"<(\w+)>:\n((?:.+\n)+)", text))
        scalar = [n for n in _VECTORIZED if not re.search(rf"v(mul|fn?m(add|sub)\w*)p[sd].*{register}", bodies[n])]
        self.assertEqual(scalar, [])


if __name__ == "__main__":
    absltest.main()
