"""Attention as one kernel, float32. Transposes that split and merge heads are strides."""

from __future__ import annotations

from tf_blade.backends.disc.codegen.affine import count, dim_mul
from tf_blade.backends.disc.codegen.call import Call
from tf_blade.backends.disc.codegen.library import LibraryContext, emitter
from tf_blade.backends.disc.ir.values import Value
from tf_blade.dtypes import DType
from tf_blade.errors import BuildFailure
from tf_blade.symbolic import Dim


@emitter("attention")
def attention(context: LibraryContext) -> Call:
    """attention.h."""
    op = context.op
    if op.result.dtype != DType.FLOAT:
        raise BuildFailure(f"no kernel for attention of {op.result.dtype.name.lower()}", "disc")
    q, k, v = op.operands[:3]
    swapped = op.attrs["swapped"]
    batch, heads, q_len, depth = _extents(q, swapped[0])
    fields = {
        "batch": context.dim(batch),
        "heads": context.dim(heads),
        "q_len": context.dim(q_len),
        "kv_len": context.dim(_extents(k, swapped[1])[2]),
        "depth": context.dim(depth),
        "value_depth": context.dim(v.shape[-1]),
        "scale": f"{op.attrs['scale'].hex()}f",
    }
    for name, value, is_swapped in zip(("q", "k", "v"), (q, k, v), swapped, strict=False):
        fields[name] = context.pointer(value)
        fields[f"{name}_strides"] = _strides(context, value, is_swapped)
    fields["out"] = context.pointer(context.output)
    fields["out_strides"] = _strides(context, op.result, swapped[3])
    if op.attrs["mask"]:
        fields |= _mask(context, op.operands[3])
    return context.call(
        "AttentionArgs args;",
        *(f"args.{key} = {value};" for key, value in fields.items()),
        "code = attention(ral, args);",
    )


def _extents(value: Value, swapped: bool) -> tuple[Dim, Dim, Dim, Dim]:
    """batch, heads, rows, inner of [batch.., heads, rows, inner], or, swapped, of [batch.., rows, heads, inner]."""
    shape = value.shape
    if value.rank == 3:
        return shape[0], 1, shape[1], shape[2]
    heads, rows = (shape[-2], shape[-3]) if swapped else (shape[-3], shape[-2])
    return count(shape[:-3]), heads, rows, shape[-1]


def _strides(context: LibraryContext, value: Value, swapped: bool) -> str:
    _, heads, rows, inner = _extents(value, swapped)
    batch = dim_mul(dim_mul(heads, rows), inner)
    head, row = (inner, dim_mul(heads, inner)) if swapped else (dim_mul(rows, inner), inner)
    return f"HeadStrides{{{context.dim(batch)}, {context.dim(head)}, {context.dim(row)}}}"


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
