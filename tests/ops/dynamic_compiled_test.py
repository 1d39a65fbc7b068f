from __future__ import annotations

from absl.testing import absltest, parameterized

from tests.ops import compiled, harness, joined
from tests.ops.cases_dynamic import CASES, COMPILED

# Rows whose calls are errors, or TensorFlow's, at some sizes.
ALONE = (
    "Where_guard",
    "NonMaxSuppressionV3_threshold",
    "NonMaxSuppressionV3_negative_size",
    "SegmentSum_order",
    "SparseSegmentSum_range",
    "DynamicPartition_range",
    "DynamicStitch_negative",
    "RaggedRange_zero",
    "RaggedGather_range",
    "SparseFillEmptyRows_range",
    "SparseReshape_wrong",
    "Fill_found_negative",
    "Range_found_large",
    "Reshape_found_other",
    "StridedSlice_found_row",
)


class DynamicCompiledTest(parameterized.TestCase):
    @parameterized.named_parameters(joined.chunks([*CASES, *COMPILED], 50))
    def test_against_tensorflow(self, *cases: harness.OpCase) -> None:
        joined.check(self, cases)

    @parameterized.named_parameters((case.name, case) for case in CASES if case.name in ALONE)
    def test_errors_and_guards(self, case: harness.OpCase) -> None:
        compiled.check_alone(self, case)


if __name__ == "__main__":
    absltest.main()
