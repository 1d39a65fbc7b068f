from __future__ import annotations

from absl.testing import absltest, parameterized

from tests.ops import compiled, harness
from tests.ops.cases_elementwise import CASES

ALONE = tuple(
    case for case in CASES if "by_zero" in case.name or case.name == "AddN_unknown" or case.may_guard is not None
)
BATCHES = tuple(compiled.batches(CASES, 60, alone=[case.name for case in ALONE]))
SIZES = ({"n": 5, "m": 3}, {"n": 1, "m": 1}, {"n": 0, "m": 2}, {"n": 2, "m": 0}, {"n": 40, "m": 70})


class ElementwiseCompiledTest(parameterized.TestCase):
    @parameterized.named_parameters((batch.name, batch) for batch in BATCHES)
    def test_against_tensorflow(self, batch: compiled.Batch) -> None:
        compiled.check_batch(self, batch, SIZES)

    @parameterized.named_parameters((case.name, case) for case in ALONE)
    def test_alone(self, case: harness.OpCase) -> None:
        compiled.check_alone(self, case)


if __name__ == "__main__":
    absltest.main()
