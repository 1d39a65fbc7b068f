"""Matrix products."""

from __future__ import annotations

from tf_blade.backends.disc.codegen.affine import count, dim_mul
from tf_blade.backends.disc.codegen.call import Call
from tf_blade.backends.disc.codegen.ctypes_ import storage
from tf_blade.backends.disc.codegen.library import LibraryContext, emitter
from tf_blade.dtypes import DType
from tf_blade.symbolic import Dim


@emitter("dot")
def dot(context: LibraryContext) -> Call:
    """gemm.h for float32, with packed weights, or small_products.h for many small ones; dot.h for other types."""
    op = context.op
    a, b = op.operands
    transpose_a, transpose_b = op.attrs["transpose_a"], op.attrs["transpose_b"]
    m, n = op.result.shape[-2:]
    k = a.shape[-2] if transpose_a else a.shape[-1]
    batch = count(a.shape[:-2])
    if b.rank == 2 and not transpose_a:
        batch, m = 1, dim_mul(batch, m)
    single = op.result.dtype == DType.FLOAT
    name = "gemm" if single else "dot"
    fields: dict[str, str] = {
        "batch": context.dim(batch),
        "m": context.dim(m),
        "n": context.dim(n),
        "k": context.dim(k),
        "a": context.pointer(a),
        "lda": context.dim(m if transpose_a else k),
        "a_batch_stride": context.dim(dim_mul(m, k)),
        "a_transposed": _bool(transpose_a),
        "c": context.pointer(context.output),
        "ldc": context.dim(n),
        "c_batch_stride": context.dim(dim_mul(m, n)),
    }
    if single and b.rank == 2 and context.is_weight(b) and isinstance(n, int) and isinstance(k, int):
        ldb = k if transpose_b else n
        fill = f"pack_b(ral, $src, {ldb}, {_bool(transpose_b)}, {k}, {n}, reinterpret_cast<float*>($dst));"
        fields["b_packed"] = context.packed(f"gemm:{transpose_b}", b, f"packed_b_bytes({k}, {n})", fill)
    else:
        stride: Dim = 0 if b.rank == 2 else dim_mul(k, n)
        fields |= {
            "b": context.pointer(b),
            "ldb": context.dim(k if transpose_b else n),
            "b_batch_stride": context.dim(stride),
            "b_transposed": _bool(transpose_b),
        }
    kind = "GemmArgs" if single else f"DotArgs<{storage(op.result.dtype)}>"
    setters = [f"{kind} args;", *(f"args.{key} = {value};" for key, value in fields.items())]
    if single and b.rank > 2 and _is_small(m, n, k):
        name = "small_products"
    epilogue = context.epilogue("NoEpilogue{}" if single else "DotNoEpilogue{}")
    return context.call(*setters, f"code = {name}(ral, args, {epilogue});")


def _is_small(m: Dim, n: Dim, k: Dim) -> bool:
    """Whether both operands of one product of a batch fit the first level cache; see small_products.h."""
    return isinstance(m, int) and isinstance(n, int) and isinstance(k, int) and k <= 64 and m <= 64 and n <= 64


def _bool(flag: bool) -> str:
    return "true" if flag else "false"
