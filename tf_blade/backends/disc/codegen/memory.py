"""Memory plan: intermediates share one arena; a slot is used again once its last reader has run."""

from __future__ import annotations

import dataclasses

from tf_blade.backends.disc.codegen.affine import dim_equal
from tf_blade.symbolic import Dim


@dataclasses.dataclass
class Slot:
    """A part of the arena, sized for its first user."""

    bytes_: Dim
    free_from: int


@dataclasses.dataclass(frozen=True)
class Lifetime:
    """A buffer's size and the steps, first and last included, during which its contents matter."""

    bytes_: Dim
    first: int
    last: int


def assign(lifetimes: list[Lifetime]) -> tuple[list[int], list[Slot]]:
    """For each buffer its slot. A slot is shared by buffers of provably equal size, or smaller static ones."""
    slots: list[Slot] = []
    places = [0] * len(lifetimes)
    for number in sorted(range(len(lifetimes)), key=lambda i: (lifetimes[i].first, i)):
        item = lifetimes[number]
        fitting = [
            i for i, slot in enumerate(slots) if slot.free_from <= item.first and _fits(item.bytes_, slot.bytes_)
        ]
        if not fitting:
            slots.append(Slot(item.bytes_, 0))
            fitting = [len(slots) - 1]
        # The tightest slot leaves the large ones to large buffers.
        place = min(fitting, key=lambda i: (_size(slots[i].bytes_), i))
        slots[place].free_from = item.last + 1
        places[number] = place
    return places, slots


def _fits(wanted: Dim, offered: Dim) -> bool:
    if isinstance(wanted, int) and isinstance(offered, int):
        return wanted <= offered
    return dim_equal(wanted, offered)


def _size(dim: Dim) -> int:
    return dim if isinstance(dim, int) else 0
