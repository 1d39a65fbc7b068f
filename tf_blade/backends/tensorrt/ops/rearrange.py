"""Rules of ops that shift, turn and pick apart what lies along an axis."""

from __future__ import annotations

from tf_blade import symbolic
from tf_blade.backends.tensorrt.ops.base import ALL, INDEX, NUMBERS, OpContext, op
from tf_blade.backends.tensorrt.ops.gathers import gathered
from tf_blade.backends.tensorrt.ops.windows import Window, same_padding, spatial
from tf_blade.backends.tensorrt.values import Value
from tf_blade.symbolic import Dim

# Pixels of a patch that are copied one by one.
_MAX_PIXELS = 64


@op("Roll", types={"T": ALL, "Tshift": INDEX, "Taxis": INDEX})
def roll(ctx: OpContext) -> Value:
    """A window that wraps around; shifts along one axis add up."""
    x, shifts = ctx.inputs[0], ctx.dims(1)
    axes = [ctx.axis(int(axis), x.rank) for axis in ctx.const(2).reshape(-1)]
    ctx.require(len(axes) == len(shifts), f"{len(shifts)} shifts along {len(axes)} axes")
    starts: list[Dim] = [0] * x.rank
    for axis, shift in zip(axes, shifts, strict=True):
        starts[axis] = symbolic.sub(starts[axis], shift)
    ctx.require(0 not in x.shape, "an empty tensor")
    starts = [0 if start == 0 else symbolic.mod(start, dim) for start, dim in zip(starts, x.shape, strict=True)]
    return ctx.net.slice(x, starts, x.shape, mode="WRAP") if any(start != 0 for start in starts) else x


@op("ReverseSequence", types={"T": ALL, "Tlen": INDEX})
def reverse_sequence(ctx: OpContext) -> Value:
    """Turns the first elements of each sequence around: gathers them by computed indices."""
    net, (x, lengths) = ctx.net, ctx.inputs
    batch, time = (ctx.axis(int(ctx.attr(name, 0)), x.rank) for name in ("batch_dim", "seq_dim"))
    ctx.require(batch != time and lengths.rank == 1, "no sequences of a batch")
    order = (batch, time, *(axis for axis in range(x.rank) if axis not in (batch, time)))
    rows = net.transpose(x, order)
    count = rows.shape[1]
    places = net.reshape(net.line(count, dtype=lengths.dtype), (1, count))
    ends = net.reshape(lengths, (rows.shape[0], 1))
    turned = net.binary("SUB", net.binary("SUB", ends, net.like(1, ends)), places)
    indices = net.select(net.compare("LESS", places, ends), turned, places)
    back = tuple(order.index(axis) for axis in range(x.rank))
    return net.transpose(gathered(ctx, rows, indices, 1, 1), back)


@op("ExtractImagePatches", types={"T": NUMBERS})
def extract_image_patches(ctx: OpContext) -> Value:
    """Patches become channels: by a transpose where they lie side by side, else pixel by pixel."""
    net, (x,) = ctx.net, ctx.inputs
    ctx.require(x.rank == 4, "an image batch has rank 4")
    size, strides, rates = (spatial(ctx, name, ctx.ints(name), 4) for name in ("ksizes", "strides", "rates"))
    window = _patches(ctx, x, size, strides, rates)
    batch, channels = x.shape[0], x.shape[3]
    rows, columns = window.over(x.shape[1:3])
    ctx.require(0 not in (rows, columns), "an image without patches")
    deep = symbolic.mul(size[0] * size[1], channels)
    if any(item != 0 for item in (*window.low, *window.high)):
        whole = [symbolic.add(*dims) for dims in zip(window.low, x.shape[1:3], window.high, strict=True)]
        starts = (0, *(symbolic.mul(-1, item) for item in window.low), 0)
        x = net.slice(x, starts, (batch, *whole, channels), mode="FILL", fill=net.like(0, x))
    if size == strides and rates == (1, 1):
        tall, wide = symbolic.mul(rows, size[0]), symbolic.mul(columns, size[1])
        x = net.slice(x, (0, 0, 0, 0), (batch, tall, wide, channels))
        split = net.reshape(x, (batch, rows, size[0], columns, size[1], channels))
        return net.reshape(net.transpose(split, (0, 1, 3, 2, 4, 5)), (batch, rows, columns, deep))
    ctx.require(size[0] * size[1] <= _MAX_PIXELS, f"patches of more than {_MAX_PIXELS} pixels that overlap")
    sizes, steps = (batch, rows, columns, channels), (1, *strides, 1)
    places = [(0, i * rates[0], j * rates[1], 0) for i in range(size[0]) for j in range(size[1])]
    return net.concat([net.slice(x, place, sizes, steps) for place in places], 3)


def _patches(
    ctx: OpContext, x: Value, size: tuple[int, ...], strides: tuple[int, ...], rates: tuple[int, ...]
) -> Window:
    padding = ctx.attr("padding")
    ctx.require(padding in ("SAME", "VALID"), f"padding {padding}")
    low: list[Dim] = [0, 0]
    high: list[Dim] = [0, 0]
    if padding == "SAME":
        for i, dim in enumerate(x.shape[1:3]):
            low[i], high[i] = same_padding(dim, (size[i] - 1) * rates[i] + 1, strides[i])
    return Window(size, strides, rates, tuple(low), tuple(high), padding == "SAME")
