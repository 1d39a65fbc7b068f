"""Recognizes a hand-written softmax over the last axis: exp(x - max(x)) / sum(exp(x - max(x))), and its logarithm."""

from __future__ import annotations

from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Module, Op, Value
from tf_blade.backends.disc.passes.rewriter import rewrite


def run(module: Module) -> Module:
    return rewrite(module, _rule)


def _rule(b: Builder, op: Op) -> Value | None:
    if op.kind != "elementwise" or not op.result.dtype.is_float:
        return None
    fn = op.attrs["fn"]
    if fn == "div":
        x = _normalized(op.operands[0], _row_source(op.operands[1]))
        return b.softmax(x) if x is not None else None
    if fn == "mul":
        for a, scale in (op.operands, op.operands[::-1]):
            row = _row_source(scale)
            if row is not None and _is(row, "reciprocal"):
                x = _normalized(a, row.op.operands[0])
                if x is not None:
                    return b.softmax(x)
    if fn == "sub":
        return _log_softmax(b, op)
    return None


def _normalized(exponential: Value, total: Value | None) -> Value | None:
    """x, when exponential is exp(x - max(x)) and total its sum over the last axis."""
    if total is None or not _is(exponential, "exp") or not _is_row_reduce(total, "sum", exponential):
        return None
    return _shifted(exponential.op.operands[0])


def _shifted(value: Value) -> Value | None:
    """x, when the value is x - max(x)."""
    if not _is(value, "sub"):
        return None
    x, row = value.op.operands[0], _row_source(value.op.operands[1])
    return x if row is not None and _is_row_reduce(row, "max", x) else None


def _log_softmax(b: Builder, op: Op) -> Value | None:
    """(x - max(x)) - log(sum(exp(x - max(x))))."""
    shifted, row = op.operands[0], _row_source(op.operands[1])
    if row is None or not _is(row, "log"):
        return None
    total = row.op.operands[0]
    if total.kind != "reduce" or not _is(total.op.operands[0], "exp"):
        return None
    exponential = total.op.operands[0]
    x = _normalized(exponential, total)
    return b.softmax(x, log=True) if x is not None and exponential.op.operands[0] is shifted else None


def _is(value: Value, fn: str) -> bool:
    return value.kind == "elementwise" and value.op.attrs["fn"] == fn


def _row_source(value: Value) -> Value | None:
    """What a broadcast along the last axis spreads: a value of all the other axes."""
    if value.kind == "broadcast" and value.op.attrs["axes"] == tuple(range(value.rank - 1)):
        return value.op.operands[0]
    return None


def _is_row_reduce(value: Value, kind: str, operand: Value) -> bool:
    return (
        value.kind == "reduce"
        and value.op.attrs["kind"] == kind
        and value.op.operands[0] is operand
        and value.op.attrs["axes"] == (operand.rank - 1,)
    )
