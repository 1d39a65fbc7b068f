"""The stages' results, as types: each stage takes one and gives the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from tf_blade.errors import Unsupported
from tf_blade.graph.graph import Graph, Node, Tensor
from tf_blade.settings import Settings
from tf_blade.symbolic import Dim


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a backend can take a node.

    Attributes:
        node: the node.
        backend: the first backend, in order of preference, that can take it; "" when none can.
        refusals: each refusing backend's reason.
        flops: estimated floating point operations of one call.
    """

    node: Node
    backend: str
    refusals: tuple[tuple[str, Unsupported], ...]
    flops: Dim


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Nodes of one graph that become one engine.

    Attributes:
        name: unique in the SavedModel, a C identifier.
        backend: the backend that supports all of its nodes.
        nodes: in topological order.
        inputs: tensors read that others make, in order of first use.
        outputs: tensors made that others, or the graph's outputs, read.
        flops: estimated floating point operations of one call.
    """

    name: str
    backend: str
    nodes: tuple[Node, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    flops: Dim


@dataclasses.dataclass(frozen=True)
class ClusterGraph:
    """A cluster cut out as a graph of its own: what a backend compiles, and what becomes the fallback function.

    Attributes:
        cluster: where it was cut from.
        graph: `_Arg` inputs in the order of `cluster.inputs`, outputs in that of `cluster.outputs`.
        weights: names of the inputs that are large constants; variables' handles are weights too.
        observed: for each of the sample inputs, what is known of the sizes that `graph` names.
        ranges: of these sizes, where somebody gave them: the least, the one to tune for, and the largest.
        padded: the sizes that a server pads batches to.
    """

    cluster: Cluster
    graph: Graph
    weights: frozenset[str]
    observed: tuple[Mapping[str, int], ...] = ()
    ranges: Mapping[str, tuple[int, int, int]] = dataclasses.field(default_factory=dict)
    padded: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class BuiltEngine:
    """What a backend made of a cluster.

    Attributes:
        backend: its name.
        engine: the engine file's bytes (see engines/format.py).
        seconds: time the build took.
        details: anything worth showing, e.g. the kernels; keys and values as text.
        partial: it takes some of the calls only; the engine of the next backend is for the others.
        limits: of sizes, as the cluster's graph names them, whose given ranges the engine does not reach the end of.
    """

    backend: str
    engine: bytes
    seconds: float
    details: tuple[tuple[str, str], ...] = ()
    partial: bool = False
    limits: Mapping[str, int] = dataclasses.field(default_factory=dict)


class Backend(Protocol):
    """What turns clusters into engines."""

    @property
    def name(self) -> str: ...

    def examine(self, node: Node) -> Dim:
        """Estimated FLOPs of a node that the backend can take.

        Raises:
            Unsupported: it cannot.
        """
        ...

    def build(self, cluster: ClusterGraph, settings: Settings) -> BuiltEngine:
        """Compiles a cluster.

        Raises:
            BuildFailure: it cannot be done; says why.
        """
        ...


@runtime_checkable
class MayBeMissing(Protocol):
    """A backend that builds with something that need not be installed."""

    def missing(self) -> str:
        """Why the backend can build nothing here, and what to install; "" when it can."""
        ...


@runtime_checkable
class ChecksSettings(Protocol):
    """A backend that knows of settings what only the installed version of something tells."""

    def check(self, settings: Settings) -> None:
        """Refuses settings that nothing could be built with.

        Raises:
            InvalidInputError: says which, and what is allowed.
        """
        ...
