"""Element types, named and numbered as in TensorFlow, without importing TensorFlow."""

from __future__ import annotations

import enum

import ml_dtypes
import numpy as np


class DType(enum.IntEnum):
    """TensorFlow's DataType enum (tensorflow/core/framework/types.proto).

    `INVALID` is the unset attribute. Reference types (TF1's variables) are here so that graphs which hold them can be
    read and written back; nothing computes with them.
    """

    INVALID = 0
    FLOAT = 1
    DOUBLE = 2
    INT32 = 3
    UINT8 = 4
    INT16 = 5
    INT8 = 6
    STRING = 7
    COMPLEX64 = 8
    INT64 = 9
    BOOL = 10
    QINT8 = 11
    QUINT8 = 12
    QINT32 = 13
    BFLOAT16 = 14
    QINT16 = 15
    QUINT16 = 16
    UINT16 = 17
    COMPLEX128 = 18
    HALF = 19
    RESOURCE = 20
    VARIANT = 21
    UINT32 = 22
    UINT64 = 23
    FLOAT8_E5M2 = 24
    FLOAT8_E4M3FN = 25
    FLOAT8_E4M3FNUZ = 26
    FLOAT8_E4M3B11FNUZ = 27
    FLOAT8_E5M2FNUZ = 28
    INT4 = 29
    UINT4 = 30
    INT2 = 31
    UINT2 = 32
    FLOAT4_E2M1FN = 33
    FLOAT_REF = 101
    DOUBLE_REF = 102
    INT32_REF = 103
    UINT8_REF = 104
    INT16_REF = 105
    INT8_REF = 106
    STRING_REF = 107
    COMPLEX64_REF = 108
    INT64_REF = 109
    BOOL_REF = 110
    QINT8_REF = 111
    QUINT8_REF = 112
    QINT32_REF = 113
    BFLOAT16_REF = 114
    QINT16_REF = 115
    QUINT16_REF = 116
    UINT16_REF = 117
    COMPLEX128_REF = 118
    HALF_REF = 119
    RESOURCE_REF = 120
    VARIANT_REF = 121
    UINT32_REF = 122
    UINT64_REF = 123
    FLOAT8_E5M2_REF = 124
    FLOAT8_E4M3FN_REF = 125
    FLOAT8_E4M3FNUZ_REF = 126
    FLOAT8_E4M3B11FNUZ_REF = 127
    FLOAT8_E5M2FNUZ_REF = 128
    INT4_REF = 129
    UINT4_REF = 130
    INT2_REF = 131
    UINT2_REF = 132
    FLOAT4_E2M1FN_REF = 133

    @property
    def numpy(self) -> np.dtype:
        """The NumPy dtype of the same layout. KeyError for types that have none (string, resource, variant, q*)."""
        return _TO_NUMPY[self]

    @property
    def size(self) -> int:
        """Bytes of one element."""
        return int(self.numpy.itemsize)

    def __repr__(self) -> str:
        """As messages spell it: shapes and types that are printed as a whole are meant for people."""
        return self.name.lower()

    @property
    def is_ref(self) -> bool:
        """Whether it is a reference to a TF1 variable."""
        return self >= DType.FLOAT_REF

    @property
    def referred(self) -> DType:
        """The type that a reference type refers to; any other type itself."""
        return DType(self - 100) if self.is_ref else self

    @property
    def is_float(self) -> bool:
        return self in FLOATS

    @property
    def is_integer(self) -> bool:
        return self in INTEGERS


_TO_NUMPY: dict[DType, np.dtype] = {
    DType.FLOAT: np.dtype(np.float32),
    DType.DOUBLE: np.dtype(np.float64),
    DType.INT32: np.dtype(np.int32),
    DType.UINT8: np.dtype(np.uint8),
    DType.INT16: np.dtype(np.int16),
    DType.INT8: np.dtype(np.int8),
    DType.INT64: np.dtype(np.int64),
    DType.BOOL: np.dtype(np.bool_),
    DType.BFLOAT16: np.dtype(ml_dtypes.bfloat16),
    DType.UINT16: np.dtype(np.uint16),
    DType.HALF: np.dtype(np.float16),
    DType.UINT32: np.dtype(np.uint32),
    DType.UINT64: np.dtype(np.uint64),
    DType.COMPLEX64: np.dtype(np.complex64),
    DType.COMPLEX128: np.dtype(np.complex128),
}
_FROM_NUMPY: dict[np.dtype, DType] = {dtype: key for key, dtype in _TO_NUMPY.items()}

FLOATS = frozenset({DType.FLOAT, DType.DOUBLE, DType.HALF, DType.BFLOAT16})
SIGNED_INTEGERS = frozenset({DType.INT8, DType.INT16, DType.INT32, DType.INT64})
UNSIGNED_INTEGERS = frozenset({DType.UINT8, DType.UINT16, DType.UINT32, DType.UINT64})
INTEGERS = SIGNED_INTEGERS | UNSIGNED_INTEGERS
NUMERIC = FLOATS | INTEGERS
ALL = NUMERIC | {DType.BOOL}


def from_numpy(dtype: np.dtype | type) -> DType:
    """The DType of a NumPy dtype.

    Raises:
        KeyError: there is none.
    """
    return _FROM_NUMPY[np.dtype(dtype)]
