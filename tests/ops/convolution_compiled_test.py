from __future__ import annotations

from absl.testing import absltest, parameterized

from tests.ops import harness, joined
from tests.ops.cases_convolution import CASES


class ConvolutionCompiledTest(parameterized.TestCase):
    @parameterized.named_parameters(joined.chunks(CASES, 50))
    def test_against_tensorflow(self, *cases: harness.OpCase) -> None:
        for isa in joined.runnable():
            joined.check(self, cases, isa=isa)


if __name__ == "__main__":
    absltest.main()
