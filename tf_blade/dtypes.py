"""Element types, named and numbered as in TensorFlow, without importing TensorFlow."""

from __future__ import annotations

import enum

import ml_dtypes
import numpy as np


class DType(enum.IntEnum):
    """TensorFlow's DataType enum (tensorflow/core/framework/types.proto). Reference types are not supported."""

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
    INT4 = 29
    UINT4 = 30

    @property
    def numpy(self) -> np.dtype:
        """The NumPy dtype of the same layout. KeyError for types that have none (string, resource, variant, q*)."""
        return _TO_NUMPY[self]

    @property
    def size(self) -> int:
        """Bytes of one element."""
        return int(self.numpy.itemsize)

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
