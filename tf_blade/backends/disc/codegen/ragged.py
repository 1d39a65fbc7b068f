"""Ragged and sparse tensors, by ragged.h and sparse.h."""

from __future__ import annotations

from tf_blade.backends.disc.codegen.affine import count, dim_mul
from tf_blade.backends.disc.codegen.call import Call
from tf_blade.backends.disc.codegen.kernel import WorkSpace
from tf_blade.backends.disc.codegen.library import LibraryContext, emitter
from tf_blade.backends.disc.ir.values import Value
from tf_blade.symbolic import sub

# Elements that are only copied, by size.
_COPIED = {1: "uint8_t", 2: "uint16_t", 4: "uint32_t", 8: "uint64_t"}


def _pointers(context: LibraryContext, *values: Value | WorkSpace) -> str:
    return ", ".join(context.pointer(item) for item in values)


def _rows(context: LibraryContext, splits: Value) -> str:
    return context.dim(sub(splits.shape[0], 1))


def _row_bytes(context: LibraryContext, values: Value) -> str:
    return context.dim(dim_mul(count(values.shape[1:]), values.dtype.size))


@emitter("ragged_range")
def ragged_range(context: LibraryContext) -> list[Call]:
    op = context.op
    starts, limits, deltas = op.operands
    splits, values = op.results
    rows = context.dim(starts.shape[0])
    given = _pointers(context, starts, limits, deltas)
    sizing = context.call(
        f"code = ragged_range_splits(ral, {given}, {rows}, {context.pointer(splits)}, found);",
        heavy=False,
        found=op.attrs["found"],
    )
    given = _pointers(context, starts, deltas)
    return [sizing, context.call(f"ragged_range_fill({given}, {rows}, {_pointers(context, splits, values)});")]


@emitter("ragged_to_dense")
def ragged_to_dense(context: LibraryContext) -> list[Call]:
    op = context.op
    values, splits, missing = op.operands
    given = _rows(context, splits)
    columns = [] if op.attrs["columns"] == -1 else [f"found[0] = {context.dim(op.attrs['columns'])};"]
    sizing = context.call(
        f"code = ragged_check(ral, {context.pointer(splits)}, {given}, {context.dim(values.shape[0])}, found);",
        *columns,
        heavy=False,
        found=op.attrs["found"],
    )
    copied = _COPIED[values.dtype.size]
    source, to, fill = (
        f"reinterpret_cast<{kind}*>({context.pointer(item)})"
        for kind, item in ((f"const {copied}", values), (copied, context.output), (f"const {copied}", missing))
    )
    rows, width, *inner = op.result.shape
    sizes = ", ".join(context.dim(dim) for dim in (rows, width, count(tuple(inner))))
    return [
        sizing,
        context.call(f"ragged_to_dense(ral, {source}, {context.pointer(splits)}, {given}, *{fill}, {to}, {sizes});"),
    ]


@emitter("ragged_to_sparse")
def ragged_to_sparse(context: LibraryContext) -> Call:
    op, (splits,) = context.op, context.op.operands
    indices, shape = op.results
    rows, to = _rows(context, splits), context.pointer(shape)
    return context.call(
        "int64_t longest = 0;",
        f"code = ragged_check(ral, {context.pointer(splits)}, {rows}, {context.dim(op.attrs['values'])}, &longest);",
        f"if (code == BLADE_OK) ragged_indices({context.pointer(splits)}, {rows}, {context.pointer(indices)});",
        f"{to}[0] = {rows};",
        f"{to}[1] = longest;",
    )


@emitter("ragged_gather")
def ragged_gather(context: LibraryContext) -> list[Call]:
    op = context.op
    values, splits, places = op.operands
    new_splits, result = op.results
    number, rows = context.dim(places.shape[0]), _rows(context, splits)
    checked, place, to = (context.pointer(item) for item in (splits, places, new_splits))
    sizing = context.call(
        f"code = ragged_check(ral, {checked}, {rows}, {context.dim(values.shape[0])}, found);",
        f"if (code == BLADE_OK) code = ragged_gather_splits(ral, {checked}, {rows}, {place}, {number}, {to}, found);",
        heavy=False,
        found=op.attrs["found"],
    )
    given = _pointers(context, values, splits, places)
    size = _row_bytes(context, values)
    return [sizing, context.call(f"ragged_gather_fill({given}, {number}, {size}, {context.pointer(result)});")]


@emitter("sparse_fill_rows")
def sparse_fill_rows(context: LibraryContext) -> list[Call]:
    """The number of rows first: it is the size of the memory in which entries are counted."""
    op = context.op
    indices, values, shape, missing = op.operands
    new_indices, new_values, empty, where = op.results
    found = op.attrs["found"]
    n, rank, rows = (context.dim(dim) for dim in (*indices.shape, empty.shape[0]))
    sizing = context.call(
        f"code = sparse_rows(ral, {context.pointer(shape)}, {n}, found);", heavy=False, found=found[:1]
    )
    ends = WorkSpace("int64_t", empty.shape[0], 8)
    counting = context.call(
        f"code = sparse_fill_count(ral, {context.pointer(indices)}, {n}, {rank}, {rows}, "
        f"{_pointers(context, ends, empty)}, found);",
        heavy=False,
        found=found[1:],
    )
    given, results = _pointers(context, indices, values, missing, empty, ends), (new_indices, new_values, where)
    filling = context.call(
        f"const SparseFill size{{{n}, {rank}, {rows}, {values.dtype.size}}};",
        f"sparse_fill({given}, size, {_pointers(context, *results)});",
    )
    return [sizing, counting, filling]


@emitter("sparse_reshape")
def sparse_reshape(context: LibraryContext) -> Call:
    op = context.op
    indices, source, target = op.operands
    moved, shape = op.results
    n, rank, new_rank = (context.dim(dim) for dim in (*indices.shape, target.shape[0]))
    given = f"{context.pointer(indices)}, {n}, {context.pointer(source)}, {rank}, {context.pointer(target)}, {new_rank}"
    return context.call(f"code = sparse_reshape(ral, {given}, {_pointers(context, shape, moved)});")
