"""From IR to an executable, read top to bottom."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from tf_blade.backends.disc import passes, toolchain
from tf_blade.backends.disc.codegen import library, regions
from tf_blade.backends.disc.codegen.binding import bind_symbols, late_checks
from tf_blade.backends.disc.codegen.dims import DimTable
from tf_blade.backends.disc.codegen.kernel import Context
from tf_blade.backends.disc.codegen.program import Program, build_program
from tf_blade.backends.disc.codegen.source import SourceWriter, weight_roots
from tf_blade.backends.disc.codegen.stages import Guards
from tf_blade.backends.disc.codegen.weights import boundary, weight_values
from tf_blade.backends.disc.fusion.decompose import decompose
from tf_blade.backends.disc.fusion.plan import Plan, Planner
from tf_blade.backends.disc.ir.values import Module, Value
from tf_blade.settings import Settings
from tf_blade.symbolic import Dim

del regions  # imported for its emitters


@dataclasses.dataclass(frozen=True)
class Generated:
    """The C++ text of a module.

    Attributes:
        text: one translation unit, compiled once for each instruction set level.
        kernels: kinds of the groups that run executes, in order.
        bound: indices of the parameters that init reads; init must run again when one of them changes.
        scratch: bytes that a run plans for its intermediate values, at most.
    """

    text: str
    kernels: tuple[str, ...]
    bound: frozenset[int]
    scratch: Dim


@dataclasses.dataclass(frozen=True)
class Executable:
    """A compiled module.

    Attributes:
        image: the shared object's bytes.
        source: what it was compiled from.
        kernels: kinds of the groups that run executes, in order.
        bound: indices of the parameters that init reads.
        scratch: bytes that a run plans for its intermediate values, at most.
    """

    image: bytes
    source: str
    kernels: tuple[str, ...]
    bound: frozenset[int]
    scratch: Dim


def compile_module(module: Module, settings: Settings | None = None) -> Executable:
    """Compiles a module.

    Raises:
        BuildFailure: an op has no kernel, or the C++ compiler is missing or failed.
    """
    settings = settings or Settings()
    generated = generate(passes.run(module, debug=settings.debug))
    image = toolchain.build(generated.text, settings.isas)
    return Executable(image, generated.text, generated.kernels, generated.bound, generated.scratch)


def generate(module: Module) -> Generated:
    """The C++ text of a module that the passes are done with.

    Raises:
        BuildFailure: an op has no kernel.
    """
    module = decompose(module, frozenset(library.EMITTERS))
    weights = weight_values(module.ops())
    kept = boundary(module.results, weights)
    table = DimTable()
    bind = bind_symbols(module, table)
    run, run_plan = _program(module, module.results, kept, table, _Fixed(kept), module.binders)
    roots = [value for value in kept if value in {*weight_roots(run, kept), *map(run.resolve, module.results)}]
    init, _ = _program(module, roots, [], table, ())
    writer = SourceWriter(module, table, Guards(bind, late_checks(module, table)), init, run)
    text = writer.text()
    return Generated(text, tuple(group.kind for group in run_plan.groups), writer.bound, writer.scratch)


class _Fixed(Collection[Value]):
    """The values that are in memory before a run and the same in each: weights, constants, what init computes."""

    def __init__(self, kept: Collection[Value]) -> None:
        self._kept = set(kept)

    def __contains__(self, value: object) -> bool:
        assert isinstance(value, Value)
        while value.kind == "reshape" and value not in self._kept:
            value = value.op.operands[0]
        if value.kind == "parameter":
            return bool(value.op.attrs["weight"])
        return value.kind == "constant" or value in self._kept

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)


def _program(
    module: Module,
    roots: Collection[Value],
    sources: Collection[Value],
    table: DimTable,
    fixed: Collection[Value],
    binders: Sequence[Value] = (),
) -> tuple[Program, Plan]:
    scratch = DimTable()
    bind_symbols(module, scratch)
    context = Context(scratch, lambda value: value)
    plan = Planner(list(roots), sources, frozenset(library.EMITTERS), context, binders).plan()
    return build_program(plan, table, fixed), plan
