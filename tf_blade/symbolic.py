"""Symbolic dimensions: integers where known, sympy expressions over nonnegative integer symbols where not.

`Dim` is `int | sympy.Expr`. Every function here takes and gives Dims; results that are constant come back as `int`, so
`isinstance(dim, int)` tells static dimensions from dynamic ones, and `==` between Dims is structural equality of
canonical forms. Three functions that sympy has no integer form of are defined here: floor division, modulus and the
broadcast of two dimensions.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import sympy

Dim: TypeAlias = "int | sympy.Expr"
Shape: TypeAlias = "tuple[Dim, ...]"
# A dimension as a postfix program: (opcode, operand) pairs; see `to_rpn`.
DimProgram: TypeAlias = "tuple[tuple[str, int], ...]"


class FloorDiv(sympy.Function):
    """floor(a / b) of integers, b > 0."""

    nargs = (2,)
    is_integer = True

    @classmethod
    def eval(cls, a: sympy.Expr, b: sympy.Expr) -> sympy.Expr | None:
        if b == 1:
            return a
        if a == 0:
            return sympy.Integer(0)
        if a.is_Integer and b.is_Integer and b != 0:
            return sympy.Integer(int(a) // int(b))
        if b.is_Integer and b > 0:
            return cls._split(a, b)
        if b.is_positive and a == b:
            return sympy.Integer(1)
        return None

    @classmethod
    def _split(cls, a: sympy.Expr, b: sympy.Integer) -> sympy.Expr | None:
        """Takes out of the quotient the terms that b divides: (2*x + 3) // 2 = x + 1."""
        whole: sympy.Expr = sympy.Integer(0)
        rest: sympy.Expr = sympy.Integer(0)
        for term in sympy.Add.make_args(sympy.expand(a)):
            coefficient, factors = term.as_coeff_Mul()
            if coefficient.is_Integer and coefficient % b == 0 and factors.is_integer:
                whole += coefficient // b * factors
            elif term.is_Integer:
                whole += term // b
                rest += term % b
            else:
                rest += term
        if rest.is_Integer:
            return whole + rest // b
        return None if whole == 0 else whole + cls(rest, b)

    def _eval_is_nonnegative(self) -> bool | None:
        a, b = self.args
        return True if a.is_nonnegative and b.is_nonnegative else None


class Mod(sympy.Function):
    """a mod b of integers, b > 0, with the sign of b."""

    nargs = (2,)
    is_integer = True

    @classmethod
    def eval(cls, a: sympy.Expr, b: sympy.Expr) -> sympy.Expr | None:
        if a.is_Integer and b.is_Integer and b != 0:
            return sympy.Integer(int(a) % int(b))
        if b == 1 or a == 0:
            return sympy.Integer(0)
        quotient = FloorDiv(a, b)
        if not quotient.has(FloorDiv) and sympy.expand(quotient * b - a) == 0:
            return sympy.Integer(0)
        return None

    def _eval_is_nonnegative(self) -> bool:
        return True


class BroadcastDim(sympy.Function):
    """The dimension that a and b broadcast to: b where a is 1, else a. Needs a == b, a == 1 or b == 1."""

    nargs = (2,)
    is_integer = True
    is_nonnegative = True

    @classmethod
    def eval(cls, a: sympy.Expr, b: sympy.Expr) -> sympy.Expr | None:
        if a == b or b == 1:
            return a
        if a == 1:
            return b
        if a.is_Integer:
            return a
        if b.is_Integer:
            return b
        if a.sort_key() > b.sort_key():
            return cls(b, a)
        return None


def symbol(name: str) -> sympy.Symbol:
    """An unknown dimension. The same name is the same dimension."""
    return sympy.Symbol(name, integer=True, nonnegative=True)


def value_symbol(name: str) -> sympy.Symbol:
    """An unknown integer of any sign: an element of an integer tensor that is known only at run time."""
    return sympy.Symbol(name, integer=True)


def simplify(value: Any) -> Dim:
    """The canonical Dim of an int, NumPy integer or sympy expression."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, sympy.Expr):
        if value.is_Integer:
            return int(value)
        return value if value.is_Symbol else _expand(value)
    return int(value)


@functools.lru_cache(maxsize=1 << 16)
def _expand(value: sympy.Expr) -> Dim:
    expanded = sympy.expand(value)
    return int(expanded) if expanded.is_Integer else expanded


@functools.lru_cache(maxsize=1 << 16)
def spelled(dim: Dim) -> str:
    """The Dim for people to read: `str`, which takes sympy long."""
    return str(dim)


def is_static(shape: Iterable[Dim]) -> bool:
    return all(isinstance(dim, int) for dim in shape)


def add(*dims: Dim) -> Dim:
    if all(isinstance(dim, int) for dim in dims):
        return int(sum(dims))
    return simplify(sympy.Add(*dims))


def sub(a: Dim, b: Dim) -> Dim:
    return simplify(a - b)


def mul(*dims: Dim) -> Dim:
    return math.prod(dims) if all(isinstance(dim, int) for dim in dims) else _product(dims)


@functools.lru_cache(maxsize=1 << 16)
def _product(dims: tuple[Dim, ...]) -> Dim:
    return simplify(math.prod(dims))


def floordiv(a: Dim, b: Dim) -> Dim:
    """floor(a / b), b > 0."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b
    quotient = sympy.cancel(sympy.sympify(a) / sympy.sympify(b)) if not isinstance(b, int) else None
    if quotient is not None and quotient.is_polynomial() and not quotient.has(sympy.Rational(1, 2)):
        numerator, denominator = quotient.as_numer_denom()
        if denominator == 1:
            return simplify(numerator)
    return simplify(FloorDiv(sympy.sympify(a), sympy.sympify(b)))


def ceildiv(a: Dim, b: Dim) -> Dim:
    """ceil(a / b), b > 0."""
    return floordiv(simplify(a + b - 1), b)


def mod(a: Dim, b: Dim) -> Dim:
    """a mod b, b > 0, in [0, b)."""
    return a % b if isinstance(a, int) and isinstance(b, int) else simplify(Mod(sympy.sympify(a), sympy.sympify(b)))


def maximum(a: Dim, b: Dim) -> Dim:
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else _extreme(sympy.Max, a, b)


def minimum(a: Dim, b: Dim) -> Dim:
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else _extreme(sympy.Min, a, b)


@functools.lru_cache(maxsize=1 << 16)
def _extreme(function: Any, a: Dim, b: Dim) -> Dim:
    return simplify(function(a, b))


def broadcast_dim(a: Dim, b: Dim) -> Dim:
    """The dimension that a and b broadcast to, given that they do.

    Raises:
        ValueError: they cannot.
    """
    if isinstance(a, int) and isinstance(b, int) and a != b and 1 not in (a, b):
        raise ValueError(f"dimensions {a} and {b} do not broadcast")
    return simplify(BroadcastDim(sympy.sympify(a), sympy.sympify(b)))


def broadcast_shapes(*shapes: Shape) -> Shape:
    """NumPy's broadcast of shapes.

    Raises:
        ValueError: they cannot be broadcast.
    """
    rank = max((len(shape) for shape in shapes), default=0)
    result: list[Dim] = [1] * rank
    for shape in shapes:
        for axis, dim in enumerate(shape, start=rank - len(shape)):
            result[axis] = broadcast_dim(result[axis], dim)
    return tuple(result)


def num_elements(shape: Shape) -> Dim:
    return mul(1, *shape)


def equal(a: Dim, b: Dim) -> bool:
    """Whether a and b are provably equal for all values of their symbols."""
    return a == b if isinstance(a, int) and isinstance(b, int) else _equal(a, b)


@functools.lru_cache(maxsize=1 << 16)
def _equal(a: Dim, b: Dim) -> bool:
    return bool(a == b) or simplify(a - b) == 0


def different(a: Dim, b: Dim) -> bool:
    """Whether a and b are provably different for all values of their symbols."""
    difference = simplify(a - b)
    if isinstance(difference, int):
        return difference != 0
    return bool(difference.is_positive or difference.is_negative)


def same_shape(a: Shape, b: Shape) -> bool:
    return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))


def free_symbols(dims: Iterable[Dim]) -> tuple[sympy.Symbol, ...]:
    """The symbols of the Dims, in order of first appearance (by name within one Dim)."""
    found: dict[sympy.Symbol, None] = {}
    for dim in dims:
        if not isinstance(dim, int):
            for item in sorted(dim.free_symbols, key=lambda item: str(item.name)):
                found.setdefault(item)
    return tuple(found)


def substitute(dim: Dim, mapping: Mapping[sympy.Symbol, Dim]) -> Dim:
    """The Dim with symbols replaced, all at once."""
    return dim if isinstance(dim, int) else simplify(dim.xreplace({k: sympy.sympify(v) for k, v in mapping.items()}))


def evaluate(dim: Dim, values: Mapping[str, int]) -> int:
    """The integer a Dim has when its symbols have the given values (by name).

    Raises:
        KeyError: a symbol has no value.
        ZeroDivisionError: it divides by zero.
    """
    return run_program(to_rpn(dim), values=values, names=_names(dim))


def _names(dim: Dim) -> list[str]:
    return [str(item.name) for item in free_symbols([dim])]


_BINARY: dict[Any, str] = {
    FloorDiv: "floordiv",
    Mod: "mod",
    BroadcastDim: "bcast",
    sympy.Max: "max",
    sympy.Min: "min",
    sympy.Add: "add",
    sympy.Mul: "mul",
}


def to_rpn(dim: Dim, symbols: Sequence[str] | None = None) -> DimProgram:
    """The Dim as a postfix program.

    Opcodes: ("const", n), ("sym", index into `symbols`), and with operand 0 the binary "add", "mul", "floordiv", "mod",
    "max", "min", "bcast" (b where a is 1, else a). `symbols` defaults to the Dim's own, in order of `free_symbols`.
    """
    index = {name: i for i, name in enumerate(symbols if symbols is not None else _names(dim))}
    program: list[tuple[str, int]] = []
    _emit_rpn(sympy.sympify(dim), index, program)
    return tuple(program)


def _emit_rpn(expr: sympy.Expr, index: Mapping[str, int], program: list[tuple[str, int]]) -> None:
    if expr.is_Integer:
        program.append(("const", int(expr)))
    elif expr.is_Symbol:
        program.append(("sym", index[str(expr.name)]))
    elif expr.is_Pow and expr.exp.is_Integer and expr.exp > 0:
        _emit_rpn(expr.base, index, program)
        for _ in range(int(expr.exp) - 1):
            _emit_rpn(expr.base, index, program)
            program.append(("mul", 0))
    elif expr.func in _BINARY:
        args = expr.args if expr.func in (FloorDiv, Mod, BroadcastDim) else sorted(expr.args, key=str)
        _emit_rpn(args[0], index, program)
        for arg in args[1:]:
            _emit_rpn(arg, index, program)
            program.append((_BINARY[expr.func], 0))
    else:
        raise TypeError(f"no integer program for {expr} ({expr.func})")


def run_program(program: DimProgram, *, values: Mapping[str, int], names: Sequence[str]) -> int:
    """Runs a program of `to_rpn` made with the symbols `names`."""
    stack: list[int] = []
    for opcode, operand in program:
        if opcode == "const":
            stack.append(operand)
        elif opcode == "sym":
            stack.append(values[names[operand]])
        else:
            b, a = stack.pop(), stack.pop()
            stack.append(_PYTHON[opcode](a, b))
    return stack[0]


_PYTHON: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "floordiv": lambda a, b: a // b,
    "mod": lambda a, b: a % b,
    "max": max,
    "min": min,
    "bcast": lambda a, b: b if a == 1 else a,
}

_C: dict[str, str] = {
    "add": "({} + {})",
    "mul": "({} * {})",
    "floordiv": "blade::floordiv({}, {})",
    "mod": "blade::mod({}, {})",
    "max": "blade::max64({}, {})",
    "min": "blade::min64({}, {})",
    "bcast": "blade::bcast({}, {})",
}


def to_c(dim: Dim, rename: Callable[[str], str] = str) -> str:
    """The Dim as a C++ expression of type int64_t; symbols are spelled `rename(name)`."""
    names = _names(dim)
    stack: list[str] = []
    for opcode, operand in to_rpn(dim, names):
        if opcode == "const":
            stack.append(f"INT64_C({operand})")
        elif opcode == "sym":
            stack.append(rename(names[operand]))
        else:
            b, a = stack.pop(), stack.pop()
            stack.append(_C[opcode].format(a, b))
    return stack[0]
