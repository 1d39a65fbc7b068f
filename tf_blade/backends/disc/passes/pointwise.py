"""Recognizes GELU (erf and tanh), swish and hard-swish, however they were written.

A chain of elementwise ops that reads one tensor and otherwise only constants is a function of one number. It is
evaluated in float64 on a grid and compared with each known function: whatever agrees everywhere to 1e-6 is that
function, be it written with 0.5 * x * (1 + erf(x / sqrt(2))), x * (0.5 + 0.5 * erf(...)) or erfc. A model that spells
one of its constants differently in the fifth digit is a different function and is left alone.
"""

from __future__ import annotations

import numpy as np

from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.scalar import FNS
from tf_blade.backends.disc.ir.values import Module, Op, Value
from tf_blade.backends.disc.passes.rewriter import rewrite, splat_value
from tf_blade.dtypes import DType

TARGETS = ("gelu_erf", "gelu_tanh", "swish", "hard_swish")
# a chain that does not hold one of these is none of the targets
MARKERS = frozenset({"erf", "erfc", "tanh", "sigmoid", "exp", "relu6", "minimum"})
MAX_OPS = 24
TOLERANCE = 1e-6
# far out, a clipped operand shows
_FAR = np.array([14.0, 17.0, 21.0, 33.0, 64.0, 88.0, 101.0, 1e3, 1e4, 1e6, 1e10, 1e20, 1e30])
_GRID = np.concatenate([np.linspace(-12.0, 12.0, 481), _FAR, -_FAR, [1e-3, -1e-3, 0.1234567, -2.7182818]])


def run(module: Module) -> Module:
    return rewrite(module, _rule)


def _rule(b: Builder, op: Op) -> Value | None:
    if op.kind != "elementwise" or op.result.dtype != DType.FLOAT or op.attrs["fn"] not in ("mul", "div"):
        return None
    leaf = _single_leaf(op)
    if leaf is None:
        return None
    with np.errstate(all="ignore"):
        found = _evaluate(op.result, leaf, _GRID, {})
    for name in TARGETS:
        expected = FNS[name].reference(_GRID)
        if np.all(np.abs(found - expected) <= TOLERANCE * np.maximum(1.0, np.abs(expected))):
            return b.elementwise(name, leaf)
    return None


def _single_leaf(root: Op) -> Value | None:
    """The one tensor that a chain of elementwise ops ending in `root` reads, or None when it is no such chain.

    The leaf is the nearest value that all paths come from: the search goes down through elementwise ops and stops at
    the first value that leaves only one.
    """
    members: list[Op] = [root]
    frontier: list[Value] = []
    found_marker = False
    for _ in range(MAX_OPS):
        frontier = _frontier(members)
        if len(frontier) == 1 and found_marker:
            return frontier[0]
        expandable = [v for v in frontier if v.kind == "elementwise" and v.dtype == DType.FLOAT]
        if not expandable:
            return None
        # the latest made value first: nothing else in the frontier can depend on it
        chosen = max(expandable, key=lambda value: value.op.uid).op
        if any(item.dtype != DType.FLOAT for item in chosen.operands):
            return None
        members.append(chosen)
        found_marker = found_marker or chosen.attrs["fn"] in MARKERS
    return None


def _frontier(members: list[Op]) -> list[Value]:
    inside = set(members)
    reads = (item for op in members for item in op.operands)
    return list(dict.fromkeys(v for v in reads if v.op not in inside and splat_value(v) is None))


def _evaluate(value: Value, leaf: Value, grid: np.ndarray, memo: dict[Value, np.ndarray]) -> np.ndarray:
    if value is leaf:
        return grid
    number = splat_value(value)
    if number is not None:
        return np.float64(number) * np.ones_like(grid)
    if value not in memo:
        operands = [_evaluate(item, leaf, grid, memo) for item in value.op.operands]
        memo[value] = np.asarray(FNS[value.op.attrs["fn"]].reference(*operands), np.float64)
    return memo[value]
