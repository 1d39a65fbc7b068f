"""What convolutions and pooling share: windows that slide over the height and width of NHWC images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tf_blade import symbolic
from tf_blade.backends.disc.ops.base import OpContext
from tf_blade.symbolic import Dim

Pair = tuple[Dim, Dim]


@dataclasses.dataclass(frozen=True)
class Window:
    """Strides, dilations and padding of height and width."""

    strides: tuple[int, int]
    dilations: tuple[int, int]
    low: Pair
    high: Pair


def require_nhwc(ctx: OpContext) -> None:
    """TensorFlow's CPU kernels do the rest not at all, or by transposing."""
    ctx.require(ctx.attr("data_format", "NHWC") == "NHWC", "data_format other than NHWC")


def spatial(ctx: OpContext, name: str) -> tuple[int, int]:
    """Height and width of an attribute with four numbers, those of batch and channels being 1."""
    return spatial_of(ctx, name, ctx.ints(name) or (1, 1, 1, 1))


def spatial_of(ctx: OpContext, name: str, values: Sequence[int]) -> tuple[int, int]:
    """Height and width of four numbers."""
    ctx.require(len(values) == 4 and values[0] == values[3] == 1, f"{name} over batch or channels")
    ctx.require(values[1] >= 1 and values[2] >= 1, f"{name} below 1")
    return values[1], values[2]


def window_of(
    ctx: OpContext,
    size: Pair,
    kernel: tuple[int, int],
    strides: tuple[int, int] | None = None,
    rates: str = "dilations",
) -> Window:
    """The node's window over images of the given height and width.

    Args:
        ctx: of the node.
        size: height and width of the image.
        kernel: those of the window.
        strides: where they are not the attribute of that name.
        rates: name of the attribute with the dilations.

    Raises:
        Unsupported: TensorFlow has no result, or the padding is none that it knows.
    """
    strides, dilations = strides or spatial(ctx, "strides"), spatial(ctx, rates)
    padding = ctx.attr("padding")
    low: list[Dim] = [0, 0]
    high: list[Dim] = [0, 0]
    if padding == "SAME":
        for i in range(2):
            low[i], high[i] = same_padding(size[i], kernel[i], strides[i], dilations[i])
    elif padding == "EXPLICIT":
        values = ctx.ints("explicit_paddings")
        ctx.require(len(values) == 8 and not any((*values[:2], *values[6:])), "padding of batch or channels")
        ctx.require(min(values) >= 0, "negative padding")
        low, high = [values[2], values[4]], [values[3], values[5]]
    else:
        ctx.require(padding == "VALID", f"padding {padding}")
    if padding != "SAME":
        for i in range(2):
            reach = (kernel[i] - 1) * dilations[i] + 1
            # Of smaller images some are errors in TensorFlow, and some have an empty result; all are left to it.
            ctx.b.require_at_least(symbolic.add(size[i], low[i], high[i]), reach)
    return Window(strides, dilations, (low[0], low[1]), (high[0], high[1]))


def same_padding(size: Dim, kernel: int, stride: int, dilation: int) -> Pair:
    """TensorFlow's SAME: ceil(size / stride) windows, the odd element of padding at the end."""
    reach = (kernel - 1) * dilation + 1
    if reach == 1:
        return 0, 0
    count = symbolic.ceildiv(size, stride)
    total = symbolic.simplify((count - 1) * stride + reach - size)
    if reach < stride:
        total = symbolic.maximum(total, 0)
    low = symbolic.floordiv(total, 2)
    return low, symbolic.sub(total, low)
