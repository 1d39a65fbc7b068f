"""Rows of the elementwise ops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tests.ops.harness import Arg, Make, OpCase, cycle, f32, i32, numbers, positive, uniform

raw = tf.raw_ops
FLOATS = (tf.float32, tf.float64, tf.float16, tf.bfloat16)
INTEGERS = (tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32, tf.uint64)
ALL = (*FLOATS, *INTEGERS, tf.bool)
# Relative to the largest magnitude of a result.
TOLERANCE = {tf.float32: 2e-6, tf.float64: 2e-14, tf.float16: 2e-3, tf.bfloat16: 1.6e-2}
SIZES = (0, 1, 37)
NAN, INF = float("nan"), float("inf")
special = cycle(NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.5, 88.0, -100.0, 12.0)
finite = cycle(NAN, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 88.0, -100.0)
extremes = cycle(0, 1, -1, 127, -128, 5, -7, 64)


def nonzero(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Numbers of both signs, none of them zero."""
    values = numbers(rng, shape, dtype)
    return np.where(values == 0, np.ones((), dtype), values)


def tolerance(dtype: tf.DType) -> float:
    return TOLERANCE.get(dtype, 0.0)


UNARY_FLOAT: dict[str, Make] = {
    "Acos": uniform(-1, 1), "Asin": uniform(-1, 1), "Atan": numbers, "Ceil": numbers, "Cos": uniform(-50, 50),
    "Cosh": numbers, "Elu": numbers, "Erf": numbers, "Erfc": numbers, "Exp": numbers, "Expm1": numbers,
    "Floor": numbers, "IsFinite": numbers, "IsInf": numbers, "IsNan": numbers, "Log": positive, "Log1p": positive,
    "Reciprocal": positive, "Rint": numbers, "Round": uniform(-5, 5), "Rsqrt": positive, "Selu": numbers,
    "Sigmoid": uniform(-12, 12), "Sin": uniform(-50, 50), "Sinh": numbers, "Softplus": uniform(-12, 12),
    "Softsign": numbers, "Sqrt": positive,
    "Tan": uniform(-1.4, 1.4), "Tanh": uniform(-6, 6),
}  # fmt: skip
UNARY_NUMERIC = ("Abs", "Neg", "Relu", "Relu6", "Sign", "Square")
BINARY_FLOAT: dict[str, tuple[Make, Make]] = {
    "Atan2": (numbers, numbers), "DivNoNan": (numbers, cycle(0, 1, 2, -0.0, 3)), "MulNoNan": (numbers, cycle(0, 1, -2)),
    "RealDiv": (numbers, nonzero), "Xdivy": (cycle(0, 1, -2), numbers), "Xlogy": (cycle(0, 1, -2), positive),
    "Pow": (positive, numbers),
}  # fmt: skip
BINARY_NUMERIC: dict[str, tuple[Make, Make]] = {
    "Add": (numbers, numbers), "AddV2": (numbers, numbers), "Div": (numbers, nonzero), "FloorDiv": (numbers, nonzero),
    "FloorMod": (numbers, nonzero), "Maximum": (numbers, numbers), "Minimum": (numbers, numbers),
    "Mod": (numbers, nonzero),
    "Mul": (numbers, numbers), "SquaredDifference": (numbers, numbers), "Sub": (numbers, numbers),
    "TruncateDiv": (numbers, nonzero), "Less": (numbers, numbers), "LessEqual": (numbers, numbers),
    "Greater": (numbers, numbers), "GreaterEqual": (numbers, numbers), "Equal": (numbers, numbers),
    "NotEqual": (numbers, numbers),
}  # fmt: skip
BITWISE = ("BitwiseAnd", "BitwiseOr", "BitwiseXor", "LeftShift", "RightShift")


def _unary(name: str) -> Callable[..., Any]:
    fn = getattr(raw, name)
    return lambda x: fn(features=x) if name in FEATURES else fn(x=x)


FEATURES = {"Elu", "Relu", "Relu6", "Selu", "Softplus", "Softsign"}


def _binary(name: str) -> Callable[..., Any]:
    fn = getattr(raw, name)
    return lambda x, y: fn(y=x, x=y) if name == "Atan2" else fn(x=x, y=y)


def _unary_rows() -> Iterator[OpCase]:
    for name, make in UNARY_FLOAT.items():
        for t in FLOATS:
            if not _has_kernel(name, t):
                continue
            # TensorFlow rounds the steps of softplus to half types.
            loose = (2 if name == "Softplus" and t.size == 2 else 1) * tolerance(t)
            yield OpCase(f"{name}_{t.name}", _unary(name), (Arg(t, ("n", 3), make),), loose, sizes=SIZES)
            # TensorFlow's float64 erf of an infinity is NaN.
            values = finite if (name, t) == ("Erf", tf.float64) else special
            yield OpCase(f"{name}_special_{t.name}", _unary(name), (Arg(t, (26,), values),), tolerance(t))
        yield OpCase(f"{name}_scalar", _unary(name), (f32(make=make),), tolerance(tf.float32))
    for name in UNARY_NUMERIC:
        for t in (*FLOATS, *INTEGERS):
            if _has_kernel(name, t):
                yield OpCase(f"{name}_{t.name}", _unary(name), (Arg(t, ("n", 3)),), tolerance(t), sizes=SIZES)
        for t in FLOATS:
            yield OpCase(f"{name}_special_{t.name}", _unary(name), (Arg(t, (26,), special),), tolerance(t))
    # TensorFlow's own kernel gives zeros.
    yield OpCase("Round_int32", _unary("Round"), (i32("n"),), refusal="Round with T=int32")
    for t in INTEGERS:
        yield OpCase(f"Invert_{t.name}", _unary("Invert"), (Arg(t, ("n", 3)),), sizes=SIZES)
    for t in FLOATS:
        yield OpCase(
            f"LeakyRelu_{t.name}", lambda x: raw.LeakyRelu(features=x, alpha=0.3), (Arg(t, ("n", 3)),), tolerance(t)
        )
    yield OpCase("LeakyRelu_special", lambda x: raw.LeakyRelu(features=x), (f32(26, make=special),), 1e-6)


def _has_kernel(name: str, t: tf.DType) -> bool:
    """Whether TensorFlow computes the op for the type at all."""
    unary = name in UNARY_NUMERIC or name in UNARY_FLOAT
    try:
        (_unary if unary else _binary)(name)(*[tf.ones([1], t)] * (1 if unary else 2))
    except (tf.errors.NotFoundError, tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, TypeError):
        return False
    return True


def _binary_rows() -> Iterator[OpCase]:
    for name, (a, b) in {**BINARY_FLOAT, **BINARY_NUMERIC}.items():
        for t in FLOATS if name in BINARY_FLOAT else (*FLOATS, *INTEGERS):
            if not _has_kernel(name, t):
                continue
            fn, loose = _binary(name), tolerance(t)
            yield OpCase(f"{name}_{t.name}", fn, (Arg(t, ("n", 3), a), Arg(t, ("n", 3), b)), loose, sizes=SIZES)
            yield OpCase(f"{name}_broadcast_{t.name}", fn, (Arg(t, ("n", 1, 4), a), Arg(t, ("m", 1), b)), loose)
            if t in FLOATS:
                inputs = (Arg(t, (13, 1), special), Arg(t, (13,), special))
                yield OpCase(f"{name}_special_{t.name}", fn, inputs, loose)
        yield (
            OpCase(f"{name}_scalar", _binary(name), (f32("n", make=a), f32(make=b)), 2e-6)
            if _has_kernel(name, tf.float32)
            else OpCase(f"{name}_scalar", _binary(name), (i32("n", make=a), i32(make=b)))
        )
    for name in BITWISE:
        for t in INTEGERS:
            inputs = (Arg(t, ("n",), extremes), Arg(t, ("n",)))
            yield OpCase(f"{name}_{t.name}", _binary(name), inputs, sizes=SIZES)
            yield OpCase(
                f"{name}_broadcast_{t.name}", _binary(name), (Arg(t, (8, 1), extremes), Arg(t, (8,), extremes))
            )
    for name in ("LogicalAnd", "LogicalOr"):
        yield OpCase(name, _binary(name), (Arg(tf.bool, ("n", 3)), Arg(tf.bool, ("n", 1))), sizes=SIZES)
    yield OpCase("LogicalNot", lambda x: raw.LogicalNot(x=x), (Arg(tf.bool, ("n", 3)),), sizes=SIZES)
    for name in ("Equal", "NotEqual"):
        yield OpCase(f"{name}_bool", _binary(name), (Arg(tf.bool, ("n", 3)), Arg(tf.bool, (3,))), sizes=SIZES)
    for name in ("Div", "FloorDiv", "FloorMod", "Mod", "TruncateDiv"):
        for t in (tf.int32, tf.int64):
            inputs = (Arg(t, (4,)), Arg(t, ("n", 1), cycle(3, 0)))
            yield OpCase(f"{name}_by_zero_{t.name}", _binary(name), inputs, sizes=(1, 2))
    # Two unknown dimensions that meet are taken to be equal; TensorFlow keeps what broadcasts otherwise.
    yield OpCase("AddV2_unknown", _binary("AddV2"), (f32("n", 3), f32("m", 3)), may_guard=lambda s: s["n"] != s["m"])
    yield OpCase("Equal_unknown", _binary("Equal"), (f32("n"), f32(3)), may_guard=lambda s: s["n"] != 3)
    yield OpCase("AddV2_empty", _binary("AddV2"), (f32("n", 0), f32(1, 1)))


def _pow_rows() -> Iterator[OpCase]:
    for t in FLOATS:
        for exponent in (2.0, 3.0, 0.5, -1.0, 0.0):
            fn = lambda x, t=t, e=exponent: raw.Pow(x=x, y=tf.constant(e, t))  # noqa: E731
            yield OpCase(f"Pow_{exponent}_{t.name}", fn, (Arg(t, ("n",)),), 2 * tolerance(t))
            yield OpCase(f"Pow_{exponent}_special_{t.name}", fn, (Arg(t, (13,), special),), 2 * tolerance(t))
    for t in (tf.int32, tf.int64):
        yield OpCase(f"Pow_{t.name}", lambda x, t=t: raw.Pow(x=x, y=tf.constant([0, 1, 2, 5], t)), (Arg(t, ("n", 1)),))
    yield OpCase("Pow_negative", lambda x: raw.Pow(x=x, y=tf.constant(-1)), (i32("n"),), refusal="negative exponent")
    yield OpCase("Pow_int_unknown", _binary("Pow"), (i32("n"), i32("n", make=positive)), refusal="not constant")


def _there_and_back(a: tf.DType, b: tf.DType) -> Callable[[Any], Any]:
    """1 / (x cast to integers and back): the zeros that come back have no sign."""
    return lambda x: raw.Inv(x=raw.Cast(x=raw.Cast(x=x, DstT=b), DstT=a))


def _cast_rows() -> Iterator[OpCase]:
    for a in ALL:
        for b in ALL:
            fn = lambda x, b=b: raw.Cast(x=x, DstT=b)  # noqa: E731
            make = uniform(0, 100) if a in FLOATS else numbers
            yield OpCase(f"Cast_{a.name}_{b.name}", fn, (Arg(a, ("n", 3), make),), sizes=SIZES)
    wild = cycle(NAN, INF, -INF, 0.0, -0.0, 1.5, -1.5, 300.0, -300.0, 7e4, -7e4, 3e9, -3e9, 5e18, 1e19, -1e19, 1e30)
    for a in FLOATS:
        for b in (tf.int32, tf.int64, tf.bool, *FLOATS):
            yield OpCase(f"Cast_wild_{a.name}_{b.name}", lambda x, b=b: raw.Cast(x=x, DstT=b), (Arg(a, (34,), wild),))
    for a in FLOATS:
        for b in (tf.int8, tf.int32, tf.int64):
            make = cycle(-0.5, 0.5, -0.0, -1.5, -0.99, 2.7)
            yield OpCase(f"Cast_back_{a.name}_{b.name}", _there_and_back(a, b), (Arg(a, (34,), make),))
    yield OpCase(
        "Cast_truncate", lambda x: raw.Cast(x=x, DstT=tf.bfloat16, Truncate=True), (f32("n"),), refusal="truncating"
    )
    by_size: dict[int, list[tf.DType]] = {}
    for t in (*FLOATS, *INTEGERS):
        by_size.setdefault(t.size, []).append(t)
    for types in by_size.values():
        for a in types:
            for b in types:
                fn = lambda x, b=b: raw.Bitcast(input=x, type=b)  # noqa: E731
                yield OpCase(f"Bitcast_{a.name}_{b.name}", fn, (Arg(a, ("n", 3)),), sizes=SIZES)
    yield OpCase("Bitcast_size", lambda x: raw.Bitcast(input=x, type=tf.float16), (f32("n"),), refusal="another size")


def _select_rows() -> Iterator[OpCase]:
    def select(c: Any, x: Any, y: Any) -> Any:
        return raw.Select(condition=c, x=x, y=y)

    def select_v2(c: Any, x: Any, y: Any) -> Any:
        return raw.SelectV2(condition=c, t=x, e=y)

    for t in ALL:
        values = (Arg(t, ("n", 3)), Arg(t, ("n", 3)))
        yield OpCase(f"Select_{t.name}", select, (Arg(tf.bool, ("n", 3)), *values), sizes=SIZES)
        yield OpCase(
            f"SelectV2_{t.name}", select_v2, (Arg(tf.bool, ("n", 1)), Arg(t, ()), Arg(t, (2, 1, 3))), sizes=SIZES
        )
    yield OpCase("Select_vector", select, (Arg(tf.bool, ("n",)), f32("n", 3, 2), f32("n", 3, 2)))
    yield OpCase("Select_scalar", select, (Arg(tf.bool, ()), f32("n", 3), f32("n", 3)))
    yield OpCase("Select_nan", select, (Arg(tf.bool, (13,)), f32(13, make=special), f32(13, make=special)))
    for t in (*FLOATS, tf.int32, tf.int64):

        def clip(x: Any, lo: Any, hi: Any) -> Any:
            return raw.ClipByValue(t=x, clip_value_min=lo, clip_value_max=hi)

        bounds = (Arg(t, (), cycle(-1)), Arg(t, (), cycle(1)))
        yield OpCase(f"ClipByValue_{t.name}", clip, (Arg(t, ("n", 3)), *bounds), sizes=SIZES)
        full = (Arg(t, ("n", 3), cycle(-1, 0)), Arg(t, ("n", 3), cycle(1, 2, 0)))
        yield OpCase(f"ClipByValue_full_{t.name}", clip, (Arg(t, ("n", 3)), *full), sizes=SIZES)
        yield OpCase(f"ClipByValue_crossed_{t.name}", clip, (Arg(t, ("n",)), bounds[1], bounds[0]))
    yield OpCase("ClipByValue_special", clip, (f32(13, make=special), f32(make=cycle(-1)), f32(make=cycle(1))))
    for t in (*FLOATS, tf.int32, tf.int64):
        yield OpCase(f"AddN_{t.name}", lambda *x: raw.AddN(inputs=x), (Arg(t, ("n", 3)),) * 3, tolerance(t))
        inputs = (Arg(t, ("n", 4)), Arg(t, (4,)))
        yield OpCase(f"BiasAdd_{t.name}", lambda x, b: raw.BiasAdd(value=x, bias=b), inputs, tolerance(t))
    yield OpCase("BiasAddV1", lambda x, b: raw.BiasAddV1(value=x, bias=b), (f32("n", 4), f32(4)))
    yield OpCase("Inv", lambda x: raw.Inv(x=x), (f32("n", 4, make=positive),))
    yield OpCase("AddN_one", lambda x: raw.AddN(inputs=[x]), (f32("n"),))
    yield OpCase("AddN_unknown", lambda *x: raw.AddN(inputs=x), (f32("n"), f32("m"), f32(1)))
    yield OpCase("BiasAdd_channels", lambda x, b: raw.BiasAdd(value=x, bias=b), (f32("n", "h", "c"), f32("c")))
    yield OpCase(
        "BiasAdd_nchw", lambda x, b: raw.BiasAdd(value=x, bias=b, data_format="NCHW"), (f32("n", 4, "h", 2), f32(4))
    )


CASES = (*_unary_rows(), *_binary_rows(), *_pow_rows(), *_cast_rows(), *_select_rows())
