"""The scalar functions that `elementwise` applies, each with its arity, dtype rule and NumPy reference.

The C++ function of name `n` is `blade::fn_n` (custom_ops/disc/cpu/scalar.h). Half types compute in float32 and round.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tf_blade import dtypes
from tf_blade.dtypes import DType

Reference = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class ScalarFn:
    """One scalar function.

    Attributes:
        name: the name in `elementwise(fn=...)` and, after `fn_`, in C++.
        arity: number of operands.
        dtypes: operand element types it takes (all operands alike, but for select's predicate).
        result: "same" as the operands, or a fixed DType, or "attr": given by the attribute `dtype` (convert, bitcast).
        reference: NumPy function of the operands (arrays already in their dtypes).
        cost: rough nanoseconds for one float32 element, vectorized; for scheduling and cost estimates.
        may_fail: it can meet an error at run time (integer division by zero) and then sets the call's error flag.
    """

    name: str
    arity: int
    dtypes: frozenset[DType]
    result: DType | str
    reference: Reference
    cost: float = 0.1
    may_fail: bool = False


FNS: dict[str, ScalarFn] = {}


def _fn(
    name: str,
    arity: int,
    accepted: frozenset[DType],
    reference: Reference,
    result: DType | str = "same",
    cost: float = 0.1,
    may_fail: bool = False,
) -> None:
    FNS[name] = ScalarFn(name, arity, accepted, result, reference, cost, may_fail)


_erf = np.vectorize(math.erf, otypes=[np.float64])
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def _wide(fn: Callable[..., Any]) -> Reference:
    """Computes in float64 and rounds to the operands' type."""

    def run(*args: Any) -> Any:
        with np.errstate(all="ignore"):
            return fn(*(np.asarray(a, np.float64) for a in args)).astype(np.asarray(args[-1]).dtype)

    return run


def _quiet(fn: Callable[..., Any]) -> Reference:
    def run(*args: Any) -> Any:
        with np.errstate(all="ignore"):
            return fn(*args)

    return run


def _sigmoid(x: Any) -> Any:
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


_F = dtypes.FLOATS
_N = dtypes.NUMERIC
_I = dtypes.INTEGERS
_B = frozenset({DType.BOOL})
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772

# --- unary, float -------------------------------------------------------------------------------------------------
_UNARY_FLOAT: list[tuple[str, Callable[..., Any], float]] = [
    ("acos", np.arccos, 1.0),
    ("asin", np.arcsin, 1.0),
    ("atan", np.arctan, 1.0),
    ("cos", np.cos, 0.8),
    ("cosh", np.cosh, 0.8),
    ("elu", lambda x: np.where(x < 0, np.expm1(np.minimum(x, 0)), x), 0.6),
    ("erf", _erf, 0.6),
    ("erfc", _erfc, 0.8),
    ("exp", np.exp, 0.4),
    # Of a difference x, which was rounded: the result is off by what rounding it once more would cost, and 2.3 ulp.
    ("exp_difference", np.exp, 0.3),
    ("expm1", np.expm1, 0.6),
    ("gelu_erf", lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))), 0.7),
    ("gelu_tanh", lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))), 0.7),
    ("hard_sigmoid", lambda x: np.minimum(np.maximum(x + 3, 0), 6) / 6, 0.1),
    ("hard_swish", lambda x: x * np.minimum(np.maximum(x + 3, 0), 6) / 6, 0.1),
    ("log", np.log, 0.4),
    ("log1p", np.log1p, 0.6),
    ("reciprocal", lambda x: 1 / x, 0.2),
    ("rsqrt", lambda x: 1 / np.sqrt(x), 0.3),
    ("selu", lambda x: _SELU_SCALE * np.where(x < 0, _SELU_ALPHA * np.expm1(np.minimum(x, 0)), x), 0.6),
    ("sigmoid", _sigmoid, 0.5),
    ("sin", np.sin, 0.8),
    ("sinh", np.sinh, 0.8),
    ("softplus", lambda x: np.logaddexp(x, 0), 0.9),
    ("softsign", lambda x: x / (1 + np.abs(x)), 0.2),
    ("sqrt", np.sqrt, 0.2),
    ("swish", lambda x: x * _sigmoid(x), 0.5),
    ("tan", np.tan, 1.0),
    ("tanh", np.tanh, 0.5),
]
for _name, _np, _cost in _UNARY_FLOAT:
    _fn(_name, 1, _F, _wide(_np), cost=_cost)
for _name, _np in [("ceil", np.ceil), ("floor", np.floor), ("rint", np.rint)]:
    _fn(_name, 1, _F, _wide(_np))
for _name, _np in [("is_finite", np.isfinite), ("is_inf", np.isinf), ("is_nan", np.isnan)]:
    _fn(_name, 1, _F, _quiet(_np), DType.BOOL)
# --- unary, numeric -----------------------------------------------------------------------------------------------
_fn("abs", 1, _N, _quiet(np.abs))
_fn("neg", 1, _N, _quiet(np.negative))
_fn("relu", 1, _N, _quiet(lambda x: np.maximum(x, np.zeros((), x.dtype))))
_fn("relu6", 1, _N, _quiet(lambda x: np.minimum(np.maximum(x, np.zeros((), x.dtype)), np.full((), 6, x.dtype))))
_fn("sign", 1, _N, _quiet(np.sign))
_fn("square", 1, _N, _quiet(lambda x: x * x))
_fn("logical_not", 1, _B, np.logical_not)
_fn("invert", 1, _I, np.invert)
# --- binary -------------------------------------------------------------------------------------------------------
for _name, _np in [("add", np.add), ("sub", np.subtract), ("mul", np.multiply)]:
    _fn(_name, 2, _N, _quiet(_np))
_fn("maximum", 2, _N, _quiet(np.maximum))
_fn("minimum", 2, _N, _quiet(np.minimum))
_fn("div", 2, _F, _quiet(np.divide), cost=0.2)
_fn("div_no_nan", 2, _F, _quiet(lambda a, b: np.where(b == 0, np.zeros((), a.dtype), a / b)), cost=0.2)
_fn("mul_no_nan", 2, _F, _quiet(lambda a, b: np.where(b == 0, np.zeros((), a.dtype), a * b)))
_fn("squared_difference", 2, _N, _quiet(lambda a, b: (a - b) * (a - b)))
# NumPy takes a square root for a repeated exponent 0.5, which differs for -inf; a copy is not seen as repeated.
_fn("pow", 2, _F, _wide(lambda a, b: np.power(a, np.array(b, order="C"))), cost=1.5)
# exponents are nonnegative: whoever makes the op answers for that
_fn("int_pow", 2, _I, _quiet(np.power), cost=2.0)
_fn("atan2", 2, _F, _wide(np.arctan2), cost=1.2)
# of a product and a sum with one rounding; no op of a model: passes never make one of `mul` and `add`
_fn("fma", 3, frozenset({DType.FLOAT}), _wide(lambda a, b, c: a * b + c))
_fn("xdivy", 2, _F, _quiet(lambda a, b: np.where(a == 0, np.zeros((), a.dtype), a / b)), cost=0.2)
_fn("xlogy", 2, _F, _wide(lambda a, b: np.where(a == 0, 0.0, a * np.log(b))), cost=0.5)


def _divides(fn: Callable[..., Any]) -> Reference:
    """Of integers, a zero divisor raises ZeroDivisionError, as the executable reports an error."""

    def run(a: Any, b: Any) -> Any:
        if np.asarray(b).dtype.kind in "iu" and np.any(np.asarray(b) == 0):
            raise ZeroDivisionError("integer division by zero")
        with np.errstate(all="ignore"):
            return fn(a, b)

    return run


def _floor_div(a: Any, b: Any) -> Any:
    return np.floor_divide(a, b) if a.dtype.kind in "iu" else np.floor(a / b)


_fn("floor_div", 2, _N, _divides(_floor_div), cost=1.0, may_fail=True)
_fn("floor_mod", 2, _N, _divides(np.mod), cost=1.5, may_fail=True)
_fn(
    "truncate_div",
    2,
    _I,
    _divides(lambda a, b: ((a - np.fmod(a, b)) // b).astype(a.dtype)),
    cost=1.0,
    may_fail=True,
)
_fn("truncate_mod", 2, _N, _divides(np.fmod), cost=1.5, may_fail=True)
for _name, _np in [
    ("equal", np.equal),
    ("not_equal", np.not_equal),
    ("less", np.less),
    ("less_equal", np.less_equal),
    ("greater", np.greater),
    ("greater_equal", np.greater_equal),
]:
    _fn(_name, 2, dtypes.ALL, _quiet(_np), DType.BOOL)
_fn("logical_and", 2, _B, np.logical_and)
_fn("logical_or", 2, _B, np.logical_or)
for _name, _np in [("bitwise_and", np.bitwise_and), ("bitwise_or", np.bitwise_or), ("bitwise_xor", np.bitwise_xor)]:
    _fn(_name, 2, _I, _np)


def _shift(fn: Callable[..., Any]) -> Reference:
    def run(a: Any, b: Any) -> Any:
        return fn(a, np.clip(b, 0, a.dtype.itemsize * 8 - 1))

    return run


_fn("left_shift", 2, _I, _shift(np.left_shift))
_fn("right_shift", 2, _I, _shift(np.right_shift))


def _convert(x: Any, dtype: DType) -> Any:
    """Half types go through float32. Floats truncate; NaN and what is out of range give what x86 gives."""
    x = np.asarray(x)
    if x.dtype.name in ("float16", "bfloat16"):
        return _convert(x.astype(np.float32), dtype) if dtype.numpy != x.dtype else x
    if dtype in (DType.HALF, DType.BFLOAT16):
        return x.astype(np.float32).astype(dtype.numpy)
    if x.dtype.kind != "f" or not dtype.is_integer:
        return x.astype(dtype.numpy)
    whole = np.trunc(x.astype(np.float64))
    if dtype == DType.UINT64:
        high = whole >= 2.0**63
        low = _truncate(np.where(high, whole - 2.0**63, whole), np.int64).view(np.uint64)
        return np.where(high, low ^ np.uint64(2**63), low)
    wide = np.int64 if dtype in (DType.INT64, DType.UINT32) else np.int32
    return _truncate(whole, wide).astype(dtype.numpy)


def _truncate(whole: Any, wide: Any) -> Any:
    """A signed integer type's lowest value stands for NaN and for what is out of range."""
    limit = 2.0 ** (np.dtype(wide).itemsize * 8 - 1)
    inside = (whole >= -limit) & (whole < limit)
    return np.where(inside, np.where(inside, whole, 0).astype(wide), np.iinfo(wide).min)


# --- others -------------------------------------------------------------------------------------------------------
# select(predicate bool, on_true, on_false)
_fn("select", 3, dtypes.ALL, np.where)
# convert: C++ conversion with TensorFlow's Cast semantics; `dtype` names the result type
_fn("convert", 1, dtypes.ALL, _quiet(_convert), "attr")
# bitcast between types of one size
_fn("bitcast", 1, dtypes.ALL, lambda x, dtype: x.view(dtype.numpy), "attr")
