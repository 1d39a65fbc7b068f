"""Searches in sorted sequences: search.h."""

from __future__ import annotations

from tf_blade.backends.disc.codegen.call import Call
from tf_blade.backends.disc.codegen.library import LibraryContext, emitter


@emitter("search_sorted")
def search_sorted(context: LibraryContext) -> Call:
    op = context.op
    sequence, values = op.operands
    upper = "true" if op.attrs["upper"] else "false"
    pointers = ", ".join(context.pointer(item) for item in (sequence, values, context.output))
    sizes = ", ".join(context.dim(item) for item in (values.shape[0], sequence.shape[1], values.shape[1]))
    return context.call(f"search_sorted<{upper}>(ral, {pointers}, {sizes});", heavy=False)
