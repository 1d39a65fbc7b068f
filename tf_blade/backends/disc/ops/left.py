"""Ops that are left to TensorFlow, and why: what the report says of them, and docs/op_support.md lists."""

from __future__ import annotations

REASONS: dict[str, str] = {
    "a Fourier transform, for which there is no kernel": """
        FFT FFT2D FFT3D IFFT IFFT2D IFFT3D RFFT RFFT2D RFFT3D IRFFT IRFFT2D IRFFT3D BatchFFT AudioSpectrogram Mfcc
    """,
    "complex numbers are no type of DISC": """
        Complex ComplexAbs Real Imag Conj Angle
    """,
    "linear algebra that factors or inverts matrices: its results depend on the library's pivots": """
        MatrixInverse BatchMatrixInverse MatrixDeterminant LogMatrixDeterminant MatrixSolve MatrixSolveLs
        MatrixTriangularSolve Cholesky BatchCholesky Qr Svd BatchSvd SelfAdjointEigV2 Eig Lu MatrixExponential
        MatrixLogarithm MatrixSquareRoot TridiagonalSolve BandedTriangularSolve
    """,
    "random numbers: the generator's state and sequence are TensorFlow's": """
        RandomUniform RandomStandardNormal TruncatedNormal RandomUniformInt RandomShuffle Multinomial RandomGamma
        RandomPoissonV2 ParameterizedTruncatedNormal StatelessRandomUniform StatelessRandomUniformV2
        StatelessRandomNormal StatelessRandomNormalV2 StatelessTruncatedNormal StatelessMultinomial
        StatefulUniform StatefulStandardNormalV2 SampleDistortedBoundingBox FractionalMaxPool FractionalAvgPool
    """,
    "strings are no type of DISC": """
        AsString StringJoin StringSplit StringSplitV2 StringLength StringLower StringUpper StringStrip StringToNumber
        StringToHashBucket StringToHashBucketFast StringToHashBucketStrong Substr RegexReplace RegexFullMatch
        StaticRegexReplace StaticRegexFullMatch StringFormat EncodeBase64 DecodeBase64 UnicodeDecode UnicodeEncode
        UnicodeTranscode StringNGrams ReduceJoin DecodeRaw
    """,
    "tables live in TensorFlow's resources": """
        HashTableV2 MutableHashTableV2 MutableDenseHashTableV2 LookupTableFindV2 LookupTableInsertV2
        LookupTableImportV2 LookupTableExportV2 LookupTableSizeV2 InitializeTableFromTextFileV2
    """,
    "reads or writes what lies outside of the graph, or parses its formats": """
        ReadFile WriteFile DecodeJpeg DecodePng DecodeImage DecodeBmp DecodeGif DecodeAndCropJpeg EncodeJpeg EncodePng
        DecodeWav EncodeWav ParseExample ParseExampleV2 ParseSingleExample ParseTensor DecodeCSV DecodeProtoV2
        SaveV2 RestoreV2 MergeV2Checkpoints PrintV2 PyFunc EagerPyFunc
    """,
    "changes state, which an engine must not: it may have to be run again by TensorFlow": """
        AssignVariableOp AssignAddVariableOp AssignSubVariableOp ResourceScatterUpdate ResourceScatterAdd
        ResourceStridedSliceAssign Assign AssignAdd AssignSub ScatterUpdate ScatterAdd ScatterNdUpdate
        QueueEnqueueV2 QueueDequeueV2 StackPushV2 StackPopV2
    """,
    "quantized types are no types of DISC": """
        QuantizeV2 Dequantize QuantizedMatMul QuantizedConv2D QuantizedRelu QuantizedMaxPool QuantizedAvgPool
        QuantizedConcat Requantize RequantizationRange
    """,
    "reports what it finds by an error or a message of its own": """
        Assert CheckNumerics CheckNumericsV2 Print
    """,
    "no formula of the accuracy that TensorFlow's has": """
        Betainc Igamma Igammac IgammaGradA Polygamma Zeta BesselI0 BesselI1 BesselI0e BesselI1e BesselJ0 BesselK0
    """,
    "a gradient that training needs and serving does not": """
        Conv2DBackpropFilter DepthwiseConv2dNativeBackpropFilter FusedBatchNormGradV3 MaxPoolGrad AvgPoolGrad LRNGrad
        ResizeBilinearGrad ResizeBicubicGrad ResizeNearestNeighborGrad MirrorPadGrad Dilation2DBackpropInput
    """,
    "writes into its input's memory": """
        InplaceUpdate InplaceAdd InplaceSub
    """,
    "TensorFlow's result for NaNs and ties depends on the order it reads a window in": """
        MaxPoolWithArgmax
    """,
}

LEFT: dict[str, str] = {name: reason for reason, names in REASONS.items() for name in names.split()}
