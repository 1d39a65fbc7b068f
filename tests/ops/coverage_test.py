"""Every op of the list has a rule and a row."""

from __future__ import annotations

import tensorflow as tf
from absl.testing import absltest, parameterized

from tests.ops import (
    cases_convolution,
    cases_dynamic,
    cases_elementwise,
    cases_gradients,
    cases_images,
    cases_losses,
    cases_matrix,
    cases_movement,
    cases_rearrange,
    cases_reductions,
    cases_sampling,
    cases_segments,
    cases_shape,
    cases_state,
)
from tests.ops.harness import OpCase, trace
from tf_blade.backends.disc import lower
from tf_blade.backends.disc.ops import control, lists
from tf_blade.backends.disc.ops.base import RULES
from tf_blade.errors import Unsupported

del lower  # imported for the rules

_NAMES = """
Abs Acos Asin Atan Atan2 Ceil Cos Cosh Elu Erf Erfc Exp Expm1 Floor IsFinite IsInf IsNan LeakyRelu Log Log1p LogicalAnd
LogicalNot LogicalOr Neg Reciprocal Relu Relu6 Rint Round Rsqrt Selu Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Square
Tan Tanh Add AddN AddV2 BiasAdd Div DivNoNan FloorDiv FloorMod Maximum Minimum Mod Mul MulNoNan Pow RealDiv
SquaredDifference Sub TruncateDiv Xdivy Xlogy Equal NotEqual Less LessEqual Greater GreaterEqual Select SelectV2
ClipByValue Cast Bitcast BitwiseAnd BitwiseOr BitwiseXor Invert LeftShift RightShift
Sum Mean Prod Max Min All Any ArgMax ArgMin Softmax LogSoftmax Cumsum TopKV2 L2Loss EuclideanNorm
MatMul BatchMatMul BatchMatMulV2 BatchMatMulV3 Einsum Conv2D DepthwiseConv2dNative Conv2DBackpropInput MaxPool AvgPool
FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 _FusedConv2D _FusedMatMul
Shape ShapeN Size Rank Reshape ExpandDims Squeeze Transpose Concat ConcatV2 Split SplitV Pack Unpack Slice StridedSlice
Pad PadV2 MirrorPad Tile BroadcastTo Fill ZerosLike OnesLike Range OneHot Gather GatherV2 GatherNd ScatterNd
TensorScatterUpdate Reverse ReverseV2 SpaceToDepth DepthToSpace SpaceToBatchND BatchToSpaceND MatrixBandPart
MatrixDiagPartV3 ResizeBilinear ResizeNearestNeighbor Identity IdentityN StopGradient PreventGradient Snapshot Const
ReadVariableOp ResourceGather
Where NonMaxSuppression NonMaxSuppressionV2 NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5
NonMaxSuppressionWithOverlaps CombinedNonMaxSuppression Unique UniqueV2 UniqueWithCounts UniqueWithCountsV2
SegmentSum SegmentMean SegmentProd SegmentMax SegmentMin SparseSegmentSum SparseSegmentMean SparseSegmentSqrtN
DynamicPartition DynamicStitch ParallelDynamicStitch RaggedRange RaggedTensorToTensor RaggedTensorToSparse RaggedGather
SparseFillEmptyRows SparseReshape
"""
OPS = tuple(_NAMES.split())
# A Placeholder is what feeds a graph: it arrives as an argument of the cluster, as every row's inputs do.

TABLES: tuple[OpCase, ...] = (
    *cases_convolution.CASES,
    *cases_dynamic.CASES,
    *cases_elementwise.CASES,
    *cases_gradients.CASES,
    *cases_images.CASES,
    *cases_losses.CASES,
    *cases_matrix.CASES,
    *cases_movement.CASES,
    *cases_rearrange.CASES,
    *cases_reductions.CASES,
    *cases_sampling.CASES,
    *cases_segments.CASES,
    *cases_shape.CASES,
    *cases_state.CASES,
)


class CoverageTest(parameterized.TestCase):
    @parameterized.parameters(*OPS)
    def test_rule_and_row(self, op: str) -> None:
        self.assertIn(op, RULES)
        named = [case for case in TABLES if case.name == op or case.name.startswith(f"{op}_")]
        rows = [case for case in named if not case.refusal]
        self.assertTrue(rows, f"no row for {op}")
        self.assertIn(op, {node.op for node in trace(rows[0])[1].nodes})

    def test_no_rule_without_a_row(self) -> None:
        """Rules of functions and lists, which take several ops to say anything, have cases in control_test.py."""
        names = {case.name for case in TABLES}
        elsewhere = (control.__name__, lists.__name__)
        rules = [op for op, rule in RULES.items() if rule.lower.__module__ not in elsewhere]
        rowless = [op for op in rules if not any(name == op or name.startswith(f"{op}_") for name in names)]
        self.assertSequenceEqual(rowless, [])

    def test_no_rule_refuses_with_a_reason(self) -> None:
        case = OpCase("Igamma", lambda x: tf.raw_ops.Igamma(a=x, x=x), cases_state.CASES[0].inputs)
        with self.assertRaisesRegex(Unsupported, "no rule for op Igamma"):
            trace(case)

    def test_names_are_unique(self) -> None:
        names = [case.name for case in TABLES]
        self.assertCountEqual(names, set(names))


if __name__ == "__main__":
    absltest.main()
