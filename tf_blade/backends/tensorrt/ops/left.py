"""Ops that are left to other backends, and why: what the report says of them."""

from __future__ import annotations

REASONS: dict[str, str] = {
    "TensorRT's layer takes boxes of equal scores in any order, 5000 at the most, and is made beside a GPU only": """
        CombinedNonMaxSuppression NonMaxSuppression NonMaxSuppressionV2 NonMaxSuppressionV3 NonMaxSuppressionV4
        NonMaxSuppressionV5 NonMaxSuppressionWithOverlaps
    """,
    "how much there is only the run finds: TensorRT-RTX has the layer for that in no plan": """
        Where Unique UniqueV2 UniqueWithCounts UniqueWithCountsV2 DynamicPartition RaggedRange RaggedGather
        RaggedTensorToSparse RaggedTensorToTensor SparseFillEmptyRows
    """,
    "layers know sums along an axis alone": """
        CumulativeLogsumexp
    """,
    "elements that meet at an index add up, and layers keep one of them": """
        SegmentSum SegmentMean SegmentProd SegmentMax SegmentMin UnsortedSegmentSum UnsortedSegmentProd
        UnsortedSegmentMax UnsortedSegmentMin SparseSegmentSum SparseSegmentMean SparseSegmentSqrtN
        SparseSegmentSumWithNumSegments SparseSegmentMeanWithNumSegments SparseSegmentSqrtNWithNumSegments
        TensorScatterAdd TensorScatterSub TensorScatterMax TensorScatterMin
    """,
    "layers compute with bools and numbers, not with bits": """
        BitwiseAnd BitwiseOr BitwiseXor Invert LeftShift RightShift Bitcast PopulationCount
    """,
    "plans have no quantized inputs and outputs: int8 is made of ops that quantize and dequantize in one": """
        QuantizeV2 Dequantize QuantizedMatMul QuantizedConv2D QuantizedRelu QuantizedMaxPool QuantizedAvgPool
        QuantizedConcat Requantize RequantizationRange
    """,
    "TensorFlow's own optimizer makes it of ops that have rules, after a model is loaded": """
        _FusedConv2D _FusedMatMul
    """,
    "TensorFlow's weights of cubic pieces come from a table, and layers compute theirs": """
        ResizeBicubic
    """,
    "lists of tensors belong to loops, which an engine of another backend holds whole": """
        EmptyTensorList TensorListFromTensor TensorListReserve TensorListStack TensorListGetItem TensorListSetItem
        TensorListPushBack TensorListPopBack TensorListLength TensorListGather
    """,
    "layers crop no boxes that only the run knows": """
        CropAndResize
    """,
    "an engine of another backend holds whole loops and branches": """
        While StatelessWhile If StatelessIf Case StatelessCase
    """,
}

LEFT: dict[str, str] = {name: reason for reason, names in REASONS.items() for name in names.split()}
