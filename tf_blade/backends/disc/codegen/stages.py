"""When a run knows its dimensions: stage 0 from the inputs alone, stage k once the k-th step that finds some has run.

    bind (inputs) ► outputs, arena ► calls ► a call finds n ► bind1 (n) ► outputs, arena of such sizes ► calls ► …

What depends on a found dimension (other dimensions, guards, memory, outputs) belongs to the stage of the last of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import sympy

from tf_blade import symbolic
from tf_blade.backends.disc.codegen.call import Call
from tf_blade.backends.disc.codegen.dims import DimTable
from tf_blade.symbolic import Dim, Shape

# Of a dimension and of a tensor, where an element of an integer tensor is a size: so that no product of them overflows.
MAX_SIZE = 1 << 31
MAX_ELEMENTS = "0x1p44"
# Where nothing may be computed with what is known to be wrong.
FAILED = (
    "  if (error != 0) {",
    '    ral->set_error(ral->context, "an index out of range, or an integer division by zero");',
    "    return BLADE_ERROR;",
    "  }",
)


@dataclasses.dataclass(frozen=True)
class Guards:
    """The statements that bind and check dimensions.

    Attributes:
        bind: for those of the inputs.
        late: checks of dimensions that steps find, each with the symbols that it needs.
    """

    bind: list[str]
    late: list[tuple[frozenset[sympy.Symbol], str]]


class Stages:
    """The stages of a program's calls.

    Attributes:
        count: how many there are.
    """

    def __init__(self, calls: Sequence[Call], table: DimTable) -> None:
        self._table = table
        self._calls = [call for call in calls if call.found]
        self._symbols: dict[sympy.Symbol, int] = {}
        for number, call in enumerate(self._calls, start=1):
            for dim in call.found:
                if isinstance(dim, sympy.Symbol) and table.late_symbols(dim):
                    self._symbols.setdefault(dim, number)
        self.count = len(self._calls) + 1

    def declarations(self) -> list[str]:
        """Where calls leave what they find."""
        most = max((len(call.found) for call in self._calls), default=0)
        return [f"  int64_t found[{most}];"] if most else []

    def after(self, call: Call) -> int:
        """The stage that begins with a call's end."""
        return next(number for number, item in enumerate(self._calls, start=1) if item is call)

    def of(self, dims: Iterable[Dim]) -> int:
        """The stage at which Dims are known."""
        return self._latest(symbol for dim in dims for symbol in self._table.late_symbols(dim))

    def _latest(self, symbols: Iterable[sympy.Symbol]) -> int:
        return max((self._symbols.get(symbol, 0) for symbol in symbols), default=0)

    def take(self, call: Call) -> list[str]:
        """The statements after a call that finds dimensions: binds those not known, compares the others."""
        stage, lines = self.after(call), []
        bound: set[Dim] = set()
        for number, dim in enumerate(call.found):
            if isinstance(dim, sympy.Symbol) and self._symbols.get(dim) == stage and dim not in bound:
                bound.add(dim)
                lines.append(f"  d.{self._table.field(dim)} = found[{number}];")
        why = f"bind{stage}(inputs, found, d)"
        return [
            *lines,
            f"  if (const char* why = {why}) {{",
            "    ral->set_error(ral->context, why);",
            "    return BLADE_GUARD;",
            "  }",
        ]

    def limits(self, stage: int, elements: Sequence[sympy.Symbol], shapes: Sequence[Shape]) -> list[str]:
        """Checks of sizes that no tensor of the caller proves possible: their products might not fit an integer.

        Args:
            stage: the checks of this one.
            elements: symbols that are elements of tensors, used as sizes.
            shapes: those of computed values.
        """
        texts = [self._table.c(symbol, "") for symbol in elements if self.of((symbol,)) == stage]
        tests = [f"{text} > INT64_C({MAX_SIZE})" for text in texts]
        for shape in shapes:
            if self.of(shape) == stage:
                product = " * ".join(self._table.c(dim, "") for dim in shape)
                tests.append(f"1.0 * {product} > {MAX_ELEMENTS}")
        return [f'  if ({test}) return "a size beyond memory";' for test in tests]

    def derive(self, stage: int, dims: Sequence[sympy.Expr], guards: Guards, limits: Sequence[str]) -> list[str]:
        """The function that computes a stage's dimensions; gives the reason where this code cannot take them.

        `dims` are those of tensors, which are never negative; `limits` are further checks of them.
        """
        table = self._table
        body: list[str] = []
        for name, text, _ in table.lines():
            known = self._latest(table.needs(name))
            if known == stage and text:
                body.append(f"  const int64_t {name} = d.{name} = {text};")
            elif known <= stage:
                body.append(f"  const int64_t {name} = d.{name};")
            if known <= stage:
                body.append(f"  (void){name};")
        fields = [table.c(dim, "") for dim in dims if self.of((dim,)) == stage]
        if fields:
            body.append(f'  if (({" | ".join(fields)}) < 0) return "a dimension is negative";')
        body += limits
        body += [f"  {line}" for symbols, line in guards.late if self._latest(symbols) == stage]
        body += ["  return nullptr;", "}\n"]
        if stage == 0:
            head = [
                "// Reads and checks the inputs' dimensions; gives the reason where this code cannot take them.",
                "BLADE_NOINLINE const char* bind(const BladeTensor* inputs, Dims& d) {",
                "  (void)inputs;",
                *(f"  {line}" for line in guards.bind),
            ]
            return [*head, *body]
        return [
            "// The same for what follows from dimensions that a step found.",
            f"BLADE_NOINLINE const char* bind{stage}(const BladeTensor* inputs, const int64_t* found, Dims& d) {{",
            "  (void)inputs, (void)found;",
            *self._compare(self._calls[stage - 1], stage),
            *body,
        ]

    def _compare(self, call: Call, stage: int) -> list[str]:
        lines = []
        for number, dim in enumerate(call.found):
            value = symbolic.to_c(dim, lambda name: f"d.{self._table.spelled(name)}")
            lines.append(f'  if (found[{number}] != {value}) return "what was found is not {dim}";')
        return lines
