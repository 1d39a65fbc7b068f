"""Loops, branches and calls: functions lowered in place, or as regions of `while` and `switch`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tf_blade import symbolic
from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Module, Value
from tf_blade.backends.disc.node import lower_body
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.backends.disc.ops.lists import UNKNOWN_RANK, UNSET, is_open
from tf_blade.backends.disc.passes.rewriter import is_weight_only
from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported
from tf_blade.graph.graph import Graph
from tf_blade.symbolic import Dim, Shape

MAX_ROUNDS = 4


@op("PartitionedCall", "StatefulPartitionedCall")
def call(ctx: OpContext) -> Sequence[Value]:
    inner = ctx.b.region()
    results = lower_body(inner, ctx.body("f"), ctx.inputs)
    ctx.b.finish_region(inner, "call", results)
    return results


# --- branches -------------------------------------------------------------------------------------------------------
@op("If", "StatelessIf", types={"Tcond": frozenset({DType.BOOL})})
def if_(ctx: OpContext) -> Sequence[Value]:
    condition = ctx.inputs[0]
    ctx.require(condition.rank == 0, "the condition is no scalar")
    one = ctx.b.scalar(1, DType.INT32)
    index = ctx.b.elementwise("sub", one, ctx.b.convert(condition, DType.INT32))
    return _switch(ctx, index, [ctx.body("then_branch"), ctx.body("else_branch")])


@op("Case", "StatelessCase")
def case(ctx: OpContext) -> Sequence[Value]:
    return _switch(ctx, ctx.inputs[0], ctx.bodies("branches"))


def _switch(ctx: OpContext, index: Value, bodies: Sequence[Graph]) -> Sequence[Value]:
    """The branches as regions. A result that all of them pass through is no result of the regions."""
    ctx.require(bool(bodies), "no branch")
    ctx.require(not any(tensor.dtype == DType.VARIANT for tensor in ctx.node.outputs), "a branch gives a list")
    ctx.require(bool(ctx.node.outputs), "the branches give nothing")
    regions = [_Region(ctx, body, ctx.inputs[1:]) for body in bodies]
    results = [region.lower([]) for region in regions]
    _require_sure_sizes(ctx, regions)
    shapes = _common_shapes(ctx, results)
    modules: list[Module] = []
    for number, (region, values) in enumerate(zip(regions, results, strict=True)):
        values = [region.b.reshape(value, shape) for value, shape in zip(values, shapes, strict=True)]
        modules.append(ctx.b.finish_region(region.b, f"branch{number}", values))
    return ctx.b.switch(index, modules, ctx.inputs[1:])


def _require_sure_sizes(ctx: OpContext, regions: Sequence[_Region]) -> None:
    """Refuses where one branch alone takes dimensions for equal. They would be taken for equal around the branches too,
    in results' shapes, which others rely on when another branch is taken.
    """
    assumed = [set(region.b.unifications) for region in regions]
    ctx.require(all(item == assumed[0] for item in assumed), "only one branch takes some dimensions for equal")


def _common_shapes(ctx: OpContext, results: Sequence[Sequence[Value]]) -> list[Shape]:
    shapes = [value.shape for value in results[0]]
    for values in results[1:]:
        for shape, value in zip(shapes, values, strict=True):
            ctx.require(len(shape) == value.rank, "branches give different ranks")
            ctx.require(symbolic.same_shape(shape, value.shape), "branches give different shapes")
    return shapes


# --- loops ----------------------------------------------------------------------------------------------------------
@op("While", "StatelessWhile")
def while_(ctx: OpContext) -> Sequence[Value]:
    """Carried values keep their types; what an iteration passes on as it is, is captured. A list whose elements'
    shape nobody has said takes that of what the body writes.
    """
    cond, body = ctx.body("cond"), ctx.body("body")
    fixed = [_passes_through(body, position) for position in range(len(body.inputs))]
    ctx.require(not all(fixed), "the loop changes nothing")
    _require_unread_handles(ctx, fixed)
    loop = _Loop(ctx, cond, body, fixed)
    return loop.lower()


def _passes_through(body: Graph, position: int) -> bool:
    tensor = body.outputs[position].tensor
    while tensor.node.op == "Identity":
        tensor = tensor.node.inputs[0]
    return tensor is body.inputs[position].outputs[0]


def _require_unread_handles(ctx: OpContext, fixed: Sequence[bool]) -> None:
    for tensor, same in zip(ctx.node.outputs, fixed, strict=True):
        ctx.require(same or tensor.dtype != DType.RESOURCE, "an iteration changes which variable it reads")


class _Region:
    """A function that becomes a region: its parameters are the carried values, then the captured ones."""

    def __init__(self, ctx: OpContext, body: Graph, captured: Sequence[Value]) -> None:
        self.b: Builder = ctx.b.region()
        self._body = body
        self._captured = captured

    def lower(self, carried: Sequence[tuple[DType, Shape]], fixed: Sequence[bool] | None = None) -> list[Value]:
        """The function's results. `fixed` tells which arguments are captured, all when not given."""
        first = [self.b.parameter(dtype, shape) for dtype, shape in carried]
        rest = [_capture(self.b, value) for value in self._captured]
        flags = fixed if fixed is not None else [True] * len(rest)
        mine, others = iter(first), iter(rest)
        return lower_body(self.b, self._body, [next(others if flag else mine) for flag in flags])


def _capture(b: Builder, value: Value) -> Value:
    """A region's parameter for a value of the outer module; a constant is its own."""
    weight = is_weight_only(value, {})
    parameter = b.parameter(value.dtype, value.shape, weight=weight, value=value.sym)
    return b.constant(value.op.attrs["array"]) if value.kind == "constant" else parameter


@dataclasses.dataclass
class _Loop:
    ctx: OpContext
    cond: Graph
    body: Graph
    fixed: Sequence[bool]

    def lower(self) -> Sequence[Value]:
        ctx = self.ctx
        carried = [value for value, same in zip(ctx.inputs, self.fixed, strict=True) if not same]
        captured = [value for value, same in zip(ctx.inputs, self.fixed, strict=True) if same]
        if any(is_open(value.shape) for value in captured):
            raise Unsupported("a list without shape that the loop does not write")
        types, region, results = self._settle([(value.dtype, value.shape) for value in carried], captured)
        starts = [
            value if not is_open(value.shape) else ctx.b.full(0, dtype, shape)
            for value, (dtype, shape) in zip(carried, types, strict=True)
        ]
        results = [region.b.reshape(value, shape) for value, (_, shape) in zip(results, types, strict=True)]
        body = ctx.b.finish_region(region.b, "body", results)
        test = _Region(ctx, self.cond, captured)
        (condition,) = test.lower(types, self.fixed)
        ctx.require(condition.dtype == DType.BOOL and condition.rank == 0, "the condition is no boolean scalar")
        cond = ctx.b.finish_region(test.b, "cond", [condition])
        learnt = any(start is not value for start, value in zip(starts, carried, strict=True))
        trips = _trips(cond, body, starts)
        ends = iter(ctx.b.while_loop(cond, body, starts, captured, entered=learnt, trips=trips))
        return [value if same else next(ends) for value, same in zip(ctx.inputs, self.fixed, strict=True)]

    def _settle(
        self, types: list[tuple[DType, Shape]], captured: Sequence[Value]
    ) -> tuple[list[tuple[DType, Shape]], _Region, list[Value]]:
        """The carried values' types, and the body lowered with them."""
        for _ in range(MAX_ROUNDS):
            region = _Region(self.ctx, self.body, captured)
            values = region.lower(types, self.fixed)
            results = [value for value, same in zip(values, self.fixed, strict=True) if not same]
            learnt = [_learn(type_, value) for type_, value in zip(types, results, strict=True)]
            if learnt == types:
                break
            types = learnt
        if any(is_open(shape) for _, shape in types):
            raise Unsupported("a list of elements of unknown shape")
        for (_, shape), value in zip(types, results, strict=True):
            for a, b in zip(shape, value.shape, strict=True):
                # Before the first iteration it may be another size, which results' shapes must not rule out.
                self.ctx.require(isinstance(a, int) == isinstance(b, int), "an iteration fixes a dimension's size")
                region.b.require_equal(a, b)
        return types, region, results


def _learn(type_: tuple[DType, Shape], value: Value) -> tuple[DType, Shape]:
    """The type of a carried value, with dimensions put in that a result shows.

    Raises:
        Unsupported: the result is of another type.
    """
    dtype, shape = type_
    if value.dtype != dtype:
        raise Unsupported(f"an iteration makes {value.dtype.name.lower()} of {dtype.name.lower()}")
    if UNKNOWN_RANK in shape:
        return dtype, value.shape
    if len(shape) != value.rank:
        raise Unsupported("an iteration changes a rank")
    return dtype, tuple(b if a is UNSET else a for a, b in zip(shape, value.shape, strict=True))


# --- number of iterations -------------------------------------------------------------------------------------------
def _trips(cond: Module, body: Module, starts: Sequence[Value]) -> Dim | None:
    """How often a counting loop runs at most: the smallest of what its conditions `counter < limit` say."""
    found: list[Dim] = []
    stack = list(cond.results)
    while stack:
        value = stack.pop()
        name = value.op.attrs.get("fn")
        if name == "logical_and":
            stack.extend(value.op.operands)
        elif name == "less":
            counter, limit = value.op.operands
            trips = _counted(counter, limit, body, starts)
            if trips is not None:
                found.append(trips)
    if not found:
        return None
    result = found[0]
    for item in found[1:]:
        result = symbolic.minimum(result, item)
    return result


def _counted(counter: Value, limit: Value, body: Module, starts: Sequence[Value]) -> Dim | None:
    if counter.kind != "parameter" or counter.op.attrs["index"] >= len(starts) or limit.sym is None:
        return None
    index = counter.op.attrs["index"]
    start, step = starts[index].sym, body.results[index]
    if start is None or step.op.attrs.get("fn") != "add":
        return None
    places = [item.op.attrs.get("index") for item in step.op.operands if item.kind == "parameter"]
    amounts = [item.op.attrs["array"] for item in step.op.operands if item.kind == "constant"]
    if places != [index] or len(amounts) != 1 or not np.array_equal(amounts[0], 1):
        return None
    return symbolic.maximum(symbolic.sub(limit.sym.reshape(-1)[0], start.reshape(-1)[0]), 0)
