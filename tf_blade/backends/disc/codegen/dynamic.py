"""Ops that find dimensions when they run. Each is two calls: one finds the sizes, the other fills what has them.

found[0] = where_count(…)  ►  the stage of the size begins (see stages.py)  ►  where_fill(…)
"""

from __future__ import annotations

from tf_blade.backends.disc.codegen.affine import count
from tf_blade.backends.disc.codegen.call import Call
from tf_blade.backends.disc.codegen.kernel import WorkSpace
from tf_blade.backends.disc.codegen.library import LibraryContext, emitter
from tf_blade.symbolic import add, ceildiv

WHERE_BLOCK = 4096  # elements counted together; where.h has the same


@emitter("observe")
def observe(context: LibraryContext) -> list[Call]:
    op = context.op
    x = context.pointer(op.operands[0])
    values = context.call(
        *(f"found[{i}] = static_cast<int64_t>({x}[{i}]);" for i in range(len(op.attrs["found"]))),
        heavy=False,
        found=op.attrs["found"],
    )
    to, source = context.pointer(context.output), context.pointer(op.operands[0])
    return [values, context.call(f"memcpy({to}, {source}, sizeof(*{to}) * {len(op.attrs['found'])});", heavy=False)]


@emitter("where")
def where(context: LibraryContext) -> list[Call]:
    op, (x,) = context.op, context.op.operands
    total = count(x.shape)
    starts = WorkSpace("int64_t", add(ceildiv(total, WHERE_BLOCK), 1), 8)
    counting = context.call(
        f"found[0] = where_count(ral, {context.pointer(x)}, {context.pointer(starts)}, {context.dim(total)});",
        found=op.attrs["found"],
    )
    dims = ", ".join(context.dim(dim) for dim in x.shape)
    pointers = ", ".join(context.pointer(item) for item in (x, starts, context.output))
    filling = context.call(
        f"const int64_t dims[] = {{{dims}}};", f"where_fill<{x.rank}>(ral, {pointers}, dims, {context.dim(total)});"
    )
    return [counting, filling]
