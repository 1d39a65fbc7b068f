"""Convolution and pooling of volumes, NDHWC: of images, slice by slice of the window's depth."""

from __future__ import annotations

import functools

import numpy as np

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.backends.disc.ops.sliding import inside_count, padded
from tf_blade.backends.disc.ops.term import Term, term
from tf_blade.backends.disc.ops.windows import Window, same_padding
from tf_blade.dtypes import DType
from tf_blade.symbolic import Dim

_FLOAT = frozenset({DType.FLOAT})
_MAX_DEPTH = 16
Triple = tuple[int, int, int]


def _triple(ctx: OpContext, name: str) -> Triple:
    """Depth, height and width of an attribute with five numbers."""
    values = ctx.ints(name) or (1,) * 5
    ctx.require(len(values) == 5 and values[0] == values[4] == 1, f"{name} over batch or channels")
    ctx.require(min(values) >= 1, f"{name} below 1")
    return values[1], values[2], values[3]


class _Volume:
    """The node's window over input 0: frames of the padded volume, to be treated as images."""

    def __init__(self, ctx: OpContext, kernel: Triple) -> None:
        x = term(ctx, 0)
        ctx.require(ctx.attr("data_format", "NDHWC") == "NDHWC", "data_format other than NDHWC")
        ctx.require(x.rank == 5, "a volume batch has rank 5")
        ctx.require(kernel[0] <= _MAX_DEPTH, f"a window of more than {_MAX_DEPTH} frames")
        self.ctx, self.x, self.kernel = ctx, x, kernel
        self.strides, self.dilations = _triple(ctx, "strides"), _triple(ctx, "dilations")
        padding = ctx.attr("padding")
        ctx.require(padding in ("SAME", "VALID"), f"padding {padding}")
        self.low: list[Dim] = [0, 0, 0]
        self.high: list[Dim] = [0, 0, 0]
        for i in range(3):
            size = x.shape[1 + i]
            reach = (kernel[i] - 1) * self.dilations[i] + 1
            if padding == "SAME":
                self.low[i], self.high[i] = same_padding(size, kernel[i], self.strides[i], self.dilations[i])
            else:
                ctx.b.require_at_least(size, reach)
        reach = (kernel[0] - 1) * self.dilations[0] + 1
        extent = symbolic.sub(symbolic.add(x.shape[1], self.low[0], self.high[0]), reach)
        self.count = symbolic.add(symbolic.floordiv(extent, self.strides[0]), 1)

    @property
    def plane(self) -> Window:
        """The window over height and width."""
        return Window(self.strides[1:], self.dilations[1:], (self.low[1], self.low[2]), (self.high[1], self.high[2]))

    def frames(self, fill: float) -> list[Term]:
        """For each frame of the window an image batch, [n * positions, h, w, c]."""
        low, high = (0, self.low[0], 0, 0, 0), (0, self.high[0], 0, 0, 0)
        whole = padded(self.x, low, high, fill)
        n, _, *rest = self.x.shape
        frames = (whole.part(1, k * self.dilations[0], self.count, self.strides[0]) for k in range(self.kernel[0]))
        return [frame.reshape(symbolic.mul(n, self.count), *rest) for frame in frames]

    def joined(self, images: Term) -> Term:
        """Image batches as volumes again."""
        return images.reshape(self.x.shape[0], self.count, *images.shape[1:])


@op("Conv3D", types={"T": _FLOAT})
def conv3d(ctx: OpContext) -> Value:
    """The sum of 2D convolutions of frames."""
    w = term(ctx, 1)
    ctx.require(w.rank == 5, "a filter of rank 5")
    sizes = w.shape[:3]
    ctx.require(all(isinstance(item, int) and item >= 1 for item in sizes), "a filter of unknown or no size")
    volume = _Volume(ctx, (int(sizes[0]), int(sizes[1]), int(sizes[2])))
    ctx.b.require_equal(volume.x.shape[4], w.shape[3])
    plane = volume.plane
    parts = [
        ctx.b.conv2d(
            frame.value,
            w.part(0, k, 1).reshape(*w.shape[1:]).value,
            strides=plane.strides,
            dilations=plane.dilations,
            low=plane.low,
            high=plane.high,
        )
        for k, frame in enumerate(volume.frames(0.0))
    ]
    return volume.joined(Term(ctx.b, functools.reduce(lambda a, c: ctx.b.elementwise("add", a, c), parts))).value


def _pooled(ctx: OpContext, kind: str, fill: float) -> tuple[_Volume, list[Term]]:
    """The frames, pooled as images."""
    volume = _Volume(ctx, _triple(ctx, "ksize"))
    plane, window = volume.plane, volume.kernel[1:]
    parts = [
        ctx.b.pool2d(kind, frame.value, window=window, strides=plane.strides, low=plane.low, high=plane.high)
        for frame in volume.frames(fill)
    ]
    return volume, [volume.joined(Term(ctx.b, item)) for item in parts]


@op("MaxPool3D", types={"T": _FLOAT})
def max_pool3d(ctx: OpContext) -> Value:
    _, parts = _pooled(ctx, "max", -np.inf)
    return functools.reduce(Term.maximum, parts).value


@op("AvgPool3D", types={"T": _FLOAT})
def avg_pool3d(ctx: OpContext) -> Value:
    """The mean of the frames' means, each being of as many pixels; pads are not counted."""
    volume, parts = _pooled(ctx, "avg", 0.0)
    total = functools.reduce(Term.__add__, parts)
    number = inside_count(
        ctx,
        volume.x.shape[1],
        volume.count,
        window=volume.kernel[0],
        stride=volume.strides[0],
        low=volume.low[0],
    ).to(DType.FLOAT)
    return (total / Term(ctx.b, ctx.b.broadcast(number.value, total.shape, (1,)))).value
