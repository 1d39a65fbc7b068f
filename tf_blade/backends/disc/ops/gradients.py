"""Gradients of activations and roots, as models hold them that serve a derivative."""

from __future__ import annotations

from collections.abc import Callable

from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, Rule, op
from tf_blade.backends.disc.ops.elementwise import same_shape
from tf_blade.backends.disc.ops.term import Term
from tf_blade.dtypes import FLOATS, NUMERIC

Formula = Callable[[Term, Term], Term]
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772

# Of the function's result y and the gradient dy that arrives.
_OF_RESULT: dict[str, Formula] = {
    "InvGrad": lambda y, dy: -dy * y * y,
    "ReciprocalGrad": lambda y, dy: -dy * y * y,
    "RsqrtGrad": lambda y, dy: dy * -0.5 * (y * y * y),
    "SigmoidGrad": lambda y, dy: dy * (1 - y) * y,
    "SqrtGrad": lambda y, dy: dy * 0.5 / y,
    "TanhGrad": lambda y, dy: dy * (1 - y * y),
}
# Of dy and the features x, or the result y.
_OF_FEATURES: dict[str, Formula] = {
    "EluGrad": lambda dy, y: (y < 0).where((y + 1) * dy, dy),
    "SeluGrad": lambda dy, y: (y < 0).where(dy * (y + _SELU_SCALE * _SELU_ALPHA), dy * _SELU_SCALE),
    "SoftplusGrad": lambda dy, x: dy / ((-x).fn("exp") + 1),
    "SoftsignGrad": lambda dy, x: dy / (x.fn("abs") + 1).fn("square"),
}
# The same, of all numbers. The mask is multiplied, as TensorFlow does: an infinite gradient does not vanish.
_OF_NUMBERS: dict[str, Formula] = {
    "ReluGrad": lambda dy, x: dy * (x > 0).to(x.dtype),
    "Relu6Grad": lambda dy, x: dy * ((x > 0) & (x < 6)).to(x.dtype),
}


def _rule(formula: Formula) -> Rule:
    def rule(ctx: OpContext) -> Value:
        a, c = same_shape(ctx.b, ctx.inputs)
        return formula(Term(ctx.b, a), Term(ctx.b, c)).value

    return rule


for _table, _types in ((_OF_RESULT, FLOATS), (_OF_FEATURES, FLOATS), (_OF_NUMBERS, NUMERIC)):
    for _name, _formula in _table.items():
        op(_name, types={"T": _types})(_rule(_formula))


@op("LeakyReluGrad", types={"T": FLOATS})
def leaky_relu_grad(ctx: OpContext) -> Value:
    dy, x = (Term(ctx.b, item) for item in same_shape(ctx.b, ctx.inputs))
    return (x > 0).where(dy, dy * float(ctx.attr("alpha", 0.2))).value


@op("BiasAddGrad", types={"T": FLOATS})
def bias_add_grad(ctx: OpContext) -> Value:
    """Sums over all axes but the channels."""
    (dy,) = ctx.inputs
    ctx.require(ctx.attr("data_format", "NHWC") == "NHWC", "data_format other than NHWC")
    ctx.require(dy.rank >= 2, "of a vector")
    return Term(ctx.b, dy).widened().sum(range(dy.rank - 1)).to(dy.dtype).value
