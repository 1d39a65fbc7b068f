"""The layers' meaning: convolutions, pooling, resizing; images have their channels first."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.tensorrt.evaluator import Context, EvaluationError, layer
from tests.tensorrt.evaluator_layers import wide


def _pads(ctx: Context, size: Sequence[int], reach: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """Padding before and after: as given, or what makes results of ceil(size / stride), the odd one after."""
    mode = ctx.name(ctx.layer.padding_mode)
    if mode == "EXPLICIT_ROUND_DOWN":
        return list(zip(tuple(ctx.layer.pre_padding), tuple(ctx.layer.post_padding), strict=True))
    assert mode == "SAME_UPPER", mode
    # What TensorRT makes of windows that leave gaps, its documentation does not say.
    assert all(r >= s for r, s in zip(reach, strides, strict=True)), ctx.layer.name
    totals = [max((-(-n // s) - 1) * s + r - n, 0) for n, r, s in zip(size, reach, strides, strict=True)]
    return [(total // 2, total - total // 2) for total in totals]


def _windows(x: np.ndarray, reach: Sequence[int], strides: Sequence[int], rates: Sequence[int]) -> np.ndarray:
    """[batch, channels, *positions, *kernel]."""
    if any(n < r for n, r in zip(x.shape[2:], reach, strict=True)):
        raise EvaluationError(f"a window of {reach} in an image of {x.shape}")
    axes = tuple(range(2, x.ndim))
    views = np.lib.stride_tricks.sliding_window_view(x, tuple(reach), axis=axes)
    picks = tuple(slice(None, None, s) for s in strides) + tuple(slice(None, None, rate) for rate in rates)
    return views[_at(*picks)]


@layer("CONVOLUTION")
def convolution(ctx: Context) -> np.ndarray:
    x, kernel = wide(ctx[0]), wide(_kernel(ctx))
    strides, rates = tuple(ctx.layer.stride_nd), tuple(ctx.layer.dilation_nd)
    assert tuple(ctx.layer.kernel_size_nd) == kernel.shape[2:] and ctx.layer.num_output_maps == kernel.shape[0]
    reach = [(k - 1) * rate + 1 for k, rate in zip(kernel.shape[2:], rates, strict=True)]
    x = np.pad(x, [(0, 0), (0, 0), *_pads(ctx, x.shape[2:], reach, strides)])
    views = _windows(x, reach, strides, rates)
    spatial = x.ndim - 2
    parts = []
    groups = ctx.layer.num_groups
    for views_part, kernel_part in zip(np.split(views, groups, 1), np.split(kernel, groups, 0), strict=True):
        axes = [1, *range(views_part.ndim - spatial, views_part.ndim)]
        product = np.tensordot(views_part, kernel_part, (axes, [1, *range(2, kernel_part.ndim)]))
        parts.append(np.moveaxis(product, -1, 1))
    return np.concatenate(parts, 1).astype(ctx[0].dtype)


def _at(*spatial: Any) -> Any:
    """An index of all images and channels."""
    return (slice(None), slice(None), *spatial)


def _kernel(ctx: Context) -> np.ndarray:
    kernel = ctx.given(1)
    assert kernel is not None, "filters are inputs of their layers"
    return kernel


@layer("DECONVOLUTION")
def deconvolution(ctx: Context) -> np.ndarray:
    x, kernel = wide(ctx[0]), wide(_kernel(ctx))
    strides = tuple(ctx.layer.stride_nd)
    groups = ctx.layer.num_groups
    assert ctx.layer.num_output_maps == kernel.shape[1] * groups and tuple(ctx.layer.kernel_size_nd) == kernel.shape[2:]
    rates = tuple(ctx.layer.dilation_nd)
    reach = [(k - 1) * rate + 1 for k, rate in zip(kernel.shape[2:], rates, strict=True)]
    sizes = [(n - 1) * s + r for n, s, r in zip(x.shape[2:], strides, reach, strict=True)]
    result = np.zeros((x.shape[0], kernel.shape[1] * groups, *sizes))
    pairs = list(zip(np.split(x, groups, 1), np.split(kernel, groups, 0), strict=True))
    for offset in itertools.product(*(range(k) for k in kernel.shape[2:])):
        parts = [np.moveaxis(np.tensordot(a, b[_at(*offset)], (1, 0)), -1, 1) for a, b in pairs]
        part = np.concatenate(parts, 1)
        first = [k * rate for k, rate in zip(offset, rates, strict=True)]
        at = tuple(slice(o, o + (n - 1) * s + 1, s) for o, n, s in zip(first, x.shape[2:], strides, strict=True))
        result[_at(*at)] += part
    pads = zip(tuple(ctx.layer.pre_padding), tuple(ctx.layer.post_padding), sizes, strict=True)
    crop = tuple(slice(low, size - high) for low, high, size in pads)
    return result[_at(*crop)].astype(ctx[0].dtype)


@layer("POOLING")
def pooling(ctx: Context) -> np.ndarray:
    """Of this class, `type` is the pooling's and no longer the layer's."""
    x = wide(ctx[0])
    window, strides = tuple(ctx.layer.window_size_nd), tuple(ctx.layer.stride_nd)
    pads = [(0, 0), (0, 0), *_pads(ctx, x.shape[2:], window, strides)]
    ones = (1,) * len(window)
    inside = _windows(np.pad(np.ones_like(x), pads), window, strides, ones)
    axes = tuple(range(x.ndim, x.ndim + len(window)))
    if ctx.name(ctx.layer.type) == "MAX":
        views = _windows(np.pad(x, pads, constant_values=-np.inf), window, strides, ones)
        return views.max(axes).astype(ctx[0].dtype)
    views = _windows(np.pad(x, pads), window, strides, ones)
    count = inside.sum(axes) if ctx.layer.average_count_excludes_padding else math.prod(window)
    return (views.sum(axes) / count).astype(ctx[0].dtype)


@layer("RESIZE")
def resize(ctx: Context) -> np.ndarray:
    x, shape = wide(ctx[0]), ctx.sizes(1, ctx.layer.shape)
    kind = ctx.name(ctx.layer.coordinate_transformation)
    for axis in range(x.ndim):
        if shape[axis] != x.shape[axis]:
            x = _resized(ctx, x, axis, shape[axis], kind)
    return x.astype(ctx[0].dtype)


def _resized(ctx: Context, x: np.ndarray, axis: int, size: int, kind: str) -> np.ndarray:
    old, line = x.shape[axis], np.arange(size).astype(np.float32)
    scale = np.float32(old) / np.float32(size)
    if kind == "HALF_PIXEL":
        place = (line + np.float32(0.5)) * scale - np.float32(0.5)
    elif kind == "ALIGN_CORNERS":
        place = line * (np.float32(old - 1) / np.float32(max(size - 1, 1)))
    else:
        assert kind == "ASYMMETRIC"
        place = line * scale
    if ctx.name(ctx.layer.resize_mode) == "NEAREST":
        rounding = ctx.name(ctx.layer.nearest_rounding)
        index = np.floor(place) if rounding == "FLOOR" else np.floor(place + np.float32(0.5))
        return np.take(x, np.clip(index.astype(int), 0, old - 1), axis)
    low = np.floor(place)
    weight = (place - low).reshape((-1,) + (1,) * (x.ndim - 1 - axis))
    first = np.take(x, np.clip(low.astype(int), 0, old - 1), axis)
    second = np.take(x, np.clip(low.astype(int) + 1, 0, old - 1), axis)
    return first * (1 - weight) + second * weight
