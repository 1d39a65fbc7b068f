"""Rules of gathers, scatters, one-hot and counts.

An index out of range is an error of the call in TensorFlow on CPUs, and zeros on GPUs; plans follow the latter.
"""

from __future__ import annotations

import numpy as np

from tf_blade import symbolic
from tf_blade.backends.tensorrt.ops.base import ALL, INDEX, OpContext, Precision, op
from tf_blade.backends.tensorrt.values import Value
from tf_blade.dtypes import DType

# Bins of a count, which compares each element with each of them.
_MAX_BINS = 4096
_COUNTS = INDEX | {DType.FLOAT}
_INDICES = {"Tindices": INDEX}


@op("GatherV2", types={"Tparams": ALL, "Tindices": INDEX, "Taxis": INDEX})
def gather_v2(ctx: OpContext) -> Value:
    x, indices = ctx.inputs[0], ctx.inputs[1]
    axis, batch = ctx.axis(ctx.const_int(2), x.rank), int(ctx.attr("batch_dims", 0))
    batch = batch % indices.rank if batch < 0 else batch
    ctx.require(batch <= axis, "batch dimensions beyond the axis")
    return gathered(ctx, x, indices, axis, batch)


@op("Gather", types={"Tparams": ALL, **_INDICES})
def gather(ctx: OpContext) -> Value:
    return gathered(ctx, ctx.inputs[0], ctx.inputs[1], 0, 0)


@op("ResourceGather", types={"dtype": ALL, **_INDICES})
def resource_gather(ctx: OpContext) -> Value:
    """The handle arrives as the variable's tensor."""
    return gathered(ctx, ctx.inputs[0], ctx.inputs[1], 0, int(ctx.attr("batch_dims", 0)))


def gathered(ctx: OpContext, x: Value, indices: Value, axis: int, batch: int) -> Value:
    """Elements of an axis by their indices, for each index of the first `batch` dimensions by itself."""
    ctx.require(x.rank >= 1, "of a scalar")
    if x.dtype == DType.BOOL:
        return ctx.net.cast(ctx.net.gather(ctx.net.cast(x, DType.INT32), indices, axis, batch), DType.BOOL)
    return ctx.net.gather(x, indices, axis, batch)


@op("GatherNd", types={"Tparams": ALL - {DType.BOOL}, **_INDICES})
@op("ResourceGatherNd", types={"dtype": ALL - {DType.BOOL}, **_INDICES})
def gather_nd(ctx: OpContext) -> Value:
    x, indices = ctx.inputs
    depth = ctx.static(indices.shape[-1], "the number of indexed dimensions") if indices.rank else 0
    ctx.require(1 <= depth <= x.rank, f"{depth} indices for rank {x.rank}")
    layer = ctx.net.definition.add_gather_v2(ctx.net.tensor(x), ctx.net.tensor(indices), ctx.net.trt.GatherMode.ND)
    return ctx.net.made(layer, x.dtype, (*indices.shape[:-1], *x.shape[depth:]))


@op("TensorScatterUpdate", types={"T": ALL - {DType.BOOL}, **_INDICES})
def tensor_scatter_update(ctx: OpContext) -> Value:
    """Which of several updates of an element is the last is unspecified in TensorFlow too."""
    return _scattered(ctx, *ctx.inputs)


@op("ScatterNd", types={"T": ALL - {DType.BOOL}, **_INDICES})
def scatter_nd(ctx: OpContext) -> Value:
    """Updates of one element add up, which layers do not: indices must be known to differ."""
    indices, updates, _ = ctx.inputs
    rows = indices.constant
    ctx.require(rows is not None, "indices that may be equal")
    assert rows is not None
    flat = rows.reshape(-1, rows.shape[-1])
    ctx.require(len(np.unique(flat, axis=0)) == len(flat), "indices that are equal")
    return _scattered(ctx, ctx.net.broadcast(ctx.net.like(0, updates), ctx.dims(2)), indices, updates)


def _scattered(ctx: OpContext, x: Value, indices: Value, updates: Value) -> Value:
    net = ctx.net
    ctx.require(x.rank >= 1 and indices.rank >= 1, "of scalars")
    tensors = net.tensor(x), net.tensor(net.cast(indices, DType.INT32)), net.tensor(updates)
    return net.made(net.definition.add_scatter(*tensors, net.trt.ScatterMode.ND), x.dtype, x.shape)


@op("OneHot", types={"T": ALL, "TI": INDEX})
def one_hot(ctx: OpContext) -> Value:
    """Compares indices with a line of numbers: what is out of range is nowhere equal."""
    net, indices = ctx.net, ctx.inputs[0]
    depth = ctx.const_int(1)
    ctx.require(depth >= 1, "a depth of 0")
    axis = int(ctx.attr("axis", -1))
    axis = indices.rank if axis == -1 else ctx.axis(axis, indices.rank + 1)
    spread = net.reshape(indices, (*indices.shape[:axis], 1, *indices.shape[axis:]))
    line = np.arange(depth).reshape([depth if k == axis else 1 for k in range(spread.rank)])
    hot = net.compare("EQUAL", spread, net.constant(line, indices.dtype))
    return net.select(hot, ctx.inputs[2], ctx.inputs[3])


@op("Bincount", types={"T": _COUNTS}, precision=Precision.FULL)
def bincount(ctx: OpContext) -> Value:
    """Of all elements, wherever they are."""
    x, _, weights = ctx.inputs
    flat = ctx.net.reshape(x, (symbolic.num_elements(x.shape),))
    if weights.shape != (0,):
        weights = ctx.net.reshape(weights, flat.shape)
    return _counted(ctx, flat, weights)


@op("DenseBincount", types={"Tidx": INDEX, "T": _COUNTS}, precision=Precision.FULL)
def dense_bincount(ctx: OpContext) -> Value:
    """Of the elements of each row."""
    x, _, weights = ctx.inputs
    ctx.require(x.rank in (1, 2), f"counts of rank {x.rank}")
    return _counted(ctx, x, weights)


def _counted(ctx: OpContext, x: Value, weights: Value) -> Value:
    """How often each of the first numbers is in the last dimension; or the sum of the weights of where it is."""
    net, bins, dtype = ctx.net, ctx.const_int(1), ctx.attr("T")
    ctx.require(1 <= bins <= _MAX_BINS, f"{bins} bins")
    line = np.arange(bins).reshape((1,) * x.rank + (bins,))
    hits = net.compare("EQUAL", net.reshape(x, (*x.shape, 1)), net.constant(line, x.dtype))
    axis = (x.rank - 1,)
    if ctx.attr("binary_output", False) or weights.shape == (0,):
        kind = "MAX" if ctx.attr("binary_output", False) else "SUM"
        return net.cast(net.reduce(kind, net.cast(hits, DType.INT32), axis, keepdims=False), dtype)
    ctx.require(symbolic.same_shape(weights.shape, x.shape), "weights that may be of another shape")
    each = net.select(hits, net.reshape(weights, (*x.shape, 1)), net.like(0, weights))
    return net.reduce("SUM", each, axis, keepdims=False)
