"""The phases, in order, from a SavedModel to a faster one."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tf_blade import observe, passes, runtime
from tf_blade.backends import registry
from tf_blade.backends.disc.examiner import Examiner
from tf_blade.bundle import batched, check_bundle, write_bundle
from tf_blade.clusters.cluster import Clustering, find_clusters
from tf_blade.clusters.cost import nominal
from tf_blade.clusters.cut import cut
from tf_blade.clusters.inside import inside_engines
from tf_blade.clusters.observed import observed
from tf_blade.clusters.ranges import GivenRanges, parse_ranges
from tf_blade.engines.several import check_together
from tf_blade.engines.signing import key_name, read_private_key, sign_engine
from tf_blade.errors import BuildFailure, StrictModeError, TfBladeError, Unsupported, VerificationError
from tf_blade.graph.graph import Graph, Node, attach_bodies
from tf_blade.graph.printer import print_graph
from tf_blade.graph.shape_inference import infer_shapes
from tf_blade.graph.tf_shapes import TfShapes
from tf_blade.passes.effects import Effects, ordered_bodies
from tf_blade.passes.inline import inline_calls
from tf_blade.passes.relax_control import relax_control
from tf_blade.progress import Progress, SilentProgress
from tf_blade.report import text
from tf_blade.report.engines import NOT_BUILT_FOR_TENSORRT
from tf_blade.report.report import (
    PLUMBING,
    ClusterReport,
    FailureReport,
    PhaseReport,
    RefusalReport,
    Report,
    WrittenReport,
)
from tf_blade.rewrite.ends import end_after_effects, end_after_reads
from tf_blade.rewrite.replace import ENGINE_OP, Replacement, replace_clusters
from tf_blade.saved_model.arguments import Inputs, arguments_of
from tf_blade.saved_model.bodies import MAIN, Bodies, make_edit, read_bodies
from tf_blade.saved_model.check import check_lossless
from tf_blade.saved_model.engines import engine_nodes
from tf_blade.saved_model.files import check_target, target_folder
from tf_blade.saved_model.given import given_ranges, given_samples
from tf_blade.saved_model.model import SavedModel, read_saved_model
from tf_blade.saved_model.portable import check_portable
from tf_blade.saved_model.selection import Selection, callers, select
from tf_blade.saved_model.writer import Edit, apply_edit, write_saved_model
from tf_blade.settings import Settings
from tf_blade.stages import Backend, BuiltEngine, ChecksSettings, Cluster, ClusterGraph, Verdict
from tf_blade.support.examine import examine

Samples = Mapping[str, Sequence[Mapping[str, np.ndarray]]]
_TENSORRT = "tensorrt"
_log = observe.logger("pipeline")
_build_log = observe.logger("build")


class Phase(enum.Enum):
    """The phases in order; the value says what each does."""

    READ = "parse the SavedModel and choose the bodies that serving reaches"
    INLINE = "inline calls of functions that one body alone calls; drop control edges that order nothing"
    PASSES = "fold constants, share common subexpressions, remove what nobody reads"
    SHAPES = "infer shapes, with a symbol for each unknown dimension"
    SUPPORT = "ask the backends which nodes they can take"
    CLUSTERS = "group supported nodes into clusters that are worth an engine"
    BUILD = "build an engine for each cluster"
    REWRITE = "put engine ops in the places of clusters"
    WRITE = "write the new SavedModel beside the target"
    CHECK = "read it again and compare all that must not have changed"
    VERIFY = "run both models and compare their results"
    BUNDLE = "write what TensorFlow Serving reads beside the model: warmup requests, batching parameters"

    @property
    def label(self) -> str:
        return self.name.lower()


LABELS = tuple(phase.label for phase in Phase)


class _StopError(Exception):
    """The phase after which to stop is over."""


def optimize(
    src: Path,
    dst: Path,
    settings: Settings,
    *,
    sample_inputs: Samples | None = None,
    progress: Progress | None = None,
) -> Report:
    """Optimizes a SavedModel; `dst` appears when everything has succeeded, and not before.

    Raises:
        TfBladeError: one of its subclasses says what is wrong. The source is untouched, and no target appears.
    """
    check_settings(settings)
    settings, padded = batched(settings)
    run = _Run(settings, progress or SilentProgress(), Report(str(src)), padded=padded)
    if not settings.stop_after:
        check_target(src, dst, overwrite=settings.overwrite)
    runtime.load()
    with contextlib.suppress(_StopError):
        with run.phase(Phase.READ):
            model = read_saved_model(src)
            run.meet_engines(model)
            selection = select(model, settings.signatures)
            run.samples = given_samples(model, sample_inputs or {})
            bodies = run.read(model, selection)
        edit = run.optimize(model, selection, bodies)
        message = apply_edit(model, edit)
        with target_folder(src, dst, overwrite=settings.overwrite) as folder:
            with run.phase(Phase.WRITE):
                write_saved_model(model, message, folder)
            with run.phase(Phase.CHECK):
                written = run.tell_written(check_lossless(src, folder, edit, selection.main))
            if settings.verify:
                with run.phase(Phase.VERIFY):
                    run.verify(src, folder)
            if settings.warmup or settings.serving:
                with run.phase(Phase.BUNDLE):
                    run.report.notes += write_bundle(settings, folder, dst, run.samples)
            written.bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        run.report.target, run.report.written = str(dst), written
    return run.report


def optimize_in_memory(
    model: SavedModel, settings: Settings, *, progress: Progress | None = None
) -> tuple[Edit, Report]:
    """The same without files: what has to change, and the report."""
    check_settings(settings)
    settings, padded = batched(settings)
    runtime.load()
    run = _Run(settings, progress or SilentProgress(), Report(str(model.path)), padded=padded)
    edit = Edit({}, (), (), None)
    with contextlib.suppress(_StopError):
        with run.phase(Phase.READ):
            run.meet_engines(model)
            selection = select(model, settings.signatures)
            bodies = run.read(model, selection)
        edit = run.optimize(model, selection, bodies)
    return edit, run.report


def check_settings(settings: Settings) -> None:
    """Refuses what no optimization can mean: names of nothing, lists of nothing, and what cannot be served.

    Raises:
        TfBladeError: names it.
    """
    for name in (settings.stop_after, *settings.dump_after):
        if name and name not in LABELS and name != "all":
            raise TfBladeError(f"there is no phase {name!r}; there are: {', '.join(LABELS)}")
    if settings.signatures is not None and not settings.signatures:
        raise TfBladeError("signatures (--signatures) names none; name some, or leave it out for all")
    if not settings.backends:
        raise TfBladeError(f"backends (--backends) is empty; there are: {', '.join(registry.available())}")
    registry.get_backends(settings.backends)
    parse_ranges(settings.tensorrt_ranges)
    check_bundle(settings)
    if settings.sign_key:
        read_private_key(settings.sign_key)


@dataclasses.dataclass
class _Run:
    """One optimization: the settings, who is told, and what is recorded."""

    settings: Settings
    progress: Progress
    report: Report
    samples: Samples = dataclasses.field(default_factory=dict)
    graphs: Mapping[str, Graph] = dataclasses.field(default_factory=dict)
    inside: set[tuple[str, str]] = dataclasses.field(default_factory=set)
    ordered: frozenset[str] = frozenset()
    padded: tuple[int, ...] = ()
    backends: tuple[Backend, ...] = ()
    ranges: GivenRanges = dataclasses.field(default_factory=GivenRanges)
    arguments: Mapping[str, Inputs] = dataclasses.field(default_factory=dict)
    taken: list[str] = dataclasses.field(default_factory=list)

    @contextlib.contextmanager
    def phase(self, phase: Phase, total: int = 1) -> Iterator[None]:
        """Times a phase; dumps the graphs and stops after it if that is wanted."""
        self.progress.phase(phase.label, total)
        begin = time.perf_counter()
        yield
        seconds = time.perf_counter() - begin
        self.report.phases.append(PhaseReport(phase.label, seconds))
        _log.info("%s: %.2f s", phase.label, seconds)
        if "all" in self.settings.dump_after or phase.label in self.settings.dump_after:
            _dump(phase, self.graphs, self.settings.dump_dir)
        if self.settings.stop_after == phase.label:
            raise _StopError

    def each(self, names: Sequence[str]) -> Iterator[str]:
        for name in names:
            self.progress.step(name or "main graph")
            yield name

    def meet_engines(self, model: SavedModel) -> None:
        """Tells that the model has been optimized before, and what of the settings does not reach these engines.

        Raises:
            TfBladeError: it cannot become portable any more.
        """
        if self.settings.portable:
            check_portable(model.meta_graph.graph_def)
        key = key_name(read_private_key(self.settings.sign_key)) if self.settings.sign_key else ""
        unsigned = 0
        for _, _, item in engine_nodes(model):
            self.taken.append(item.cluster)
            unsigned += bool(key) and not all(runtime.engine_signers(data).get(key) for data in item.engines)
        self.report.totals.earlier_engines = count = len(self.taken)
        if count:
            self.report.notes.append(
                f"the model has engines already, at {text.count(count, 'node', 'nodes')}: these stay as they are;"
                " optimize the original to make them anew"
            )
        if unsigned:
            nodes = text.count(unsigned, "node", "nodes")
            self.report.notes.append(
                f"the earlier engines at {nodes} are not signed by {key}: `tf-blade sign` signs all"
            )

    def tell_written(self, written: SavedModel) -> WrittenReport:
        """What was written, as it was read again, without its size."""
        made = {item.name for item in self.report.clusters if item.backend}
        found = [(item.cluster in made, item.portable) for _, _, item in engine_nodes(written)]
        self.report.totals.earlier_engines = sum(not is_new for is_new, _ in found)
        if (False, True) in found and (True, False) in found:
            self.report.notes.append(
                "the earlier engines are portable and the new ones are not, so that the model needs the op library now:"
                " pass portable=True (--portable) to keep it portable"
            )
        return WrittenReport(0, all(portable for _, portable in found), len(found))

    def choose_backends(self) -> None:
        """The backends that are wanted, without those that are not installed.

        Raises:
            EnvironmentError_: none is left.
            InvalidInputError: one cannot build what the settings ask for.
        """
        self.backends, missing = registry.usable(self.settings.backends)
        for name, reason in missing.items():
            self.warn(f"the backend {name} was left out: {reason}")
        for backend in self.backends:
            if isinstance(backend, ChecksSettings):
                backend.check(self.settings)

    def warn_of_what_has_no_effect(self) -> None:
        without = _without_effect(self.settings)
        if without:
            verb = "has" if len(without) == 1 else "have"
            self.warn(f"{', '.join(without)} {verb} no effect: backends are {', '.join(self.settings.backends)}")

    def warn(self, note: str) -> None:
        self.report.notes.append(note)
        _log.warning("tf_blade: %s", note)

    def read(self, model: SavedModel, selection: Selection) -> Bodies:
        self.choose_backends()
        self.arguments = arguments_of(model)
        self.ranges = given_ranges(model, self.settings, self.arguments)
        self.warn_of_what_has_no_effect()
        bodies = read_bodies(model, selection)
        self.graphs = bodies.graphs
        for name, error in bodies.unreadable:
            self.report.notes.append(f"{name or 'the main graph'} stays as it is: {error}")
        if len(model.message.meta_graphs) > 1:
            tags = ", ".join(model.tags)
            self.report.notes.append(f"of the model's meta graphs the one tagged {{{tags}}} is optimized; others stay")
        for name in selection.compiled:
            self.report.notes.append(f"{name} stays as it is: XLA compiles it, or a function that calls it")
        return bodies

    def optimize(self, model: SavedModel, selection: Selection, bodies: Bodies) -> Edit:
        """From graphs to graphs with engine ops."""
        removed = self.inline(model, selection, bodies)
        names = [name for name in bodies.graphs if name not in removed]
        self.graphs = {name: bodies.graphs[name] for name in names}
        effects = Effects(self.graphs, model.catalog.is_stateful, self.ordered)
        with self.phase(Phase.PASSES, len(names)):
            for name in self.each(names):
                passes.run_passes(self.graphs[name], self.settings, effects)
        attach_bodies(self.graphs)
        shapes_by_tensorflow, examiner = TfShapes(model.catalog), Examiner()
        with self.phase(Phase.SHAPES, len(names)):
            for name in self.each(names):
                infer_shapes(self.graphs[name], examiner, shapes_by_tensorflow)
        with self.phase(Phase.SUPPORT, len(names)):
            verdicts = {name: examine(self.graphs[name], self.backends, effects) for name in self.each(names)}
        with self.phase(Phase.CLUSTERS, len(names)):
            found = {
                name: find_clusters(self.graphs[name], verdicts[name], self.settings, taken=self.taken)
                for name in self.each(names)
            }
            for name in self.inside_engines(model, found, removed):
                del found[name], verdicts[name]
            self.record(verdicts, found)
        with self.phase(Phase.BUILD, sum(len(item.clusters) for item in found.values())):
            cuts, engines = self.build(found)
        with self.phase(Phase.REWRITE):
            return self.rewrite(model, bodies, removed, cuts, engines)

    def inline(self, model: SavedModel, selection: Selection, bodies: Bodies) -> dict[str, str]:
        is_stateful, who_calls = model.catalog.is_stateful, callers(model)
        with self.phase(Phase.INLINE):
            self.ordered = ordered_bodies(Effects(bodies.graphs, is_stateful), bodies.graphs, who_calls)
            result = inline_calls(bodies.graphs, pinned=selection.pinned, callers=who_calls, is_stateful=is_stateful)
            effects = Effects(bodies.graphs, is_stateful, self.ordered)
            for name, graph in bodies.graphs.items():
                if name not in result.removed:
                    relax_control(graph, effects)
        return result.removed

    def inside_engines(
        self, model: SavedModel, found: Mapping[str, Clustering], removed: Mapping[str, str]
    ) -> frozenset[str]:
        """The bodies that need no engines of their own: those of others run them."""
        clustered = {node for item in found.values() for cluster in item.clusters for node in cluster.nodes}
        return inside_engines(self.graphs, clustered, callers=callers(model), removed=removed)

    def build(
        self, found: Mapping[str, Clustering]
    ) -> tuple[dict[str, ClusterGraph], dict[str, tuple[BuiltEngine, ...]]]:
        """Cut-out clusters and their engines, by cluster name; clusters that nobody could build are left out."""
        cuts: dict[str, ClusterGraph] = {}
        engines: dict[str, tuple[BuiltEngine, ...]] = {}
        for function, clustering in found.items():
            for cluster in clustering.clusters:
                self.progress.step(cluster.name)
                piece = self.sized(cut(cluster, self.settings), self.graphs[function])
                built = tuple(self.signed(engine) for engine in self.build_all(piece))
                _log_engine(cluster, built[0] if built else None)
                if built:
                    cuts[cluster.name], engines[cluster.name] = piece, built
                    self.record_engines(function, cluster, built)
        if any(item.backend == "tensorrt" for made in engines.values() for item in made) and runtime.lacks_backend(
            "tensorrt"
        ):
            self.report.notes.append(f"TensorRT's plans do not run in this process: {NOT_BUILT_FOR_TENSORRT}")
        self.report.notes += [
            f"the range of {name} reached no cluster: no size in one follows from it" for name in self.ranges.unused()
        ]
        return cuts, engines

    def sized(self, piece: ClusterGraph, graph: Graph) -> ClusterGraph:
        """The cut-out cluster with what is known of its sizes."""
        samples = [sample for group in self.samples.values() for sample in group]
        seen = observed(graph, piece, samples, self.arguments.get(graph.name, {}))
        return dataclasses.replace(piece, observed=seen, ranges=self.ranges.of(graph, piece), padded=self.padded)

    def signed(self, engine: BuiltEngine) -> BuiltEngine:
        """The engine with a signature where one is wanted."""
        if not self.settings.sign_key:
            return engine
        key = read_private_key(self.settings.sign_key)
        return dataclasses.replace(engine, engine=sign_engine(engine.engine, key))

    def record_engines(self, function: str, cluster: Cluster, engines: Sequence[BuiltEngine]) -> None:
        (item,) = (item for item in self.report.clusters if item.name == cluster.name)
        item.backend = ", then ".join(engine.backend for engine in engines)
        item.seconds = sum(engine.seconds for engine in engines)
        item.details = {key: value for engine in engines for key, value in engine.details}
        item.engine_bytes = sum(len(engine.engine) for engine in engines)
        self.report.notes += [
            f"the range of {' and '.join(self.ranges.origin(cluster.name, symbol))} ends earlier in {cluster.name}:"
            f" {engine.backend} computes what TensorFlow does for sizes up to {limit} there"
            for engine in engines
            for symbol, limit in engine.limits.items()
        ]
        # Constants and reads of variables belong to every cluster that reads them.
        self.inside.update((function, node.name) for node in cluster.nodes)
        totals = self.report.totals
        totals.engines += 1
        totals.engine_bytes += item.engine_bytes
        totals.nodes_in_engines = len(self.inside)
        totals.nominal_flops_in_engines += item.nominal_flops

    def build_all(self, piece: ClusterGraph) -> list[BuiltEngine]:
        """The engine of the first backend that can build one; where it takes some calls only, the next one's too."""
        names = [backend.name for backend in self.backends]
        built: list[BuiltEngine] = []
        for backend in self.backends[names.index(piece.cluster.backend) :]:
            if built and not built[-1].partial:
                break
            if backend.name != piece.cluster.backend and not _takes_all(backend, piece):
                continue
            try:
                engine = backend.build(piece, self.settings)
                check_together(built, engine)
                built.append(engine)
                continue
            except BuildFailure as failure:
                reason = failure.reason
            except Exception as error:  # noqa: BLE001 - whatever a backend raises costs this cluster its engine alone
                reason = f"{type(error).__name__}: {error}"
            _build_log.info("%s: %s failed: %s", piece.cluster.name, backend.name, reason)
            self.report.build_failures.append(FailureReport(piece.cluster.name, backend.name, reason))
            if self.settings.strict:
                raise StrictModeError(f"{backend.name} could not build cluster {piece.cluster.name}: {reason}")
        return built

    def rewrite(
        self,
        model: SavedModel,
        bodies: Bodies,
        removed: Mapping[str, str],
        cuts: Mapping[str, ClusterGraph],
        engines: Mapping[str, tuple[BuiltEngine, ...]],
    ) -> Edit:
        taken = set(model.functions)
        fallbacks: list[Graph] = []
        changed: list[str] = []
        for name in self.graphs:
            mine = [piece for piece in cuts.values() if piece.cluster.name in self.clusters_of(name)]
            replacements = []
            for piece in mine:
                fallback = _free_name(f"blade_fallback_{piece.cluster.name}", taken)
                fallbacks.append(_fallback(piece, fallback))
                if self.settings.portable:
                    end_after_reads(fallbacks[-1])
                replacements.append(Replacement(piece.cluster, engines[piece.cluster.name], fallback))
            if replacements:
                changed.append(name)
                replace_clusters(self.graphs[name], replacements)
                if name != MAIN:
                    end_after_effects(self.graphs[name], lambda op: op == ENGINE_OP or model.catalog.is_stateful(op))
        edit = make_edit(model, bodies, changed, removed, fallbacks)
        edit.portable = self.settings.portable
        return edit

    def clusters_of(self, function: str) -> set[str]:
        return {item.name for item in self.report.clusters if item.function == function}

    def record(self, verdicts: Mapping[str, Sequence[Verdict]], found: Mapping[str, Clustering]) -> None:
        """Totals, clusters and refusals.

        Raises:
            StrictModeError: a node that a backend has a rule for was refused, in strict mode.
        """
        totals = self.report.totals
        totals.bodies = len(verdicts)
        for function, items in verdicts.items():
            totals.nodes += sum(item.node.op not in PLUMBING for item in items)
            totals.nominal_flops += sum(nominal(item.flops) for item in items)
            for item in items:
                if not item.backend:
                    self.record_refusals(function, item.node, item.refusals)
            self.report.clusters.extend(_cluster_report(cluster, function) for cluster in found[function].clusters)
            for refusal in found[function].refusals:
                for node in refusal.nodes:
                    self.report.refusals.append(RefusalReport(node.name, node.op, function, "", refusal.reason))

    def record_refusals(self, function: str, node: Node, refusals: Sequence[tuple[str, Unsupported]]) -> None:
        for backend, error in refusals:
            self.report.refusals.append(RefusalReport(node.name, node.op, function, backend, error.reason))
            if self.settings.strict and _is_rules_own(node, backend, error.reason):
                raise StrictModeError(f"{backend} cannot take node {node.name} ({node.op}): {error.reason}")

    def verify(self, src: Path, folder: Path) -> None:
        """Compares results.

        Raises:
            VerificationError: they differ by more than the tolerance.
        """
        from tf_blade.verify import verify_saved_model

        result = verify_saved_model(
            src, folder, signatures=self.settings.signatures, sample_inputs=self.samples, rtol=self.settings.rtol
        )
        if not result.ok:
            raise VerificationError(f"results differ from the original's; nothing was published\n{result.to_text()}")
        for name, reason in result.inconclusive.items():
            self.report.notes.append(f"{name} was not verified: {reason}")
        for reason, count in result.fallbacks.items():
            self.report.notes.append(f"{count} of {result.calls} calls of engines fell back in verification: {reason}")


def _without_effect(settings: Settings) -> list[str]:
    """Options of TensorRT that are given though it is not among the backends."""
    if _TENSORRT in settings.backends:
        return []
    own = (item for item in dataclasses.fields(settings) if item.name.startswith(f"{_TENSORRT}_"))
    return [item.name for item in own if getattr(settings, item.name) != item.default]


def _log_engine(cluster: Cluster, engine: BuiltEngine | None) -> None:
    if engine is None:
        _build_log.info("%s stays TensorFlow", cluster.name)
        return
    size, details = len(engine.engine), ", ".join(f"{key}: {value}" for key, value in engine.details)
    _build_log.info("%s: %s, %d bytes, %.2f s; %s", cluster.name, engine.backend, size, engine.seconds, details)


def _takes_all(backend: Backend, piece: ClusterGraph) -> bool:
    try:
        for node in piece.cluster.nodes:
            backend.examine(node)
    except Unsupported:
        return False
    return True


def _is_rules_own(node: Node, backend: str, reason: str) -> bool:
    """Whether a backend that knows the op refused this node; not that no engine could ever take it."""
    try:
        registry.get_backend(backend).examine(node)
    except Unsupported as error:
        return error.reason == reason and not reason.startswith("no rule for op")
    return False


def _free_name(base: str, taken: set[str]) -> str:
    name, count = base, 0
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    taken.add(name)
    return name


def _fallback(piece: ClusterGraph, name: str) -> Graph:
    """The cut-out cluster as the function that runs when no engine does: on the devices the model asked for."""
    graph = piece.graph
    graph.name = name
    for node in piece.cluster.nodes:
        if node.name in graph:
            graph.node(node.name).device = node.device
    return graph


def _cluster_report(cluster: Cluster, function: str) -> ClusterReport:
    return ClusterReport(
        name=cluster.name,
        function=function,
        backend="",
        nodes=len(cluster.nodes),
        ops=dict(sorted(Counter(node.op for node in cluster.nodes).items())),
        flops=str(cluster.flops),
        nominal_flops=nominal(cluster.flops),
        candidate=cluster.backend,
    )


def _dump(phase: Phase, graphs: Mapping[str, Graph], folder: str) -> None:
    """Prints the graphs, to files of a folder or to standard error."""
    for name, graph in graphs.items():
        text = print_graph(graph)
        if folder:
            path = Path(folder)
            file = f"{phase.label}.{name or 'main'}.txt".replace("/", "_")  # TF1's functions may have such names
            try:
                path.mkdir(parents=True, exist_ok=True)
                (path / file).write_text(text)
            except OSError as error:
                raise TfBladeError(f"dumps cannot be written to {folder} (--dump-dir): {error.strerror}") from error
        else:
            sys.stderr.write(f"--- {phase.label}: {name or 'main graph'}\n{text}\n")
