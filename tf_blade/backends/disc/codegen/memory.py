"""Memory plan: intermediates share one arena, whatever their sizes turn out to be.

Buffers whose lifetimes overlap must not share bytes. Their sizes are known only when a run knows its dimensions, so
what is decided here is an order: of each two such buffers, which one lies below. A run then puts each buffer on top of
the highest of those below it. No two overlap for any sizes that memory can hold, without a proof about sizes; that the
arena is small follows from the order, which comes from packing the buffers for representative sizes.

Bodies of loops and branches need their places before sizes are known: they get slots, each as large as its largest
buffer (`slots`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import sympy

from tf_blade import symbolic
from tf_blade.symbolic import Dim, free_symbols

ALIGNMENT = 64
# What dimensions may be: of the symbols in turn, again and again. An order is judged by all of them.
_REPRESENTATIVES: tuple[tuple[int, ...], ...] = ((64,), (1,), (1, 256), (256, 1))
# Beyond so many buffers an order is sought for the first representatives alone: the time grows with their square.
_MANY = 600
# Terms of a maximum that a formula has before it is joined into a sum that has room for all of them.
_MOST_TERMS = 4


@dataclasses.dataclass(frozen=True)
class Lifetime:
    """A buffer's size and the steps, first and last included, during which its contents matter."""

    bytes_: Dim
    first: int
    last: int

    def overlaps(self, other: Lifetime) -> bool:
        """Whether both matter at some step."""
        return self.first <= other.last and other.first <= self.last


@dataclasses.dataclass(frozen=True)
class Place:
    """A part of the arena. It begins where the highest of the places `below` ends, which have smaller numbers."""

    bytes_: Dim
    below: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Arena:
    """An arena's places, and which of them each buffer has."""

    places: list[Place]
    of: list[int]

    def offsets(self, values: Mapping[str, int]) -> tuple[list[int], int]:
        """Where places begin, and the arena's size, when symbols (by name) have these values."""
        return _offsets(self.places, [_bytes_at(place.bytes_, values) for place in self.places])

    def most(self) -> Dim:
        """A formula of at least the arena's size."""
        return _most(self.places)


def arrange(lifetimes: Sequence[Lifetime]) -> Arena:
    """Plans an arena for buffers."""
    points = _points(lifetimes)
    # Empty buffers count as small ones, so that no two begin at the same place.
    sizes = {point: [max(_bytes_at(item.bytes_, dict(point)), ALIGNMENT) for item in lifetimes] for point in points}
    rivals = _rivals(lifetimes)
    tried = points if len(lifetimes) <= _MANY else points[:1]
    orders = dict.fromkeys(order for point in tried for order in _orders(lifetimes, rivals, sizes[point]))
    arenas = [_in_order(lifetimes, rivals, order) for order in orders]
    least = [max(_live(lifetimes, sizes[point]), 1) for point in points]

    def excess(arena: Arena) -> float:
        return sum(arena.offsets(dict(point))[1] / bytes_ for point, bytes_ in zip(points, least, strict=True))

    return min(arenas, key=excess)


def slots(lifetimes: Sequence[Lifetime]) -> tuple[list[int], list[Dim]]:
    """For each buffer a slot, and the slots' sizes: for where places must be told apart before sizes are known.

    A slot is as large as its largest buffer, which is found at run time.
    """
    point = dict(_points(lifetimes)[0])
    held: list[list[int]] = []
    found = [0] * len(lifetimes)
    for number in sorted(range(len(lifetimes)), key=lambda i: (-_bytes_at(lifetimes[i].bytes_, point), i)):
        free = [
            i for i, slot in enumerate(held) if not any(lifetimes[number].overlaps(lifetimes[other]) for other in slot)
        ]
        if not free:
            held.append([])
            free = [len(held) - 1]
        found[number] = free[-1]  # the smallest: slots were opened by falling sizes
        held[free[-1]].append(number)
    return found, [_largest([lifetimes[i].bytes_ for i in slot]) for slot in held]


# --- packing for given sizes ----------------------------------------------------------------------------------------
_Point = tuple[tuple[str, int], ...]
_Rivals = Sequence[Sequence[int]]


def _points(lifetimes: Sequence[Lifetime]) -> list[_Point]:
    names = [str(item.name) for item in free_symbols([item.bytes_ for item in lifetimes])]
    points = [tuple((name, row[i % len(row)]) for i, name in enumerate(names)) for row in _REPRESENTATIVES]
    return list(dict.fromkeys(points))


def _bytes_at(dim: Dim, values: Mapping[str, int]) -> int:
    try:
        size = symbolic.evaluate(dim, values)
    except ZeroDivisionError:  # sizes that no run has: generated code computes 0 there
        size = 0
    return _aligned(max(size, 0))


def _aligned(size: int) -> int:
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def _live(lifetimes: Sequence[Lifetime], sizes: Sequence[int]) -> int:
    """The most bytes that matter at one step."""
    change: dict[int, int] = {}
    for item, size in zip(lifetimes, sizes, strict=True):
        change[item.first] = change.get(item.first, 0) + size
        change[item.last + 1] = change.get(item.last + 1, 0) - size
    total = most = 0
    for step in sorted(change):
        total += change[step]
        most = max(most, total)
    return most


def _rivals(lifetimes: Sequence[Lifetime]) -> list[list[int]]:
    """For each buffer those that matter while it does."""
    rivals: list[list[int]] = [[] for _ in lifetimes]
    alive: list[int] = []
    for number in sorted(range(len(lifetimes)), key=lambda i: (lifetimes[i].first, i)):
        alive = [other for other in alive if lifetimes[other].last >= lifetimes[number].first]
        for other in alive:
            rivals[other].append(number)
        rivals[number].extend(alive)
        alive.append(number)
    return rivals


def _orders(lifetimes: Sequence[Lifetime], rivals: _Rivals, sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """The buffers from the bottom of the arena up, packed by falling size, by first step, and by length of life."""
    numbers = range(len(lifetimes))
    queues = (
        sorted(numbers, key=lambda i: (-sizes[i], lifetimes[i].first, i)),
        sorted(numbers, key=lambda i: (lifetimes[i].first, -sizes[i], i)),
        sorted(numbers, key=lambda i: (lifetimes[i].first - lifetimes[i].last, -sizes[i], i)),
    )
    return [_packed(rivals, sizes, queue) for queue in queues]


def _packed(rivals: _Rivals, sizes: Sequence[int], queue: Iterable[int]) -> tuple[int, ...]:
    """Puts buffers in turn into the tightest gap between their rivals; gives them from the bottom up."""
    begins: dict[int, int] = {}
    for number in queue:
        begin, top, tightest = None, 0, 0
        for at, size in sorted((begins[other], sizes[other]) for other in rivals[number] if other in begins):
            gap = at - top
            if gap >= sizes[number] and (begin is None or gap < tightest):
                begin, tightest = top, gap
            top = max(top, at + size)
        begins[number] = top if begin is None else begin
    return tuple(sorted(begins, key=lambda i: (begins[i], i)))


# --- orders to places -----------------------------------------------------------------------------------------------
def _in_order(lifetimes: Sequence[Lifetime], rivals: _Rivals, order: Sequence[int]) -> Arena:
    """The places of buffers of which earlier ones in `order` lie below. Equal places are one."""
    of: dict[int, int] = {}
    places: list[Place] = []
    under: list[set[int]] = []  # of each place all that lies below it, directly or not
    numbers: dict[Place, int] = {}
    for number in order:
        direct = {of[other] for other in rivals[number] if other in of}
        hidden = set().union(*(under[i] for i in direct))
        place = Place(lifetimes[number].bytes_, tuple(sorted(direct - hidden)))
        known = numbers.setdefault(place, len(places))
        if known == len(places):
            places.append(place)
            under.append(direct | hidden)
        of[number] = known
    return Arena(places, [of[number] for number in range(len(lifetimes))])


def _offsets(places: Sequence[Place], sizes: Sequence[int]) -> tuple[list[int], int]:
    begins: list[int] = []
    for place in places:
        begins.append(max((begins[i] + sizes[i] for i in place.below), default=0))
    return begins, max((begin + size for begin, size in zip(begins, sizes, strict=True)), default=0)


# --- formulas -------------------------------------------------------------------------------------------------------
def _most(places: Sequence[Place]) -> Dim:
    """The sizes of the highest stack of places, as the maximum of few sums."""
    if all(isinstance(place.bytes_, int) for place in places):
        return _offsets(places, [_bytes_at(place.bytes_, {}) for place in places])[1]
    ends: list[list[Dim]] = []
    for place in places:
        size = symbolic.add(place.bytes_, ALIGNMENT)
        below = _maximal([term for i in place.below for term in ends[i]])
        ends.append([symbolic.add(term, size) for term in below or [0]])
    return _largest([term for terms in ends for term in terms])


def _largest(sizes: Sequence[Dim]) -> Dim:
    terms = _maximal(sizes)
    result = terms[0]
    for term in terms[1:]:
        result = symbolic.maximum(result, term)
    return result


def _maximal(sizes: Sequence[Dim]) -> list[Dim]:
    """The sizes without those that another one provably has room for; few, since many are joined."""
    kept: list[Dim] = []
    for size in dict.fromkeys(sizes):
        if any(_has_room(other, size) for other in kept):
            continue
        kept = [other for other in kept if not _has_room(size, other)] + [size]
    if len(kept) <= _MOST_TERMS:
        return kept
    joined = kept[0]
    for size in kept[1:]:
        joined = _joined(joined, size)
    return [joined]


def _terms(size: Dim) -> dict[sympy.Expr, int]:
    """The factor of each product of symbols."""
    return {term: int(factor) for term, factor in sympy.expand(size).as_coefficients_dict().items()}


def _has_room(a: Dim, b: Dim) -> bool:
    """Whether a >= b, proven term by term."""
    if isinstance(a, int) and isinstance(b, int):
        return a >= b
    difference = symbolic.sub(a, b)
    if isinstance(difference, int):
        return difference >= 0
    return all(factor > 0 and term.is_nonnegative for term, factor in _terms(difference).items())


def _joined(a: Dim, b: Dim) -> Dim:
    """Something that is at least a and b, which are sizes."""
    one, other = _terms(sympy.sympify(a)), _terms(sympy.sympify(b))
    terms = list(dict.fromkeys([*one, *other]))
    if not all(term.is_nonnegative for term in terms):
        return symbolic.add(a, b)
    factors = (max(one.get(term, 0), other.get(term, 0)) for term in terms)
    return symbolic.add(*(factor * term for factor, term in zip(factors, terms, strict=True)))
