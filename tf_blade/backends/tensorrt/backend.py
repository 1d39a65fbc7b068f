"""TensorRT as a backend: examines nodes by running their rules, builds plans in processes of their own.

It is optional: without a TensorRT it says so, and is left out where other backends are wanted too.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any

import sympy

from tf_blade import symbolic
from tf_blade.backends.disc.examiner import Examiner
from tf_blade.backends.tensorrt import library, process
from tf_blade.backends.tensorrt.builder import PlanOptions, known_capabilities
from tf_blade.backends.tensorrt.convert import Converter, type_of
from tf_blade.backends.tensorrt.library import Library
from tf_blade.engines.format import EngineFile, write_engine
from tf_blade.engines.plan import (
    PLAN_DATA_SECTION,
    PLAN_SECTION,
    PlanSection,
    PlanTensor,
    PlanWeight,
    write_plan,
)
from tf_blade.engines.plan_sizes import PlanSizes, profile_text
from tf_blade.engines.signature import UNKNOWN, EngineInput, EngineOutput, EngineSignature, SymbolInfo
from tf_blade.errors import BuildFailure, EnvironmentError_, InvalidInputError, Unsupported
from tf_blade.graph.graph import Graph, Node
from tf_blade.graph.printer import print_graph
from tf_blade.settings import Settings
from tf_blade.stages import BuiltEngine, ClusterGraph
from tf_blade.symbolic import Dim, DimProgram


class TensorrtBackend:
    """NVIDIA's TensorRT or TensorRT-RTX, whichever is installed."""

    def __init__(self) -> None:
        self._flops = Examiner()
        self._converter: Converter | None = None
        self._missing = ""

    @property
    def name(self) -> str:
        return "tensorrt"

    def missing(self) -> str:
        """Why there is no TensorRT to build with, and what to install; "" when there is one."""
        try:
            self._ready()
        except Unsupported as error:
            return error.reason
        return ""

    def check(self, settings: Settings) -> None:
        """Refuses targets that the installed version does not know.

        Raises:
            InvalidInputError: names one, and those there are.
            Unsupported: there is no TensorRT.
        """
        found = self._ready().library
        # Full TensorRT builds for the GPU at hand.
        known = known_capabilities(found) if found.flavor == library.TENSORRT_RTX else ()
        for item in settings.tensorrt_targets if known else ():
            if _capability(item) not in known:
                there = ", ".join(f"{number // 10}.{number % 10}" for number in known)
                raise InvalidInputError(
                    f"tensorrt_targets (--tensorrt-targets) names {item};"
                    f" the installed {found.flavor} {found.version} builds for: {there}"
                )

    def examine(self, node: Node) -> Dim:
        """Estimated FLOPs of a node that TensorRT can take.

        Raises:
            Unsupported: it cannot, or there is no TensorRT; says why.
        """
        self._ready().examine(node)
        try:
            return self._flops(node).flops
        except Unsupported:  # an op that only TensorRT takes: an operation for each element
            shapes = [tensor.shape for tensor in node.outputs if tensor.shape is not None]
            return symbolic.add(0, *(symbolic.num_elements(shape) for shape in shapes))

    def _ready(self) -> Converter:
        """The converter.

        Raises:
            Unsupported: there is no TensorRT.
        """
        if self._converter is None and not self._missing:
            try:
                self._converter = Converter(library.load())
            except EnvironmentError_ as error:
                self._missing = str(error)
        if self._converter is None:
            raise Unsupported(self._missing)
        return self._converter

    def build(self, cluster: ClusterGraph, settings: Settings) -> BuiltEngine:
        """Builds a cluster's plan and its engine file.

        Raises:
            BuildFailure: there is no plan.
        """
        begin, name = time.perf_counter(), cluster.cluster.name
        try:
            found = self._ready().library
            options = _options(found, settings)
            job = process.Job(
                cluster.graph,
                cluster.weights,
                options,
                ranges=cluster.ranges,
                observed=cluster.observed,
                batch_sizes=_batch_sizes(settings),
                padded=cluster.padded,
            )
            limits = process.Limits(settings.tensorrt_seconds, settings.tensorrt_memory_mb)
            plan, description = process.build(job, limits)
        except Unsupported as error:
            raise BuildFailure(str(error), self.name, name) from error
        section = _section(cluster, description)
        engine = write_engine(
            EngineFile(
                backend=self.name,
                backend_version=description["version"],
                signature=signature_of(cluster),
                cluster_hash=_hash(cluster.graph, settings),
                sections={PLAN_SECTION: plan, PLAN_DATA_SECTION: write_plan(section)},
                compute_capabilities=options.compute_capabilities,
            )
        )
        seconds = time.perf_counter() - begin
        details = (
            ("tensorrt", f"{found.flavor} {found.version}, {options.precision}"),
            ("profiles", _profiles_text(section)),
            ("plan", f"{len(plan)} bytes, weights outside"),
        )
        return BuiltEngine(self.name, engine, seconds, details, partial=True, limits=description["limits"])


def _batch_sizes(settings: Settings) -> tuple[int, ...]:
    """The sizes that a server batches to, where somebody has said which or has batching parameters written."""
    is_default = settings.batch_sizes == Settings().batch_sizes and not settings.batching_parameters_file
    return () if is_default and not settings.serving else settings.batch_sizes


def _profiles_text(section: PlanSection) -> str:
    """How many there are, and the sizes of each."""
    sizes = PlanSizes(section.inputs, section.profiles)
    return f"{len(section.profiles)}: {'; '.join(profile_text(sizes, profile) for profile in section.profiles)}"


def _section(cluster: ClusterGraph, description: dict[str, Any]) -> PlanSection:
    """The description as the runtime reads it."""
    return PlanSection(
        flavor=description["flavor"],
        num_inputs=len(cluster.graph.inputs),
        num_outputs=len(cluster.graph.outputs),
        inputs=tuple(_tensor(item) for item in description["inputs"]),
        outputs=tuple(_tensor(item) for item in description["outputs"]),
        profiles=tuple(
            tuple(tuple(zip(item["min"], item["opt"], item["max"], strict=True)) for item in profile)
            for profile in description["profiles"]
        ),
        weights=tuple(
            PlanWeight(item["name"], item["index"], item["dtype"], tuple(item["dims"]), tuple(item["permutation"]))
            for item in description["weights"]
        ),
        stripped=description["stripped"],
        version_compatible=description["version_compatible"],
        hardware_compatible=description["hardware_compatible"],
    )


def _tensor(item: dict[str, Any]) -> PlanTensor:
    return PlanTensor(item["name"], item["index"], item["dtype"], item["rank"], item.get("shape_tensor", False))


def _options(found: Library, settings: Settings) -> PlanOptions:
    targets = tuple(sorted({_capability(item) for item in settings.tensorrt_targets}))
    return PlanOptions(
        precision=settings.tensorrt_precision,
        # Full TensorRT builds for the GPU at hand.
        compute_capabilities=targets if found.flavor == library.TENSORRT_RTX else (),
        version_compatible=settings.tensorrt_version_compatible,
        hardware_compatible=settings.tensorrt_hardware_compatible,
        timing_cache=settings.tensorrt_timing_cache,
        weights_as=settings.tensorrt_weights,
    )


def _capability(text: str) -> int:
    """89 for "8.9"."""
    return int(text.replace(".", ""))


def _hash(graph: Graph, settings: Settings) -> bytes:
    chosen = sorted((key, value) for key, value in vars(settings).items() if key.startswith("tensorrt_"))
    return hashlib.sha256(f"{print_graph(graph)}{chosen}".encode()).digest()


def signature_of(cluster: ClusterGraph) -> EngineSignature:
    """The cluster's inputs and outputs as the engine file states them.

    Variables and large constants are weights: the runtime prepares them once for each set of values.
    Symbols are those that dimensions of inputs bind; an output dimension that depends on anything else is unknown
    before run time.
    """
    types = [type_of(node.outputs[0]) for node in cluster.graph.inputs]
    names = list(dict.fromkeys(str(d.name) for _, shape in types for d in shape if isinstance(d, sympy.Symbol)))
    inputs = []
    for node, (dtype, shape) in zip(cluster.graph.inputs, types, strict=True):
        kept = node.outputs[0].handle is not None or node.name in cluster.weights
        dims = tuple(_program(dim, names) for dim in shape)
        weight = kept and symbolic.is_static(shape)
        inputs.append(EngineInput(node.name, int(dtype), dims, "weight" if weight else "data"))
    outputs = []
    for output in cluster.graph.outputs:
        if output.tensor.shape is None:
            raise BuildFailure(f"the rank of output {output.name} is unknown", "tensorrt", cluster.cluster.name)
        dims = tuple(_program(dim, names) for dim in output.tensor.shape)
        outputs.append(EngineOutput(output.name, int(output.tensor.dtype), dims))
    return EngineSignature(tuple(SymbolInfo(name) for name in names), tuple(inputs), tuple(outputs))


def _program(dim: Dim, names: list[str]) -> DimProgram:
    if any(str(item.name) not in names for item in symbolic.free_symbols([dim])):
        return UNKNOWN
    return symbolic.to_rpn(dim, names)
