"""Recognizes layer normalization over the last axis, however it was written.

Frameworks spell it in many ways: two-pass or E[x^2] - E[x]^2 variance, x * inv + (beta - mean * inv), gamma folded in
the inverse deviation or not. So the pass does not match forms. It collects the elementwise and row-reduction ops that
end in a candidate root and read one full tensor and at most two vectors along the last axis, evaluates them in float64
on random rows, and compares with the definition for each way to name the vectors and each epsilon that occurs. What
agrees on random numbers is layer normalization; rows of tiny variance tell where epsilon stands.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np

from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.scalar import FNS
from tf_blade.backends.disc.ir.values import Module, Op, Value
from tf_blade.backends.disc.passes.rewriter import last_axis_vector, rewrite, splat_value
from tf_blade.dtypes import DType

TOLERANCE = 1e-5
MAX_OPS = 32
MAX_DIM = 65536
_FNS = frozenset(
    {"add", "sub", "mul", "div", "neg", "square", "squared_difference", "rsqrt", "sqrt", "reciprocal", "pow", "maximum"}
)
_ROOTS = frozenset({"add", "sub", "mul", "div"})
# Deviations of the rows: about a mean of 0.1, and about one in proportion, down to a row of zeros. What keeps a tiny
# deviation from dividing, an epsilon beside the root or a lower bound of the variance, shows in one of them.
_ROW_SCALES = (1.0, 3.0, 1e-3, 0.05)
_FAR_ROW_SCALES = (0.0, *(10.0**exponent for exponent in range(-14, 0)), 30.0, 1e4, 1e8)


def run(module: Module) -> Module:
    return rewrite(module, _rule)


def _rule(b: Builder, op: Op) -> Value | None:
    return _extend(b, op) or _match(b, op)


def _extend(b: Builder, op: Op) -> Value | None:
    """layer_norm(x) * gamma and layer_norm(x) + beta: ops are visited operands first, so the core is found before
    them.
    """
    if op.kind != "elementwise" or op.attrs["fn"] not in ("mul", "add"):
        return None
    for normal, factor in (op.operands, op.operands[::-1]):
        vector = last_axis_vector(factor)
        if normal.kind != "layer_norm" or vector is None or normal.op.attrs["center"]:
            continue
        x, *gamma = normal.op.operands
        if op.attrs["fn"] == "add":
            return b.layer_norm(x, gamma[0] if gamma else None, vector, normal.op.attrs["epsilon"])
        if not gamma:
            return b.layer_norm(x, vector, None, normal.op.attrs["epsilon"])
    return None


@dataclasses.dataclass
class _Region:
    """The ops of a candidate and what they read."""

    full: list[Value] = dataclasses.field(default_factory=list)
    vectors: list[Value] = dataclasses.field(default_factory=list)
    splats: list[float] = dataclasses.field(default_factory=list)
    ops: set[Op] = dataclasses.field(default_factory=set)
    has_root: bool = False
    num_sums: int = 0


def _match(b: Builder, op: Op) -> Value | None:
    if op.kind != "elementwise" or op.attrs["fn"] not in _ROOTS or op.result.dtype != DType.FLOAT:
        return None
    size = op.result.shape[-1] if op.result.rank else 0
    if not isinstance(size, int) or not 2 <= size <= MAX_DIM:
        return None
    region = _collect(op)
    if region is None or not region.has_root or region.num_sums < 2:
        return None
    if len(region.full) != 1 or len(region.vectors) > 2:
        return None
    return _identify(b, op, region, size)


def _collect(root: Op) -> _Region | None:
    """Walks down from the root while the ops are of the kinds that layer normalization is made of."""
    region = _Region()
    source = _common_source(root)
    if source is None:
        return None
    stack = [root.result]
    while stack:
        value = stack.pop()
        if value is source:
            region.full = [source]
        elif value.op in region.ops:
            continue
        elif splat_value(value) is not None:
            region.splats.append(float(splat_value(value) or 0.0))
        elif last_axis_vector(value) is not None:
            if value not in region.vectors:
                region.vectors.append(value)
        elif not _enter(value, region, stack):
            return None
    return region


def _enter(value: Value, region: _Region, stack: list[Value]) -> bool:
    op = value.op
    is_row_broadcast = op.kind == "broadcast" and op.attrs["axes"] == tuple(range(value.rank - 1))
    is_row_sum = op.kind == "reduce" and op.attrs["kind"] == "sum" and op.attrs["axes"] == (op.operands[0].rank - 1,)
    is_pointwise = op.kind == "elementwise" and op.attrs["fn"] in _FNS
    if not (is_row_broadcast or is_row_sum or is_pointwise) or len(region.ops) >= MAX_OPS:
        return False
    region.ops.add(op)
    region.num_sums += is_row_sum
    region.has_root |= is_pointwise and op.attrs["fn"] in ("rsqrt", "sqrt", "pow")
    stack.extend(op.operands)
    return True


def _common_source(root: Op) -> Value | None:
    """The tensor being normalized: what the innermost row sum (the mean) reads."""
    seen: set[Op] = set()
    stack: list[Op] = [root]
    sums: list[Op] = []
    while stack and len(seen) <= MAX_OPS:
        op = stack.pop()
        if op in seen:
            continue
        seen.add(op)
        if op.kind == "reduce":
            sums.append(op)
        if op.kind in ("elementwise", "broadcast", "reduce"):
            stack.extend(item.op for item in op.operands)
    if not sums:
        return None
    candidates = [op for op in sums if op.attrs["kind"] == "sum" and op.attrs["axes"] == (op.operands[0].rank - 1,)]
    return min(candidates, key=lambda op: op.uid).operands[0] if candidates else None


def _identify(b: Builder, root: Op, region: _Region, size: int) -> Value | None:
    rng = np.random.default_rng(size)
    x = _rows(rng, size)
    vectors = {item: rng.standard_normal((1, size)) + 0.5 for item in region.vectors}
    with np.errstate(all="ignore"):
        found = _evaluate(root.result, region.full[0], x, vectors, {})
    if found is None:
        return None
    centered = x - x.mean(-1, keepdims=True)
    variance = (centered * centered).mean(-1, keepdims=True)
    for epsilon in dict.fromkeys([*(s for s in region.splats if 0 < s < 1), 0.0]):
        with np.errstate(invalid="ignore"):
            normal = centered / np.sqrt(variance + epsilon)
        for gamma, beta in _roles(region.vectors):
            expected = normal * (vectors[gamma] if gamma else 1.0) + (vectors[beta] if beta else 0.0)
            if _agree(found, expected):
                sources = [last_axis_vector(item) if item else None for item in (gamma, beta)]
                return b.layer_norm(region.full[0], sources[0], sources[1], epsilon)
    return None


def _rows(rng: np.random.Generator, size: int) -> np.ndarray:
    near, far = np.reshape(_ROW_SCALES, (-1, 1)), np.reshape(_FAR_ROW_SCALES, (-1, 1))
    numbers = rng.standard_normal((len(near) + len(far), size))
    return np.concatenate([numbers[: len(near)] * near + 0.1, (numbers[len(near) :] + 0.1) * far])


def _agree(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether rows are the same but for rounding; NaN, which a deviation of 0 gives, is only like NaN."""
    if not np.array_equal(np.isnan(found), np.isnan(expected)):
        return False
    error = np.nan_to_num(np.abs(found - expected))
    return bool(np.all(error <= TOLERANCE * np.nan_to_num(np.max(np.abs(expected), axis=-1, keepdims=True))))


def _roles(vectors: list[Value]) -> list[tuple[Value | None, Value | None]]:
    """All ways to call the vectors gamma and beta."""
    padded: list[Value | None] = [*vectors, None, None][: max(2, len(vectors))]
    return [(a, c) for a, c in itertools.permutations(padded, 2) if len(vectors) == sum(v is not None for v in (a, c))]


def _evaluate(
    value: Value, source: Value, x: np.ndarray, vectors: Mapping[Value, np.ndarray], memo: dict[Value, np.ndarray]
) -> np.ndarray | None:
    """Rows as [rows, size], row values as [rows, 1], vectors as [1, size], numbers as [1, 1]."""
    if value is source:
        return x
    if value in vectors:
        return vectors[value]
    number = splat_value(value)
    if number is not None:
        return np.full((1, 1), number)
    if value not in memo:
        operands = [_evaluate(item, source, x, vectors, memo) for item in value.op.operands]
        if any(item is None for item in operands):
            return None
        if value.kind == "reduce":
            operand = operands[0]
            assert operand is not None
            if operand.shape[-1] != x.shape[-1]:
                return None
            memo[value] = operand.sum(-1, keepdims=True)
        elif value.kind == "broadcast":
            memo[value] = operands[0]  # type: ignore[assignment]
        else:
            memo[value] = np.asarray(FNS[value.op.attrs["fn"]].reference(*operands), np.float64)
    return memo[value]
