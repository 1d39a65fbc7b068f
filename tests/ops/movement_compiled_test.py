from __future__ import annotations

from absl.testing import absltest, parameterized

from tests.ops import compiled, harness, joined
from tests.ops.cases_movement import CASES

# Rows that read or write out of range: the call is an error, which the fallback reports.
ERRORS = tuple(
    case
    for case in CASES
    if case.name.endswith(("_range", "_negative")) and ("Gather" in case.name or "Scatter" in case.name)
)


class MovementCompiledTest(parameterized.TestCase):
    @parameterized.named_parameters(joined.chunks(CASES, 50))
    def test_against_tensorflow(self, *cases: harness.OpCase) -> None:
        joined.check(self, cases)

    @parameterized.named_parameters((case.name, case) for case in ERRORS)
    def test_out_of_range(self, case: harness.OpCase) -> None:
        compiled.check_alone(self, case)


if __name__ == "__main__":
    absltest.main()
