"""NumPy reference of TensorFlow's image resizing (tensorflow/core/util/image_resizer_state.h)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Arrays = Sequence[np.ndarray]
Attrs = Mapping[str, Any]


def scale_of(size_in: int, size_out: int, align_corners: bool) -> np.float32:
    """Input steps of one output step, in float32 as TensorFlow computes it."""
    if align_corners and size_out > 1:
        return np.float32(size_in - 1) / np.float32(size_out - 1)
    return np.float32(size_in) / np.float32(max(size_out, 1))


def _nearest(size_in: int, size_out: int, attrs: Attrs) -> np.ndarray:
    scale = scale_of(size_in, size_out, attrs["align_corners"])
    position = np.arange(size_out, dtype=np.float32)
    if attrs["half_pixel_centers"]:
        return np.clip(np.floor((position + np.float32(0.5)) * scale), 0, size_in - 1).astype(np.int64)
    scaled = position * scale
    # TensorFlow rounds half away from zero here (roundf)
    index = np.floor(scaled + np.float32(0.5)) if attrs["align_corners"] else np.floor(scaled)
    return np.minimum(index, size_in - 1).astype(np.int64)


def _linear(size_in: int, size_out: int, attrs: Attrs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scale = scale_of(size_in, size_out, attrs["align_corners"])
    position = np.arange(size_out, dtype=np.float32)
    if attrs["half_pixel_centers"]:
        source = (position + np.float32(0.5)) * scale - np.float32(0.5)
    else:
        source = position * scale
    floor = np.floor(source)
    lower = np.maximum(floor, 0).astype(np.int64)
    upper = np.minimum(np.ceil(source), size_in - 1).astype(np.int64)
    return lower, np.maximum(upper, 0), (source - floor).astype(np.float32)


def resize(operands: Arrays, attrs: Attrs) -> Arrays:
    x = operands[0]
    height, width = attrs["size"]
    if attrs["kind"] == "nearest":
        return [x[:, _nearest(x.shape[1], height, attrs)][:, :, _nearest(x.shape[2], width, attrs)]]
    top, bottom, dy = _linear(x.shape[1], height, attrs)
    left, right, dx = _linear(x.shape[2], width, attrs)
    image = x.astype(np.float32)
    dx, dy = dx[None, None, :, None], dy[None, :, None, None]
    upper = image[:, top][:, :, left] + (image[:, top][:, :, right] - image[:, top][:, :, left]) * dx
    lower = image[:, bottom][:, :, left] + (image[:, bottom][:, :, right] - image[:, bottom][:, :, left]) * dx
    return [(upper + (lower - upper) * dy).astype(np.float32)]
