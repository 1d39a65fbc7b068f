from __future__ import annotations

from absl.testing import absltest, parameterized

from tests.ops import harness, joined
from tests.ops.cases_gradients import CASES, DOMAINS

# The same code as that of float32, without casts.
AGAIN = frozenset(f"{name}_float64" for name in DOMAINS)
ROWS = [case for case in CASES if case.name not in AGAIN]


class GradientsCompiledTest(parameterized.TestCase):
    @parameterized.named_parameters(joined.chunks(ROWS, 60))
    def test_against_tensorflow(self, *cases: harness.OpCase) -> None:
        joined.check(self, cases)


if __name__ == "__main__":
    absltest.main()
