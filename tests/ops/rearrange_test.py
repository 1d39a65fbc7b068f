from __future__ import annotations

from absl.testing import absltest, parameterized

from tests.ops import harness
from tests.ops.cases_rearrange import CASES


class RearrangeTest(parameterized.TestCase):
    @parameterized.named_parameters((case.name, case) for case in CASES)
    def test_reference(self, case: harness.OpCase) -> None:
        harness.check(self, case)


if __name__ == "__main__":
    absltest.main()
