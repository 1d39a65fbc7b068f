"""How far one array is off another."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np

from tf_blade.errors import InvalidInputError

# Float types of half width: a few units in the last place.
_PRECISION = {"float16": 4e-3, "bfloat16": 3e-2}


def check_rtol(rtol: Any) -> None:
    """Refuses a tolerance with which nothing or everything would be wrong.

    Raises:
        InvalidInputError: it is none.
    """
    if not isinstance(rtol, Real) or not 0.0 <= float(rtol) < math.inf:
        raise InvalidInputError(f"rtol (--rtol) is {rtol!r}; give a finite number, 0 or larger")


def relative_error(expected: np.ndarray, found: np.ndarray) -> float:
    """Largest |expected - found| over the largest finite |expected|.

    Infinite where they differ in kind: shapes, element types, where NaNs and infinities are, or any difference between
    values that are no floats.
    """
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return math.inf
    if not is_float(expected):
        return 0.0 if np.array_equal(expected, found) else math.inf
    if expected.dtype.kind == "c":
        a, b = expected.astype(np.complex128), found.astype(np.complex128)
    else:
        a, b = expected.astype(np.float64), found.astype(np.float64)
    finite = np.isfinite(a)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.all(np.isfinite(b[finite])):
        return math.inf
    if not np.any(finite):
        return 0.0
    difference = float(np.max(np.abs(a[finite] - b[finite])))
    scale = float(np.max(np.abs(a[finite])))
    return difference / scale if scale > 0 else difference


def is_float(array: np.ndarray) -> bool:
    """Whether an array holds floating point or complex numbers; NumPy sees bfloat16 as a void type."""
    return array.dtype.kind in "fc" or array.dtype.name.startswith(("bfloat16", "float8"))


def tolerance(expected: np.ndarray, rtol: float) -> float:
    """The relative error that an output of this type may have."""
    return max(rtol, _PRECISION.get(expected.dtype.name, 0.0)) if is_float(expected) else 0.0
