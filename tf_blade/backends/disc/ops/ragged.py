"""Ragged tensors of one ragged dimension, and coordinates of sparse tensors."""

from __future__ import annotations

from collections.abc import Sequence

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.backends.disc.ops.shape import INDEX
from tf_blade.dtypes import ALL, DType
from tf_blade.symbolic import Dim

_RANGE = INDEX | {DType.FLOAT, DType.DOUBLE}


def _require_one(ctx: OpContext, number: int) -> None:
    ctx.require(number == 1, f"{number} ragged dimensions")


def _splits(ctx: OpContext, index: int) -> Value:
    """Row splits: a vector of at least one element."""
    splits = ctx.inputs[index]
    ctx.require(splits.rank == 1, "row splits are a vector")
    ctx.b.require_at_least(splits.shape[0], 1)
    return splits


@op("RaggedRange", types={"T": _RANGE, "Tsplits": INDEX})
def ragged_range(ctx: OpContext) -> Sequence[Value]:
    lengths = [item.shape[0] for item in ctx.inputs if item.rank == 1]
    ctx.require(all(item.rank <= 1 for item in ctx.inputs), "vectors and scalars")
    rows: Dim = lengths[0] if lengths else 1
    for length in lengths:
        ctx.b.require_equal(length, rows)
    vectors = [item if item.rank == 1 else ctx.b.broadcast(item, (rows,), ()) for item in ctx.inputs]
    vectors = [ctx.b.reshape(item, (rows,)) for item in vectors]
    return ctx.b.find("ragged_range", vectors, (ctx.late_dim("total"),), dtype=ctx.attr("Tsplits"))


@op("RaggedTensorToTensor", types={"T": ALL, "Tindex": INDEX, "Tshape": INDEX})
def ragged_to_tensor(ctx: OpContext) -> Value:
    kinds = ctx.node.attrs.get("row_partition_types")
    names = [item.decode() if isinstance(item, bytes) else str(item) for item in kinds or ()]  # type: ignore[union-attr]
    ctx.require(names == ["ROW_SPLITS"], f"row partitions {names}")
    values, missing, splits = ctx.inputs[1], ctx.inputs[2], _splits(ctx, 3)
    ctx.require(missing.rank == 0 and values.rank >= 1, "a scalar for what is missing")
    wanted = ctx.dims(0)
    if ctx.inputs[0].rank == 0:
        ctx.require(wanted == (-1,), "a shape of unknown rank")
        wanted = (-1,) * (values.rank + 1)
    ctx.require(len(wanted) == values.rank + 1, f"rank {values.rank + 1} as one of rank {len(wanted)}")
    for dim, size in zip(wanted[2:], values.shape[1:], strict=True):
        if dim != -1:
            ctx.b.require_equal(dim, size)
    for dim in wanted[:2]:
        if dim != -1:
            ctx.b.require_at_least(dim, 0)
    rows = symbolic.sub(splits.shape[0], 1) if wanted[0] == -1 else wanted[0]
    columns = ctx.late_dim("columns") if wanted[1] == -1 else wanted[1]
    attrs = {"rows": rows, "columns": wanted[1]}
    return ctx.b.find("ragged_to_dense", (values, splits, missing), (columns,), **attrs)[0]


@op("RaggedTensorToSparse", types={"T": ALL, "Tsplits": INDEX})
def ragged_to_sparse(ctx: OpContext) -> Sequence[Value]:
    _require_one(ctx, int(ctx.attr("RAGGED_RANK")))
    splits, values = _splits(ctx, 0), ctx.inputs[1]
    ctx.require(values.rank == 1, f"values of rank {values.rank}")
    indices, shape = ctx.b.call("ragged_to_sparse", (splits,), values=values.shape[0])
    return [indices, values, shape]


@op("RaggedGather", types={"Tvalues": ALL, "Tindices": INDEX, "Tsplits": INDEX})
def ragged_gather(ctx: OpContext) -> Sequence[Value]:
    _require_one(ctx, int(ctx.attr("PARAMS_RAGGED_RANK")))
    splits, values, places = _splits(ctx, 0), *ctx.inputs[1:]
    ctx.require(places.rank == 1 and values.rank >= 1, f"indices of rank {places.rank}")
    return ctx.b.find("ragged_gather", (values, splits, places), (ctx.late_dim("total"),))


@op("SparseFillEmptyRows", types={"T": ALL})
def sparse_fill_empty_rows(ctx: OpContext) -> Sequence[Value]:
    indices, values, shape, missing = ctx.inputs
    ctx.require(indices.rank == 2 and values.rank == 1 and shape.rank == 1 and missing.rank == 0, "a sparse tensor")
    ctx.b.require_equal(indices.shape[0], values.shape[0])
    ctx.b.require_equal(indices.shape[1], shape.shape[0])
    ctx.require(isinstance(shape.shape[0], int) and shape.shape[0] >= 1, "a known rank")
    rows = ctx.late_dim("rows") if shape.sym is None else shape.sym.reshape(-1)[0]
    ctx.b.require_at_least(rows, 0)
    return ctx.b.find("sparse_fill_rows", (indices, values, shape, missing), (rows, ctx.late_dim("total")))


@op("SparseReshape")
def sparse_reshape(ctx: OpContext) -> Sequence[Value]:
    indices, source, target = ctx.inputs
    ctx.require(indices.rank == 2 and source.rank == 1 and target.rank == 1, "a matrix and two vectors")
    ctx.b.require_equal(indices.shape[1], source.shape[0])
    ctx.require(symbolic.is_static((*source.shape, *target.shape)), "known ranks")
    return ctx.b.call("sparse_reshape", (indices, source, target))
