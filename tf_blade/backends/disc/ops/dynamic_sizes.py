"""Ops whose outputs' sizes depend on data."""

from __future__ import annotations

from collections.abc import Sequence

from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, Rule, op
from tf_blade.backends.disc.ops.shape import INDEX
from tf_blade.dtypes import ALL, NUMERIC, DType


@op("Where", types={"T": ALL - {DType.HALF}})
def where(ctx: OpContext) -> Value:
    (x,) = ctx.inputs
    ctx.require(1 <= x.rank <= 8, f"Where of rank {x.rank}")
    if x.dtype != DType.BOOL:
        x = ctx.b.binary("not_equal", x, ctx.b.scalar(0, x.dtype))
    return ctx.b.find("where", (x,), (ctx.late_dim("count"),))[0]


# --- distinct elements ------------------------------------------------------------------------------------------------
def _unique(ctx: OpContext) -> tuple[Value, ...]:
    """values, ids, counts"""
    x = ctx.inputs[0]
    ctx.require(x.rank == 1, f"distinct elements of a tensor of rank {x.rank}")
    if len(ctx.inputs) == 2:
        ctx.require(all(item in (0, -1) for item in ctx.const(1).reshape(-1)), "an axis other than 0")
        ctx.require(ctx.const(1).size <= 1, "several axes")
    return ctx.b.find("unique", (x,), (ctx.late_dim("count"),), dtype=ctx.attr("out_idx", DType.INT32))


_HASHED = frozenset({DType.FLOAT, DType.DOUBLE, *(t for t in NUMERIC if t.is_integer)})
_UNIQUE = {"T": _HASHED, "out_idx": INDEX}


@op("Unique", types=_UNIQUE)
def unique(ctx: OpContext) -> Sequence[Value]:
    return _unique(ctx)[:2]


@op("UniqueV2", types={**_UNIQUE, "Taxis": INDEX})
def unique_v2(ctx: OpContext) -> Sequence[Value]:
    return _unique(ctx)[:2]


@op("UniqueWithCounts", types=_UNIQUE)
def unique_with_counts(ctx: OpContext) -> Sequence[Value]:
    return _unique(ctx)


@op("UniqueWithCountsV2", types={**_UNIQUE, "Taxis": INDEX})
def unique_with_counts_v2(ctx: OpContext) -> Sequence[Value]:
    return _unique(ctx)


# --- segments ---------------------------------------------------------------------------------------------------------
def _segment(kind: str) -> Rule:
    def rule(ctx: OpContext) -> Value:
        data, ids = ctx.inputs
        ctx.require(data.rank >= 1 and ids.rank == 1, "a vector of segment ids, one for each row")
        ctx.b.require_equal(data.shape[0], ids.shape[0])
        return ctx.b.find("segment_reduce", (data, ids), (ctx.late_dim("rows"),), kind=kind)[0]

    return rule


def _sparse_segment(kind: str) -> Rule:
    def rule(ctx: OpContext) -> Value:
        data, places, ids = ctx.inputs
        ctx.require(not ctx.attr("sparse_gradient", False), "a sparse gradient")
        ctx.require(data.rank >= 1 and places.rank == 1 and ids.rank == 1, "vectors of indices and segment ids")
        ctx.b.require_equal(places.shape[0], ids.shape[0])
        return ctx.b.find("segment_reduce", (data, ids, places), (ctx.late_dim("rows"),), kind=kind)[0]

    return rule


_WIDE = frozenset({DType.FLOAT, DType.DOUBLE})
_ADDED = frozenset({DType.FLOAT, DType.DOUBLE, DType.INT32, DType.INT64})
for _name, _kind in (("Sum", "sum"), ("Mean", "mean"), ("Prod", "prod"), ("Max", "max"), ("Min", "min")):
    op(f"Segment{_name}", types={"T": _WIDE if _kind == "mean" else _ADDED, "Tindices": INDEX})(_segment(_kind))
for _name, _kind in (("Sum", "sum"), ("Mean", "mean"), ("SqrtN", "sqrt_n")):
    op(f"SparseSegment{_name}", types={"T": _WIDE, "Tidx": INDEX, "Tsegmentids": INDEX})(_sparse_segment(_kind))


# --- partitions -------------------------------------------------------------------------------------------------------
@op("DynamicPartition", types={"T": ALL})
def dynamic_partition(ctx: OpContext) -> Sequence[Value]:
    data, places = ctx.inputs
    ctx.require(places.rank <= data.rank, "a place for each row")
    for a, b in zip(data.shape, places.shape, strict=False):
        ctx.b.require_equal(a, b)
    counts = [ctx.late_dim(f"count{number}") for number in range(int(ctx.attr("num_partitions")))]
    return ctx.b.find("partition", (data, places), counts)


@op("DynamicStitch", "ParallelDynamicStitch", types={"T": ALL})
def dynamic_stitch(ctx: OpContext) -> Value:
    number = len(ctx.inputs) // 2
    places, rows = [], []
    rest = ctx.inputs[number].shape[ctx.inputs[0].rank :]
    for indices, data in zip(ctx.inputs[:number], ctx.inputs[number:], strict=True):
        ctx.require(data.rank - indices.rank == len(rest), "rows of one rank")
        for a, b in zip(data.shape, (*indices.shape, *rest), strict=True):
            ctx.b.require_equal(a, b)
        total = indices.type.num_elements
        places.append(ctx.b.reshape(indices, (total,)))
        rows.append(ctx.b.reshape(data, (total, *rest)))
    joined = ctx.b.concat(places, 0), ctx.b.concat(rows, 0)
    return ctx.b.find("stitch", joined, (ctx.late_dim("rows"),))[0]
