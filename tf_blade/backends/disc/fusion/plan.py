"""Cuts a program into groups, one kernel each.

Ops are visited users first. An op that is a function of an index joins its users when all of them are in one group, or
when it is so cheap that each of them may compute it. A reduction joins the group of its only user where both run over
the same rows. A value that several groups need becomes a further output of one of them, unless that closes a cycle.
Matrix products and the like come first: they take the elementwise ops that follow as their epilogue.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from tf_blade import observe
from tf_blade.backends.disc.codegen.affine import count, dim_equal
from tf_blade.backends.disc.codegen.columns import build_columns
from tf_blade.backends.disc.codegen.elements import INLINE_KINDS
from tf_blade.backends.disc.codegen.kernel import Context, Misfit
from tf_blade.backends.disc.codegen.rows import check_rows
from tf_blade.backends.disc.fusion.beside import join_beside
from tf_blade.backends.disc.fusion.epilogue import grow_epilogue
from tf_blade.backends.disc.fusion.groups import Domain, Group, loop_domain, reduction_domain, same_shape
from tf_blade.backends.disc.fusion.late import LateUses
from tf_blade.backends.disc.ir.scalar import FNS
from tf_blade.backends.disc.ir.values import Op, Value

MAX_OPS = 64  # of one kernel, those that only move elements apart
MAX_MOVES = 4 * MAX_OPS
_SOURCES = ("parameter", "constant")
_MOVES = frozenset({"broadcast", "reshape", "slice", "iota", "dims"})
_CHEAP = 0.15  # nanoseconds of an elementwise op that is rather computed twice than stored


_log = observe.logger("disc.fusion")


@dataclasses.dataclass(frozen=True)
class Plan:
    """Groups in an order in which they can run, and views: values that share another value's memory."""

    groups: tuple[Group, ...]
    views: dict[Value, Value]


def _is_full(group: Group) -> bool:
    """Whether a kernel is as large as it may become."""
    if len(group.ops) < MAX_OPS:
        return False
    computing = sum(op.kind not in INLINE_KINDS or op.kind == "elementwise" for op in group.ops)
    return computing >= MAX_OPS or len(group.ops) >= MAX_MOVES


class Planner:
    """Plans one program: `roots` from `sources` (values that are in memory beforehand).

    `binders` find dimensions when they run; a group that names such a dimension runs after.
    """

    def __init__(
        self,
        roots: Sequence[Value],
        sources: Collection[Value],
        library: Collection[str],
        context: Context,
        binders: Sequence[Value] = (),
    ) -> None:
        self.sources = set(sources)
        self.roots = dict.fromkeys(roots)
        self.library = library
        self.context = context
        self.order = self._program([*binders, *roots])
        self.late = LateUses(self.order, binders)
        self.position = {op: number for number, op in enumerate(self.order)}
        self.users: dict[Value, list[Op]] = {}
        for op in self.order:
            for value in dict.fromkeys(op.operands):
                self.users.setdefault(value, []).append(op)
        self.member: dict[Op, list[Group]] = {}
        self.groups: list[Group] = []
        self.required: set[Value] = set(self.roots)
        self.views: dict[Value, Value] = {}

    def _program(self, roots: Sequence[Value]) -> list[Op]:
        """The ops that the roots need, sources excluded, operands first."""
        done: set[Op] = set()
        order: list[Op] = []
        stack = [(value.op, False) for value in reversed(roots) if value not in self.sources]
        while stack:
            op, expanded = stack.pop()
            if op in done:
                continue
            if expanded:
                done.add(op)
                order.append(op)
                continue
            stack.append((op, True))
            stack.extend((v.op, False) for v in reversed(op.operands) if v not in self.sources and v.op not in done)
        return [op for op in order if op.kind not in _SOURCES]

    # --- planning -------------------------------------------------------------------------------------------------
    def plan(self) -> Plan:
        for op in self.order:
            if op.kind in self.library and op not in self.member:
                self._add_library(op)
        for op in reversed(self.order):
            if op not in self.member:
                self._visit(op)
        for group in self.groups:
            group.ops = dict.fromkeys(sorted(group.ops, key=self.position.__getitem__))
        groups = tuple(self._schedule())
        _log.info("%d ops in %d kernels", len(self.order), len(groups))
        for group in groups:
            _log.debug("%s: %s", group.kind, ", ".join(op.kind for op in group.ops))
        return Plan(groups, self.views)

    def _add_library(self, op: Op) -> None:
        ops, output = grow_epilogue(op, self.users, self.roots, self.member, self.position)
        outputs = [output] if len(op.results) == 1 else list(op.results)
        group = Group(op.kind, outputs, dict.fromkeys(ops), op)
        self._join(group, ops)
        self.groups.append(group)
        self.required.update(op.operands)

    def _join(self, group: Group, ops: Sequence[Op]) -> None:
        for op in ops:
            group.ops.setdefault(op)
            self.member.setdefault(op, []).append(group)

    def _visit(self, op: Op) -> None:
        if op.kind == "reduce":
            self._visit_reduce(op)
        elif op.kind == "concat":
            self._new_group(Group("concat", [op.result], {}, op), op)
        elif op.kind not in INLINE_KINDS:
            self._new_group(Group(op.kind, list(op.results), {}, op), op)
            self.required.update(op.operands)
        else:
            self._visit_inline(op)
        if op.kind in ("gather", "gather_nd", "resize"):
            self._require_gathered(op)

    def _require_gathered(self, op: Op) -> None:
        """What is read at data dependent places is computed once, not for each read."""
        self.required.add(op.operands[0])

    def _new_group(self, group: Group, op: Op) -> None:
        self._join(group, [op])
        self.groups.append(group)

    def user_groups(self, value: Value) -> list[Group]:
        """The groups that compute a user of the value."""
        found: dict[Group, None] = {}
        for op in self.users.get(value, []):
            for group in self.member.get(op, []):
                found.setdefault(group)
        return list(found)

    def _visit_inline(self, op: Op) -> None:
        value, groups = op.result, self.user_groups(op.result)
        if op.kind == "reshape" and value in self.required:
            # A view of its operand's memory: costs nothing, but the operand has to be there.
            self.views[value] = op.operands[0]
            self.required.add(op.operands[0])
            return
        if value not in self.required and groups:
            if len(groups) == 1 and self._may_inline(op, groups[0]):
                self._join(groups[0], [op])
                return
            if self._is_cheap(op) and all(self._may_inline(op, group) for group in groups):
                for group in groups:
                    self._join(group, [op])
                return
        if self._add_output(op, groups):
            return
        self._new_group(Group("loop", [value], {}, domain=loop_domain(value)), op)

    def _may_inline(self, op: Op, group: Group) -> bool:
        """Whether a group may compute an op for its own use."""
        if _is_full(group):
            return False
        if op.kind != "elementwise" or op.result.rank == 0:
            return True
        size = count(op.result.shape)
        for user in self.users[op.result]:
            if group not in self.member.get(user, []):
                continue
            if dim_equal(size, 1) or dim_equal(count(user.results[0].shape), size) or user.kind != "broadcast":
                continue
            if group.domain is not None and self._is_row_value(op, group.domain):
                continue
            if not self._is_light(op):
                return False
        return True

    def _is_row_value(self, op: Op, domain: Domain) -> bool:
        """Whether an op computes one element for each row of a domain: it is made of a reduction over the rows."""
        stack, seen = [op], {op}
        while stack:
            item = stack.pop()
            if item.kind == "reduce":
                own = reduction_domain(item)
                return same_shape(own.shape, domain.shape) and bool(own.reduced) and own.reduced[-1]
            for value in item.operands:
                small = dim_equal(count(value.shape), count(op.result.shape))
                if small and value.op not in seen and value.kind in ("elementwise", "reshape", "reduce"):
                    seen.add(value.op)
                    stack.append(value.op)
        return False

    def _is_light(self, op: Op) -> bool:
        return op.kind == "elementwise" and FNS[op.attrs["fn"]].cost <= _CHEAP

    def _is_cheap(self, op: Op) -> bool:
        """Whether several groups may each compute it."""
        if op.kind in _MOVES:
            return True
        if not self._is_light(op):
            return False
        full = [v for v in op.operands if not (v.kind in ("broadcast", "constant") or v.rank == 0)]
        return len(full) <= 1

    def _add_output(self, op: Op, groups: list[Group]) -> bool:
        """Makes the value a further output of a group that computes over the same elements; whether it could."""
        if op.kind != "elementwise":
            return False
        domain = loop_domain(op.result)
        for group in groups:
            if group.domain is None or group.kind not in ("loop", "rows") or _is_full(group):
                continue
            if not same_shape(group.domain.shape, domain.shape) or self._reaches(groups, group):
                continue
            self._join(group, [op])
            group.outputs.append(op.result)
            return True
        return False

    def _reaches(self, starts: list[Group], goal: Group) -> bool:
        """Whether the goal depends on one of the other starts."""
        seen: set[Group] = {goal}
        stack = [group for group in starts if group is not goal]
        while stack:
            group = stack.pop()
            if group in seen:
                continue
            seen.add(group)
            followers = [item for value in group.written() for item in self._followers(value)]
            followers += [
                item for op in group.ops for late in self.late.users(op) for item in self.member.get(late, [])
            ]
            if goal in followers:
                return True
            stack.extend(followers)
        return False

    def _followers(self, value: Value) -> list[Group]:
        """The groups that read a value, or a view of it."""
        found = self.user_groups(value)
        for op in self.users.get(value, []):
            if op.result in self.views if len(op.results) == 1 else False:
                found.extend(self._followers(op.result))
        return found

    # --- reductions -----------------------------------------------------------------------------------------------
    def _visit_reduce(self, op: Op) -> None:
        domain = reduction_domain(op)
        groups = self.user_groups(op.result)
        if len(groups) == 1 and self._join_reduction(op, domain, groups[0]):
            return
        kind = "rows" if not domain.shape or domain.reduced[-1] or not any(domain.reduced) else "columns"
        self._new_group(Group(kind, [op.result], {}, domain=domain), op)

    def _join_reduction(self, op: Op, domain: Domain, group: Group) -> bool:
        """Tries to compute a reduction in the kernel of its user."""
        if group.domain is None or group.kind not in ("loop", "rows", "columns") or _is_full(group):
            return False
        if not any(domain.reduced):
            return False
        trailing = domain.reduced[-1]
        if group.kind == "loop":
            over_full = trailing and same_shape(group.domain.shape, domain.shape)
            if not over_full and not same_shape(group.domain.shape, domain.kept_shape):
                return False
        elif not group.domain.same_as(domain):
            return False
        outputs = list(group.outputs)
        if op.result in self.required:
            outputs.append(op.result)
        ops = dict.fromkeys(sorted([*group.ops, op], key=self.position.__getitem__))
        trial = Group("rows" if trailing else "columns", outputs, ops, domain=domain)
        try:
            if trailing:
                check_rows(trial, self.context)
            else:
                build_columns(trial, self.context)
        except Misfit:
            return False
        group.kind, group.domain, group.outputs = trial.kind, domain, outputs
        self._join(group, [op])
        return True

    # --- order ----------------------------------------------------------------------------------------------------
    def _schedule(self) -> list[Group]:
        """The groups, producers first; ties in the module's order."""
        producer = {value: group for group in self.groups for value in group.written()}
        first = {group: min(self.position[op] for op in group.ops) for group in self.groups}
        done: set[Group] = set()
        order: list[Group] = []
        for start in sorted(self.groups, key=first.__getitem__):
            stack = [(start, False)]
            while stack:
                group, expanded = stack.pop()
                if group in done:
                    continue
                if expanded:
                    done.add(group)
                    order.append(group)
                    continue
                stack.append((group, True))
                found = [value for op in group.ops for value in self.late.binders(op)]
                for value in reversed([*group.inputs(), *found]):
                    needed = producer.get(self._origin(value))
                    if needed is not None and needed is not group and needed not in done:
                        stack.append((needed, False))
        return join_beside(order, producer, self._origin, self.late)

    def _origin(self, value: Value) -> Value:
        while value in self.views:
            value = self.views[value]
        return value
