"""Index arithmetic: what divides what, with dimensions that are known only at run time."""

from __future__ import annotations

from absl.testing import absltest, parameterized

from tf_blade import symbolic
from tf_blade.backends.disc.codegen.affine import Atom, Lin, exact_quotient, split
from tf_blade.symbolic import Dim, symbol

N = symbol("n")
HALF = symbolic.floordiv(N + 3, 2)


class AffineTest(parameterized.TestCase):
    @parameterized.parameters(
        (12, 4, 3),
        (12, 5, None),
        (12, 0, None),
        (8 * N, 4, 2 * N),
        (6 * N, 4, None),
        (256 * HALF + 512, 128, 2 * HALF + 4),
        (256 * HALF + 1, 128, None),
        (N * HALF, HALF, N),
        (N, N, 1),
    )
    def test_exact_quotient(self, a: Dim, b: Dim, expected: Dim | None) -> None:
        found = exact_quotient(a, b)
        if expected is None:
            self.assertIsNone(found)
        else:
            assert found is not None
            self.assertTrue(symbolic.equal(found, expected), found)

    def test_rows_of_a_floored_size_split_without_division(self) -> None:
        outer, inner = Atom("i", N, 1), Atom("j", 128, 2)
        parts = split(Lin({outer: 256 * HALF, inner: 1}), 128)
        self.assertEqual(parts, (Lin({outer: 2 * HALF}), Lin({inner: 1})))


if __name__ == "__main__":
    absltest.main()
