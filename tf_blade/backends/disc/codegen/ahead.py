"""Rows kernels whose first passes run a row ahead.

    first passes of row 0
    for each row: its other passes; with the last ones of them, the first passes of the next row

A pass ends with a chain of instructions that wait for each other: the lanes of a sum are added up, a root is drawn, the
pipeline fills again. A first pass that only reads takes place inside of a pass that computes something else, so that
there are fewer such ends, and the memory that it reads arrives while there is other work.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

from tf_blade.backends.disc.codegen.body import Branch, Item, Line, Pass, words

_ACCUMULATORS = re.compile(r"Lanes (\w+)\[\] = \{(.*)\};")
_BUFFER = re.compile(r"\w+\* const b\d+ = ")
_DEFINITION = re.compile(r"const (\w+) (\w+) = ")


@dataclasses.dataclass(frozen=True)
class Ahead:
    """The statements before the loop over rows, and those of a row."""

    before: list[Item]
    row: list[Item]


@dataclasses.dataclass
class _First:
    """A pass that only reads: its accumulators' declarations, and the scalars that follow from them."""

    declared: list[Line]
    item: Pass
    after: list[Line] = dataclasses.field(default_factory=list)


def run_ahead(row: list[Item], unit: str) -> Ahead | None:
    """Has the first passes of the next row join this row's last ones; None where the statements do not allow it.

    Both then compute as many vectors in a step, so that the first row of a thread is added up as all others are.

    Args:
        row: the statements of a row, loops merged.
        unit: the variable that counts rows; there must be no other.
    """
    lead, firsts, rest = _split(row)
    last = [number for number, item in enumerate(rest) if isinstance(item, Pass)]
    hosts = last[len(last) - len(firsts) :]
    if not firsts or len(last) <= len(firsts):
        return None
    if not all(_fits(first.item, rest[number]) for first, number in zip(firsts, hosts, strict=True)):
        return None
    handed = _handed(lead, firsts, rest)
    names = [(ctype, name) for ctype, name in _names([*lead, *_scalars(firsts)]) if name in handed]
    prologue: list[Item] = [Line((f"const int64_t {unit} = begin;",)), *lead]
    start: list[Item] = [Line((f"const int64_t next_{unit} = min64(unit + 1, end - 1);",))]
    start += [Line((f"const {ctype} {name} = ahead_{name};",)) for ctype, name in names]
    start += _block(lead, handed, unit)
    later, inserted = list(rest), 0
    for first, number in zip(firsts, hosts, strict=True):
        host = rest[number]
        assert isinstance(host, Pass)
        _same_step(first, host, rest)
        prologue += [*first.declared, first.item, *first.after]
        _join(first.item, host, handed, unit)
        place = number + inserted
        block = _block(first.after, handed, unit)
        later[place : place + 1] = [*first.declared, host, *block]
        inserted += len(first.declared) + len(block)
    prologue += [Line((f"ahead_{name} = {name};",)) for _, name in names]
    before: list[Item] = [Line((f"{ctype} ahead_{name} = {{}};",)) for ctype, name in names]
    return Ahead([*before, Branch(("begin < end",), prologue)], [*start, *later])


def _split(row: list[Item]) -> tuple[list[Line], list[_First], list[Item]]:
    """The scalars before the first pass, the passes at the beginning that only read, and the rest, buffers first."""
    lead: list[Line] = []
    buffers: list[Item] = []
    firsts: list[_First] = []
    declared: list[Line] = []
    for number, item in enumerate(row):
        if isinstance(item, Line) and _ACCUMULATORS.match(_text(item)):
            declared.append(item)
        elif isinstance(item, Line) and _BUFFER.match(_text(item)):
            buffers.append(item)
        elif isinstance(item, Line) and item.defines and not declared:
            (firsts[-1].after if firsts else lead).append(item)
        elif isinstance(item, Pass) and _only_reads(item):
            firsts.append(_First(declared, item))
            declared = []
        else:
            return lead, firsts, [*buffers, *row[number - len(declared) :]]
    return lead, firsts, buffers


def _text(line: Line) -> str:
    return line.parts[0] if line.parts and isinstance(line.parts[0], str) else ""


def _names(lines: Iterable[Line]) -> list[tuple[str, str]]:
    """Types and names of the constants that lines define."""
    found = (_DEFINITION.match(_text(line)) for line in lines)
    return [(match[1], match[2]) for match in found if match]


def _scalars(firsts: list[_First]) -> list[Line]:
    return [line for first in firsts for line in first.after]


def _used(items: Iterable[Item]) -> set[str]:
    """The names in statements, be they for elements or for vectors."""
    found: set[str] = set()
    for item in items:
        if isinstance(item, Line):
            found |= words(item.parts) | words(item.wide or ())
        elif isinstance(item, Branch):
            found |= words(item.condition) | _used(item.body)
        else:
            found |= _used(line for level in item.levels for line in level)
    return found


def _handed(lead: list[Line], firsts: list[_First], rest: list[Item]) -> set[str]:
    """The scalars that statements elsewhere need than those they are computed with."""
    used = _used(rest)
    for first in firsts:
        own = {name for _, name in _names(first.after)}
        used |= _used([first.item, *first.after]) - own
    return used & {name for _, name in _names([*lead, *_scalars(firsts)])}


def _only_reads(item: Pass) -> bool:
    lines = [line for line in item.levels[-1] if isinstance(line, Line) and line.wide is not None]
    first = [line.wide[0] for line in lines if line.wide and isinstance(line.wide[0], str)]
    return item.vectors > 0 and not any(text.startswith(("at.store", "expect_")) for text in first)


def _fits(first: Pass, host: Item) -> bool:
    return (
        isinstance(host, Pass)
        and host.vectors > 0
        and len(host.variables) == 1
        and host.variables == first.variables
        and host.bounds is None
        and first.bounds is None
    )


def _same_step(first: _First, host: Pass, rest: list[Item]) -> None:
    """Gives both passes the lesser number of vectors a step, and as many accumulators."""
    count = min(first.item.vectors, host.vectors)
    first.item.vectors = host.vectors = count
    used = _used([host])
    for line in [*first.declared, *(item for item in rest if isinstance(item, Line))]:
        match = _ACCUMULATORS.match(_text(line))
        if match and (match[1] in used or any(line is other for other in first.declared)):
            identity = match[2].split(", ")[0]
            line.parts = (f"Lanes {match[1]}[] = {{{', '.join([identity] * count)}}};",)


def _join(first: Pass, host: Pass, handed: set[str], unit: str) -> None:
    """Puts the statements of a pass into another one, for the next row."""
    lines = [line for line in first.levels[-1] if isinstance(line, Line) and line.wide is not None]
    host.levels[-1] += [
        Line((), ("{",)),
        Line((), (f"  const int64_t {unit} = next_{unit};",)),
        *(Line((), (f"  const auto {name} = ahead_{name};",)) for name in sorted(handed & _used(lines))),
        *(Line((), ("  ", *(line.wide or ()))) for line in lines),
        Line((), ("}",)),
    ]


def _block(lines: list[Line], handed: set[str], unit: str) -> list[Item]:
    """The lines for the next row; what they define is handed on to it."""
    if not lines:
        return []
    own = [name for _, name in _names(lines)]
    return [
        Line(("{",)),
        Line((f"  const int64_t {unit} = next_{unit};",)),
        *(Line((f"  const auto {name} = ahead_{name};",)) for name in sorted((handed & _used(lines)) - {*own})),
        *(Line(("  ", *line.parts)) for line in lines),
        *(Line((f"  ahead_{name} = {name};",)) for name in own if name in handed),
        Line(("}",)),
    ]
