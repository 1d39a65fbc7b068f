"""Joins loops that lie side by side: the same ops over elements of the same shape, reading one value in common.

A model that treats each column of a matrix of identifiers alike has such a loop for each column. Joined they read the
matrix once, and a parallel loop has enough to share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tf_blade.backends.disc.fusion.groups import Group, same_shape
from tf_blade.backends.disc.fusion.late import LateUses
from tf_blade.backends.disc.ir.values import Op, Value

MOST = 8  # results of one loop: caches and prefetchers keep that many streams apart


def join_beside(
    order: Sequence[Group], producer: Mapping[Value, Group], origin: Callable[[Value], Value], late: LateUses
) -> list[Group]:
    """The groups, in an order in which they can run, with loops joined to earlier ones like them.

    A loop that moves forward to another must not need anything that is made in between.
    """
    place = {group: number for number, group in enumerate(order)}
    home: dict[Group, Group] = {}
    leaders: dict[tuple[object, ...], list[Group]] = {}
    kept: list[Group] = []
    for group in order:
        if group.kind == "loop":
            needed = [producer.get(origin(value)) for value in (*group.inputs(), *_found(group, late))]
            ready = max((place[home.get(item, item)] for item in needed if item is not None), default=-1)
            same = leaders.setdefault(_signature(group), [])
            leader = next((item for item in same if ready < place[item] and _fits(item, group)), None)
            if leader is not None:
                leader.ops |= group.ops
                leader.outputs.extend(group.outputs)
                home[group] = leader
                continue
            same.append(group)
        kept.append(group)
    return kept


def _found(group: Group, late: LateUses) -> list[Value]:
    return [value for op in group.ops for value in late.binders(op)]


def _signature(group: Group) -> tuple[object, ...]:
    """What loops must have in common; their shapes are compared apart."""
    return tuple(_kind(op) for op in group.ops)


def _kind(op: Op) -> tuple[object, ...]:
    return (op.kind, op.attrs.get("fn"), op.result.dtype, op.result.rank)


def _fits(leader: Group, group: Group) -> bool:
    assert leader.domain is not None and group.domain is not None
    if len(leader.outputs) + len(group.outputs) > MOST or not same_shape(leader.domain.shape, group.domain.shape):
        return False
    return not _read(leader).isdisjoint(_read(group))


def _read(group: Group) -> set[Value]:
    return {value for value in group.inputs() if value.kind != "constant"}
