"""Ops with an algorithm of their own, served by templates in custom_ops/disc/cpu/special.h."""

from __future__ import annotations

from tf_blade.backends.disc.codegen.affine import count
from tf_blade.backends.disc.codegen.call import Call
from tf_blade.backends.disc.codegen.ctypes_ import register_type
from tf_blade.backends.disc.codegen.library import LibraryContext, emitter


def _axis(context: LibraryContext, axis: int) -> str:
    """Elements before, along and after an axis of the first operand."""
    shape = context.op.operands[0].shape
    return ", ".join(context.dim(item) for item in (count(shape[:axis]), shape[axis], count(shape[axis + 1 :])))


def _flag(value: bool) -> str:
    return "true" if value else "false"


@emitter("cumulative")
def cumulative(context: LibraryContext) -> Call:
    op = context.op
    kind = register_type(op.result.dtype)
    fn = {"sum": "Add", "prod": "Multiply", "logsumexp": "LogSumExp"}[op.attrs["kind"]]
    flags = f"{_flag(op.attrs['exclusive'])}, {_flag(op.attrs['reverse'])}"
    x, y = context.pointer(op.operands[0]), context.pointer(context.output)
    axis = _axis(context, op.attrs["axis"])
    return context.call(f"cumulative<{kind}, {fn}>(ral, {x}, {y}, {axis}, {flags});")


@emitter("arg_reduce")
def arg_reduce(context: LibraryContext) -> Call:
    op = context.op
    fn = "Greater" if op.attrs["kind"] == "max" else "Less"
    x, y = context.pointer(op.operands[0]), context.pointer(context.output)
    return context.call(f"arg_reduce<{fn}>(ral, {x}, {y}, {_axis(context, op.attrs['axis'])});")


@emitter("topk")
def topk(context: LibraryContext) -> Call:
    op, x = context.op, context.op.operands[0]
    pointers = [context.pointer(value) for value in (x, *op.results)]
    sizes = [context.dim(item) for item in (count(x.shape[:-1]), x.shape[-1], op.attrs["k"])]
    return context.call(f"code = topk(ral, {', '.join([*pointers, *sizes])});")


_COMBINE = {
    "update": "Replace",
    "add": "Add",
    "sub": "Subtract",
    "mul": "Multiply",
    "max": "Largest",
    "min": "Smallest",
}


@emitter("scatter")
def scatter(context: LibraryContext) -> Call:
    op = context.op
    x, indices, updates = op.operands
    depth = int(indices.shape[-1])
    limits = ", ".join(context.dim(dim) for dim in x.shape[:depth]) or "0"
    mode = _COMBINE[op.attrs["mode"]]
    pointers = ", ".join(context.pointer(value) for value in (x, indices, updates, context.output))
    sizes = ", ".join(context.dim(item) for item in (count(indices.shape[:-1]), count(x.shape[depth:]), count(x.shape)))
    return context.call(
        f"const int64_t limits[] = {{{limits}}};",
        f"scatter<{mode}>(ral, {pointers}, {depth}, limits, {sizes}, &error);",
    )
