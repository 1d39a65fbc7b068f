"""How each kind of reduction accumulates: type, identity, step and final conversion in C++."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tf_blade.backends.disc.codegen.ctypes_ import HALF_TYPES, literal, register_type
from tf_blade.backends.disc.ir.specs_math import highest, lowest
from tf_blade.backends.disc.ir.values import Op
from tf_blade.dtypes import DType


@dataclasses.dataclass(frozen=True)
class Reducer:
    """One reduction.

    Attributes:
        ctype: accumulator type; sums of signed integers wrap around in an unsigned one.
        identity: its value for no elements.
        fold: the struct of runtime.h that combines two accumulators.
        combine: C++ expression of accumulator `{a}` and operand `{b}`.
        final: C++ expression of the accumulator `{a}`, of the result's register type.
        convert: C++ expression that makes an element `{x}` an operand.
        wide_combine: `combine` for vectors, where that is another.
    """

    ctype: str
    identity: str
    fold: str
    combine: str
    final: str
    convert: str
    wide_combine: str = ""

    def step(self, name: str, element: str) -> str:
        return f"{name} = {self.combine.format(a=name, b=self.convert.format(x=element))};"

    def wide_step(self, name: str, element: str, factors: Sequence[str] = ()) -> str:
        """The step for vectors of elements; of a sum of products, the two factors give it a rounding less."""
        total = (self.wide_combine or self.combine).format(a=name, b=element)
        if factors:
            total = f"fma(Lanes({factors[0]}), Lanes({factors[1]}), {name})"
        return f"{name} = at.kept({total}, {name});"

    def merge(self, name: str, other: str) -> str:
        """Combines two accumulators."""
        return f"{name} = {self.combine.format(a=name, b=other)};"

    def result(self, name: str) -> str:
        return self.final.format(a=name)


def reducer_of(op: Op) -> Reducer:
    """The reducer of a `reduce` op."""
    dtype, kind = op.result.dtype, op.attrs["kind"]
    fold = f"Fold{kind.capitalize()}"
    if kind in ("and", "or"):
        return Reducer(
            "int32_t",
            "1" if kind == "and" else "0",
            fold,
            f"{{a}} {'&' if kind == 'and' else '|'} {{b}}",
            "{a} != 0",
            "static_cast<int32_t>({x})",
        )
    wide = DType.FLOAT if dtype in HALF_TYPES else dtype
    register = register_type(dtype)
    final = f"from_float<{register}>({{a}})" if dtype in HALF_TYPES else "{a}"
    convert = "to_float({x})" if dtype in HALF_TYPES else "{x}"
    ctype = register_type(wide)
    if kind in ("sum", "prod"):
        sign = "+" if kind == "sum" else "*"
        if not wide.is_float:
            # Small types are summed in 32 bits: the low bits are the same, and int is what their sums promote to.
            ctype = "uint64_t" if wide.size == 8 else "uint32_t"
            final, convert = f"static_cast<{register}>({{a}})", f"static_cast<{ctype}>({{x}})"
        identity = literal(0 if kind == "sum" else 1, wide) if wide.is_float else ("0" if kind == "sum" else "1")
        return Reducer(ctype, identity, fold, f"{{a}} {sign} {{b}}", final, convert)
    identity = literal((lowest if kind == "max" else highest)(wide.numpy), wide)
    fn = f"fn_{'maximum' if kind == 'max' else 'minimum'}({{a}}, {{b}})"
    quick = "greater({a}, {b})" if kind == "max" and op.attrs.get("may_lose_nan") else ""
    return Reducer(ctype, identity, fold, fn, final, convert, quick)
