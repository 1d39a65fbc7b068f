"""What an optimization did: the record that the pipeline fills in, and that prints as text or JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

from tf_blade.report import text

# Nodes that only stand for something given from outside: they are counted nowhere, and the text leaves them out.
PLUMBING = frozenset({"_Arg", "Placeholder", "VarHandleOp"})


@dataclasses.dataclass
class PhaseReport:
    """One phase of the pipeline and the seconds it took."""

    name: str
    seconds: float


@dataclasses.dataclass
class ClusterReport:
    """One cluster.

    Attributes:
        name: unique in the SavedModel.
        function: the function body it is in, "" for the main graph.
        backend: whose engine it got; "" when it has none.
        nodes: number of nodes.
        ops: how many nodes of each op.
        flops: estimated floating point operations of one call, as a formula of the unknown dimensions.
        nominal_flops: the same at small nominal sizes of the unknown dimensions.
        candidate: the first backend, in order of preference, that takes all of its nodes.
        engine_bytes: size of the engine.
        seconds: time the build took.
        details: whatever the backend tells, e.g. its kernels.
    """

    name: str
    function: str
    backend: str
    nodes: int
    ops: dict[str, int]
    flops: str
    nominal_flops: int
    candidate: str = ""
    engine_bytes: int = 0
    seconds: float = 0.0
    details: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class RefusalReport:
    """A node that stayed TensorFlow, and why. `backend` is "" when no backend was asked (the cluster did not pay)."""

    node: str
    op: str
    function: str
    backend: str
    reason: str


@dataclasses.dataclass(frozen=True)
class RefusalGroup:
    """Nodes of one op that stayed TensorFlow for one reason; each is (function, node)."""

    op: str
    backend: str
    reason: str
    nodes: tuple[tuple[str, str], ...]


@dataclasses.dataclass
class FailureReport:
    """A cluster that a backend could not build."""

    cluster: str
    backend: str
    reason: str


@dataclasses.dataclass
class WrittenReport:
    """What was written.

    Attributes:
        bytes: of all files of the target.
        portable: whether TensorFlow without the op library serves it too: it has no engine op, portable calls at most.
        engines: number of engine ops and portable calls in it, those of earlier optimizations included.
    """

    bytes: int
    portable: bool
    engines: int

    def line(self) -> str:
        """As the report has it."""
        if not self.engines:
            form = "no engines: TensorFlow runs all of it"
        elif self.portable:
            form = "portable: TensorFlow without the op library serves it too, without engines"
        else:
            form = "not portable: whatever serves it needs the op library"
        return f"  written  {text.size(self.bytes)}, {form}"


@dataclasses.dataclass
class Totals:
    """Nodes (without arguments) and nominal FLOPs of all optimized bodies, and those inside engines.

    Attributes:
        engines: number of clusters that got engines.
        engine_bytes: size of these engines.
        earlier_engines: number of engine ops and portable calls of earlier optimizations; what their engines hold is in
            no other of these numbers.
    """

    bodies: int = 0
    nodes: int = 0
    nodes_in_engines: int = 0
    nominal_flops: int = 0
    nominal_flops_in_engines: int = 0
    engines: int = 0
    engine_bytes: int = 0
    earlier_engines: int = 0


@dataclasses.dataclass
class Report:
    """The whole record.

    Attributes:
        source: the original SavedModel.
        target: the optimized one; "" when nothing was written.
        written: what that is; None when nothing was written.
        totals: sums over all bodies.
        clusters: in the order of the bodies.
        refusals: nodes, with reasons.
        build_failures: clusters that a backend could not build.
        notes: anything else worth knowing, e.g. bodies that could not be read.
        phases: in order.
    """

    source: str
    target: str = ""
    written: WrittenReport | None = None
    totals: Totals = dataclasses.field(default_factory=Totals)
    clusters: list[ClusterReport] = dataclasses.field(default_factory=list)
    refusals: list[RefusalReport] = dataclasses.field(default_factory=list)
    build_failures: list[FailureReport] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    phases: list[PhaseReport] = dataclasses.field(default_factory=list)

    @property
    def engine_flops_share(self) -> float:
        """Share of the estimated FLOPs of one call that run in engines, 0 to 1; 1 when there are none at all."""
        return _share(self.totals.nominal_flops_in_engines, self.totals.nominal_flops)

    @property
    def engine_nodes_share(self) -> float:
        """Share of the nodes that are in engines, 0 to 1; 1 when there are none at all."""
        return _share(self.totals.nodes_in_engines, self.totals.nodes)

    def refusal_groups(self) -> list[RefusalGroup]:
        """The refusals by op, backend and reason, the largest groups first."""
        groups: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
        for item in self.refusals:
            groups.setdefault((item.op, item.backend, item.reason), []).append((item.function, item.node))
        found = [RefusalGroup(*key, tuple(nodes)) for key, nodes in groups.items()]
        return sorted(found, key=lambda group: (-len(group.nodes), group.op, group.backend, group.reason))

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain lists and dicts."""
        result = dataclasses.asdict(self)
        totals: dict[str, Any] = result["totals"]
        totals.update(engine_nodes_share=self.engine_nodes_share, engine_flops_share=self.engine_flops_share)
        result["refusals"] = [_group_dict(group) for group in self.refusal_groups()]
        return result

    def to_json(self) -> str:
        """Everything, as JSON; refusals by op and reason, with the names of all nodes."""
        return json.dumps(self.to_dict(), indent=2)

    def to_text(self) -> str:
        """What a person wants to know, in lines."""
        return "\n".join([self._title(), *self._overview(), *self.sections()])

    def __str__(self) -> str:
        return self.to_text()

    def sections(self) -> list[str]:
        """The text below the overview: clusters, failures, refusals, notes and phases, each where there is one."""
        groups = self.refusal_groups()
        return [
            *text.section("clusters", cluster_table(self.clusters)),
            *text.section("not built, so TensorFlow runs them", _failure_lines(self.build_failures)),
            *text.section("stays TensorFlow", refusal_table(item for item in groups if item.op not in PLUMBING)),
            *text.section("notes", self.notes),
            *text.section("phases", _phase_lines(self.phases)),
        ]

    def _title(self) -> str:
        return f"{self.source} -> {self.target}" if self.target else f"{self.source} (nothing written)"

    def _overview(self) -> list[str]:
        totals, lines = self.totals, [self.written.line()] if self.written is not None else []
        built = sum(item.seconds for item in self.clusters)
        engines = f"{totals.engines} in {text.count(totals.bodies, 'body', 'bodies')}"
        lines.append(f"  engines  {engines}, {text.size(totals.engine_bytes)}, built in {text.seconds(built)}")
        if totals.earlier_engines:
            kept = text.count(totals.earlier_engines, "engine op", "engine ops")
            lines.append(f"  earlier  {kept} of an earlier optimization; what these hold is not counted below")
        share = f"({self.engine_nodes_share:.1%})"
        lines.append(f"  nodes    {totals.nodes_in_engines} of {totals.nodes} in engines {share}")
        if totals.nominal_flops:
            flops, whole = text.flops(totals.nominal_flops_in_engines), text.flops(totals.nominal_flops)
            estimate = "an estimate of one call at small sizes of unknown dimensions"
            lines.append(f"  FLOPs    {flops} of {whole} in engines ({self.engine_flops_share:.1%}); {estimate}")
        else:
            lines.append(f"  FLOPs    no {'other ' if totals.earlier_engines else ''}floating-point work")
        return lines


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _group_dict(group: RefusalGroup) -> dict[str, Any]:
    return {
        "op": group.op,
        "backend": group.backend,
        "reason": group.reason,
        "count": len(group.nodes),
        "nodes": [{"function": function, "node": node} for function, node in group.nodes],
    }


def cluster_table(clusters: Iterable[ClusterReport]) -> list[str]:
    """One row for each cluster."""
    rows = [
        (
            item.name,
            item.function or "main graph",
            str(item.nodes),
            text.flops(item.nominal_flops),
            item.backend or (f"none of {item.candidate}" if item.candidate else "none"),
            text.size(item.engine_bytes) if item.backend else "",
            text.seconds(item.seconds) if item.backend else "",
            text.shorten(item.flops, 60),
            "; ".join(f"{key}: {value}" for key, value in item.details.items()),
        )
        for item in clusters
    ]
    head = ("cluster", "function", "nodes", "FLOPs", "engine", "size", "built in", "FLOPs of any size", "details")
    return text.table(head, rows, right=(2, 3, 5, 6))


def refusal_table(groups: Iterable[RefusalGroup]) -> list[str]:
    """One row for each op and reason, with the first few nodes."""
    rows = [
        (
            str(len(group.nodes)),
            group.op,
            f"{group.backend}: {group.reason}" if group.backend else group.reason,
            text.first_few([node for _, node in group.nodes]),
        )
        for group in groups
    ]
    return text.table(("nodes", "op", "reason", "which"), rows, right=(0,))


def _failure_lines(failures: Iterable[FailureReport]) -> list[str]:
    return [f"{item.cluster} ({item.backend}): {item.reason}" for item in failures]


def _phase_lines(phases: Iterable[PhaseReport]) -> list[str]:
    joined = ", ".join(f"{item.name} {text.seconds(item.seconds)}" for item in phases)
    return [joined] if joined else []
