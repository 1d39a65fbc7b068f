"""Rows of gradients of activations, and of the less common functions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tests.ops.harness import Arg, Make, OpCase, cycle, f32, numbers, positive, uniform

raw = tf.raw_ops
FLOATS = (tf.float32, tf.float64, tf.float16, tf.bfloat16)
INTEGERS = (tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32, tf.uint64)
TOLERANCE = {tf.float32: 3e-6, tf.float64: 1e-13, tf.float16: 4e-3, tf.bfloat16: 3e-2}
SIZES = (0, 1, 37)
NAN, INF = float("nan"), float("inf")
# Around 0 and far from it, halves exactly.
mixed = cycle(0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 3.25, -3.25, 8.0, -8.0, 6.0, 7.0)

OF_RESULT: dict[str, Make] = {
    "InvGrad": positive, "ReciprocalGrad": positive, "RsqrtGrad": positive, "SigmoidGrad": uniform(0, 1),
    "SqrtGrad": positive, "TanhGrad": uniform(-1, 1),
}  # fmt: skip
OF_FEATURES = ("EluGrad", "SeluGrad", "SoftplusGrad", "SoftsignGrad", "ReluGrad", "Relu6Grad", "LeakyReluGrad")


def _gradients() -> Iterator[OpCase]:
    for name, make in OF_RESULT.items():
        for t in FLOATS:
            yield OpCase(
                f"{name}_{t.name}",
                lambda y, dy, name=name: getattr(raw, name)(y=y, dy=dy),
                (Arg(t, ("n", 3), make), Arg(t, ("n", 3))),
                TOLERANCE[t],
                sizes=SIZES,
            )
    for name in OF_FEATURES:
        second = "outputs" if name in ("EluGrad", "SeluGrad") else "features"
        for t in (*FLOATS, *((tf.int32, tf.uint8) if name in ("ReluGrad", "Relu6Grad") else ())):
            yield OpCase(
                f"{name}_{t.name}",
                lambda dy, x, name=name, second=second: getattr(raw, name)(gradients=dy, **{second: x}),
                (Arg(t, ("n", 3)), Arg(t, ("n", 3), mixed if t.is_floating else numbers)),
                TOLERANCE.get(t, 0.0),
                sizes=SIZES,
            )
    for t in FLOATS:
        yield OpCase(
            f"BiasAddGrad_{t.name}",
            lambda dy: raw.BiasAddGrad(out_backprop=dy),
            (Arg(t, ("n", "m", 5)),),
            TOLERANCE[t],
            sizes=(0, 1, 3),
        )
    yield OpCase(
        "ReluGrad_special",
        lambda dy, x: raw.ReluGrad(gradients=dy, features=x),
        (f32("n", make=cycle(1, INF, -INF, NAN, 2)), f32("n", make=cycle(1, -1, 0, NAN, INF, -INF, 3))),
        sizes=(35,),
    )


def _both(ordinary: Make, unusual: Make) -> Make:
    """Half of each."""

    def make(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        mask = rng.integers(0, 2, shape).astype(bool)
        return np.where(mask, ordinary(rng, shape, dtype), unusual(rng, shape, dtype))

    return make


DOMAINS: dict[str, tuple[Make, Make]] = {
    # ordinary numbers, and special ones
    "Acosh": (uniform(1, 30), cycle(1, 0.5, -1, INF, -INF, NAN, 1e30, 1.00001)),
    "Asinh": (numbers, cycle(0, -0.0, INF, -INF, NAN, 1e30, -1e30, 1e-20)),
    "Atanh": (uniform(-1, 1), cycle(0, 1, -1, 2, -2, NAN, INF, 1e-20)),
    "Digamma": (uniform(-20, 40), cycle(0.0, -1, -2, 1, INF, NAN, 1e-3, 1e4)),
    "Lgamma": (uniform(-20, 40), cycle(0.0, -1, -2, 1, 2, INF, -INF, NAN, 1e-20, 50)),
    "Ndtri": (uniform(0, 1), cycle(0, 1, 0.5, 1e-30, 0.9999999, -0.5, 1.5, NAN)),
    "Erfinv": (uniform(-1, 1), cycle(0, 1, -1, 0.5, 0.999999, -0.999999, NAN, 1.5)),
}


def _any_integers(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def _functions() -> Iterator[OpCase]:
    for name, (ordinary, unusual) in DOMAINS.items():
        fn = getattr(raw, name)
        # All are computed in float64, between casts.
        for t in FLOATS if name == "Asinh" else FLOATS[:2]:
            tolerance = {**TOLERANCE, tf.float64: 1e-11}[t]
            make = _both(ordinary, unusual)
            yield OpCase(
                f"{name}_{t.name}", lambda x, fn=fn: fn(x=x), (Arg(t, ("n", 5), make),), tolerance, sizes=SIZES
            )
    for t in FLOATS:
        yield OpCase(
            f"Xlog1py_{t.name}",
            lambda x, y: raw.Xlog1py(x=x, y=y),
            (Arg(t, ("n", 4), cycle(0, 1, -2, 0.5)), Arg(t, (4,), cycle(0, -1, 3))),
            TOLERANCE[t],
            sizes=SIZES,
        )
    for t in (tf.float32, tf.float64):
        yield OpCase(
            f"ApproximateEqual_{t.name}",
            lambda x, y: raw.ApproximateEqual(x=x, y=y, tolerance=0.5),
            (Arg(t, ("n", 4)), Arg(t, ("n", 4))),
            sizes=SIZES,
        )
        yield OpCase(
            f"NextAfter_{t.name}",
            lambda x, y: tf.bitcast(raw.NextAfter(x1=x, x2=y), tf.int32 if x.dtype == tf.float32 else tf.int64),
            (Arg(t, ("n", 4), cycle(1, -1, 0.1, 5, -3, 2)), Arg(t, (4,), cycle(2, -2, 0, 1e30))),
            sizes=SIZES,
        )
    yield OpCase(
        "NextAfter_special",
        lambda x, y: raw.NextAfter(x1=x, x2=y),
        (f32("n", make=cycle(INF, -INF, NAN, 1, 3.4e38)), f32("n", make=cycle(0, 1, INF, NAN, 1, -INF, 2))),
        sizes=(35,),
    )
    for t in INTEGERS:
        yield OpCase(
            f"PopulationCount_{t.name}",
            lambda x: raw.PopulationCount(x=x),
            (Arg(t, ("n", 3), _any_integers),),
            sizes=SIZES,
        )
    yield OpCase(
        "AccumulateNV2",
        lambda x, y: tf.compat.v1.accumulate_n([x, y, x], shape=[None, 3], tensor_dtype=tf.float32),
        (f32("n", 3), f32("n", 3)),
        traced=True,
    )
    for t in (tf.int32, tf.int64, tf.float32, tf.float64):
        yield OpCase(
            f"TruncateMod_{t.name}",
            lambda x, y: raw.TruncateMod(x=x, y=y),
            (Arg(t, ("n", 3)), Arg(t, ("n", 3), positive)),
            TOLERANCE.get(t, 0.0),
            sizes=SIZES,
        )


CASES = (*_gradients(), *_functions())
