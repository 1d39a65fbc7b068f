"""Attention as one kernel, float32. Transposes that split and merge heads are strides."""

from __future__ import annotations

import dataclasses

from tf_blade.backends.disc.codegen.affine import count, dim_mul
from tf_blade.backends.disc.codegen.call import Call
from tf_blade.backends.disc.codegen.library import LibraryContext, emitter
from tf_blade.backends.disc.ir.values import Op, Value
from tf_blade.dtypes import DType
from tf_blade.errors import BuildFailure
from tf_blade.symbolic import Dim, Shape


@emitter("attention")
def attention(context: LibraryContext) -> Call:
    """attention.h."""
    op = context.op
    if op.result.dtype != DType.FLOAT:
        raise BuildFailure(f"no kernel for attention of {op.result.dtype.name.lower()}", "disc")
    q, k, v = _views(op)
    fields = {
        "batch": context.dim(q.batch),
        "heads": context.dim(q.heads),
        "q_len": context.dim(q.rows),
        "kv_len": context.dim(k.rows),
        "depth": context.dim(q.inner),
        "value_depth": context.dim(v.inner),
        "scale": f"{op.attrs['scale'].hex()}f",
    }
    for name, value, view in zip(("q", "k", "v"), op.operands, (q, k, v), strict=False):
        pointer = context.pointer(value)
        fields[name] = pointer if view.offset == 0 else f"{pointer} + {context.dim(view.offset)}"
        fields[f"{name}_strides"] = view.strides(context)
    fields["out"] = context.pointer(context.output)
    fields["out_strides"] = _view(op.result.shape, op.attrs["swapped"][3], None).strides(context)
    if op.attrs["mask"]:
        fields |= _mask(context, op.operands[3])
        fields["fill"] = "true" if op.attrs["fill"] else "false"
    return context.call(
        "AttentionArgs args;",
        *(f"args.{key} = {value};" for key, value in fields.items()),
        "code = attention(ral, args);",
    )


@dataclasses.dataclass(frozen=True)
class _View:
    """[batch, heads, rows, inner] within a buffer, `offset` and steps in elements; inner is contiguous."""

    batch: Dim
    heads: Dim
    rows: Dim
    inner: Dim
    offset: Dim
    steps: tuple[Dim, Dim, Dim]

    def strides(self, context: LibraryContext) -> str:
        return f"HeadStrides{{{', '.join(context.dim(step) for step in self.steps)}}}"


def _views(op: Op) -> list[_View]:
    attrs = op.attrs
    return [
        _view(value.shape, swapped, part)
        for value, swapped, part in zip(op.operands, attrs["swapped"], attrs["parts"], strict=False)
    ]


def _view(shape: Shape, swapped: bool, part: tuple[int, int] | None) -> _View:
    """The view of a contiguous operand [batch.., heads, rows, inner], or, swapped, [batch.., rows, heads, inner]."""
    steps = [count(shape[axis + 1 :]) for axis in range(len(shape))]
    offset: Dim = 0
    if part is not None:
        axis, index = part
        offset = dim_mul(index, steps.pop(axis))
        shape = (*shape[:axis], *shape[axis + 1 :])
    if len(shape) == 3:
        return _View(shape[0], 1, shape[1], shape[2], offset, (steps[0], 0, steps[1]))
    head, row = (-2, -3) if swapped else (-3, -2)
    return _View(shape[0], shape[head], shape[row], shape[-1], offset, (steps[0], steps[head], steps[row]))


def _mask(context: LibraryContext, mask: Value) -> dict[str, str]:
    """A dimension of 1 that the scores' is not has stride 0; which it is may be known only at run time."""
    shape = mask.shape if mask.rank == 4 else (mask.shape[0], 1, mask.shape[1], mask.shape[2])
    stride: Dim = 1
    strides: list[str] = []
    for dim in reversed(shape):
        text = context.dim(stride)
        if dim == 1:
            text = "0"
        elif not isinstance(dim, int):
            text = f"({context.dim(dim)} == 1 ? INT64_C(0) : {text})"
        strides.insert(0, text)
        stride = dim_mul(stride, dim)
    return {
        "mask": context.pointer(mask),
        "mask_strides": f"HeadStrides{{{strides[0]}, {strides[1]}, {strides[2]}}}",
        "mask_column_stride": strides[3],
    }
