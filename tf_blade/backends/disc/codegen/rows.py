"""Rows kernels: reductions over a row together with everything that is computed for the same row.

A row is read once from memory. The kernel makes passes over it: pass p computes the reductions whose operands need the
results of reductions of passes before p; full-size results are stored in the first pass that knows them. A value that a
later pass needs again is kept in a row buffer when computing it again would cost more than reading it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable

from tf_blade.backends.disc.codegen.affine import Atom, Lin, count, dim_equal, dim_mul, flatten, variable
from tf_blade.backends.disc.codegen.ahead import run_ahead
from tf_blade.backends.disc.codegen.body import Body, Item, Line, Pass, Scalar, merge_loops, widen
from tf_blade.backends.disc.codegen.ctypes_ import register_type, storage
from tf_blade.backends.disc.codegen.elements import Elements, wide_load, wide_store
from tf_blade.backends.disc.codegen.index import Index
from tf_blade.backends.disc.codegen.kernel import (
    Context,
    Kernel,
    Misfit,
    Pointers,
    WorkSpace,
    assemble,
    describe,
    renderer,
)
from tf_blade.backends.disc.codegen.loop import picoseconds, row_loop
from tf_blade.backends.disc.codegen.reduction import Reducer, reducer_of
from tf_blade.backends.disc.fusion.groups import Domain, Group
from tf_blade.backends.disc.ir.scalar import FNS
from tf_blade.backends.disc.ir.values import Op, Value
from tf_blade.symbolic import Dim

LANES = 32
STACK_BYTES = 32768  # for all row buffers of a kernel
CHEAP = 0.25  # nanoseconds of an element that is rather computed again than kept


class RowFrame:
    """The loop variables of a domain and the indices of values that live on it."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.kept: list[Atom] = []
        self.inner: list[Atom] = []
        lins: list[Lin] = []
        for axis, (dim, gone) in enumerate(zip(domain.shape, domain.reduced, strict=True)):
            atom = Atom(f"j{axis}", dim, 2 + len(self.inner)) if gone else Atom(f"i{axis}", dim, 1)
            (self.inner if gone else self.kept).append(atom)
            lins.append(variable(atom))
        self.multi = tuple(lins)
        self.full = flatten(self.multi, domain.shape)
        self.row = flatten(tuple(variable(atom) for atom in self.kept), domain.kept_shape)
        self.column = flatten(tuple(variable(atom) for atom in self.inner), domain.inner_shape)

    def full_index(self, value: Value) -> Index:
        """Where a full-size value is at the loops' position."""
        return self._index(value, self.multi, self.full)

    def row_index(self, value: Value) -> Index:
        """Where a value of one element a row is."""
        return self._index(value, tuple(variable(atom) for atom in self.kept), self.row)

    @staticmethod
    def _index(value: Value, lins: tuple[Lin, ...], flat: Lin) -> Index:
        if sum(dim != 1 for dim in value.shape) != len(lins):
            return Index(value.shape, None, flat)
        rest = iter(lins)
        return Index(value.shape, tuple(Lin() if dim == 1 else next(rest) for dim in value.shape), flat)


def stages_of(ops: Iterable[Op]) -> dict[Value, int]:
    """For each value of the ops the first pass in which it is known; ops come operands first."""
    stages: dict[Value, int] = {}
    for op in ops:
        stage = max((stages.get(value, 0) for value in op.operands), default=0)
        for value in op.results:
            stages[value] = stage + 1 if op.kind == "reduce" else stage
    return stages


@dataclasses.dataclass
class Kept:
    """The passes that store a value in a row buffer, and that read it last."""

    first: int
    last: int


class RowsBuilder:
    """Writes one rows kernel; see `build_rows`."""

    def __init__(self, group: Group, context: Context, buffered: dict[Value, Kept], lanes: int = 0) -> None:
        assert group.domain is not None
        self.group = group
        self.context = context
        self.frame = RowFrame(group.domain)
        self.body = Body()
        self.pointers = Pointers(context.resolve)
        self.elements = Elements(self.body, group.ops, self.pointers, context.table)
        self.stages = stages_of(group.ops)
        self.buffered = buffered
        self.requests: list[set[Value]] = []
        self.results: dict[Value, Scalar] = {}
        self.pass_number = -1
        self.buffer_names: dict[Value, tuple[str, Lin]] = {}
        self.stored: set[Value] = set()
        self.totals: dict[Value, str] = {}
        self.lanes = lanes
        self.reducing: list[Pass] = []
        for op in group.ops:
            self._provide(op)

    def _provide(self, op: Op) -> None:
        for value in op.results:
            if op.kind == "reduce":
                self.elements.providers[value] = functools.partial(self._reduced, value)
            elif op.kind == "elementwise":
                self.elements.providers[value] = functools.partial(self._full, value)

    def _reduced(self, value: Value, index: Index) -> Scalar:
        """A reduction's result, which is known for the current row alone."""
        if index.flat != self.frame.row or value not in self.results:
            raise Misfit("a reduction is used for another row than its own")
        return self.results[value]

    def _full(self, value: Value, index: Index) -> Scalar | None:
        """Notes the request; reads the row buffer where the value was kept by an earlier pass."""
        if index.flat != self.frame.full or self.pass_number < 0:
            return None
        self.requests[self.pass_number].add(value)
        kept = self.buffered.get(value)
        if kept is not None and value in self.stored and kept.first < self.pass_number <= kept.last:
            name, flat = self.buffer_names[value]
            kind = register_type(value.dtype)
            suffix = "] != 0" if kind == "bool" else "]"
            return self.body.define(kind, flat.level, f"{name}[", flat, suffix, wide=wide_load(value.dtype, name, flat))
        return None

    # --- passes ---------------------------------------------------------------------------------------------------
    def run(self) -> None:
        """Emits all passes."""
        outputs = {value: self.stages[value] for value in self.group.outputs}
        reductions = [op for op in self.group.ops if op.kind == "reduce"]
        last = max([*outputs.values(), *(self.stages[op.result] - 1 for op in reductions)])
        self._declare_buffers()
        for number in range(last + 1):
            now = [op for op in reductions if self.stages[op.result] - 1 == number]
            stores = [v for v, stage in outputs.items() if stage == number]
            self.store_rows([v for v in stores if self._is_row(v)])
            self._pass(number, now, [v for v in stores if not self._is_row(v)])
        self._announce()
        self.elements.expect_rows(self.frame.kept)

    def _announce(self) -> None:
        """Has the longest pass fetch what the next row reads, and the longest one after it what the last one writes.

        Memory then works while the processor computes; without it, the first and the last pass wait for memory. Two
        passes share the work, since only a dozen lines can be on their way at a time.
        """
        passes = [item for item in self.body.row if isinstance(item, Pass)]
        if len(passes) < 2:
            return
        longest = max(passes, key=lambda item: len(item.levels[-1]))
        between = passes[next(number for number, item in enumerate(passes) if item is longest) + 1 : -1]
        writer = max(between, key=lambda item: len(item.levels[-1])) if between else longest
        length = count(self.frame.domain.inner_shape)
        for pointer, flat in dict.fromkeys(self.elements.loads):
            if flat == self.frame.full:
                longest.levels[-1].append(Line((), (f"expect_read({pointer} + (", flat.shifted(length), "));")))
        for value in self.group.outputs:
            if longest is not passes[-1] and value in self.stored and self.stages[value] == len(passes) - 1:
                pointer = self.pointers.written(value)
                place = self.frame.full_index(value).flat
                writer.levels[-1].append(Line((), (f"expect_write({pointer} + (", place, "));")))

    def _is_row(self, value: Value) -> bool:
        return self.frame.domain.inner_shape != () and not is_full(value, self.frame.domain)

    def _declare_buffers(self) -> None:
        """Row buffers; a value may take that of another one in the pass that reads the other one last.

        A pass reads an element before it stores that element of something else; see `_pass`.
        """
        shared: list[list[Value]] = []
        for value in sorted(self.buffered, key=lambda item: self.buffered[item].first):
            if value in self.group.outputs:
                self.buffer_names[value] = (self.pointers.written(value), self.frame.full)
                continue
            for users in shared:
                if self.buffered[users[-1]].last <= self.buffered[value].first and users[0].dtype == value.dtype:
                    users.append(value)
                    break
            else:
                shared.append([value])
        for users in shared:
            name = self._row_buffer(users[0], len(shared))
            self.buffer_names.update((value, (name, self.frame.column)) for value in users)

    def _row_buffer(self, value: Value, count_: int) -> str:
        """One of some buffers of a row: on the stack where rows are short enough, else a part of scratch memory."""
        domain, table = self.frame.domain, self.context.table
        capacity = STACK_BYTES // count_ // 64 * 64 // value.dtype.size
        length, ctype = count(domain.inner_shape), storage(value.dtype)
        name = self.body.name("b")
        if isinstance(length, int) and length <= capacity:
            self.body.emit_kernel(f"alignas(64) {ctype} {name}[{max(length, 1)}];")
            return name
        rows = count(domain.kept_shape)
        # Without the test the scratch memory would be the whole tensor, for short rows too.
        wanted = table.raw(f"{table.c(length, '')} <= {capacity} ? 0 : {table.c(dim_mul(rows, length), '')}")
        space = self.pointers.space(WorkSpace(ctype, wanted, value.dtype.size))
        self.body.emit_kernel(f"alignas(64) {ctype} stack_{name}[{capacity}];")
        self.body.emit(
            1,
            f"{ctype}* const {name} = ",
            length,
            f" <= {capacity} ? stack_{name} : {space} + (",
            self.frame.row,
            ") * ",
            length,
            ";",
        )
        return name

    def store_rows(self, values: list[Value]) -> None:
        for value in values:
            index = self.frame.row_index(value)
            item = self.elements.element(value, index)
            if item.level > 1:
                raise Misfit("a row's value depends on its elements")
            self.body.emit(1, f"{self.pointers.written(value)}[", index.flat, f"] = {item.text};")

    def _pass(self, number: int, reductions: list[Op], outputs: list[Value]) -> None:
        self.requests.append(set())
        if not reductions and not outputs:
            return
        self.pass_number = number
        inner = self.frame.inner or [Atom("j", 1, 2)]
        item = self.body.begin_pass(inner)
        reducers = [self.accumulate(op) for op in reductions]
        level = item.variables[-1].level
        stores = []
        for value in outputs:
            index = self.frame.full_index(value)
            text = self.elements.element(value, index).text
            stores.append((value, self.pointers.written(value), index.flat, text))
            self.stored.add(value)
        for value in self.buffered:
            if self.buffered[value].first == number and value not in self.stored:
                text = self.elements.element(value, self.frame.full_index(value)).text
                stores.append((value, *self.buffer_names[value], text))
                self.stored.add(value)
        # After all that is read: some buffers change hands here.
        for value, name, flat, text in stores:
            self._store(level, value, name, flat, text)
        self.body.end_pass()
        self.reduce(item, reducers)
        self.pass_number = -1

    def _store(self, level: int, value: Value, pointer: str, flat: Lin, text: str) -> None:
        wide = wide_store(value.dtype, pointer, flat, text)
        self.body.emit(level, f"{pointer}[", flat, f"] = {text};", wide=wide)

    def accumulate(self, op: Op) -> tuple[Reducer, str, Op]:
        """The step of a reduction inside the current pass."""
        reducer = reducer_of(op)
        (x,) = op.operands
        element = self.elements.element(x, self.frame.full_index(x))
        name = self.body.name("r")
        level = 1 + max(1, len(self.frame.inner))
        wide = None
        if reducer.ctype == "float":
            wide = (reducer.wide_step(f"{name}[slot]", element.text, self._factors(op)),)
        self.body.emit(level, reducer.step(f"{name}[lane]" if self.lanes else name, element.text), wide=wide)
        return reducer, name, op

    def _factors(self, op: Op) -> list[str]:
        """The factors of what a sum adds up, where it adds squares that this kernel computes.

        Of other products some may have to cancel exactly, which they do only where all are rounded.
        """
        (x,) = op.operands
        if op.attrs["kind"] != "sum" or x.kind != "elementwise" or x.op not in self.group.ops or x in self.stored:
            return []
        fn = x.op.attrs["fn"]
        if fn not in ("square", "squared_difference"):
            return []
        texts = [self.elements.element(value, self.frame.full_index(value)).text for value in x.op.operands]
        if fn == "squared_difference":
            texts = [f"Lanes({texts[0]}) - Lanes({texts[1]})"]
        return texts * 2

    def reduce(self, item: Pass, reducers: list[tuple[Reducer, str, Op]]) -> None:
        """Declares the accumulators before the pass that was just ended, and combines their lanes after it."""
        if reducers:
            self.reducing.append(item)
        before: list[Item] = []
        if self.lanes and reducers and not widen(item):
            item.lanes = self.lanes
        for reducer, name, op in reducers:
            if item.vectors:
                identities = ", ".join([reducer.identity] * item.vectors)
                before.append(Line((f"Lanes {name}[] = {{{identities}}};",)))
            elif self.lanes:
                before.append(Line((f"{reducer.ctype} {name}[{self.lanes}];",)))
                before.append(
                    Line((f"for (int64_t lane = 0; lane < {self.lanes}; ++lane) {name}[lane] = {reducer.identity};",))
                )
            else:
                before.append(Line((f"{reducer.ctype} {name} = {reducer.identity};",)))
            total = name
            if item.vectors:
                total = self.body.define("float", 1, f"fold_lanes<{reducer.fold}>({name})").text
            elif self.lanes:
                total = self.body.define(reducer.ctype, 1, f"fold<{reducer.fold}, {self.lanes}>({name})").text
            self.totals[op.result] = total
            self.results[op.result] = self.body.define(register_type(op.result.dtype), 1, reducer.result(total))
        place = self.body.row.index(item)
        self.body.row[place:place] = before


def lanes_for(length: Dim) -> int:
    """How many accumulators a reduction over `length` elements keeps apart; 0 for one that is too short for any."""
    if not isinstance(length, int):
        return LANES
    return next((lanes for lanes in (LANES, LANES // 2, LANES // 4) if length >= lanes), 0)


def is_full(value: Value, domain: Domain) -> bool:
    """Whether a value has the elements of the domain, rather than one for each row."""
    return dim_equal(count(value.shape), count(domain.shape))


def plan_buffers(builder: RowsBuilder) -> dict[Value, Kept]:
    """The values that passes after their first one read, and that are worth keeping."""
    first: dict[Value, int] = {}
    for number, values in enumerate(builder.requests):
        for value in values:
            first.setdefault(value, number)
    worth = {value for value in first if recompute_cost(value, builder.group.ops) > CHEAP}
    kept: dict[Value, Kept] = {}
    roots: list[tuple[int, Value]] = []
    for op in builder.group.ops:
        if op.kind == "reduce":
            roots.append((builder.stages[op.result] - 1, op.operands[0]))
    roots += [(builder.stages[value], value) for value in builder.group.outputs]
    order = {op: position for position, op in enumerate(builder.group.ops)}
    for number, root in roots:
        stack, seen = [root], set()
        while stack:
            value = stack.pop()
            if value in seen or value.op not in builder.group.ops or value.kind == "reduce":
                continue
            seen.add(value)
            if value in worth and first[value] < number:
                entry = kept.setdefault(value, Kept(first[value], number))
                entry.last = max(entry.last, number)
                continue
            stack.extend(value.op.operands)
    return dict(sorted(kept.items(), key=lambda item: order[item[0].op]))


def recompute_cost(value: Value, ops: dict[Op, None]) -> float:
    """Nanoseconds to compute an element from memory and the row's scalars."""
    if value.kind == "constant":
        return 0.0
    if value.op not in ops:
        return 0.1
    if value.kind == "reduce":
        return 0.0
    own = FNS[value.op.attrs["fn"]].cost if value.kind == "elementwise" else 0.0
    if value.kind == "broadcast":
        return 0.02
    total = own
    for operand in value.op.operands:
        total += recompute_cost(operand, ops)
        if total > CHEAP:
            break
    return total


def build_rows(group: Group, context: Context) -> Kernel:
    """The kernel of a rows group.

    Raises:
        Misfit: its ops do not fit the rows; fusion tries this before it puts them together.
    """
    trial = RowsBuilder(group, context, {})
    trial.run()
    kept = plan_buffers(trial)
    builder = RowsBuilder(group, context, kept, lanes_after_merging(trial))
    builder.run()
    return _finish(builder)


def lanes_after_merging(trial: RowsBuilder) -> int:
    """The lanes that suit the innermost loop once loops are merged. Uses the trial up."""
    if not trial.frame.inner:
        return 0
    length = merge_loops([*trial.body.kernel, *trial.body.row], trial.frame.inner)[-1].extent
    assert length is not None
    return lanes_for(length)


def check_rows(group: Group, context: Context) -> None:
    """Raises Misfit when the group is no rows kernel."""
    RowsBuilder(group, context, {}).run()


def _finish(builder: RowsBuilder) -> Kernel:
    body, frame, context = builder.body, builder.frame, builder.context
    items = [*body.kernel, *body.row]
    kept = merge_loops(items, frame.kept)
    inner = merge_loops(items, frame.inner) if frame.inner else []
    replace_inner(builder, frame.inner, inner)
    for item in body.row:
        if isinstance(item, Pass) and not any(item is other for other in builder.reducing):
            widen(item)
    ahead = run_ahead(body.row, kept[0].name) if len(kept) == 1 else None
    render, dims = renderer(context.table)
    lines = render.items(body.kernel, 1) + render.items(ahead.before if ahead else [], 1)
    lines += row_loop(render, kept, ahead.row if ahead else body.row)
    ps = picoseconds(builder.group.ops, builder.group.outputs)
    length = context.table.c(count(frame.domain.inner_shape))
    comment = describe(list(builder.group.ops), builder.group.outputs)
    text = assemble(lines, dims, builder.pointers)
    arguments = builder.pointers.arguments()
    return Kernel(text, comment, arguments, count(frame.domain.kept_shape), f"{length} * {ps} / 1000 + 10")


def replace_inner(builder: RowsBuilder, before: list[Atom], after: list[Atom]) -> None:
    """Puts merged loop variables into the passes; a merged-away loop has no statements of its own."""
    if len(before) == len(after):
        return
    for item in builder.body.row:
        if isinstance(item, Pass):
            levels = {atom.name: level for atom, level in zip(item.variables, item.levels, strict=True)}
            item.variables = list(after)
            item.levels = [levels[atom.name] for atom in after]
