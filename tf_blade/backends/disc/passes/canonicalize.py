"""Brings the IR into the forms that later passes and the code generator look for.

- reshapes and transposes are combined; transposes of the last two axes go into `dot`
- a reshape that only adds or drops dimensions of size 1 goes into the broadcast after it, and sinks below elementwise
ops:   `broadcast(reshape(reduce(x)))` becomes `broadcast(reduce(x))`, whichever keepdims the model was written with
- broadcasts are combined
- a stack (`concat` of operands that were each given an axis of size 1) becomes a reshape of a concat of what is stacked
"""

from __future__ import annotations

from tf_blade import symbolic
from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Module, Op, Value
from tf_blade.backends.disc.passes.rewriter import rewrite
from tf_blade.symbolic import Shape

MAX_ROUNDS = 4


def run(module: Module) -> Module:
    """Rewrites until nothing changes (at most MAX_ROUNDS times)."""
    for _ in range(MAX_ROUNDS):
        changed = 0

        def rule(b: Builder, op: Op) -> Value | None:
            nonlocal changed
            handler = _HANDLERS.get(op.kind)
            result = handler(b, op) if handler else None
            changed += result is not None
            return result

        module = rewrite(module, rule)
        if not changed:
            break
    return module


def _reshape(b: Builder, op: Op) -> Value | None:
    (x,) = op.operands
    if x.kind == "reshape":
        return b.reshape(x.op.operands[0], op.attrs["shape"])
    if x.kind == "broadcast" and x.op.operands[0].rank == 0:
        return b.broadcast(x.op.operands[0], op.attrs["shape"], ())
    if x.kind == "constant" and symbolic.is_static(op.attrs["shape"]):
        return b.constant(x.op.attrs["array"].reshape(op.attrs["shape"]))
    return None


def _transpose(b: Builder, op: Op) -> Value | None:
    (x,) = op.operands
    perm = op.attrs["perm"]
    if x.kind == "transpose":
        inner = x.op.attrs["perm"]
        return b.transpose(x.op.operands[0], [inner[axis] for axis in perm])
    if x.kind == "broadcast" and x.op.operands[0].rank <= 1:
        source = x.op.operands[0]
        return b.broadcast(source, op.result.shape, tuple(perm.index(axis) for axis in x.op.attrs["axes"]))
    if _moves_only_units(x.shape, perm):
        return b.reshape(x, op.result.shape)
    if x.kind == "dot" and swaps_last_two(perm) and x.op.operands[0].rank == x.op.operands[1].rank:
        left, right = x.op.operands
        flags = x.op.attrs
        return b.dot(right, left, transpose_a=not flags["transpose_b"], transpose_b=not flags["transpose_a"])
    return None


def _moves_only_units(shape: Shape, perm: tuple[int, ...]) -> bool:
    """Whether the order of the dimensions that are not 1 stays: then the transpose is a reshape."""
    moved = [axis for axis in perm if shape[axis] != 1]
    return moved == sorted(moved)


def swaps_last_two(perm: tuple[int, ...]) -> bool:
    rank = len(perm)
    return rank >= 2 and tuple(perm) == (*range(rank - 2), rank - 1, rank - 2)


def _dot(b: Builder, op: Op) -> Value | None:
    operands, flags, changed = list(op.operands), [op.attrs["transpose_a"], op.attrs["transpose_b"]], False
    for i, x in enumerate(op.operands):
        if x.kind == "transpose" and swaps_last_two(x.op.attrs["perm"]):
            operands[i], flags[i], changed = x.op.operands[0], not flags[i], True
    return b.dot(*operands, transpose_a=flags[0], transpose_b=flags[1]) if changed else None


def _broadcast(b: Builder, op: Op) -> Value | None:
    (x,) = op.operands
    axes: tuple[int, ...] = op.attrs["axes"]
    if x.kind == "broadcast":
        inner = x.op.attrs["axes"]
        source = x.op.operands[0]
        # a dimension of 1 that the outer one stretches is the source's own or new; both are stretched at once
        return b.broadcast(source, op.attrs["shape"], tuple(axes[axis] for axis in inner))
    if x.kind == "reshape":
        kept = unit_mapping(x.op.operands[0].shape, x.shape)
        if kept is not None:
            return b.broadcast(x.op.operands[0], op.attrs["shape"], tuple(axes[axis] for axis in kept))
    dropped = [i for i, dim in enumerate(x.shape) if dim == 1]
    if dropped:
        rest = [i for i in range(x.rank) if i not in dropped]
        source = b.reshape(x, [x.shape[i] for i in rest])
        return b.broadcast(source, op.attrs["shape"], tuple(axes[i] for i in rest))
    return None


def unit_mapping(source: Shape, result: Shape) -> tuple[int, ...] | None:
    """Where each source axis goes in a reshape that only inserts dimensions of size 1; None for other reshapes."""
    mapping: list[int] = []
    position = 0
    for axis, dim in enumerate(result):
        if position < len(source) and symbolic.equal(dim, source[position]):
            mapping.append(axis)
            position += 1
        elif dim != 1:
            return None
    return tuple(mapping) if position == len(source) else None


def _elementwise(b: Builder, op: Op) -> Value | None:
    """elementwise(reshape(a), splat, reshape(b)) -> reshape(elementwise(a, splat, b)) where the reshapes only add
    1s.
    """
    sources = [x.op.operands[0] if x.kind == "reshape" else None for x in op.operands]
    shape = next((x.shape for x in sources if x is not None), None)
    if shape is None or unit_mapping(shape, op.result.shape) is None:
        return None
    operands: list[Value] = []
    for x, source in zip(op.operands, sources, strict=True):
        if source is not None and symbolic.same_shape(source.shape, shape):
            operands.append(source)
        elif x.kind == "broadcast" and x.op.operands[0].rank == 0:
            operands.append(b.broadcast(x.op.operands[0], shape, ()))
        elif x.kind == "constant" and x.op.attrs["array"].size == 1:
            operands.append(b.broadcast(b.reshape(x, ()), shape, ()))
        else:
            return None
    return b.reshape(b.rebuild(op, operands).result, op.result.shape)


def _concat(b: Builder, op: Op) -> Value | None:
    """concat(reshape(x, [a, 1, n]), reshape(y, [a, 1, n]), axis=1) -> reshape(concat(x, y, axis=1), [a, 2, n])"""
    axis, first = op.attrs["axis"], op.operands[0]
    if axis + 1 >= first.rank:
        return None
    flat = (*first.shape[:axis], *first.shape[axis + 1 :])
    sources: list[Value] = []
    for x in op.operands:
        if x.kind != "reshape" or x.shape[axis] != 1 or not symbolic.same_shape(x.op.operands[0].shape, flat):
            return None
        sources.append(x.op.operands[0])
    return b.reshape(b.concat(sources, axis), op.result.shape)


_HANDLERS = {
    "concat": _concat,
    "reshape": _reshape,
    "transpose": _transpose,
    "dot": _dot,
    "broadcast": _broadcast,
    "elementwise": _elementwise,
}
