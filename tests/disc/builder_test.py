"""What building IR knows of the content of small integer tensors."""

from __future__ import annotations

import numpy as np
from absl.testing import absltest, parameterized

from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported
from tf_blade.symbolic import symbol


class ContentTest(parameterized.TestCase):
    @parameterized.parameters((2**30, 4, DType.INT32, None), (2**30, 4, DType.INT64, 2**32), (-5, 7, DType.INT32, -35))
    def test_what_wraps_around_is_unknown(self, a: int, c: int, dtype: DType, expected: int | None) -> None:
        b = Builder()
        product = b.elementwise("mul", b.scalar(a, dtype), b.scalar(c, dtype))
        self.assertEqual(expected, None if product.sym is None else product.sym.item())

    def test_a_size_beyond_the_type_is_refused(self) -> None:
        with self.assertRaisesRegex(Unsupported, "beyond the range of int32"):
            Builder().dims(np.array([3 * 10**9], dtype=object), DType.INT32)
        self.assertEqual(Builder().dims(np.array([3 * 10**9], dtype=object), DType.INT64).kind, "constant")
        self.assertEqual(Builder().dims(np.array([symbol("s")], dtype=object), DType.INT32).kind, "dims")


if __name__ == "__main__":
    absltest.main()
