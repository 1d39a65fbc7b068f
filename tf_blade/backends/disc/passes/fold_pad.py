"""Folds zero padding of height and width into the convolution or pooling that reads it.

conv(pad(x), w) is conv(x, w) with wider pads, which the kernels have for nothing: the padded image is never made.
For pooling, where pads do not take part, `zero_pads` says that these are zeros like any others.
"""

from __future__ import annotations

from typing import Any

from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Module, Op, Value
from tf_blade.backends.disc.passes.rewriter import rewrite, splat_value
from tf_blade.symbolic import Dim


def run(module: Module) -> Module:
    return rewrite(module, _fold)


def _fold(b: Builder, op: Op) -> Value | None:
    if op.kind not in ("conv2d", "pool2d") or not _is_zero_padding(op.operands[0].op):
        return None
    pad = op.operands[0].op
    changes: dict[str, Any] = {name: _sums(op.attrs[name], pad.attrs[name]) for name in ("low", "high")}
    if op.kind == "pool2d":
        # Pads of its own mean something else: the two kinds cannot be told apart afterwards.
        if any(item != 0 for name in ("low", "high") for item in op.attrs[name]):
            return None
        changes["zero_pads"] = True
    return b.rebuild(op, [pad.operands[0], *op.operands[1:]], **changes).result


def _is_zero_padding(op: Op) -> bool:
    """Whether an op puts zeros around the height and width of an image, and does nothing else."""
    if op.kind != "pad" or op.attrs["mode"] != "constant" or splat_value(op.operands[1]) != 0.0:
        return False
    low, high = op.attrs["low"], op.attrs["high"]
    if len(low) != 4 or any(low[axis] != 0 or high[axis] != 0 for axis in (0, 3)):
        return False
    return all(isinstance(item, int) and item >= 0 for item in (*low, *high))


def _sums(own: tuple[Dim, ...], added: tuple[Dim, ...]) -> tuple[Dim, ...]:
    return own[0] + added[1], own[1] + added[2]
