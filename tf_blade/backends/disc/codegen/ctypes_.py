"""C++ spellings of element types and literals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tf_blade.dtypes import DType

_STORAGE: dict[DType, str] = {
    DType.FLOAT: "float",
    DType.DOUBLE: "double",
    DType.INT32: "int32_t",
    DType.UINT8: "uint8_t",
    DType.INT16: "int16_t",
    DType.INT8: "int8_t",
    DType.INT64: "int64_t",
    DType.BOOL: "uint8_t",
    DType.BFLOAT16: "bf16_t",
    DType.UINT16: "uint16_t",
    DType.HALF: "f16_t",
    DType.UINT32: "uint32_t",
    DType.UINT64: "uint64_t",
}
HALF_TYPES = (DType.HALF, DType.BFLOAT16)


def storage(dtype: DType) -> str:
    """The type of an element in memory."""
    return _STORAGE[dtype]


def register_type(dtype: DType) -> str:
    """The type an element is computed in: as in memory, but bool."""
    return "bool" if dtype == DType.BOOL else _STORAGE[dtype]


def _float_text(value: float, suffix: str) -> str:
    if math.isnan(value):
        return f'__builtin_nan{suffix}("")' if math.copysign(1, value) > 0 else f'-__builtin_nan{suffix}("")'
    if math.isinf(value):
        return f"{'-' if value < 0 else ''}__builtin_inf{suffix}()"
    text = float(value).hex()
    return f"{text}{suffix}"


def literal(value: Any, dtype: DType) -> str:
    """One element as a C++ expression of its register type."""
    if dtype == DType.FLOAT:
        return _float_text(float(value), "f")
    if dtype == DType.DOUBLE:
        return _float_text(float(value), "")
    if dtype in HALF_TYPES:
        bits = int(np.asarray(value, dtype.numpy).reshape(()).view(np.uint16))
        return f"{storage(dtype)}{{uint16_t({bits})}}"
    if dtype == DType.BOOL:
        return "true" if value else "false"
    number = int(value)
    if dtype == DType.INT64:
        return "INT64_MIN" if number == -(2**63) else f"INT64_C({number})"
    if dtype == DType.UINT64:
        return f"UINT64_C({number})"
    if dtype == DType.UINT32:
        return f"{number}u"
    if dtype == DType.INT32:
        return "INT32_MIN" if number == -(2**31) else f"{number}"
    return f"{storage(dtype)}({number})"


def memory_literal(value: Any, dtype: DType) -> str:
    """One element in an array initializer of the storage type."""
    return ("1" if value else "0") if dtype == DType.BOOL else literal(value, dtype)
