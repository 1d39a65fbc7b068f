"""Ops that read and write at places given by indices."""

from __future__ import annotations

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, Rule, op
from tf_blade.backends.disc.ops.shape import INDEX, sizes_of
from tf_blade.dtypes import ALL, NUMERIC, DType
from tf_blade.symbolic import Shape

_INDICES = INDEX | {DType.INT16}


@op("Gather", types={"Tparams": ALL, "Tindices": INDEX})
def gather(ctx: OpContext) -> Value:
    return _gather(ctx, axis=0, batch=0)


@op("GatherV2", types={"Tparams": ALL, "Tindices": _INDICES, "Taxis": INDEX})
def gather_v2(ctx: OpContext) -> Value:
    ctx.require(ctx.const(2).size == 1, "the axis is one number")
    return _gather(ctx, axis=ctx.const_int(2), batch=int(ctx.attr("batch_dims", 0)))


def _gather(ctx: OpContext, *, axis: int, batch: int) -> Value:
    x, indices = ctx.inputs[:2]
    axis = ctx.axis(axis, x.rank)
    ctx.require(-indices.rank <= batch <= indices.rank, f"batch_dims {batch} for indices of rank {indices.rank}")
    batch += indices.rank if batch < 0 else 0
    ctx.require(batch <= axis, f"batch_dims {batch} is above axis {axis}")
    for a, b in zip(x.shape[:batch], indices.shape[:batch], strict=True):
        ctx.b.require_equal(a, b)
    return ctx.b.gather(x, _widened(ctx, indices), axis=axis, batch_dims=batch)


def _widened(ctx: OpContext, indices: Value) -> Value:
    """The IR's gathers take int32 and int64."""
    return ctx.b.convert(indices, DType.INT32) if indices.dtype == DType.INT16 else indices


def _require_errors(ctx: OpContext) -> None:
    """TensorFlow can be told to pass over bad indices; an executable reports them."""
    ctx.require(ctx.attr("bad_indices_policy", "") in ("", "DEFAULT", "ERROR"), "bad_indices_policy IGNORE")


def _depth(ctx: OpContext, indices: Value, rank: int) -> int:
    """The number of dimensions that the index vectors address."""
    ctx.require(indices.rank >= 1, "indices are vectors")
    depth = indices.shape[-1]
    ctx.require(isinstance(depth, int), "the length of the index vectors is unknown")
    assert isinstance(depth, int)
    ctx.require(depth <= rank, f"index vectors of length {depth} for rank {rank}")
    return depth


@op("ResourceGatherNd", types={"dtype": ALL, "Tindices": INDEX})
def resource_gather_nd(ctx: OpContext) -> Value:
    """The handle arrives as the variable's tensor."""
    return _gather_nd(ctx)


@op("GatherNd", types={"Tparams": ALL, "Tindices": _INDICES})
def gather_nd(ctx: OpContext) -> Value:
    return _gather_nd(ctx)


def _gather_nd(ctx: OpContext) -> Value:
    _require_errors(ctx)
    x, indices = ctx.inputs
    ctx.require(x.rank >= 1, "params of rank 0")
    depth = _depth(ctx, indices, x.rank)
    _require_source(ctx, x, indices)
    if depth == 0:
        return ctx.b.broadcast_to(x, (*indices.shape[:-1], *x.shape))
    return ctx.b.gather_nd(x, _widened(ctx, indices))


def _require_source(ctx: OpContext, x: Value, indices: Value) -> None:
    """x has elements, or there are no indices: TensorFlow takes none into an empty tensor, even for empty slices."""
    elements, count = x.type.num_elements, symbolic.num_elements(indices.shape[:-1])
    if not (isinstance(elements, int) and elements >= 1):
        ctx.b.require_at_least(symbolic.maximum(elements, symbolic.sub(1, count)), 1)


@op("ScatterNd", types={"T": NUMERIC, "Tindices": _INDICES})
def scatter_nd(ctx: OpContext) -> Value:
    _require_errors(ctx)
    shape = sizes_of(ctx, 2)
    return _scatter(ctx, ctx.b.full(0, ctx.inputs[1].dtype, shape), ctx.inputs[0], ctx.inputs[1], "add")


@op("TensorScatterUpdate", types={"T": ALL, "Tindices": _INDICES})
def tensor_scatter_update(ctx: OpContext) -> Value:
    return _tensor_scatter(ctx, "update")


def _tensor_scatter(ctx: OpContext, mode: str) -> Value:
    _require_errors(ctx)
    return _scatter(ctx, ctx.inputs[0], ctx.inputs[1], ctx.inputs[2], mode)


def _scatter_rule(mode: str) -> Rule:
    return lambda ctx: _tensor_scatter(ctx, mode)


for _name, _mode in (
    ("TensorScatterAdd", "add"),
    ("ScatterNdNonAliasingAdd", "add"),
    ("TensorScatterSub", "sub"),
    ("TensorScatterMax", "max"),
    ("TensorScatterMin", "min"),
):
    op(_name, types={"T": NUMERIC, "Tindices": _INDICES})(_scatter_rule(_mode))


def _scatter(ctx: OpContext, x: Value, indices: Value, updates: Value, mode: str) -> Value:
    depth = _depth(ctx, indices, x.rank)
    ctx.require(depth >= 1, "index vectors of length 0")
    ctx.require(indices.rank >= 2, "indices of rank 1, which TensorFlow takes for scalars")
    _require_source(ctx, x, indices)
    wanted: Shape = (*indices.shape[:-1], *x.shape[depth:])
    ctx.require(updates.rank == len(wanted), f"updates of rank {updates.rank}, not {len(wanted)}")
    for a, b in zip(updates.shape, wanted, strict=True):
        ctx.b.require_equal(a, b)
    return ctx.b.scatter(x, _widened(ctx, indices), updates, mode)


@op("OneHot", types={"T": ALL, "TI": INDEX | {DType.UINT8, DType.INT8}})
def one_hot(ctx: OpContext) -> Value:
    indices, _, on, off = ctx.inputs
    axis = int(ctx.attr("axis", -1))
    ctx.require(on.rank == 0 and off.rank == 0 and ctx.inputs[1].rank == 0, "depth and the values are scalars")
    axis = ctx.axis(axis, indices.rank + 1)
    (depth,) = sizes_of(ctx, 1)
    # A narrow type could not count up to the depth.
    wide = indices if indices.dtype in INDEX else ctx.b.convert(indices, DType.INT32)
    shape = (*indices.shape[:axis], depth, *indices.shape[axis:])
    spread = ctx.b.broadcast(wide, shape, [i for i in range(len(shape)) if i != axis])
    hit = ctx.b.elementwise("equal", spread, ctx.b.iota(shape, axis, wide.dtype))
    return ctx.b.elementwise("select", hit, ctx.b.broadcast(on, shape, ()), ctx.b.broadcast(off, shape, ()))
