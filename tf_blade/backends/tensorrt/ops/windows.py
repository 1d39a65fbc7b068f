"""What convolutions and pooling share: windows that slide over images, and where images have their channels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from tf_blade import symbolic
from tf_blade.backends.tensorrt.ops.base import OpContext
from tf_blade.backends.tensorrt.values import Value
from tf_blade.symbolic import Dim, Shape

FIRST, LAST = ("NCHW", "NCDHW"), ("NHWC", "NDHWC")


@dataclasses.dataclass(frozen=True)
class Window:
    """A window over the spatial dimensions of an image.

    Attributes:
        low: elements added at the begin of each dimension.
        high: those added at its end.
        same: padding is TensorFlow's SAME.
    """

    size: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    low: Shape
    high: Shape
    same: bool

    @property
    def reach(self) -> tuple[int, ...]:
        """Elements from the first to the last that a window reads."""
        return tuple((size - 1) * rate + 1 for size, rate in zip(self.size, self.dilations, strict=True))

    def over(self, image: Sequence[Dim]) -> Shape:
        """How many windows an image of these sizes has."""
        dims = zip(image, self.low, self.high, self.reach, self.strides, strict=True)
        if self.same:
            return tuple(symbolic.ceildiv(dim, stride) for dim, _, _, _, stride in dims)
        return tuple(
            symbolic.add(symbolic.floordiv(symbolic.add(dim, low, high, -reach), stride), 1)
            for dim, low, high, reach, stride in dims
        )


def channels_last(ctx: OpContext, rank: int) -> bool:
    """Whether the node's images have their channels last.

    Raises:
        Unsupported: they are of another rank, or of a format of their own.
    """
    name = str(ctx.attr("data_format", LAST[rank - 4] if rank in (4, 5) else ""))
    ctx.require(rank in (4, 5) and name in (FIRST[rank - 4], LAST[rank - 4]), f"rank {rank} and data format {name}")
    return name == LAST[rank - 4]


def to_first(ctx: OpContext, image: Value) -> Value:
    """The image with its channels first, which TensorRT wants."""
    if not channels_last(ctx, image.rank):
        return image
    return ctx.net.transpose(image, (0, image.rank - 1, *range(1, image.rank - 1)))


def from_first(ctx: OpContext, image: Value) -> Value:
    """The image as the node has it."""
    if not channels_last(ctx, image.rank):
        return image
    return ctx.net.transpose(image, (0, *range(2, image.rank), 1))


def spatial(ctx: OpContext, name: str, values: Sequence[int], rank: int) -> tuple[int, ...]:
    """The spatial ones of numbers for all dimensions, of which batch and channels have 1."""
    values = tuple(values) or (1,) * rank
    ctx.require(len(values) == rank, f"{name} of {len(values)} numbers")
    inner = values[1:-1] if channels_last(ctx, rank) else values[2:]
    outer = (values[0], values[-1]) if channels_last(ctx, rank) else values[:2]
    ctx.require(tuple(outer) == (1, 1), f"{name} over batch or channels")
    ctx.require(min(inner) >= 1, f"{name} below 1")
    return tuple(inner)


def window_of(
    ctx: OpContext,
    image: Sequence[Dim],
    size: Sequence[int],
    strides: Sequence[int] | None = None,
) -> Window:
    """The node's window over an image of the given spatial sizes.

    Raises:
        Unsupported: its padding is none that TensorFlow knows.
    """
    rank = len(image) + 2
    strides = tuple(strides) if strides is not None else spatial(ctx, "strides", ctx.ints("strides"), rank)
    dilations = spatial(ctx, "dilations", ctx.ints("dilations"), rank)
    padding = ctx.attr("padding")
    low: list[Dim] = [0] * len(image)
    high: list[Dim] = [0] * len(image)
    if padding == "SAME":
        for i, dim in enumerate(image):
            low[i], high[i] = same_padding(dim, (size[i] - 1) * dilations[i] + 1, strides[i])
    elif padding == "EXPLICIT":
        values = ctx.ints("explicit_paddings")
        ctx.require(len(values) == 2 * rank and min(values) >= 0, "explicit paddings")
        pairs = [(values[2 * i], values[2 * i + 1]) for i in range(rank)]
        last = channels_last(ctx, rank)
        outer = [pairs[0], pairs[-1] if last else pairs[1]]
        ctx.require(outer == [(0, 0), (0, 0)], "padding of batch or channels")
        inner = pairs[1:-1] if last else pairs[2:]
        low, high = [pair[0] for pair in inner], [pair[1] for pair in inner]
    else:
        ctx.require(padding == "VALID", f"padding {padding}")
    return Window(tuple(size), strides, dilations, tuple(low), tuple(high), padding == "SAME")


def same_padding(dim: Dim, reach: int, stride: int) -> tuple[Dim, Dim]:
    """TensorFlow's SAME: ceil(dim / stride) windows, the odd element of padding at the end."""
    if reach == 1:
        return 0, 0
    total = symbolic.simplify((symbolic.ceildiv(dim, stride) - 1) * stride + reach - dim)
    if reach < stride or isinstance(total, int):
        total = symbolic.maximum(total, 0)
    low = symbolic.floordiv(total, 2)
    return low, symbolic.sub(total, low)


def is_static(window: Window) -> bool:
    """Whether the padding is known when converting."""
    return symbolic.is_static((*window.low, *window.high))


def set_window(ctx: OpContext, layer: Any, window: Window) -> None:
    """Strides and padding of a layer. TensorRT finds SAME of sizes that are unknown as TensorFlow does.

    Raises:
        Unsupported: windows leave gaps between them, where TensorRT does not say what SAME is.
    """
    ctx.require(layer is not None, f"TensorRT refuses the layer: {ctx.net.log.last_error}")
    layer.stride_nd = window.strides
    if is_static(window):
        layer.pre_padding, layer.post_padding = window.low, window.high
        return
    wide = all(reach >= stride for reach, stride in zip(window.reach, window.strides, strict=True))
    ctx.require(window.same and wide, "strides beyond the window, of an image of unknown size")
    layer.padding_mode = ctx.net.trt.PaddingMode.SAME_UPPER
