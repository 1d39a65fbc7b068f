"""Loops and branches: the calls of a region's program, inside the statements of one call of the outer program.

    {
      const float* in0 = <the operand>;        // what an iteration reads
      float* out0 = <the result's buffer>;     // what it writes; the two swap after each
      float* spare0 = <scratch>;
      for (int64_t turn = 0;; ++turn) {
        <calls of cond>  if (!condition) break;
        <calls of body>
        in0 = out0; out0 = spare0; spare0 = in0;
      }
    }

A region's intermediates are scratch memory of the outer call, captured values are the outer program's own, so that
weights that a region multiplies by are packed by init like any other. A carried value that the body only updates in
place (`update_row`) has one buffer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

from tf_blade.backends.disc.codegen import library
from tf_blade.backends.disc.codegen.affine import dim_mul
from tf_blade.backends.disc.codegen.call import Argument, Call, Definition, Packed
from tf_blade.backends.disc.codegen.ctypes_ import storage
from tf_blade.backends.disc.codegen.kernel import Context, WorkSpace
from tf_blade.backends.disc.codegen.library import LibraryContext, emitter
from tf_blade.backends.disc.codegen.memory import slots
from tf_blade.backends.disc.codegen.program import Program, build_program, lifetimes, statements
from tf_blade.backends.disc.fusion.plan import Planner
from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Module, Op, Value
from tf_blade.symbolic import num_elements


def height(op: Op) -> int:
    """How many loops and branches deep an op's regions are: names inside differ from those around."""
    inner = [height(item) for region in op.regions() for item in region.ops() if item.regions()]
    return 1 + max(inner, default=0)


class _Fixed(Collection[Value]):
    """Of the values that a region reads from outside, those that are the same in every call."""

    def __init__(self, outer: LibraryContext, captured: Collection[Value]) -> None:
        self._outer, self._captured = outer, captured

    def __contains__(self, value: object) -> bool:
        return isinstance(value, Value) and value in self._captured and self._outer.is_weight(value)

    def __iter__(self):  # type: ignore[no-untyped-def]
        return (value for value in self._captured if self._outer.is_weight(value))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Definitions:
    """Gives a region's definitions to the outer call."""

    def __init__(self, outer: LibraryContext) -> None:
        self._outer = outer

    def name(self, item: Definition) -> str:
        return self._outer.define(item)


class RegionCode:
    """A region's program as statements of an outer call.

    Attributes:
        results: the region's results; captured values are the outer program's.
        program: its calls.
    """

    def __init__(self, outer: LibraryContext, region: Module, given: Mapping[Value, Value]) -> None:
        """`given` maps parameters to outer values; the other parameters are carried."""
        self.outer = outer
        self.results, self._carried = _substitute(region, given)
        captured = dict.fromkeys(given.values())
        self._captured = captured
        context = Context(outer.table.fork(), lambda value: value)
        planner = Planner(self.results, [*captured, *self._carried], frozenset(library.EMITTERS), context)
        self.program: Program = build_program(planner.plan(), outer.table, _Fixed(outer, captured))
        self.places: dict[Value, str] = {}
        self._slots: list[WorkSpace] = []
        self._slot_of: Mapping[Argument, int] = {}

    def root(self, value: Value) -> Value:
        return self.program.resolve(value)

    def is_made(self, value: Value) -> bool:
        """Whether a call of the region writes the value's buffer."""
        made = {v for group in self.program.plan.groups for item in group.outputs for v in item.op.results}
        return value in made

    def place(self, pointers: Mapping[Value, str]) -> None:
        """Says where buffers are: parameters, and what is written elsewhere than in scratch memory."""
        self.places.update(pointers)
        found = lifetimes(self.program, {*self._captured, *self.places})
        numbers, sizes = slots(list(found.values()))
        self._slots = [WorkSpace("char", size, 1) for size in sizes]
        self._slot_of = dict(zip(found, numbers, strict=True))

    def pointer(self, item: Argument) -> str:
        """The C++ text of a buffer."""
        if isinstance(item, Packed):
            return self.outer.pointer(item)
        if isinstance(item, Value):
            if item in self.places:
                return self.places[item]
            if item in self._captured or item.kind == "constant":
                return self.outer.pointer(item)
        kind = item.ctype if isinstance(item, WorkSpace) else storage(item.dtype)
        return f"reinterpret_cast<{kind}*>({self.outer.pointer(self._slots[self._slot_of[item]])})"

    def lines(self) -> list[str]:
        """The calls' statements."""
        lines: list[str] = []
        for call in self.program.calls:
            texts = statements(call, self.pointer, _Definitions(self.outer))  # type: ignore[arg-type]
            lines += ["{", *(f"  {text}" for text in texts)]
            if any("code = " in text for text in texts):
                lines.append("  if (code != BLADE_OK) return code;")
            lines.append("}")
        return lines


def _substitute(region: Module, given: Mapping[Value, Value]) -> tuple[list[Value], list[Value]]:
    """The region's results over outer values, and the parameters that are left."""
    builder = Builder()
    values: dict[Value, Value] = {value: given.get(value, value) for value in region.parameters}
    for op in region.ops():
        if op.kind != "parameter":
            rebuilt = builder.rebuild(op, [values[item] for item in op.operands])
            values.update(zip(op.results, rebuilt.results, strict=True))
    left = [value for value in region.parameters if value not in given]
    return [values[item] for item in region.results], left


# --- loops ----------------------------------------------------------------------------------------------------------
@dataclasses.dataclass
class _Carried:
    """One carried value's code.

    Attributes:
        start: the operand.
        end: the outer result, in whose buffer the last iteration's value is at the end.
        in_place: whether the body updates the one buffer.
    """

    number: int
    start: Value
    end: Value
    level: int
    in_place: bool = False

    @property
    def read(self) -> str:
        return f"in{self.level}_{self.number}"

    @property
    def written(self) -> str:
        return self.read if self.in_place else f"out{self.level}_{self.number}"

    @property
    def spare(self) -> str:
        return f"spare{self.level}_{self.number}"


@emitter("while")
def while_loop(context: LibraryContext) -> Call:
    return _While(context).call()


class _While:
    def __init__(self, context: LibraryContext) -> None:
        self.context = context
        op = context.op
        self.level = height(op)
        count = int(op.attrs["carried"])
        self.cond = RegionCode(context, op.attrs["cond"], _given(op.attrs["cond"], op, count))
        self.body = RegionCode(context, op.attrs["body"], _given(op.attrs["body"], op, count))
        starts = op.operands[:count]
        self.carried = [
            _Carried(number, start, end, self.level)
            for number, (start, end) in enumerate(zip(starts, op.results, strict=True))
        ]
        self.parameters = op.attrs["body"].parameters[:count]

    def call(self) -> Call:
        self._order_updates()  # first: memory is shared along the order of the calls
        copies = self._place()
        op, turn = self.context.op, f"turn{self.level}"
        lines = [f"int64_t {turn} = 0;", *self._buffers(), f"LoopMemory memory{self.level}(ral);"]
        lines += ["{", f"const BladeRal* const ral = memory{self.level}.ral();", f"for (;; ++{turn}) {{"]
        inner = [f"if (({turn} & 7) == 7 && ral->cancelled(ral->context)) return BLADE_CANCELLED;"]
        inner += ["if (error != 0) break;", f"memory{self.level}.restart();"]
        inner += self.cond.lines()
        (condition,) = self.cond.results
        inner += [f"if (!*({self.cond.pointer(self.cond.root(condition))})) break;"]
        inner += [*self.body.lines(), *copies, *self._swaps()]
        lines += [*(f"  {line}" for line in inner), "}", "}"]
        if op.attrs["entered"]:
            lines.append(
                f'if ({turn} == 0 && error == 0) {{ ral->set_error(ral->context, "a loop is never entered"); '
                "return BLADE_GUARD; }"
            )
        return self.context.call(*lines, *self._ends())

    # --- buffers --------------------------------------------------------------------------------------------------
    def _order_updates(self) -> None:
        """Finds the values that can be updated in place. An update goes last where nothing else reads its result."""
        calls = self.body.program.calls
        updates: list[tuple[_Carried, Value, Value, Call]] = []
        for item, parameter, result in zip(self.carried, self.parameters, self.body.results, strict=True):
            root = self.body.root(result)
            if root.kind != "update_row" or self.body.root(root.op.operands[0]) is not parameter:
                continue
            update = next((call for call in calls if call.tag is root.op), None)
            if update is None:
                continue
            updates.append((item, parameter, root, update))
            if not any(root in call.arguments for call in calls if call is not update):
                calls.remove(update)
                calls.append(update)
        for item, parameter, root, update in updates:
            later = calls[calls.index(update) + 1 :]
            twice = [other for other in self.body.results if self.body.root(other) in (root, parameter)]
            item.in_place = len(twice) == 1 and not any(parameter in call.arguments for call in later)

    def _place(self) -> list[str]:
        """Where the body's results go; gives the copies for those that no call of the body writes in place."""
        places: dict[Value, str] = {}
        for item, parameter in zip(self.carried, self.parameters, strict=True):
            places[parameter] = item.read
        cond_parameters = self.context.op.attrs["cond"].parameters[: len(self.carried)]
        self.cond.place({value: item.read for value, item in zip(cond_parameters, self.carried, strict=True)})
        late: list[tuple[_Carried, Value]] = []
        for item, result in zip(self.carried, self.body.results, strict=True):
            root = self.body.root(result)
            if self.body.is_made(root) and root not in places:
                places[root] = item.written
            else:
                late.append((item, root))
        self.body.place(places)
        return [self._copy(item.written, self.body.pointer(root), item.start) for item, root in late]

    def _copy(self, to: str, source: str, like: Value) -> str:
        return f"copy(ral, {to}, {source}, {self.context.dim(dim_mul(num_elements(like.shape), like.dtype.size))});"

    def _buffers(self) -> list[str]:
        lines = []
        for item in self.carried:
            kind = storage(item.start.dtype)
            start, end = self.context.pointer(item.start), self.context.pointer(item.end)
            if item.in_place:
                lines += [f"{kind}* const {item.read} = {end};", self._copy(item.read, start, item.start)]
                continue
            space = WorkSpace("char", dim_mul(num_elements(item.start.shape), item.start.dtype.size), 1)
            scratch = f"reinterpret_cast<{kind}*>({self.context.pointer(space)})"
            lines.append(f"const {kind}* {item.read} = {start};")
            lines.append(f"{kind}* {item.written} = {end};")
            lines.append(f"{kind}* {item.spare} = {scratch};")
        return lines

    def _swaps(self) -> list[str]:
        return [
            f"{item.read} = {item.written}; {item.written} = {item.spare}; "
            f"{item.spare} = const_cast<{storage(item.start.dtype)}*>({item.read});"
            for item in self.carried
            if not item.in_place
        ]

    def _ends(self) -> list[str]:
        lines = []
        for item in self.carried:
            if not item.in_place:
                end = self.context.pointer(item.end)
                lines.append(f"if ({item.read} != {end}) {self._copy(end, item.read, item.start)}")
        return lines


def _given(region: Module, op: Op, first: int) -> dict[Value, Value]:
    """The outer values that the region's parameters after the carried ones stand for."""
    skipped = first if op.kind == "while" else 0
    return dict(zip(region.parameters[skipped:], op.operands[first:], strict=True))


# --- branches -------------------------------------------------------------------------------------------------------
@emitter("switch")
def switch(context: LibraryContext) -> Call:
    op, level = context.op, height(context.op)
    branches = [RegionCode(context, region, _given(region, op, 1)) for region in op.attrs["branches"]]
    lines = [f"const int64_t branch{level} = *({context.pointer(op.operands[0])});"]
    for number, branch in enumerate(branches):
        if number == len(branches) - 1:
            lines.append("{" if number == 0 else "} else {")
        else:
            lines.append(f"{'' if number == 0 else '} else '}if (branch{level} == {number}) {{")
        lines += [f"  {line}" for line in _branch(context, branch)]
    return context.call(*lines, "}")


def _branch(context: LibraryContext, branch: RegionCode) -> list[str]:
    places: dict[Value, str] = {}
    late: list[tuple[Value, Value]] = []
    for result, end in zip(branch.results, context.op.results, strict=True):
        root = branch.root(result)
        if branch.is_made(root) and root not in places:
            places[root] = context.pointer(end)
        else:
            late.append((end, root))
    branch.place(places)
    copies = [
        f"copy(ral, {context.pointer(end)}, {branch.pointer(root)}, "
        f"{context.dim(dim_mul(num_elements(end.shape), end.dtype.size))});"
        for end, root in late
    ]
    return [*branch.lines(), *copies]


# --- updates --------------------------------------------------------------------------------------------------------
@emitter("update_row")
def update_row(context: LibraryContext) -> Call:
    """Copies the rest where the result has a buffer of its own, and then the row."""
    x, index, row = context.op.operands
    size = context.dim(dim_mul(num_elements(row.shape), row.dtype.size))
    pointers = ", ".join(context.pointer(value) for value in (context.output, x, row, index))
    return context.call(f"update_row(ral, {pointers}, {context.dim(x.shape[0])}, {size}, &error);", heavy=False)
