"""Statements of one kernel, placed at the outermost nesting level at which their operands are known.

Level 0 is the kernel, level 1 a row (one step of the parallel loop), levels 2… the loops inside a row. A kernel may run
several passes over a row: levels 2… belong to the current pass, level 1 statements come before the pass that is being
built. Text stays symbolic (`Lin` parts) until rendering, so that loops can be merged after all accesses are known.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeAlias

from tf_blade.backends.disc.codegen.affine import Atom, Lin, variable
from tf_blade.symbolic import Dim

Part: TypeAlias = "str | Lin | Dim"

SHORTEST = 8  # elements of a loop over vectors
MANY = 40  # statements of a loop's body, beyond which a step computes one vector
LONG = 0.3  # nanoseconds of a function whose operands are better computed beforehand
STAGED = 2  # statements that are worth a stage of their own
LIVE = 3  # constants that a stage hands on


@dataclasses.dataclass(frozen=True)
class Scalar:
    """A computed element: a C++ expression without side effects (a name or literal), known from `level` on."""

    text: str
    level: int


@dataclasses.dataclass
class Line:
    """One statement.

    Attributes:
        parts: its text.
        wide: the same over vectors of elements, see lanes.h; None where there is no such thing. A statement without
            parts is for vectors alone.
        defines: the constant that it defines, if any.
        cost: nanoseconds that it takes for an element, where that is known to be long.
    """

    parts: tuple[Part, ...]
    wide: tuple[Part, ...] | None = None
    defines: str = ""
    cost: float = 0.0


@dataclasses.dataclass
class Branch:
    """`if (condition) { body }`, with an optional other side."""

    condition: tuple[Part, ...]
    body: list[Item]


@dataclasses.dataclass
class Pass:
    """Loops over a row: `variables` outermost first; `levels[i]` are the statements inside loop i.

    Attributes:
        bounds: the first and last (exclusive) value of one loop, where it does not run over all of its variable.
        bounded: which loop that is, 0 being the outermost.
        lanes: accumulators of a reduction that the innermost loop keeps apart, as `name[lane]`; 0 where it keeps none.
            Sums then have one fixed order, which a compiler can vectorize without being allowed to choose another.
        vectors: how many vectors of elements a step of the innermost loop computes; 0 for a scalar loop.
    """

    variables: list[Atom]
    levels: list[list[Item]]
    bounds: tuple[str, str] | None = None
    bounded: int = 0
    lanes: int = 0
    vectors: int = 0


Item: TypeAlias = "Line | Branch | Pass"


class Body:
    """Collects the statements of one kernel."""

    def __init__(self) -> None:
        self.kernel: list[Item] = []
        self.row: list[Item] = []
        self.current: Pass | None = None
        self._branches: list[list[Item]] = []
        self._branch_levels: list[int] = []
        self._cache: dict[Hashable, Scalar] = {}
        self._once: set[Hashable] = set()
        self._counter = 0

    def name(self, prefix: str) -> str:
        """A name not used before."""
        self._counter += 1
        return f"{prefix}{self._counter}"

    def emit(self, level: int, *parts: Part, wide: tuple[Part, ...] | None = None) -> None:
        """Appends a statement at a level, or to the open branch."""
        self._place(level, Line(parts, wide))

    def define(
        self,
        ctype: str,
        level: int,
        *parts: Part,
        prefix: str = "v",
        wide: tuple[Part, ...] | None = None,
        cost: float = 0.0,
    ) -> Scalar:
        """A new constant of the given value."""
        name = self.name(prefix)
        vector = None if wide is None else (f"const auto {name} = ", *wide, ";")
        self._place(level, Line((f"const {ctype} {name} = ", *parts, ";"), vector, name, cost))
        return Scalar(name, level)

    def atom(self, extent: Dim | None, level: int, *parts: Part) -> Atom:
        """A new index of the given value, defined once for the same text."""
        key = ("atom", tuple(parts))
        known = self._cache.get(key)
        if known is None:
            known = self.define("int64_t", level, *parts, prefix="t")
            self._cache[key] = known
        return Atom(known.text, extent, known.level)

    def emit_kernel(self, *parts: Part) -> None:
        """A statement of the kernel's beginning, even when a branch is open."""
        self.kernel.append(Line(parts))

    def once_kernel(self, key: Hashable, *parts: Part) -> None:
        """The same, once for each key."""
        if key not in self._once:
            self._once.add(key)
            self.emit_kernel(*parts)

    def _place(self, level: int, item: Item) -> None:
        if self._branches:
            self._branches[-1].append(item)
            self._branch_levels[-1] = max(self._branch_levels[-1], level)
        elif level == 0:
            self.kernel.append(item)
        elif level == 1:
            self.row.append(item)
        else:
            assert self.current is not None, "an element statement outside of a pass"
            self.current.levels[level - 2].append(item)

    def cached(self, key: Hashable, make: Callable[[], Scalar]) -> Scalar:
        """`make()`, once for each key and scope."""
        known = self._cache.get(key)
        if known is None:
            known = make()
            self._cache[key] = known
        return known

    def conditional(
        self, ctype: str, default: Scalar, level: int, condition: tuple[Part, ...], make: Callable[[], Scalar]
    ) -> Scalar:
        """`make()` where the condition (known at `level`) holds, else `default`; what make emits runs only then."""
        name = self.name("v")
        saved = dict(self._cache)
        self._branches.append([])
        self._branch_levels.append(max(level, default.level))
        value = make()
        self.emit(value.level, f"{name} = {value.text};")
        items, deepest = self._branches.pop(), self._branch_levels.pop()
        self._cache = saved
        self._place(deepest, Line((f"{ctype} {name} = {default.text};",)))
        self._place(deepest, Branch(condition, items))
        return Scalar(name, deepest)

    def begin_pass(self, variables: Sequence[Atom]) -> Pass:
        """Starts loops over a row; variables have the levels 2, 3, …"""
        assert self.current is None
        self.current = Pass(list(variables), [[] for _ in variables])
        return self.current

    def end_pass(self) -> None:
        assert self.current is not None
        self.row.append(self.current)
        self.current = None
        self._cache = {key: scalar for key, scalar in self._cache.items() if scalar.level < 2}


def lins_of(items: Sequence[Item]) -> Iterator[Lin]:
    """All affine forms in the items."""
    for item in items:
        if isinstance(item, Line):
            yield from (part for part in item.parts if isinstance(part, Lin))
        elif isinstance(item, Branch):
            yield from (part for part in item.condition if isinstance(part, Lin))
            yield from lins_of(item.body)
        else:
            for level in item.levels:
                yield from lins_of(level)


def map_lins(items: Sequence[Item], change: Callable[[Lin], Lin]) -> None:
    """Replaces all affine forms in the items, in place."""
    for item in items:
        if isinstance(item, Line):
            item.parts = tuple(change(part) if isinstance(part, Lin) else part for part in item.parts)
            if item.wide is not None:
                item.wide = tuple(change(part) if isinstance(part, Lin) else part for part in item.wide)
        elif isinstance(item, Branch):
            item.condition = tuple(change(part) if isinstance(part, Lin) else part for part in item.condition)
            map_lins(item.body, change)
        else:
            for level in item.levels:
                map_lins(level, change)


class Renderer:
    """Turns items into text. `dim` spells a Dim as C++ (a literal, or a local of the kernel)."""

    def __init__(self, dim: Callable[[Dim], str]) -> None:
        self.dim = dim

    def text(self, parts: Sequence[Part]) -> str:
        return "".join(part if isinstance(part, str) else self.part(part) for part in parts)

    def part(self, part: Lin | Dim) -> str:
        return self.lin(part) if isinstance(part, Lin) else self.dim(part)

    def lin(self, lin: Lin) -> str:
        terms = sorted(lin.terms.items(), key=lambda item: (item[0].level, item[0].name))
        pieces = [atom.name if c == 1 else f"{atom.name} * {self.dim(c)}" for atom, c in terms]
        if lin.constant != 0 or not pieces:
            pieces.append(self.dim(lin.constant))
        return " + ".join(pieces)

    def items(self, items: Sequence[Item], indent: int) -> list[str]:
        lines: list[str] = []
        for item in items:
            lines.extend(self.item(item, indent))
        return lines

    def item(self, item: Item, indent: int) -> list[str]:
        pad = "  " * indent
        if isinstance(item, Line):
            return [pad + self.text(item.parts)] if item.parts else []
        if isinstance(item, Branch):
            return [f"{pad}if ({self.text(item.condition)}) {{", *self.items(item.body, indent + 1), f"{pad}}}"]
        return self._pass(item, 0, indent)

    def _pass(self, item: Pass, depth: int, indent: int) -> list[str]:
        pad, atom = "  " * indent, item.variables[depth]
        assert atom.extent is not None
        innermost = depth == len(item.variables) - 1
        first, last = item.bounds if depth == item.bounded and item.bounds else ("0", self.dim(atom.extent))
        if innermost and item.vectors:
            return self._vectors(item, first, last, indent)
        if innermost and item.lanes:
            return self._lanes(item, first, last, indent)
        inner = [] if innermost else self._pass(item, depth + 1, indent + 1)
        return [
            *(["#pragma GCC ivdep"] if innermost else []),
            f"{pad}for (int64_t {atom.name} = {first}; {atom.name} < {last}; ++{atom.name}) {{",
            *self.items(item.levels[depth], indent + 1),
            *inner,
            f"{pad}}}",
        ]

    def _vectors(self, item: Pass, first: str, last: str, indent: int) -> list[str]:
        """A loop over vectors of elements; `at` reads and writes them, `slot` tells which accumulator to use."""
        pad, name = "  " * indent, item.variables[-1].name
        lines = [line for line in item.levels[-1] if isinstance(line, Line) and line.wide is not None]
        stage, live = first_stage(lines)
        inner = [Line(line.wide or ()) for line in lines]
        if stage:
            return [
                f"{pad}for_lanes_staged<{item.vectors}>({first}, {last}, [&](auto at, int64_t {name}) BLADE_LAMBDA {{",
                f"{pad}  (void){name};",
                *self.items(inner[:stage], indent + 1),
                f"{pad}  return live_lanes({', '.join(live)});",
                f"{pad}}}, [&](auto at, int64_t {name}, int slot, const auto& live) BLADE_LAMBDA {{",
                f"{pad}  (void)slot, (void){name};",
                *(f"{pad}  const auto {value} = live.v{number};" for number, value in enumerate(live)),
                *self.items(inner[stage:], indent + 1),
                f"{pad}}});",
            ]
        return [
            f"{pad}for_lanes<{item.vectors}>({first}, {last}, [&](auto at, int64_t {name}, int slot) BLADE_LAMBDA {{",
            f"{pad}  (void)slot, (void){name};",
            *self.items(inner, indent + 1),
            f"{pad}}});",
        ]

    def _lanes(self, item: Pass, first: str, last: str, indent: int) -> list[str]:
        """A loop in blocks of `lanes` steps, each step with its lane's accumulators; the rest uses the first lanes."""
        pad, name, lanes = "  " * indent, item.variables[-1].name, item.lanes
        static = first == "0" and last.isdigit()
        lines = [
            f"{pad}const auto step = [&](int64_t {name}, int64_t lane) BLADE_LAMBDA {{",
            *self.items(item.levels[-1], indent + 1),
            f"{pad}}};",
            f"{pad}int64_t block = {first};",
            f"{pad}for (; block + {lanes} <= {last}; block += {lanes}) {{",
            "#pragma GCC ivdep",
            f"{pad}  for (int64_t lane = 0; lane < {lanes}; ++lane) step(block + lane, lane);",
            f"{pad}}}",
        ]
        if not (static and int(last) % lanes == 0):
            lines += [
                "#pragma GCC ivdep",
                f"{pad}for (int64_t {name} = block; {name} < {last}; ++{name}) step({name}, {name} - block);",
            ]
        return [f"{pad}{{", *(f"  {line}" if not line.startswith("#") else line for line in lines), f"{pad}}}"]


def widen(item: Pass) -> bool:
    """Has the innermost loop of a pass compute vectors, where all its statements can; whether they can.

    What it reads and writes must lie one after another, and there must be enough for a vector.
    """
    atom, statements = item.variables[-1], item.levels[-1]
    if isinstance(atom.extent, int) and atom.extent < SHORTEST:
        return False
    for line in statements:
        if not isinstance(line, Line) or line.wide is None:
            return False
        if any(isinstance(part, Lin) and part.terms.get(atom) != 1 for part in line.wide):
            return False
    item.vectors = 4 if len(statements) <= 6 else 2 if len(statements) <= MANY else 1
    return True


def first_stage(lines: Sequence[Line]) -> tuple[int, list[str]]:
    """Where to cut the steps of a loop over vectors in two, and the constants that the second part takes over.

    Processors look no further ahead than some hundred instructions, which are few vectors where each waits for a long
    chain of others. What comes before a long function is computed a step ahead of it. (0, []) where nothing is to gain.
    """
    stage = next((number for number, line in enumerate(lines) if line.cost >= LONG), 0)
    if stage < STAGED or not all(line.defines for line in lines[:stage]):
        return 0, []
    later = set().union(*(words(line.wide or ()) for line in lines[stage:]))
    live = [line.defines for line in lines[:stage] if line.defines in later]
    return (stage, live) if 0 < len(live) <= LIVE else (0, [])


def words(parts: Sequence[Part]) -> set[str]:
    """The names in a statement, those of dimensions aside."""
    found: set[str] = set()
    for part in parts:
        if isinstance(part, str):
            found.update(re.findall(r"[A-Za-z_]\w*", part))
        elif isinstance(part, Lin):
            found.update(atom.name for atom in part.terms)
    return found


def merge_loops(items: Sequence[Item], variables: list[Atom]) -> list[Atom]:
    """Merges neighbouring variables that all accesses treat as one; changes the items, gives the new variables."""
    merged = list(variables)
    position = len(merged) - 2
    while position >= 0:
        outer, inner = merged[position], merged[position + 1]
        if all(lin.merges(outer, inner) for lin in set(lins_of(items))):
            assert outer.extent is not None and inner.extent is not None
            both = Atom(inner.name, Lin().shifted(outer.extent).times(inner.extent).constant, inner.level)

            def change(lin: Lin, outer: Atom = outer, inner: Atom = inner, both: Atom = both) -> Lin:
                return lin.merged(outer, inner, both)

            map_lins(items, change)
            merged[position : position + 2] = [both]
        position -= 1
    return merged


def as_lin(atom: Atom) -> Lin:
    """The atom as an affine form."""
    return variable(atom)
