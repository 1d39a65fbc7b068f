"""Makes SpaceToBatch, convolution, BatchToSpace the one dilated convolution that it stands for.

TensorFlow writes a dilated convolution so, for kernels that know no dilation: with blocks of size d an image's
positions of equal remainder by d become images of their own, which a plain convolution reads. With
x'[n, i*d + r] = x[r*N + n, i] for N images,

    y[r*N + n, j] = sum over t of x[r*N + n, j + t] * w[t]  is  y'[n, j*d + r] = sum of x'[n, j*d + r + t*d] * w[t]

whatever the sizes are. Zero padding before it becomes the convolution's, and what is cropped off the end shortens that.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from tf_blade import symbolic
from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Module, Op, Value
from tf_blade.backends.disc.passes.rewriter import rewrite, splat_value
from tf_blade.symbolic import Dim, Shape

# Of one and of two block dimensions: how SpaceToBatch moves [N, I, d, C] to [d, N, I, C], and BatchToSpace back.
_TO_BATCH = {1: (2, 0, 1, 3), 2: (2, 4, 0, 1, 3, 5)}
_TO_SPACE = {1: (1, 2, 0, 3), 2: (2, 3, 0, 4, 1, 5)}


def run(module: Module) -> Module:
    counts: dict[Value, int] = {}
    return rewrite(module, functools.partial(_rule, counts, {}), counts)


def _rule(counts: Mapping[Value, int], made: dict[Value, Op], b: Builder, op: Op) -> Value | None:
    """`made` has the results that replaced BatchToSpace's, and their convolutions."""
    if op.kind == "slice":
        return _cropped(b, op, counts, made)
    conv = _dilated(b, op, counts) if op.kind == "reshape" else None
    if conv is None:
        return None
    result = b.reshape(conv.result, op.result.shape)
    made[result] = conv
    return result


def _dilated(b: Builder, op: Op, counts: Mapping[Value, int]) -> Op | None:
    """The dilated convolution whose result `op` is, the last of BatchToSpace."""
    chain = _producers(op, ("transpose", "reshape", "conv2d", "reshape", "transpose", "reshape"), counts)
    if chain is None:
        return None
    back, split_result, conv, images, to_batch, split = chain
    block = _block(back, split_result, conv, images, to_batch, split)
    if block is None:
        return None
    padded, (batch, *amounts, channels) = split.operands[0], split.result.shape
    whole = [symbolic.mul(amounts[2 * i], size) for i, size in enumerate(block)]
    results = [symbolic.mul(dim, size) for dim, size in zip(conv.result.shape[3 - len(block) : 3], block, strict=True)]
    shapes = (padded.shape, (batch, *whole, channels)), (op.result.shape, (batch, *results, conv.result.shape[3]))
    if not all(_same_shape(b, *both) for both in shapes):
        return None
    source, low, high = _without_padding(padded)
    missing = (1,) * (2 - len(block))
    image = b.reshape(source, (batch, *missing, *source.shape[1:]))
    zeros = [0] * len(missing)
    pads = {"low": (*zeros, *low), "high": (*zeros, *high)}
    return b.rebuild(conv, [image, conv.operands[1]], dilations=(*missing, *block), **pads)


def _same_shape(b: Builder, first: Shape, second: Shape) -> bool:
    """Whether two shapes are equal, proven or by constraints that the module has."""
    if len(first) != len(second):
        return False
    known = {symbolic.sub(item.a, item.b) for item in b.constraints if item.kind == "equal"}
    differences = (symbolic.sub(x, y) for x, y in zip(first, second, strict=True))
    return all(item == 0 or item in known or symbolic.mul(item, -1) in known for item in differences)


def _producers(op: Op, kinds: tuple[str, ...], counts: Mapping[Value, int]) -> list[Op] | None:
    """The ops of these kinds that lead to op, last ones first, if nothing else reads their results."""
    found: list[Op] = []
    for kind in kinds:
        value = op.operands[0]
        op = value.op
        if op.kind != kind or counts.get(value, 1) != 1:
            return None
        found.append(op)
    return found


def _block(back: Op, split_result: Op, conv: Op, images: Op, to_batch: Op, split: Op) -> tuple[int, ...] | None:
    """The block sizes, if the ops move images to the batch and back in equal blocks around a plain convolution."""
    count = split_result.result.rank // 2 - 1
    plain = all(conv.attrs[name] == (1, 1) for name in ("strides", "dilations")) and conv.attrs["groups"] == 1
    if count not in _TO_SPACE or not plain or any(item != 0 for item in (*conv.attrs["low"], *conv.attrs["high"])):
        return None
    if tuple(back.attrs["perm"]) != _TO_SPACE[count] or tuple(to_batch.attrs["perm"]) != _TO_BATCH[count]:
        return None
    missing = (1,) * (2 - count)
    if conv.operands[1].shape[: 2 - count] != missing:
        return None
    block, batch = split.result.shape[2 : 2 + 2 * count : 2], split.result.shape[0]
    amounts, channels = split.result.shape[1 : 1 + 2 * count : 2], split.result.shape[-1]
    results = conv.result.shape[3 - count :]
    if not (
        symbolic.same_shape(images.result.shape[1:], (*missing, *amounts, channels))
        and symbolic.same_shape(split_result.result.shape, (*block, batch, *results))
    ):
        return None
    sizes = tuple(size for size in block if isinstance(size, int) and size >= 1)
    return sizes if len(sizes) == count else None


def _without_padding(x: Value) -> tuple[Value, list[Dim], list[Dim]]:
    """What x is the zero padding of, along all dimensions but the first and the last, and how wide that is."""
    low: list[Dim] = [0] * (x.rank - 2)
    high: list[Dim] = [0] * (x.rank - 2)
    while x.kind == "pad" and x.op.attrs["mode"] == "constant" and splat_value(x.op.operands[1]) == 0.0:
        pads = (x.op.attrs["low"], x.op.attrs["high"])
        if any(item[axis] != 0 for item in pads for axis in (0, -1)):
            break
        low = [symbolic.add(*both) for both in zip(low, pads[0][1:-1], strict=True)]
        high = [symbolic.add(*both) for both in zip(high, pads[1][1:-1], strict=True)]
        x = x.op.operands[0]
    return x, low, high


def _cropped(b: Builder, op: Op, counts: Mapping[Value, int], made: Mapping[Value, Op]) -> Value | None:
    """A dilated convolution's result less some of its end: the same convolution with less padding there."""
    x = op.operands[0]
    if x not in made or counts.get(x, 1) != 1:
        return None
    if any(step != 1 for step in op.attrs["strides"]) or any(start != 0 for start in op.attrs["starts"]):
        return None
    conv, missing = made[x], 4 - x.rank
    cut = [symbolic.sub(whole, size) for whole, size in zip(x.shape, op.result.shape, strict=True)]
    cuts = (*[0] * missing, *cut[1:-1])
    high = tuple(symbolic.sub(pad, item) for pad, item in zip(conv.attrs["high"], cuts, strict=True))
    if cut[0] != 0 or cut[-1] != 0 or not all(isinstance(item, int) and item >= 0 for item in high):
        return None
    shorter = b.rebuild(conv, conv.operands, high=high)
    return b.reshape(shorter.result, op.result.shape)
