"""DISC as a backend: examines nodes by running their rules, builds engines by compiling modules."""

from __future__ import annotations

import collections
import hashlib
import time

from tf_blade.backends.disc import compile as disc_compile
from tf_blade.backends.disc.examiner import Examiner
from tf_blade.backends.disc.ir.values import Module
from tf_blade.backends.disc.lower import lower_graph
from tf_blade.engines.format import EngineFile, write_engine
from tf_blade.engines.scratch import SCRATCH_SECTION, write_scratch
from tf_blade.engines.signature import UNKNOWN, EngineInput, EngineOutput, EngineSignature, SymbolInfo
from tf_blade.errors import BuildFailure, Unsupported
from tf_blade.graph.graph import Node
from tf_blade.settings import Settings
from tf_blade.stages import BuiltEngine, ClusterGraph
from tf_blade.symbolic import Dim, DimProgram, free_symbols, to_rpn

# Raised with every change that makes generated code behave differently.
VERSION = "1"
ISA_LEVELS = {"x86-64-v3": 3, "x86-64-v4": 4}


class DiscBackend:
    """The dynamic-shape compiler for CPUs."""

    def __init__(self) -> None:
        self._examine = Examiner()

    @property
    def name(self) -> str:
        return "disc"

    def examine(self, node: Node) -> Dim:
        """Estimated FLOPs of a node that DISC can take.

        Raises:
            Unsupported: it cannot; says why.
        """
        return self._examine(node).flops

    def build(self, cluster: ClusterGraph, settings: Settings) -> BuiltEngine:
        """Compiles a cluster into an engine file.

        Raises:
            BuildFailure: the cluster cannot be lowered or compiled.
        """
        begin = time.perf_counter()
        name = cluster.cluster.name
        try:
            module = lower_graph(cluster.graph, name=name, weights=cluster.weights)
        except Unsupported as error:
            raise BuildFailure(str(error), self.name, name) from error
        module_hash = hashlib.sha256(module.text().encode()).digest()
        try:
            compiled = disc_compile.compile_module(module, settings)
        except BuildFailure as error:
            raise BuildFailure(error.reason, self.name, name) from error
        engine = write_engine(
            EngineFile(
                backend=self.name,
                backend_version=VERSION,
                signature=signature_of(cluster, module, compiled.bound),
                cluster_hash=module_hash,
                sections={"elf": compiled.image, SCRATCH_SECTION: write_scratch(compiled.scratch)},
                isa_levels=tuple(ISA_LEVELS[isa] for isa in settings.isas),
            )
        )
        counts = collections.Counter(compiled.kernels)
        details = (("kernels", ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))),)
        return BuiltEngine(self.name, engine, time.perf_counter() - begin, details)


def signature_of(cluster: ClusterGraph, module: Module, bound: frozenset[int]) -> EngineSignature:
    """The module's inputs and outputs as the engine file states them.

    Inputs that init reads (`bound`) are weights. A table that only the run program gathers from is data, whatever holds
    it: the runtime need not watch it for changes.
    Symbols are those that dimensions of inputs bind; an output dimension that depends on anything else (an element of
    an integer input) is unknown before run time.
    """
    symbols = [dim for v in module.parameters for dim in v.shape if not isinstance(dim, int) and dim.is_Symbol]
    names = list(dict.fromkeys(str(item.name) for item in symbols))
    inputs = tuple(
        EngineInput(
            str(value.op.attrs["name"]),
            int(value.dtype),
            tuple(_program(dim, names) for dim in value.shape),
            "weight" if value.op.attrs["index"] in bound else "data",
        )
        for value in module.parameters
    )
    outputs = tuple(
        EngineOutput(output.name, int(value.dtype), tuple(_program(dim, names) for dim in value.shape))
        for output, value in zip(cluster.graph.outputs, module.results, strict=True)
    )
    return EngineSignature(tuple(SymbolInfo(name) for name in names), inputs, outputs)


def _program(dim: Dim, names: list[str]) -> DimProgram:
    if any(str(item.name) not in names for item in free_symbols([dim])):
        return UNKNOWN
    return to_rpn(dim, names)
