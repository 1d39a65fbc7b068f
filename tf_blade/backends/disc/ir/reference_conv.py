"""NumPy references of convolution and pooling, written for clarity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Arrays = Sequence[np.ndarray]
Attrs = Mapping[str, Any]


def _windows(size: int, window: int, stride: int, dilation: int, low: int, high: int) -> np.ndarray:
    """For each window position and tap, the input index (maybe outside [0, size))."""
    count = (size + low + high - ((window - 1) * dilation + 1)) // stride + 1
    return np.arange(max(count, 0))[:, None] * stride - low + np.arange(window)[None, :] * dilation


def _patches(x: np.ndarray, window: Sequence[int], attrs: Attrs, fill: float) -> tuple[np.ndarray, np.ndarray]:
    """Patches [N, OH, OW, KH, KW, C] and a mask [OH, OW, KH, KW] of the taps inside the image."""
    dilations = attrs.get("dilations", (1, 1))
    index = [
        _windows(x.shape[1 + i], window[i], attrs["strides"][i], dilations[i], attrs["low"][i], attrs["high"][i])
        for i in range(2)
    ]
    inside = [(index[i] >= 0) & (index[i] < x.shape[1 + i]) for i in range(2)]
    rows = np.clip(index[0], 0, max(x.shape[1] - 1, 0))
    columns = np.clip(index[1], 0, max(x.shape[2] - 1, 0))
    mask = inside[0][:, None, :, None] & inside[1][None, :, None, :]
    padded = x if x.size else np.zeros((x.shape[0], max(x.shape[1], 1), max(x.shape[2], 1), x.shape[3]), x.dtype)
    patches = padded[:, rows[:, None, :, None], columns[None, :, None, :], :]
    return np.where(mask[None, ..., None], patches, np.asarray(fill, x.dtype)), mask


def conv2d(operands: Arrays, attrs: Attrs) -> Arrays:
    x, w = operands
    groups = attrs["groups"]
    patches, _ = _patches(x.astype(np.float64), w.shape[:2], attrs, 0.0)
    n, height, width, kh, kw, channels = patches.shape
    grouped = patches.reshape(n, height, width, kh, kw, groups, channels // groups)
    kernel = w.astype(np.float64).reshape(kh, kw, w.shape[2], groups, w.shape[3] // groups)
    result = np.einsum("nhwabgc,abcgo->nhwgo", grouped, kernel)
    return [result.reshape(n, height, width, w.shape[3]).astype(x.dtype)]


def conv2d_transpose(operands: Arrays, attrs: Attrs) -> Arrays:
    dy, w = operands
    height, width = attrs["size"]
    kh, kw = w.shape[:2]
    result = np.zeros((dy.shape[0], height, width, w.shape[2]))
    for i in range(dy.shape[1]):
        for j in range(dy.shape[2]):
            for a in range(kh):
                for b in range(kw):
                    row = i * attrs["strides"][0] - attrs["low"][0] + a * attrs["dilations"][0]
                    column = j * attrs["strides"][1] - attrs["low"][1] + b * attrs["dilations"][1]
                    if 0 <= row < height and 0 <= column < width:
                        result[:, row, column] += dy[:, i, j].astype(np.float64) @ w[a, b].astype(np.float64).T
    return [result.astype(dy.dtype)]


def pool2d(operands: Arrays, attrs: Attrs) -> Arrays:
    x = operands[0]
    if attrs.get("zero_pads"):
        pads = [(0, 0), *zip(attrs["low"], attrs["high"], strict=True), (0, 0)]
        return pool2d([np.pad(x, pads)], {**attrs, "low": (0, 0), "high": (0, 0), "zero_pads": False})
    if attrs["kind"] == "max":
        patches, _ = _patches(x.astype(np.float64), attrs["window"], attrs, -np.inf)
        return [patches.max(axis=(3, 4), initial=-np.inf).astype(x.dtype)]
    patches, mask = _patches(x.astype(np.float64), attrs["window"], attrs, 0.0)
    count = mask.sum(axis=(2, 3))[None, :, :, None]
    with np.errstate(all="ignore"):
        return [(patches.sum(axis=(3, 4)) / count).astype(x.dtype)]
