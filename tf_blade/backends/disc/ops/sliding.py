"""Windows as tensors: an axis becomes two, window positions and places in the window.

What has a kernel of its own (float32 pooling and convolutions of images) does not come here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tf_blade.backends.disc.ir.specs_math import conv_output_dim
from tf_blade.backends.disc.ops.base import OpContext
from tf_blade.backends.disc.ops.term import Term, iota, size_term
from tf_blade.backends.disc.ops.windows import Window
from tf_blade.symbolic import Dim


def slide(x: Term, axis: int, *, window: int, stride: int, dilation: int = 1) -> Term:
    """The axis as [positions, window]; what lies outside of x has been padded before."""
    count = conv_output_dim(x.shape[axis], window, stride, dilation, 0, 0)
    positions = iota(x.b, (count, window), 0) * stride + iota(x.b, (count, window), 1) * dilation
    return x.take(positions, axis=axis)


def padded(x: Term, low: Sequence[Dim], high: Sequence[Dim], fill: float) -> Term:
    """Pads with a number."""
    return Term(x.b, x.b.pad(x.value, low, high, value=x.b.scalar(fill, x.dtype)))


def image_windows(x: Term, kernel: tuple[int, int], window: Window, fill: float) -> Term:
    """[n, h, w, c] as [n, rows, kernel_h, columns, kernel_w, c]."""
    x = padded(x, (0, *window.low, 0), (0, *window.high, 0), fill)
    x = slide(x, 1, window=kernel[0], stride=window.strides[0], dilation=window.dilations[0])
    return slide(x, 3, window=kernel[1], stride=window.strides[1], dilation=window.dilations[1])


def lowest(x: Term) -> float:
    """What a maximum starts from: the least number, or minus infinity."""
    return np.iinfo(x.dtype.numpy).min if x.dtype.is_integer else -np.inf


def inside_count(ctx: OpContext, size: Dim, count: Dim, *, window: int, stride: int, low: Dim) -> Term:
    """For each position how many places of the window lie in an axis of the given size."""
    first = iota(ctx.b, (count,)) * stride - size_term(ctx.b, low)
    return (first + window).minimum(size_term(ctx.b, size)) - first.maximum(0)
