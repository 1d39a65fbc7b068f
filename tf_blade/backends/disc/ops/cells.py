"""One step of recurrent networks, as ops of their own."""

from __future__ import annotations

from collections.abc import Sequence

from tf_blade import symbolic
from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.backends.disc.ops.term import Term, term
from tf_blade.dtypes import DType

_FLOAT = frozenset({DType.FLOAT})


def _product(x: Term, h: Term, w: Term, bias: Term) -> Term:
    """[x, h] w + bias."""
    b = x.b
    return Term(b, b.dot(b.concat([x.value, h.value], 1), w.value)) + bias


def _gates(whole: Term, count: int, size: symbolic.Dim) -> list[Term]:
    return [whole.part(1, symbolic.mul(i, size), size) for i in range(count)]


@op("LSTMBlockCell", types={"T": _FLOAT})
def lstm_block_cell(ctx: OpContext) -> Sequence[Value]:
    """Gates in the order input, cell, forget, output."""
    x, cs_prev, h_prev, w, wci, wcf, wco, bias = (term(ctx, i) for i in range(8))
    ctx.require(x.rank == cs_prev.rank == h_prev.rank == w.rank == 2 and bias.rank == 1, "matrices and a vector")
    size = cs_prev.shape[1]
    ctx.b.require_at_least(cs_prev.shape[0], 1)  # an empty batch is an error
    ctx.b.require_equal(w.shape[1], symbolic.mul(4, size))
    peephole = bool(ctx.attr("use_peephole", False))
    gate_i, gate_c, gate_f, gate_o = _gates(_product(x, h_prev, w, bias), 4, size)
    gate_f = gate_f + float(ctx.attr("forget_bias", 1.0))
    if peephole:
        gate_i, gate_f = gate_i + cs_prev * wci, gate_f + cs_prev * wcf
    i, f, ci = gate_i.fn("sigmoid"), gate_f.fn("sigmoid"), gate_c.fn("tanh")
    cs = ci * i + cs_prev * f
    clip = float(ctx.attr("cell_clip", 3.0))
    if clip > 0:
        cs = cs.clip(-clip, clip)
    co = cs.fn("tanh")
    o = (gate_o + cs * wco if peephole else gate_o).fn("sigmoid")
    return [item.value for item in (i, cs, f, o, ci, co, co * o)]


@op("GRUBlockCell", types={"T": _FLOAT})
def gru_block_cell(ctx: OpContext) -> Sequence[Value]:
    """Gates in the order reset, update."""
    x, h_prev, w_ru, w_c, b_ru, b_c = (term(ctx, i) for i in range(6))
    ctx.require(x.rank == h_prev.rank == w_ru.rank == w_c.rank == 2, "matrices")
    ctx.require(b_ru.rank == b_c.rank == 1, "biases are vectors")
    size = h_prev.shape[1]
    ctx.b.require_equal(w_ru.shape[1], symbolic.mul(2, size))
    r, u = (item.fn("sigmoid") for item in _gates(_product(x, h_prev, w_ru, b_ru), 2, size))
    c = _product(x, h_prev * r, w_c, b_c).fn("tanh")
    h = u * h_prev + (1 - u) * c
    return [item.value for item in (r, u, c, h)]
