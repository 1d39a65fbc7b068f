"""Ops that compute the same from the same are made one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Module, Op, Value
from tf_blade.backends.disc.passes.rewriter import rewrite


def run(module: Module) -> Module:
    """One op for each distinct (kind, operands, attributes); ops with several results are left alone."""
    seen: dict[Any, Value] = {}

    def rule(b: Builder, op: Op) -> Value | None:
        del b
        key = (op.kind, tuple((item.op.uid, item.index) for item in op.operands), _key(op.attrs))
        return seen.setdefault(key, op.result)

    return rewrite(module, rule)


def _key(attrs: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple((name, _value_key(value)) for name, value in sorted(attrs.items()))


def _value_key(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    return (type(value).__name__, value)
