"""Less common functions of one and two numbers. Those of float32 are computed in float64, where formulas are simple."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, Rule, op
from tf_blade.backends.disc.ops.elementwise import same_shape
from tf_blade.backends.disc.ops.term import Term, term
from tf_blade.dtypes import FLOATS, INTEGERS, DType

_DOUBLES = frozenset({DType.FLOAT, DType.DOUBLE})
_GAMMAS = FLOATS - {DType.BFLOAT16}
_INFINITY = math.inf
# From here on sqrt(x * x + 1) is x in float64.
_HUGE = 1e10


def _asinh(x: Term) -> Term:
    a = x.fn("abs")
    near = (a + a * a / ((a * a + 1).fn("sqrt") + 1)).fn("log1p")
    return x.fn("sign") * (a > _HUGE).where(a.fn("log") + math.log(2), near)


def _acosh(x: Term) -> Term:
    t = x - 1
    near = (t + (t * t + t * 2).fn("sqrt")).fn("log1p")
    return (x > _HUGE).where(x.fn("log") + math.log(2), near)


def _atanh(x: Term) -> Term:
    a = x.fn("abs")
    return x.fn("sign") * (a * 2 / (1 - a)).fn("log1p") * 0.5


# Lanczos' approximation of the gamma function with g = 7 (Godfrey's coefficients).
_LANCZOS = (
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
)  # fmt: skip


def _lgamma(x: Term) -> Term:
    """log |gamma|, reflected for x below 1/2."""
    reflected = x < 0.5
    z = reflected.where(1 - x, x) - 1
    series = z.full(_LANCZOS[0])
    for i, coefficient in enumerate(_LANCZOS[1:], start=1):
        series = series + coefficient / (z + i)
    t = z + 7.5
    direct = (z + 0.5) * t.fn("log") - t + series.fn("log") + 0.5 * math.log(2 * math.pi)
    sine = ((x - x.fn("floor")) * math.pi).fn("sin").fn("abs")
    whole = x.equals(x.fn("floor"))
    mirror = (whole.where(0.0, sine)).fn("log")
    result = reflected.where(math.log(math.pi) - mirror - direct, direct)
    return x.fn("is_inf").where(_INFINITY, result)


_DIGAMMA_STEPS = 10
# Bernoulli numbers B_2k / 2k of the asymptotic series.
_DIGAMMA_SERIES = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760)


def _digamma(x: Term) -> Term:
    """psi(x) = psi(x + n) - sum 1 / (x + i), the asymptotic series far out, reflected for x below 1/2."""
    reflected = x < 0.5
    y = reflected.where(1 - x, x)
    total = 1 / y
    for i in range(1, _DIGAMMA_STEPS):
        total = total + 1 / (y + i)
    w = y + _DIGAMMA_STEPS
    inverse = 1 / (w * w)
    direct = w.fn("log") - 0.5 / w - polynomial(inverse, (*reversed(_DIGAMMA_SERIES), 0.0)) - total
    angle = (x - x.fn("floor")) * math.pi
    mirror = math.pi * angle.fn("cos") / angle.fn("sin")
    pole = (x <= 0) & x.equals(x.fn("floor"))
    return pole.where(math.nan, reflected.where(direct - mirror, direct))


def polynomial(x: Term, coefficients: Sequence[float]) -> Term:
    """Highest power first."""
    result = x.full(coefficients[0])
    for item in coefficients[1:]:
        result = result * x + item
    return result


# The rational approximations of S. Moshier's Cephes library (ndtri.c), which TensorFlow uses as well.
_CENTRE = (
    (-5.99633501014107895267e1, 9.80010754185999661536e1, -5.66762857469070293439e1, 1.39312609387279679503e1,
     -1.23916583867381258016e0),
    (1.0, 1.95448858338141759834e0, 4.67627912898881538453e0, 8.63602421390890590575e1, -2.25462687854119370527e2,
     2.00260212380060660359e2, -8.20372256168333339912e1, 1.59056225126211695515e1, -1.18331621121330003142e0),
)  # fmt: skip
_TAIL = (
    (4.05544892305962419923e0, 3.15251094599893866154e1, 5.71628192246421288162e1, 4.40805073893200834700e1,
     1.46849561928858024014e1, 2.18663306850790267539e0, -1.40256079171354495875e-1, -3.50424626827848203418e-2,
     -8.57456785154685413611e-4),
    (1.0, 1.57799883256466749731e1, 4.53907635128879210584e1, 4.13172038254672030440e1, 1.50425385692907503408e1,
     2.50464946208309415979e0, -1.42182922854787788574e-1, -3.80806407691578277194e-2, -9.33259480895457427372e-4),
)  # fmt: skip
_FAR_TAIL = (
    (3.23774891776946035970e0, 6.91522889068984211695e0, 3.93881025292474443415e0, 1.33303460815807542389e0,
     2.01485389549179081538e-1, 1.23716634817820021358e-2, 3.01581553508235416007e-4, 2.65806974686737550832e-6,
     6.23974539184983293730e-9),
    (1.0, 6.02427039364742014255e0, 3.67983563856160859403e0, 1.37702099489081330271e0, 2.16236993594496635890e-1,
     1.34204006088543189037e-2, 3.28014464682127739104e-4, 2.89247864745380683936e-6, 6.79019408009981274425e-9),
)  # fmt: skip


def _ratio(x: Term, table: tuple[Sequence[float], Sequence[float]]) -> Term:
    return polynomial(x, table[0]) / polynomial(x, table[1])


def _ndtri(p: Term) -> Term:
    """The argument at which the normal distribution is p."""
    upper = p > 1 - math.exp(-2)
    y = upper.where(1 - p, p)
    centre = y - 0.5
    square = centre * centre
    middle = (centre + centre * square * _ratio(square, _CENTRE)) * math.sqrt(2 * math.pi)
    x = (y.fn("log") * -2).fn("sqrt")
    z = 1 / x
    tail = x - x.fn("log") / x - (x < 8).where(z * _ratio(z, _TAIL), z * _ratio(z, _FAR_TAIL))
    result = (y > math.exp(-2)).where(middle, upper.where(tail, -tail))
    result = p.equals(0).where(-_INFINITY, p.equals(1).where(_INFINITY, result))
    return ((p < 0) | (p > 1)).where(math.nan, result)


def _in_double(formula: Callable[[Term], Term]) -> Rule:
    def rule(ctx: OpContext) -> Value:
        x = term(ctx, 0)
        return formula(x.to(DType.DOUBLE)).to(x.dtype).value

    return rule


for _name, _formula, _types in (
    ("Acosh", _acosh, FLOATS),
    ("Asinh", _asinh, FLOATS),
    ("Atanh", _atanh, FLOATS),
    ("Digamma", _digamma, _GAMMAS),
    ("Lgamma", _lgamma, _GAMMAS),
    ("Ndtri", _ndtri, _DOUBLES),
):
    op(_name, types={"T": _types})(_in_double(_formula))


@op("Erfinv", types={"T": _DOUBLES})
def erfinv(ctx: OpContext) -> Value:
    """ndtri((x + 1) / 2) / sqrt(2), the argument rounded to its type as TensorFlow does."""
    x = term(ctx, 0)
    argument = x * 0.5 + 0.5
    return (_ndtri(argument.to(DType.DOUBLE)) * math.sqrt(0.5)).to(x.dtype).value


@op("Xlog1py", types={"T": FLOATS})
def xlog1py(ctx: OpContext) -> Value:
    """x * log(1 + y), and 0 where x is 0."""
    x, y = term(ctx, 0).widened(), term(ctx, 1).widened()
    return x.equals(0).where(0.0, x * y.fn("log1p")).to(ctx.inputs[0].dtype).value


@op("ApproximateEqual", types={"T": _DOUBLES})
def approximate_equal(ctx: OpContext) -> Value:
    a, c = (Term(ctx.b, item) for item in same_shape(ctx.b, ctx.inputs))
    return ((a - c).fn("abs") < float(ctx.attr("tolerance", 1e-5))).value


@op("NextAfter", types={"T": _DOUBLES})
def next_after(ctx: OpContext) -> Value:
    """The neighbour of x towards y: one up or down in the order of the bits."""
    x, y = (Term(ctx.b, item) for item in ctx.b.broadcast_together(*ctx.inputs))
    bits = DType.INT32 if x.dtype == DType.FLOAT else DType.INT64
    raw = Term(ctx.b, ctx.b.elementwise("bitcast", x.value, dtype=bits))
    lowest = -(2 ** (8 * bits.size - 1))
    grows = (x < y).where((x > 0).to(bits), (x < 0).to(bits)) > 0
    moved = grows.where(raw + 1, raw - 1)
    # From zero the smallest number of y's sign.
    moved = x.equals(0).where((y < 0).where(float(lowest), moved.full(0)) + 1, moved)
    result = Term(ctx.b, ctx.b.elementwise("bitcast", moved.value, dtype=x.dtype))
    result = x.equals(y).where(y, result)
    return (x.fn("is_nan") | y.fn("is_nan")).where(x + y, result).value


@op("PopulationCount", types={"T": INTEGERS})
def population_count(ctx: OpContext) -> Value:
    """Bits that are set, summed in pairs, nibbles and bytes."""
    x = ctx.inputs[0]
    unsigned = {1: DType.UINT8, 2: DType.UINT16, 4: DType.UINT32, 8: DType.UINT64}[x.dtype.size]
    same = x if x.dtype == unsigned else ctx.b.elementwise("bitcast", x, dtype=unsigned)
    word = Term(ctx.b, same).to(DType.UINT64)
    word = word - _masked(word, 1, 0x5555555555555555)
    word = _masked(word, 0, 0x3333333333333333) + _masked(word, 2, 0x3333333333333333)
    word = word + _shifted(word, 4)
    word = _masked(word, 0, 0x0F0F0F0F0F0F0F0F) * 0x0101010101010101
    return _shifted(word, 56).to(DType.UINT8).value


def _shifted(word: Term, count: int) -> Term:
    return Term(word.b, word.b.elementwise("right_shift", word.value, word.full(count).value)) if count else word


def _masked(word: Term, shift: int, mask: int) -> Term:
    return Term(word.b, word.b.elementwise("bitwise_and", _shifted(word, shift).value, word.full(mask).value))


@op("AccumulateNV2", types={"T": FLOATS | INTEGERS})
def accumulate_n(ctx: OpContext) -> Value:
    total, *rest = (Term(ctx.b, item) for item in same_shape(ctx.b, ctx.inputs))
    for item in rest:
        total = total + item
    return total.value
