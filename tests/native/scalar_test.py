"""Every scalar function of the IR, compiled for every element type it takes, against its NumPy reference."""

from __future__ import annotations

import ctypes
import functools
import pathlib
import subprocess
import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized

from tf_blade import dtypes
from tf_blade.backends.disc.ir.scalar import FNS, ScalarFn
from tf_blade.dtypes import DType

Array = npt.NDArray[Any]

_HEADERS = pathlib.Path(__file__).resolve().parents[2] / "custom_ops" / "disc" / "cpu"
_CTYPES = {
    DType.FLOAT: "float",
    DType.DOUBLE: "double",
    DType.HALF: "f16_t",
    DType.BFLOAT16: "bf16_t",
    DType.BOOL: "bool",
    **{DType[f"{sign.upper()}INT{bits}"]: f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
_EPSILON = {DType.FLOAT: 2.0**-23, DType.DOUBLE: 2.0**-52, DType.HALF: 2.0**-10, DType.BFLOAT16: 2.0**-7}
# Compositions whose intermediate results cancel: their error is absolute.
_CANCELS = {"gelu_erf", "gelu_tanh", "squared_difference", "softplus"}
_HALVES = (DType.HALF, DType.BFLOAT16)


def _targets(fn: ScalarFn, dtype: DType) -> list[DType]:
    """The result types to try: for convert all, for bitcast those of the size."""
    if fn.name == "bitcast":
        return [item for item in sorted(dtypes.NUMERIC) if item.size == dtype.size] if dtype != DType.BOOL else []
    if fn.result == "attr":
        return sorted(dtypes.ALL)
    return [fn.result if isinstance(fn.result, DType) else dtype]


def _symbol(name: str, dtype: DType, target: DType) -> str:
    return f"{name}_{dtype.name}_{target.name}"


def _function(fn: ScalarFn, dtype: DType, target: DType) -> str:
    """A loop over arrays: operands, result, count, error flag."""
    kinds = [_CTYPES[dtype]] * fn.arity
    if fn.name == "select":
        kinds[0] = "bool"
    parameters = [f"const {kind}* a{i}" for i, kind in enumerate(kinds)]
    arguments = [f"load(a{i} + i)" for i in range(fn.arity)] + (["error"] if fn.may_fail else [])
    template = f"<{_CTYPES[target]}>" if fn.result == "attr" else ""
    return (
        f'extern "C" void {_symbol(fn.name, dtype, target)}({", ".join(parameters)}, {_CTYPES[target]}* y, long n, '
        f"[[maybe_unused]] int32_t* error) {{ for (long i = 0; i < n; ++i) "
        f"y[i] = fn_{fn.name}{template}({', '.join(arguments)}); }}"
    )


@functools.lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    """All functions, for the oldest instruction set that generated code is for."""
    lines = ['#include "scalar.h"', "using namespace blade;"]
    lines += [_function(fn, t, to) for fn in FNS.values() for t in sorted(fn.dtypes) for to in _targets(fn, t)]
    with tempfile.TemporaryDirectory() as folder:
        source, path = pathlib.Path(folder, "scalar.cc"), pathlib.Path(folder, "scalar.so")
        source.write_text("\n".join(lines) + "\n")
        flags = ["-std=c++17", "-O1", "-march=x86-64-v3", "-fno-exceptions", "-fno-rtti", "-fno-math-errno"]
        flags += ["-fno-trapping-math", "-Wall", "-Wextra", "-fPIC", "-shared", "-nostdlib", f"-I{_HEADERS}"]
        done = subprocess.run(
            ["g++", *flags, str(source), "-o", str(path)], capture_output=True, text=True, check=False
        )
        if done.returncode or done.stderr:
            raise AssertionError(done.stderr)
        return ctypes.CDLL(str(path))


def _call(fn: ScalarFn, dtype: DType, target: DType, operands: list[Array]) -> tuple[Array, int]:
    """The result, and the error flag."""
    result = np.empty(operands[-1].shape, target.numpy)
    error = ctypes.c_int32(0)
    pointers = [ctypes.c_void_p(item.ctypes.data) for item in (*operands, result)]
    getattr(_library(), _symbol(fn.name, dtype, target))(*pointers, ctypes.c_long(result.size), ctypes.byref(error))
    return result, error.value


def _values(dtype: DType) -> Array:
    if dtype == DType.BOOL:
        return np.array([False, True])
    if dtype.is_integer:
        info = np.iinfo(dtype.numpy)
        exact = [0, 1, 2, 3, 5, 6, 7, 8, 31, 100, info.max, info.max - 1, info.min, info.min + 1]
        return np.array(exact if info.min == 0 else [*exact, -1, -2, -3, -7, -100], dtype.numpy)
    random = np.random.default_rng(11)
    fixed = [
        np.nan,
        np.inf,
        -np.inf,
        0.0,
        -0.0,
        1,
        -1,
        0.5,
        -0.5,
        1.5,
        2.5,
        -2.5,
        3,
        6,
        7.25,
        -7.25,
        1e-3,
        100,
        -100,
        1e4,
    ]
    wild = [6e4, -6e4, 1e9, 3e9, -3e9, 5e18, 1e19, -1e19, 2.0**31, -(2.0**31), 2.0**63, 2.0**-14, 2.0**-24, 3e-5]
    normal = random.normal(size=60) * 10.0 ** random.integers(-2, 2, 60)
    with np.errstate(over="ignore"):
        return np.concatenate([fixed, wild, normal]).astype(np.float32).astype(dtype.numpy)


def _operands(fn: ScalarFn, dtype: DType) -> list[Array]:
    """All combinations of interesting values."""
    values = _values(dtype)
    if fn.arity == 1:
        return [values]
    a, b = (item.ravel() for item in np.meshgrid(values, values))
    if fn.name == "int_pow":
        keep = b >= 0
        return [a[keep], np.minimum(b[keep], 9).astype(b.dtype)]
    if fn.may_fail and dtype.is_integer:
        keep = b != 0
        a, b = a[keep], b[keep]
    if fn.name == "fma":
        a, b, c = (item.ravel() for item in np.meshgrid(values, values, values))
        with np.errstate(all="ignore"):
            return [a, b, np.where(np.arange(c.size) % 2 == 0, c, -a * b)]  # or what rounding left of a product
    return [a, b] if fn.arity == 2 else [np.arange(a.size) % 3 == 0, a, b]


def _reference(fn: ScalarFn, dtype: DType, target: DType, operands: list[Array]) -> Array:
    extra = (target,) if fn.result == "attr" else ()
    if dtype in _HALVES and fn.result == "same" and fn.name != "select":
        wide = fn.reference(*(item.astype(np.float32) for item in operands))
        with np.errstate(over="ignore"):
            return np.asarray(wide).astype(dtype.numpy)
    with np.errstate(all="ignore"):
        return np.asarray(fn.reference(*operands, *extra)).astype(target.numpy, copy=False)


def _pairs() -> list[tuple[str, str, DType]]:
    return [(f"{fn.name}_{dtype.name}", fn.name, dtype) for fn in FNS.values() for dtype in sorted(fn.dtypes)]


class ScalarTest(parameterized.TestCase):
    @parameterized.named_parameters(_pairs())
    def test_reference(self, name: str, dtype: DType) -> None:
        fn = FNS[name]
        operands = [np.ascontiguousarray(item) for item in _operands(fn, dtype)]
        for target in _targets(fn, dtype):
            got, error = _call(fn, dtype, target, operands)
            want = _reference(fn, dtype, target, operands)
            self.assertEqual(error, 0)
            self.assertEqual(got.dtype, want.dtype)
            if target not in _EPSILON or name == "bitcast":
                np.testing.assert_array_equal(got.view(np.uint8), want.view(np.uint8), err_msg=f"{operands} {target}")
            else:
                self._check_floats(fn, target, got, want, operands)

    def _check_floats(self, fn: ScalarFn, dtype: DType, got: Array, want: Array, operands: list[Array]) -> None:
        a, b = got.astype(np.float64), want.astype(np.float64)
        epsilon = _EPSILON[dtype]
        tiny = float(np.finfo(np.float32).tiny) if dtype != DType.DOUBLE else 0.0
        absolute = 4 * epsilon if fn.name in _CANCELS else tiny
        close = (a == b) | (np.isnan(a) & np.isnan(b))
        with np.errstate(invalid="ignore"):
            close |= np.abs(a - b) <= 5 * epsilon * np.abs(b) + absolute
        # The largest number and infinity are neighbours.
        top = float(np.finfo(np.float32).max) if dtype in (DType.FLOAT, DType.BFLOAT16) else np.inf
        close |= (np.isinf(a) | np.isinf(b)) & (np.abs(a) >= 0.99 * top) & (np.abs(b) >= 0.99 * top)
        at = np.flatnonzero(~close)[:5]
        found = [([float(item[i]) for item in operands], a[i], b[i]) for i in at]
        self.assertEqual(found, [], f"{fn.name} {dtype.name}: (operands, result, reference)")

    @parameterized.parameters("floor_div", "floor_mod", "truncate_div", "truncate_mod")
    def test_division_by_zero_is_reported(self, name: str) -> None:
        for dtype in sorted(dtypes.INTEGERS):
            operands = [np.array([5, 7, 0, 9], dtype.numpy), np.array([1, 0, 0, 2], dtype.numpy)]
            got, error = _call(FNS[name], dtype, dtype, operands)
            self.assertEqual(error, 1)
            np.testing.assert_array_equal(got[1:3], 0)
            np.testing.assert_array_equal(got[3], 4 if name.endswith("div") else 1)

    def test_lowest_by_minus_one_does_not_trap(self) -> None:
        for dtype in sorted(dtypes.SIGNED_INTEGERS):
            lowest = np.iinfo(dtype.numpy).min
            operands = [np.full(3, lowest, dtype.numpy), np.full(3, -1, dtype.numpy)]
            for name, want in (("floor_div", lowest), ("truncate_div", lowest), ("floor_mod", 0), ("truncate_mod", 0)):
                got, error = _call(FNS[name], dtype, dtype, operands)
                np.testing.assert_array_equal(got, want, err_msg=name)
                self.assertEqual(error, 0)

    def test_every_half_to_float_and_back(self) -> None:
        bits = np.arange(2**16, dtype=np.uint16)
        for dtype in _HALVES:
            halves = bits.view(dtype.numpy)
            wide, _ = _call(FNS["convert"], dtype, DType.FLOAT, [halves])
            np.testing.assert_array_equal(wide, halves.astype(np.float32))
            # Between two halves: ties, and what is just beside them.
            finite = wide[np.isfinite(wide)]
            middles = (finite[:-1].astype(np.float64) + finite[1:].astype(np.float64)) / 2
            values = np.concatenate([finite, middles.astype(np.float32)])
            values = np.concatenate(
                [values, np.nextafter(values, np.float32(9e9)), np.nextafter(values, np.float32(-9e9))]
            )
            back, _ = _call(FNS["convert"], DType.FLOAT, dtype, [values])
            with np.errstate(over="ignore"):
                np.testing.assert_array_equal(back.astype(np.float32), values.astype(dtype.numpy).astype(np.float32))


if __name__ == "__main__":
    absltest.main()
