"""Affine indices: sums of loop variables times Dims, the currency of address arithmetic in generated code.

Index expressions of movement ops (broadcast, transpose, slice, reshape) compose to affine forms, which is what lets a
C++ compiler vectorize a fused loop. Where a reshape forces a real division, the quotient becomes an atom of its own.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import sympy

from tf_blade import symbolic
from tf_blade.symbolic import Dim, Shape


@functools.lru_cache(maxsize=65536)
def dim_mul(a: Dim, b: Dim) -> Dim:
    """symbolic.mul, remembered."""
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    return symbolic.mul(a, b)


@functools.lru_cache(maxsize=65536)
def dim_add(a: Dim, b: Dim) -> Dim:
    """symbolic.add, remembered."""
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    return symbolic.add(a, b)


@functools.lru_cache(maxsize=65536)
def dim_equal(a: Dim, b: Dim) -> bool:
    """symbolic.equal, remembered."""
    return symbolic.equal(a, b)


def count(shape: Shape) -> Dim:
    """The number of elements of a shape."""
    total: Dim = 1
    for dim in shape:
        total = dim_mul(total, dim)
    return total


def same_dims(a: Shape, b: Shape) -> bool:
    """Whether two shapes are provably equal."""
    return len(a) == len(b) and all(dim_equal(x, y) for x, y in zip(a, b, strict=True))


def squeezed(shape: Shape) -> Shape:
    """The shape without the dimensions that are statically 1."""
    return tuple(dim for dim in shape if dim != 1)


@dataclasses.dataclass(frozen=True)
class Atom:
    """An int64_t of generated code, in [0, extent) where that is known.

    Attributes:
        name: its C++ name.
        extent: exclusive upper bound, or None.
        level: nesting level at which it is defined; see `body.Body`.
    """

    name: str
    extent: Dim | None
    level: int


class Lin:
    """constant + sum of coefficient * atom. Immutable, hashable."""

    __slots__ = ("constant", "key", "terms")

    def __init__(self, terms: Mapping[Atom, Dim] | None = None, constant: Dim = 0) -> None:
        items = {} if terms is None else {atom: c for atom, c in terms.items() if c != 0}
        self.terms = items
        self.constant = constant
        self.key = (frozenset(items.items()), constant)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lin) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def level(self) -> int:
        """The outermost level at which its value is known."""
        return max((atom.level for atom in self.terms), default=0)

    def plus(self, other: Lin) -> Lin:
        terms = dict(self.terms)
        for atom, c in other.terms.items():
            terms[atom] = dim_add(terms[atom], c) if atom in terms else c
        return Lin(terms, dim_add(self.constant, other.constant))

    def shifted(self, constant: Dim) -> Lin:
        return Lin(self.terms, dim_add(self.constant, constant))

    def times(self, factor: Dim) -> Lin:
        if factor == 1:
            return self
        return Lin({a: dim_mul(c, factor) for a, c in self.terms.items()}, dim_mul(self.constant, factor))

    def merged(self, outer: Atom, inner: Atom, both: Atom) -> Lin:
        """With outer * inner.extent + inner replaced by `both`; see `merges`."""
        if inner not in self.terms:
            return self
        terms = {a: c for a, c in self.terms.items() if a not in (outer, inner)}
        terms[both] = self.terms[inner]
        return Lin(terms, self.constant)

    def merges(self, outer: Atom, inner: Atom) -> bool:
        """Whether the two variables occur as a multiple of outer * inner.extent + inner alone."""
        assert inner.extent is not None
        return dim_equal(self.terms.get(outer, 0), dim_mul(self.terms.get(inner, 0), inner.extent))

    def maximum(self) -> Dim | None:
        """Its largest value, given that all loops run at least once; None where unknown."""
        total = self.constant
        for atom, c in self.terms.items():
            if atom.extent is None or not is_nonnegative(c):
                return None
            total = dim_add(total, dim_mul(c, dim_add(atom.extent, -1)))
        return total


ZERO = Lin()


def variable(atom: Atom) -> Lin:
    """The atom itself."""
    return Lin({atom: 1})


def is_nonnegative(dim: Dim) -> bool:
    return dim >= 0 if isinstance(dim, int) else bool(dim.is_nonnegative)


@functools.lru_cache(maxsize=65536)
def exact_quotient(a: Dim, b: Dim) -> Dim | None:
    """a / b where b provably divides a, else None."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b if b and a % b == 0 else None
    if dim_equal(a, b):
        return 1
    if isinstance(b, int):
        return _each_divided(sympy.expand(a), b) if b else None
    quotient = sympy.cancel(sympy.sympify(a) / sympy.sympify(b)) if b != 0 else sympy.nan
    numerator, denominator = quotient.as_numer_denom()
    if denominator == 1 and quotient.is_polynomial():
        return symbolic.simplify(numerator)
    return None


def _each_divided(total: sympy.Expr, divisor: int) -> Dim | None:
    """The sum with each term's integer factor divided, where all of them are multiples of the divisor."""
    terms = []
    for term in sympy.Add.make_args(total):
        factor, rest = term.as_coeff_Mul()
        if not factor.is_Integer or int(factor) % divisor:
            return None
        terms.append(rest * (int(factor) // divisor))
    return symbolic.simplify(sympy.Add(*terms))


def split(lin: Lin, divisor: Dim) -> tuple[Lin, Lin] | None:
    """(quotient, remainder) of lin by divisor as affine forms, where that can be proven; else None."""
    if divisor == 1:
        return lin, ZERO
    quotient: dict[Atom, Dim] = {}
    rest: dict[Atom, Dim] = {}
    for atom, c in lin.terms.items():
        q = exact_quotient(c, divisor)
        if q is None:
            rest[atom] = c
        else:
            quotient[atom] = q
    q = exact_quotient(lin.constant, divisor)
    remainder = Lin(rest, lin.constant if q is None else 0)
    top = remainder.maximum()
    if top is None or not is_nonnegative(remainder.constant):
        return None
    slack = symbolic.simplify(dim_add(divisor, -1) - top)
    if not is_nonnegative(slack):
        return None
    return Lin(quotient, 0 if q is None else q), remainder


def strides_of(shape: Shape) -> list[Dim]:
    """Row-major strides."""
    strides: list[Dim] = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = dim_mul(strides[axis + 1], shape[axis + 1])
    return strides


def flatten(multi: tuple[Lin, ...], shape: Shape) -> Lin:
    """The row-major offset of an index."""
    total = ZERO
    for lin, stride in zip(multi, strides_of(shape), strict=True):
        total = total.plus(lin.times(stride))
    return total
