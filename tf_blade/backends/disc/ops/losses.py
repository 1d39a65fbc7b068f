"""Cross entropies, and whether a target is among the k most likely."""

from __future__ import annotations

from collections.abc import Sequence

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.backends.disc.ops.shape import INDEX
from tf_blade.backends.disc.ops.term import Term, iota, size_term, term
from tf_blade.dtypes import FLOATS, NUMERIC, DType


def _shifted(logits: Term) -> tuple[Term, Term]:
    """Logits less the largest of their row, and the sum of their exponentials as [rows, 1]."""
    shifted = logits - logits.reduce("max", (1,), keepdims=True)
    return shifted, shifted.fn("exp").sum((1,), keepdims=True)


@op("SoftmaxCrossEntropyWithLogits", types={"T": FLOATS})
def softmax_cross_entropy(ctx: OpContext) -> Sequence[Value]:
    """The loss of each row, and its gradient."""
    dtype = ctx.inputs[0].dtype
    ctx.require(all(item.rank == 2 for item in ctx.inputs), "matrices")
    logits, labels = (Term(ctx.b, item).widened() for item in ctx.b.broadcast_together(*ctx.inputs))
    ctx.b.require_at_least(logits.shape[1], 1)
    shifted, total = _shifted(logits)
    loss = (labels * (total.fn("log") - shifted)).sum((1,))
    gradient = shifted.fn("exp") / total - labels
    return loss.to(dtype).value, gradient.to(dtype).value


@op("SparseSoftmaxCrossEntropyWithLogits", types={"T": FLOATS, "Tlabels": INDEX})
def sparse_softmax_cross_entropy(ctx: OpContext) -> Sequence[Value]:
    """The same for labels that are numbers of classes; one out of range is an error of the call."""
    dtype = ctx.inputs[0].dtype
    logits, labels = term(ctx, 0).widened(), term(ctx, 1)
    ctx.require(logits.rank == 2 and labels.rank == 1, "a matrix and a vector")
    ctx.b.require_equal(logits.shape[0], labels.shape[0])
    ctx.b.require_at_least(logits.shape[1], 1)
    labels = labels.reshape(logits.shape[0])
    shifted, total = _shifted(logits)
    rows = total.reshape(logits.shape[0])
    loss = rows.fn("log") - shifted.take(labels.reshape(logits.shape[0], 1), axis=1, batch_dims=1).reshape(
        logits.shape[0]
    )
    classes = iota(ctx.b, logits.shape, 1, labels.dtype)
    hit = classes.equals(Term(ctx.b, ctx.b.broadcast(labels.value, logits.shape, (0,))))
    gradient = shifted.fn("exp") / total - hit.to(logits.dtype)
    return loss.to(dtype).value, gradient.to(dtype).value


@op("InTopK", "InTopKV2", types={"T": INDEX})
def in_top_k(ctx: OpContext) -> Value:
    """Whether fewer than k predictions are greater than the target's; never of rows that are not finite."""
    predictions, targets = term(ctx, 0), term(ctx, 1)
    ctx.require(predictions.rank == 2 and targets.rank == 1, "a matrix and a vector")
    ctx.b.require_equal(predictions.shape[0], targets.shape[0])
    rows, classes = predictions.shape
    ctx.b.require_at_least(classes, 1)
    targets = targets.reshape(rows)
    if ctx.node.op == "InTopK":
        k = Term(ctx.b, ctx.b.scalar(int(ctx.attr("k")), DType.INT64))
    else:
        ctx.require(ctx.inputs[2].rank == 0, "k is a scalar")
        k = term(ctx, 2).to(DType.INT64)
    limit = size_term(ctx.b, classes, targets.dtype)
    known = (targets >= 0) & (targets < limit)
    place = targets.clip(0, limit - 1).reshape(rows, 1)
    target = predictions.take(place, axis=1, batch_dims=1)
    above = (predictions > target).to(DType.INT64).sum((1,))
    finite = predictions.fn("is_finite").reduce("and", (1,))
    return (known & finite & (above < k)).value


@op("NthElement", types={"T": NUMERIC})
def nth_element(ctx: OpContext) -> Value:
    """The n-th smallest, or with `reverse` largest, of the last axis."""
    x, n = ctx.inputs[0], ctx.dim(1)
    ctx.require(x.rank >= 1 and ctx.inputs[1].rank == 0, "a scalar n of vectors")
    size = x.shape[-1]
    ctx.b.require_at_least(n, 0)
    ctx.b.require_at_least(size, symbolic.add(n, 1))
    k = symbolic.add(n, 1) if ctx.attr("reverse", False) else symbolic.sub(size, n)
    largest, _ = ctx.b.topk(x, k, DType.INT32)
    return Term(ctx.b, largest).part(-1, symbolic.sub(k, 1), 1).reshape(*x.shape[:-1]).value
