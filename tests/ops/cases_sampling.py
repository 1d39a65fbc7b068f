"""Rows of colours, resizing kernels, crops, patches, pooling and convolution of volumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tests.ops.harness import Arg, OpCase, cycle, f32, i32, integers, uniform

raw = tf.raw_ops
NAN, INF = float("nan"), float("inf")
FLOATS = (tf.float32, tf.float64, tf.float16, tf.bfloat16)
TOLERANCE = {tf.float16: 4e-3, tf.bfloat16: 3e-2}
# Equal channels and greys beside ordinary colours.
colours = cycle(0.1, 0.7, 0.3, 0.5, 0.5, 0.5, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0.9, 0.2, 0.9, 0.25, 0.25, 0.6, 0.3, 0.8, 0.8)


def _colours() -> Iterator[OpCase]:
    for name in ("RGBToHSV", "HSVToRGB"):
        for t in FLOATS:
            yield OpCase(
                f"{name}_{t.name}",
                lambda x, name=name: getattr(raw, name)(images=x),
                (Arg(t, ("n", 4, 3), colours),),
                TOLERANCE.get(t, 1e-5),
            )
        yield OpCase(
            f"{name}_random", lambda x, name=name: getattr(raw, name)(images=x), (f32("n", 3, make=uniform(0, 1)),)
        )
    yield OpCase(
        "AdjustSaturation", lambda x: raw.AdjustSaturation(images=x, scale=1.7), (f32("n", 2, 4, 3, make=colours),)
    )
    yield OpCase("AdjustHue", lambda x: raw.AdjustHue(images=x, delta=-0.4), (f32("n", 2, 4, 3, make=colours),))
    yield OpCase(
        "AdjustContrastv2",
        lambda x: raw.AdjustContrastv2(images=x, contrast_factor=1.6),
        (f32("n", "h", 4, 3, make=uniform(0, 1)),),
        sizes=(1, 3),
    )
    yield OpCase(
        "AdjustHue_random",
        lambda x, d: raw.AdjustHue(images=x, delta=d),
        (f32("n", 3, 2, 3, make=uniform(0, 1)), f32(make=uniform(-1, 1))),
    )


# --- resizing ---------------------------------------------------------------------------------------------------------
MODES: tuple[dict[str, bool], ...] = ({}, {"align_corners": True}, {"half_pixel_centers": True})


def _resizing() -> Iterator[OpCase]:
    for mode in MODES:
        label = next(iter(mode), "plain")

        def bicubic(x: Any, size: Any = (5, 9), mode: dict[str, bool] = mode) -> Any:
            return raw.ResizeBicubic(images=x, size=size, **mode)

        yield OpCase(f"ResizeBicubic_{label}", bicubic, (f32("n", "h", 6, 2),), sizes=(0, 1, 2, 7))
        yield OpCase(
            f"ResizeBicubic_{label}_double",
            lambda x, fn=bicubic: fn(x, tf.shape(x)[1:3] * 2),
            (f32(2, "h", "w", 3),),
            sizes=(1, 3, 4),
        )
    for t in (tf.uint8, tf.float64, tf.float16, tf.int32):
        yield OpCase(
            f"ResizeBicubic_{t.name}",
            lambda x: raw.ResizeBicubic(images=x, size=(3, 8), half_pixel_centers=True),
            (Arg(t, (2, 4, 5, 2)),),
        )
    for label, mode in (("plain", {}), ("corners", {"align_corners": True})):
        for size in ((3, 4), (9, 13), (1, 1), (7, 5)):
            yield OpCase(
                f"ResizeArea_{label}_{size[0]}x{size[1]}",
                lambda x, size=size, mode=mode: raw.ResizeArea(images=x, size=size, **mode),
                (f32("n", 7, 10, 2),),
                2e-5,
            )
    yield OpCase("ResizeArea_uint8", lambda x: raw.ResizeArea(images=x, size=(3, 4)), (Arg(tf.uint8, (2, 7, 10, 2)),))
    yield OpCase(
        "ResizeArea_unknown",
        lambda x: raw.ResizeArea(images=x, size=(3, 4)),
        (f32(2, "h", 10, 2),),
        refusal="sizes that are not known",
    )
    yield from _crops()


def _crops() -> Iterator[OpCase]:
    for method in ("bilinear", "nearest"):
        for size in ((3, 4), (1, 5)):
            yield OpCase(
                f"CropAndResize_{method}_{size[0]}x{size[1]}",
                lambda x, b, i, size=size, method=method: raw.CropAndResize(
                    image=x, boxes=b, box_ind=i, crop_size=size, method=method, extrapolation_value=-3.0
                ),
                (f32(2, "h", 7, 3), f32("n", 4, make=uniform(-0.3, 1.3)), i32("n", make=integers(0, 2))),
                sizes=(0, 1, 4),
            )
    for t in (tf.uint8, tf.float64):
        yield OpCase(
            f"CropAndResize_{t.name}",
            lambda x, b, i: raw.CropAndResize(image=x, boxes=b, box_ind=i, crop_size=(2, 2)),
            (Arg(t, (2, 5, 7, 3)), f32("n", 4, make=uniform(0, 1)), i32("n", make=integers(0, 2))),
            sizes=(1, 3),
        )
    yield OpCase(
        "CropAndResize_range",
        lambda x, b, i: raw.CropAndResize(image=x, boxes=b, box_ind=i, crop_size=(2, 2)),
        (f32(2, 5, 7, 3), f32("n", 4, make=uniform(0, 1)), i32("n", make=cycle(1, 2, -1))),
        sizes=(1, 2, 3),
    )


# --- windows ----------------------------------------------------------------------------------------------------------
def _patches() -> Iterator[OpCase]:
    def patches(size: int, stride: int, rate: int, padding: str) -> Callable[..., Any]:
        return lambda x: raw.ExtractImagePatches(
            images=x,
            ksizes=[1, size, size, 1],
            strides=[1, stride, stride, 1],
            rates=[1, rate, rate, 1],
            padding=padding,
        )

    for size, stride, rate, padding in ((2, 2, 1, "VALID"), (3, 1, 1, "SAME"), (3, 2, 2, "SAME"), (2, 1, 3, "VALID")):
        yield OpCase(
            f"ExtractImagePatches_{size}_{stride}_{rate}_{padding}",
            patches(size, stride, rate, padding),
            (f32("n", "h", 7, 2),),
            sizes=(1, 4, 5),
            may_guard=lambda sizes: sizes["h"] < 4,
        )
    for t in (tf.uint8, tf.int64, tf.float16):
        yield OpCase(f"ExtractImagePatches_{t.name}", patches(2, 2, 1, "SAME"), (Arg(t, ("n", 5, 4, 3)),))
    for t in (tf.float32, tf.float64):
        for padding in ("SAME", "VALID"):
            yield OpCase(
                f"Dilation2D_{t.name}_{padding}",
                lambda x, w, padding=padding: raw.Dilation2D(
                    input=x, filter=w, strides=[1, 2, 1, 1], rates=[1, 1, 2, 1], padding=padding
                ),
                (Arg(t, ("n", "h", 7, 2)), Arg(t, (2, 3, 2))),
                sizes=(2, 5),
            )
    for beta in (0.5, 1.0, 0.75):
        yield OpCase(
            f"LRN_{beta}",
            lambda x, beta=beta: raw.LRN(input=x, depth_radius=2, bias=1.5, alpha=0.3, beta=beta),
            (f32("n", 2, 3, 7),),
        )
    yield OpCase("LRN_wide", lambda x: raw.LRN(input=x, depth_radius=5), (f32("n", 2, 3, 4),))


POOLS = (((2, 2), (2, 2), "VALID"), ((3, 2), (1, 2), "SAME"))


def _pooling() -> Iterator[OpCase]:
    def pool(name: str, size: tuple[int, int], stride: tuple[int, int], padding: str) -> Callable[..., Any]:
        fn, key = getattr(raw, name), "value" if name == "AvgPool" else "input"
        return lambda x: fn(ksize=[1, *size, 1], strides=[1, *stride, 1], padding=padding, **{key: x})

    for number, (size, stride, padding) in enumerate(POOLS):
        for t in (tf.float64, tf.float16, tf.bfloat16, tf.int8, tf.int32, tf.uint8, tf.int64)[number::2]:
            yield OpCase(
                f"MaxPool_{t.name}_{padding}",
                pool("MaxPool", size, stride, padding),
                (Arg(t, ("n", 5, "w", 2)),),
                sizes=(3, 5),
            )
        for t in (tf.float64, tf.float16, tf.bfloat16):
            yield OpCase(
                f"AvgPool_{t.name}_{padding}",
                pool("AvgPool", size, stride, padding),
                (Arg(t, ("n", 5, "w", 2)),),
                TOLERANCE.get(t, 1e-5),
                sizes=(3, 5),
            )
        yield OpCase(
            f"MaxPoolV2_{padding}",
            lambda x, size=size, stride=stride, padding=padding: raw.MaxPoolV2(
                input=x, ksize=[1, *size, 1], strides=[1, *stride, 1], padding=padding
            ),
            (f32("n", 5, "w", 2),),
            sizes=(3, 5),
        )
    # What TensorFlow makes of NaN and -inf in halves depends on the processor it runs on.
    for t in FLOATS[1:]:
        if t.name == "float16":
            continue
        yield OpCase(
            f"MaxPool_special_{t.name}",
            pool("MaxPool", (2, 2), (1, 1), "VALID"),
            (Arg(t, (3, 5, 5, 1), cycle(NAN, NAN, -INF, 1, NAN, INF, NAN, -INF)),),
        )


# --- volumes ----------------------------------------------------------------------------------------------------------
def _volumes() -> Iterator[OpCase]:
    for size, stride, padding in (
        ((2, 2, 2), (2, 2, 2), "VALID"),
        ((3, 2, 3), (1, 2, 1), "SAME"),
        ((2, 3, 3), (3, 1, 2), "SAME"),
    ):
        label = f"{''.join(map(str, size))}_{''.join(map(str, stride))}_{padding}"
        for name in ("MaxPool3D", "AvgPool3D"):
            yield OpCase(
                f"{name}_{label}",
                lambda x, name=name, size=size, stride=stride, padding=padding: getattr(raw, name)(
                    input=x, ksize=[1, *size, 1], strides=[1, *stride, 1], padding=padding
                ),
                (f32("n", "d", 5, 6, 3),),
                sizes=(1, 2, 5),
                may_guard=lambda sizes: sizes["d"] < 2,
            )
        yield OpCase(
            f"Conv3D_{label}",
            lambda x, w, stride=stride, padding=padding: raw.Conv3D(
                input=x, filter=w, strides=[1, *stride, 1], padding=padding
            ),
            (f32("n", "d", 5, 6, 3), f32(*size, 3, 4)),
            sizes=(1, 2, 5),
            may_guard=lambda sizes: sizes["d"] < 2,
        )
    yield OpCase(
        "Conv3D_weights",
        lambda x, w: raw.Relu(features=raw.Conv3D(input=x, filter=w, strides=[1] * 5, padding="SAME")),
        (f32("n", 4, 5, 6, 3), f32(3, 3, 3, 3, 4, weight=True)),
        sizes=(1, 2),
    )


def _fused() -> Iterator[OpCase]:
    for mode in ("REFLECT", "SYMMETRIC"):
        yield OpCase(
            f"FusedPadConv2D_{mode}",
            lambda x, w, mode=mode: raw.FusedPadConv2D(
                input=x,
                paddings=[[0, 0], [1, 1], [2, 0], [0, 0]],
                filter=w,
                mode=mode,
                strides=[1, 1, 2, 1],
                padding="VALID",
            ),
            (f32(1, "h", 6, 3), f32(2, 3, 3, 4)),
            sizes=(2, 5),
        )
        yield OpCase(
            f"FusedResizeAndPadConv2D_{mode}",
            lambda x, w, mode=mode: raw.FusedResizeAndPadConv2D(
                input=x,
                size=[7, 9],
                paddings=[[0, 0], [1, 1], [2, 0], [0, 0]],
                filter=w,
                mode=mode,
                strides=[1, 2, 1, 1],
                padding="VALID",
            ),
            (f32(1, "h", 6, 3), f32(2, 3, 3, 4)),
            sizes=(2, 5),
        )
    yield OpCase(
        "FusedPadConv2D_batch",
        lambda x, w: raw.FusedPadConv2D(
            input=x, paddings=[[0, 0]] * 4, filter=w, mode="REFLECT", strides=[1] * 4, padding="VALID"
        ),
        (f32("n", 4, 6, 3), f32(2, 3, 3, 4)),
        refusal="more than one image",
    )


CASES = (*_colours(), *_resizing(), *_patches(), *_pooling(), *_volumes(), *_fused())
