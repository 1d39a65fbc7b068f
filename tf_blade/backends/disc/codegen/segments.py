"""Distinct elements, segments and partitions, by unique.h, segment.h and partition.h."""

from __future__ import annotations

from tf_blade.backends.disc.codegen.affine import count, dim_mul
from tf_blade.backends.disc.codegen.call import Call
from tf_blade.backends.disc.codegen.kernel import WorkSpace
from tf_blade.backends.disc.codegen.library import LibraryContext, emitter
from tf_blade.symbolic import add

_COMBINE = {
    "sum": "SegmentSum",
    "mean": "SegmentMean",
    "sqrt_n": "SegmentSqrtN",
    "prod": "SegmentProd",
    "max": "SegmentMax",
    "min": "SegmentMin",
}


@emitter("unique")
def unique(context: LibraryContext) -> list[Call]:
    op, (x,) = context.op, context.op.operands
    values, ids, numbers = op.results
    n = x.shape[0]
    space = add(dim_mul(n, 4), 16)
    first, counts, table = WorkSpace("int64_t", n, 8), WorkSpace("int64_t", n, 8), WorkSpace("int32_t", space, 4)
    size = context.dim(n)
    pointers = ", ".join(context.pointer(item) for item in (ids, first, counts, table))
    finding = context.call(
        f"found[0] = unique_find({context.pointer(x)}, {size}, {pointers}, {context.dim(space)});",
        found=op.attrs["found"],
    )
    sources = ", ".join(context.pointer(item) for item in (x, first, counts))
    targets = ", ".join(context.pointer(item) for item in (values, numbers))
    length = context.dim(values.shape[0])
    return [finding, context.call(f"unique_fill({sources}, {length}, {targets});", heavy=False)]


@emitter("segment_reduce")
def segment_reduce(context: LibraryContext) -> list[Call]:
    op = context.op
    data, ids, *places = op.operands
    n = context.dim(ids.shape[0])
    sizing = context.call(
        f"code = segment_rows(ral, {context.pointer(ids)}, {n}, found);", heavy=False, found=op.attrs["found"]
    )
    sizes = ", ".join(
        context.dim(dim) for dim in (ids.shape[0], count(data.shape[1:]), data.shape[0], op.result.shape[0])
    )
    place = context.pointer(places[0]) if places else "static_cast<const int32_t*>(nullptr)"
    given = f"{context.pointer(data)}, {context.pointer(ids)}, {place}"
    reducing = context.call(
        f"const SegmentRows size{{{sizes}}};",
        f"segment_reduce<{_COMBINE[op.attrs['kind']]}>(ral, {given}, size, {context.pointer(context.output)}, &error);",
    )
    return [sizing, reducing]


@emitter("partition")
def partition(context: LibraryContext) -> list[Call]:
    op = context.op
    data, places = op.operands
    number = context.dim(count(places.shape))
    counting = context.call(
        f"code = partition_count(ral, {context.pointer(places)}, {number}, {len(op.results)}, found);",
        heavy=False,
        found=op.attrs["found"],
    )
    targets = ", ".join(f"reinterpret_cast<char*>({context.pointer(item)})" for item in op.results)
    size = context.dim(dim_mul(count(data.shape[places.rank :]), data.dtype.size))
    filling = context.call(
        f"char* targets[] = {{{targets}}};",
        f"partition_fill({context.pointer(data)}, {context.pointer(places)}, {number}, {size}, targets);",
    )
    return [counting, filling]


@emitter("stitch")
def stitch(context: LibraryContext) -> list[Call]:
    op = context.op
    indices, data = op.operands
    number = context.dim(indices.shape[0])
    sizing = context.call(
        f"code = stitch_rows(ral, {context.pointer(indices)}, {number}, found);", heavy=False, found=op.attrs["found"]
    )
    size = context.dim(dim_mul(count(data.shape[1:]), data.dtype.size))
    given = f"{context.pointer(data)}, {context.pointer(indices)}, {number}, {size}"
    rows = context.dim(op.result.shape[0])
    return [sizing, context.call(f"stitch_fill({given}, {context.pointer(context.output)}, {rows});")]
