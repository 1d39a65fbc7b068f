"""The measure of difference: what counts as equal, what as infinitely wrong."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
from absl.testing import absltest, parameterized

from tf_blade.compare import relative_error, tolerance

_INF, _NAN = math.inf, math.nan


def _f(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


class CompareTest(parameterized.TestCase):
    @parameterized.parameters(
        (_f(1, -4), _f(1, -4), 0.0),
        (_f(1, -4), _f(1.5, -4), 0.125),
        (_f(0, 0), _f(0, 0.25), 0.25),
        (_f(), _f(), 0.0),
        (_f(_NAN, _INF, -_INF, 2), _f(_NAN, _INF, -_INF, 1), 0.5),
        (_f(_NAN, _NAN), _f(_NAN, _NAN), 0.0),
        (_f(_NAN, 1), _f(0, 1), _INF),
        (_f(0, 1), _f(_NAN, 1), _INF),
        (_f(_INF, 1), _f(-_INF, 1), _INF),
        (_f(1e30, 1), _f(_INF, 1), _INF),
        (_f(1), _f(1).astype(np.float64), _INF),
        (_f(1), _f(1).reshape(1, 1), _INF),
        (np.array([1, 2]), np.array([1, 2]), 0.0),
        (np.array([1, 2]), np.array([1, 3]), _INF),
        (np.array([True]), np.array([False]), _INF),
        (np.array([b"a", b""], object), np.array([b"a", b""], object), 0.0),
        (np.array([b"a", b""], object), np.array([b"a", b"b"], object), _INF),
        (np.array([1 + 2j]), np.array([1 + 2j]), 0.0),
        (np.array([3 + 4j]), np.array([3 + 3.5j]), 0.1),
        (np.array([1, 2], ml_dtypes.bfloat16), np.array([1, 1.5], ml_dtypes.bfloat16), 0.25),
        (np.array([2], np.float16), np.array([1], np.float16), 0.5),
    )
    def test_error(self, expected: Any, found: Any, error: float) -> None:
        self.assertEqual(relative_error(expected, found), error)

    def test_tolerance(self) -> None:
        self.assertEqual(tolerance(_f(1), 1e-4), 1e-4)
        self.assertEqual(tolerance(np.zeros(1, np.float64), 1e-9), 1e-9)
        self.assertGreater(tolerance(np.zeros(1, ml_dtypes.bfloat16), 1e-4), 1 / 256)
        self.assertGreater(tolerance(np.zeros(1, np.float16), 1e-4), 1 / 2048)
        self.assertEqual(tolerance(np.zeros(1, np.float16), 0.5), 0.5)
        self.assertEqual(tolerance(np.zeros(1, np.int32), 0.5), 0.0)


if __name__ == "__main__":
    absltest.main()
