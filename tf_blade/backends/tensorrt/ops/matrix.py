"""Rules of matrix products."""

from __future__ import annotations

from collections.abc import Sequence

from tf_blade.backends.tensorrt.ops.base import FLOATS, OpContext, Precision, op
from tf_blade.backends.tensorrt.values import Value
from tf_blade.symbolic import Dim

_LOW = Precision.LOW


@op("MatMul", types={"T": FLOATS}, precision=_LOW)
def matmul(ctx: OpContext) -> Value:
    a, b = ctx.inputs
    ctx.require(a.rank == 2 and b.rank == 2, "operands are no matrices")
    transpose_a, transpose_b = bool(ctx.attr("transpose_a", False)), bool(ctx.attr("transpose_b", False))
    return ctx.net.matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)


@op("BatchMatMul", "BatchMatMulV2", types={"T": FLOATS}, precision=_LOW)
def batch_matmul(ctx: OpContext) -> Value:
    return _batch_matmul(ctx)


@op("BatchMatMulV3", types={"Ta": FLOATS, "Tb": FLOATS, "Tout": FLOATS}, precision=_LOW)
def batch_matmul_v3(ctx: OpContext) -> Value:
    ctx.require(ctx.attr("Ta") == ctx.attr("Tb") == ctx.attr("Tout"), "operands of several types")
    return _batch_matmul(ctx)


def _batch_matmul(ctx: OpContext) -> Value:
    a, b = ctx.inputs
    ctx.require(a.rank >= 2 and b.rank >= 2, "operands are no matrices")
    adj_x, adj_y = bool(ctx.attr("adj_x", False)), bool(ctx.attr("adj_y", False))
    return ctx.net.matmul(a, b, transpose_a=adj_x, transpose_b=adj_y)


@op("Einsum", types={"T": FLOATS}, precision=_LOW)
def einsum(ctx: OpContext) -> Value:
    """TensorRT's equations have lower-case letters, and no ellipsis: it gets letters of its own."""
    equation = str(ctx.attr("equation")).replace(" ", "")
    sides, _, result = equation.partition("->")
    ctx.require("->" in equation, "an equation without a result")
    terms = sides.split(",")
    ctx.require(len(terms) == len(ctx.inputs) <= 2, f"an equation of {len(terms)} operands")
    terms, result = _without_ellipsis(ctx, terms, result)
    for term in (*terms, result):
        ctx.require(len(set(term)) == len(term), f"a label comes twice in {term}")
    for term, value in zip(terms, ctx.inputs, strict=True):
        ctx.require(len(term) == value.rank, f"rank {value.rank} is not that of {term}")
    sizes: dict[str, Dim] = {}
    for term, value in zip(terms, ctx.inputs, strict=True):
        for label, dim in zip(term, value.shape, strict=True):
            sizes.setdefault(label, dim)
    layer = ctx.net.definition.add_einsum([ctx.net.tensor(x) for x in ctx.inputs], f"{','.join(terms)}->{result}")
    return ctx.net.made(layer, ctx.inputs[0].dtype, tuple(sizes[label] for label in result))


def _without_ellipsis(ctx: OpContext, terms: Sequence[str], result: str) -> tuple[list[str], str]:
    """The terms in lower-case letters; dimensions that an ellipsis stands for must not broadcast."""
    used = dict.fromkeys(label for term in (*terms, result) for label in term if label != ".")
    extra = [
        value.rank - len(term.replace("...", "")) if "..." in term else 0
        for term, value in zip(terms, ctx.inputs, strict=True)
    ]
    count = max([*extra, 0])
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    ctx.require(len(used) + count <= 26 and min(extra) >= 0, "an equation of too many labels")
    fresh = "".join(next(letters) for _ in range(count))
    names = {label: next(letters) for label in used}
    shapes = [
        value.shape[term.index("...") : term.index("...") + number]
        for term, value, number in zip(terms, ctx.inputs, extra, strict=True)
        if number
    ]
    ctx.require(all(dim != 1 for shape in shapes for dim in shape) or len(shapes) < 2, "an ellipsis that broadcasts")

    def spelled(term: str, number: int) -> str:
        head, dots, tail = term.partition("...")
        middle = fresh[count - number :] if dots else ""
        return "".join(names[x] for x in head) + middle + "".join(names[x] for x in tail)

    return [spelled(term, number) for term, number in zip(terms, extra, strict=True)], spelled(result, count)
