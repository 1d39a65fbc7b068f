"""Joins narrow convolutions of one image: conv(x, u) and conv(x, w) become slices of conv(x, [u w]).

A convolution reads every window of its image once for each vector of output channels, and fills whole vectors whatever
the number of channels. Heads with a few channels each (classes, boxes, scores) cost about as much alone as together.
"""

from __future__ import annotations

from collections.abc import Hashable

from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Module, Op, Value
from tf_blade.backends.disc.passes.rewriter import rewrite
from tf_blade.symbolic import is_static

WIDEST = 32  # output channels of the joined convolution

Group = tuple[Value, ...]


def run(module: Module) -> Module:
    groups = _groups(module)
    if not groups:
        return module
    joined: dict[tuple[Value, Group], Value] = {}

    def rule(b: Builder, op: Op) -> Value | None:
        group = groups.get(op.operands[1]) if op.kind == "conv2d" else None
        if group is None or not _is_narrow(op):
            return None
        x, w = op.operands
        if (x, group) not in joined:
            joined[x, group] = b.rebuild(op, [x, b.concat(group, 3)]).result
        starts = [0, 0, 0, sum(int(item.shape[3]) for item in group[: group.index(w)])]
        return b.slice(joined[x, group], starts, op.result.shape)

    return rewrite(module, rule)


def _groups(module: Module) -> dict[Value, Group]:
    """For the weights of each convolution worth joining, the weights to join.

    Weights may be used for several images; then each of these must offer the same group.
    """
    siblings: dict[Hashable, dict[Value, None]] = {}
    for op in module.ops():
        if op.kind == "conv2d":
            siblings.setdefault(_key(op), {}).setdefault(op.operands[1])
    found: dict[Value, set[Group]] = {}
    for key in siblings:
        for w in siblings[key]:
            found.setdefault(w, set()).add(tuple(siblings[key]))
    return {w: next(iter(groups)) for w, groups in found.items() if len(groups) == 1 and _pays(next(iter(groups)))}


def _key(op: Op) -> Hashable:
    """Equal for convolutions that may be joined."""
    if not _is_narrow(op):
        return op
    attrs = op.attrs
    return (
        op.operands[0],
        op.operands[1].shape[:3],
        *(attrs[name] for name in ("strides", "dilations", "low", "high")),
    )


def _is_narrow(op: Op) -> bool:
    w = op.operands[1]
    if w.kind != "constant" and not (w.kind == "parameter" and w.op.attrs["weight"]):
        return False
    return is_static(w.shape) and op.attrs["groups"] == 1 and int(w.shape[3]) < WIDEST


def _pays(group: Group) -> bool:
    return len(group) > 1 and sum(int(w.shape[3]) for w in group) <= WIDEST
