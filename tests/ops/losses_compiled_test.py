from __future__ import annotations

from absl.testing import absltest, parameterized

from tests.ops import harness, joined
from tests.ops.cases_losses import CASES


class LossesCompiledTest(parameterized.TestCase):
    @parameterized.named_parameters(joined.chunks(CASES, 60))
    def test_against_tensorflow(self, *cases: harness.OpCase) -> None:
        joined.check(self, cases)


if __name__ == "__main__":
    absltest.main()
