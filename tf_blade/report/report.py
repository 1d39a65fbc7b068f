"""What an optimization did: the record that the pipeline fills in, and that prints as text or JSON."""

from __future__ import annotations

import dataclasses


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
        backend: whose engine it got; "" when it stayed TensorFlow.
        nodes: number of nodes.
        ops: how many nodes of each op.
        flops: estimated floating point operations of one call, as a formula of the unknown dimensions.
        nominal_flops: the same at small nominal sizes of the unknown dimensions.
        engine_bytes: size of the engine.
        seconds: time the build took.
        details: whatever the backend tells.
    """

    name: str
    function: str
    backend: str
    nodes: int
    ops: dict[str, int]
    flops: str
    nominal_flops: int
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


@dataclasses.dataclass
class FailureReport:
    """A cluster that a backend could not build."""

    cluster: str
    backend: str
    reason: str


@dataclasses.dataclass
class Totals:
    """Nodes and nominal FLOPs of all optimized bodies, and those inside engines."""

    bodies: int = 0
    nodes: int = 0
    nodes_in_engines: int = 0
    nominal_flops: int = 0
    nominal_flops_in_engines: int = 0
    engines: int = 0
    engine_bytes: int = 0


@dataclasses.dataclass
class Report:
    """The whole record.

    Attributes:
        source: the original SavedModel.
        target: the optimized one; "" when nothing was written.
        totals: sums over all bodies.
        clusters: in the order of the bodies.
        refusals: nodes, with reasons.
        failures: clusters that could not be built.
        notes: anything else worth knowing, e.g. bodies that could not be read.
        phases: in order.
    """

    source: str
    target: str = ""
    totals: Totals = dataclasses.field(default_factory=Totals)
    clusters: list[ClusterReport] = dataclasses.field(default_factory=list)
    refusals: list[RefusalReport] = dataclasses.field(default_factory=list)
    failures: list[FailureReport] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    phases: list[PhaseReport] = dataclasses.field(default_factory=list)
