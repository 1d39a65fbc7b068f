"""Spells out composites that no kernel of their own serves, in ops that fusion puts back together.

Softmax and layer norm become reductions and elementwise ops: the rows kernel that they end up in also takes what is
around them. Half types compute in float32. Matrix products and convolutions of half types are converted around.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tf_blade.backends.disc.codegen.ctypes_ import HALF_TYPES
from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Module, Op, Value
from tf_blade.backends.disc.passes.regions import map_regions
from tf_blade.dtypes import DType

Handler = Callable[[Builder, Op, "list[Value]"], Value]


def decompose(module: Module, kept: frozenset[str]) -> Module:
    """The module without composites, but for the kinds in `kept`."""
    builder = Builder()
    mapping: dict[Value, Value] = {value: value for value in module.parameters}
    for op in module.ops():
        if op.kind == "parameter":
            continue
        operands = [mapping[value] for value in op.operands]
        handler = _HANDLERS.get(op.kind)
        if op.regions():
            attrs = map_regions(op.attrs, lambda region: _region(region, kept))
            mapping.update(zip(op.results, builder.rebuild(op, operands, **attrs).results, strict=True))
        elif handler is not None and op.kind not in kept:
            mapping[op.result] = handler(builder, op, operands)
        elif op.kind in _WIDENED and op.results[0].dtype in HALF_TYPES:
            mapping[op.result] = _widened(builder, op, operands)
        elif operands == list(op.operands):
            mapping.update({value: value for value in op.results})
        else:
            rebuilt = builder.rebuild(op, operands)
            mapping.update(zip(op.results, rebuilt.results, strict=True))
    builder.parameters, builder.constraints = list(module.parameters), list(module.constraints)
    builder.binders = [mapping[value] for value in module.binders]
    return builder.module(module.name, [mapping[value] for value in module.results])


def _region(region: Module, kept: frozenset[str]) -> Module:
    """A region's constraints are the outer module's, and composites make no new ones."""
    result = decompose(region, kept)
    return Module(result.name, result.parameters, result.results)


_WIDENED = frozenset({"dot", "conv2d", "conv2d_transpose", "pool2d", "attention", "cumulative"})


def _widened(b: Builder, op: Op, operands: list[Value]) -> Value:
    wide = [b.convert(value, DType.FLOAT) for value in operands]
    return b.convert(b.rebuild(op, wide).result, op.result.dtype)


def _softmax(b: Builder, op: Op, operands: list[Value]) -> Value:
    half = op.result.dtype in HALF_TYPES
    x = b.convert(operands[0], DType.FLOAT) if half else operands[0]
    last = [x.rank - 1]
    # A NaN makes the sum NaN, and with it the row, whatever is subtracted.
    shifted = b.binary("sub", x, b.reduce("max", x, last, keepdims=True, may_lose_nan=True))
    exps = b.elementwise("exp_difference", shifted)
    total = b.reduce("sum", exps, last, keepdims=True)
    if op.attrs["log"]:
        result = b.binary("sub", shifted, b.elementwise("log", total))
    else:
        result = b.binary("mul", exps, b.elementwise("reciprocal", total))
    return b.convert(result, op.result.dtype)


def _layer_norm(b: Builder, op: Op, operands: list[Value]) -> Value:
    wide = DType.FLOAT if op.result.dtype in HALF_TYPES else op.result.dtype
    x, *rest = [b.convert(value, wide) for value in operands]
    last = [x.rank - 1]
    size = b.convert(b.dims(np.array([x.shape[-1]], object), DType.INT64), wide)
    inverse = b.elementwise("reciprocal", b.reshape(size, ()))

    def mean(value: Value) -> Value:
        return b.binary("mul", b.reduce("sum", value, last, keepdims=True), inverse)

    centered = b.binary("sub", x, mean(x))
    variance = mean(b.elementwise("square", centered))
    scale = b.elementwise("rsqrt", b.binary("add", variance, b.scalar(op.attrs["epsilon"], wide)))
    result = b.binary("mul", centered, scale)
    if op.attrs["scale"] and op.attrs["center"] and wide == DType.FLOAT:
        result = b.elementwise("fma", *b.broadcast_together(result, *rest))
        return b.convert(result, op.result.dtype)
    if op.attrs["scale"]:
        result = b.binary("mul", result, rest.pop(0))
    if op.attrs["center"]:
        result = b.binary("add", result, rest.pop(0))
    return b.convert(result, op.result.dtype)


_HANDLERS: dict[str, Handler] = {"softmax": _softmax, "layer_norm": _layer_norm}
