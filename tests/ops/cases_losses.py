"""Rows of losses, searches, quantization and recurrent cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tests.ops.harness import Arg, OpCase, cycle, f32, i32, i64, integers, numbers, uniform

raw = tf.raw_ops
NAN, INF = float("nan"), float("inf")
FLOATS = (tf.float32, tf.float64, tf.float16, tf.bfloat16)
TOLERANCE = {tf.float16: 1e-2, tf.bfloat16: 6e-2}


def _ascending(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return np.sort(numbers(rng, shape, dtype).astype(np.float64), -1).astype(dtype)


def _losses() -> Iterator[OpCase]:
    for t in FLOATS:
        yield OpCase(
            f"SoftmaxCrossEntropyWithLogits_{t.name}",
            lambda x, y: raw.SoftmaxCrossEntropyWithLogits(features=x, labels=y),
            (Arg(t, ("n", 5)), Arg(t, ("n", 5), uniform(0, 1))),
            TOLERANCE.get(t, 1e-5),
        )
        yield OpCase(
            f"SparseSoftmaxCrossEntropyWithLogits_{t.name}",
            lambda x, y: raw.SparseSoftmaxCrossEntropyWithLogits(features=x, labels=y),
            (Arg(t, ("n", 5)), i64("n", make=integers(0, 5))),
            TOLERANCE.get(t, 1e-5),
        )
    yield OpCase(
        "SoftmaxCrossEntropyWithLogits_broadcast",
        lambda x, y: raw.SoftmaxCrossEntropyWithLogits(features=x, labels=y),
        (f32("n", "m"), f32(1, "m", make=uniform(0, 1))),
        sizes=(0, 1, 4),
        may_guard=lambda sizes: sizes["m"] == 0,
    )
    yield OpCase(
        "SparseSoftmaxCrossEntropyWithLogits_range",
        lambda x, y: raw.SparseSoftmaxCrossEntropyWithLogits(features=x, labels=y),
        (f32("n", 3), i32("n", make=cycle(2, 0, 3, -1))),
        sizes=(1, 2, 3, 4),
    )
    for t in (tf.int32, tf.int64):
        yield OpCase(
            f"InTopK_{t.name}",
            lambda x, y: raw.InTopK(predictions=x, targets=y, k=2),
            (f32("n", 5), Arg(t, ("n",), integers(-1, 6))),
        )
        yield OpCase(
            f"InTopKV2_{t.name}",
            lambda x, y, k: raw.InTopKV2(predictions=x, targets=y, k=k),
            (f32("n", 5), Arg(t, ("n",), integers(0, 5)), Arg(t, (), integers(0, 4))),
        )
    yield OpCase(
        "InTopK_special",
        lambda x, y: raw.InTopK(predictions=x, targets=y, k=2),
        (f32("n", 5, make=cycle(1, 2, 2, INF, 3, 3, NAN, 0)), i32("n", make=integers(0, 5))),
        sizes=(1, 12),
    )
    for reverse in (False, True):
        for t in (tf.float32, tf.int64):
            yield OpCase(
                f"NthElement_{reverse}_{t.name}",
                lambda x, reverse=reverse: raw.NthElement(input=x, n=2, reverse=reverse),
                (Arg(t, ("n", "m")),),
                sizes=(0, 3, 6),
                may_guard=lambda sizes: sizes["m"] < 3,
            )


def _searches() -> Iterator[OpCase]:
    for name in ("LowerBound", "UpperBound"):
        for t in (tf.float32, tf.int32, tf.float64, tf.bfloat16):
            yield OpCase(
                f"{name}_{t.name}",
                lambda s, v, name=name: getattr(raw, name)(sorted_inputs=s, values=v, out_type=tf.int64),
                (Arg(t, ("n", "m"), _ascending), Arg(t, ("n", 4))),
                sizes=(0, 1, 5),
            )
        yield OpCase(
            f"{name}_special",
            lambda s, v, name=name: getattr(raw, name)(sorted_inputs=s, values=v),
            (f32("n", 7, make=cycle(3, 1, NAN, 5, 2)), f32("n", 4, make=cycle(NAN, 1, INF, 2, 4))),
        )
    for t in (tf.int32, tf.int64, tf.float32, tf.float64):
        yield OpCase(
            f"Bucketize_{t.name}",
            lambda x: raw.Bucketize(input=x, boundaries=[-3.0, -0.5, 0.1, 2.0, 2.0, 7.0]),
            (Arg(t, ("n", 5)),),
        )
    yield OpCase(
        "Bucketize_special",
        lambda x: raw.Bucketize(input=x, boundaries=[-1.0, 0.1]),
        (f32("n", make=cycle(NAN, INF, -INF, 0.1, -1, 0)),),
    )
    for t in FLOATS:
        for label, flags in (("plain", {}), ("exclusive", {"exclusive": True}), ("reverse", {"reverse": True})):
            yield OpCase(
                f"CumulativeLogsumexp_{label}_{t.name}",
                lambda x, flags=flags: raw.CumulativeLogsumexp(x=x, axis=1, **flags),
                (Arg(t, ("n", "m")),),
                TOLERANCE.get(t, 1e-5),
                sizes=(0, 1, 5),
            )
    yield OpCase(
        "CumulativeLogsumexp_special",
        lambda x: raw.CumulativeLogsumexp(x=x, axis=1),
        (f32("n", 6, make=cycle(-INF, 1, 2, INF, 3, -1e30, -INF, -INF)),),
    )


# --- quantization -----------------------------------------------------------------------------------------------------
wide = uniform(-8, 8)


def _quantization() -> Iterator[OpCase]:
    for low, high, bits, narrow in ((-6.0, 6.0, 8, False), (-1.3, 4.7, 4, True), (0.5, 3.0, 8, False)):
        yield OpCase(
            f"FakeQuantWithMinMaxArgs_{low}_{high}_{bits}",
            lambda x, low=low, high=high, bits=bits, narrow=narrow: raw.FakeQuantWithMinMaxArgs(
                inputs=x, min=low, max=high, num_bits=bits, narrow_range=narrow
            ),
            (f32("n", 50, make=wide),),
        )
    yield OpCase(
        "FakeQuantWithMinMaxVars",
        lambda x, a, b: raw.FakeQuantWithMinMaxVars(inputs=x, min=a, max=b),
        (f32("n", 50, make=wide), f32(make=uniform(-5, 0)), f32(make=uniform(0.1, 5))),
    )
    yield OpCase(
        "FakeQuantWithMinMaxVars_empty",
        lambda x, a, b: raw.FakeQuantWithMinMaxVars(inputs=x, min=a, max=b),
        (f32("n", 5), f32(make=cycle(0)), f32(make=cycle(0))),
    )
    yield OpCase(
        "FakeQuantWithMinMaxVarsPerChannel",
        lambda x, a, b: raw.FakeQuantWithMinMaxVarsPerChannel(inputs=x, min=a, max=b, narrow_range=True),
        (f32("n", 20, 4, make=wide), f32(4, make=uniform(-5, 0)), f32(4, make=uniform(0.1, 5))),
    )

    def round_trip(name: str, **flags: Any) -> Callable[..., Any]:
        fn = getattr(raw, name)
        return lambda x, a, b: fn(input=x, input_min=a, input_max=b, num_bits=6, **flags)

    for name in ("QuantizeAndDequantizeV2", "QuantizeAndDequantizeV3", "QuantizeAndDequantizeV4"):
        for signed in (True, False):
            for given in (True, False):
                # Without a range the extremes of the input are its ends; those of nothing are TensorFlow's own affair.
                yield OpCase(
                    f"{name}_{'signed' if signed else 'unsigned'}_{'given' if given else 'found'}",
                    round_trip(name, signed_input=signed, range_given=given, narrow_range=given),
                    (
                        f32("n", 20, make=wide if signed else uniform(0, 8)),
                        f32(make=uniform(-5, 0)),
                        f32(make=uniform(0.1, 5)),
                    ),
                    sizes=(1, 5),
                )
    yield OpCase(
        "QuantizeAndDequantizeV2_half_up",
        round_trip("QuantizeAndDequantizeV2", range_given=True, round_mode="HALF_UP"),
        (f32("n", 20, make=wide), f32(make=uniform(-5, 0)), f32(make=uniform(0.1, 5))),
        sizes=(1, 5),
    )
    yield OpCase(
        "QuantizeAndDequantizeV2_axis",
        round_trip("QuantizeAndDequantizeV2", axis=0),
        (f32(3, 4), f32(3), f32(3)),
        refusal="slice of an axis",
    )


# --- cells ------------------------------------------------------------------------------------------------------------
def _cells() -> Iterator[OpCase]:
    state, weight = f32("n", 4), f32(7, 16)
    for label, flags in (
        ("plain", {"cell_clip": -1.0}),
        ("peephole", {"use_peephole": True, "forget_bias": 0.5, "cell_clip": 0.7}),
    ):
        yield OpCase(
            f"LSTMBlockCell_{label}",
            lambda x, c, h, w, i, f, o, b, flags=flags: raw.LSTMBlockCell(
                x=x, cs_prev=c, h_prev=h, w=w, wci=i, wcf=f, wco=o, b=b, **flags
            ),
            (f32("n", 3), state, state, weight, f32(4), f32(4), f32(4), f32(16)),
            sizes=(0, 1, 5),
        )
    yield OpCase(
        "GRUBlockCell",
        lambda x, h, wr, wc, br, bc: raw.GRUBlockCell(x=x, h_prev=h, w_ru=wr, w_c=wc, b_ru=br, b_c=bc),
        (f32("n", 3), state, f32(7, 8), f32(7, 4), f32(8), f32(4)),
        sizes=(0, 1, 5),
    )
    yield OpCase(
        "SparseMatMul",
        lambda a, b: raw.SparseMatMul(a=a, b=b, transpose_b=True),
        (f32("n", 5), f32("m", 5)),
        sizes=(1, 4),
    )


def _means() -> Iterator[OpCase]:
    for t in (tf.int8, tf.int16, tf.uint8):
        yield OpCase(f"Mean_rows_{t.name}", lambda x: raw.Mean(input=x, axis=1), (Arg(t, ("n", 5)),))
        yield OpCase(
            f"Mean_wraps_{t.name}",
            lambda x: raw.Mean(input=x, axis=1),
            (Arg(t, (3, "n"), integers(50, 127)),),
            sizes=(1, 9, 200),
        )


CASES = (*_losses(), *_searches(), *_quantization(), *_cells(), *_means())
