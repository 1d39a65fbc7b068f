"""Building, optimizing and calling the small models, for the tests of this folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tests.saved_model.models import Case
from tf_blade.backends import registry
from tf_blade.backends.disc.lower import examine_node
from tf_blade.errors import BuildFailure, Unsupported
from tf_blade.graph.graph import Node
from tf_blade.settings import Settings
from tf_blade.stages import BuiltEngine, ClusterGraph
from tf_blade.symbolic import Dim

# Everything that a backend takes becomes an engine, however small.
EAGER: dict[str, Any] = {"min_cluster_nodes": 1, "min_cluster_gain_us": -1e9}


class NoEngine:
    """Takes what DISC takes and builds engines that never run: each call takes the fallback function."""

    name = "no_engine"

    def examine(self, node: Node) -> Dim:
        return examine_node(node).flops

    def build(self, cluster: ClusterGraph, settings: Settings) -> BuiltEngine:
        return BuiltEngine(self.name, b"none", 0.0)


class Broken(NoEngine):
    """Fails to build, in one of two ways."""

    name = "broken"

    def __init__(self, error: type[Exception] = BuildFailure) -> None:
        self._error = error

    def build(self, cluster: ClusterGraph, settings: Settings) -> BuiltEngine:
        raise self._error("out of luck")


class NoRelu(NoEngine):
    """Knows Relu, and refuses it."""

    name = "no_relu"

    def examine(self, node: Node) -> Dim:
        if node.op == "Relu":
            raise Unsupported("not today")
        return super().examine(node)


def register() -> None:
    registry.register("no_engine", NoEngine)
    registry.register("no_relu", NoRelu)
    registry.register("broken", Broken)
    registry.register("raising", lambda: _named(Broken(ZeroDivisionError), "raising"))


def _named(backend: Broken, name: str) -> Broken:
    backend.name = name
    return backend


def digest(folder: Path) -> dict[str, str]:
    """A hash of each file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def results(folder: Path, case: Case) -> Iterator[tuple[str, Any]]:
    """What a freshly loaded model answers to all calls of a case, in order: state shows if it is lost or doubled."""
    model = tf.saved_model.load(str(folder))
    for _ in range(2):
        for signature, feeds in case.feeds.items():
            inputs = {name: tf.constant(value) for name, value in feeds.items()}
            for name, value in sorted(model.signatures[signature](**inputs).items()):
                yield f"{signature}/{name}", value.numpy()
        for index, call in enumerate(case.calls):
            for position, value in enumerate(tf.nest.flatten(call(model))):
                yield f"call {index}/{position}", value.numpy()


def results_of_session(folder: Path, case: Case) -> Iterator[tuple[str, Any]]:
    """The same by TF1's loader, as a server does, and once more through ops that extend the session's graph."""
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        for extended in (False, True):
            for signature, feeds in case.feeds.items():
                spec = meta_graph.signature_def[signature]
                feed = {spec.inputs[name].name: value for name, value in feeds.items()}
                for name, info in sorted(spec.outputs.items()):
                    tensor = graph.get_tensor_by_name(info.name)
                    value = session.run(tf.identity(tensor) if extended else tensor, feed)
                    yield f"{signature}/{name}{' extended' if extended else ''}", value


def same(expected: Any, found: Any) -> bool:
    """Equal, for floats up to rounding."""
    expected, found = np.asarray(expected), np.asarray(found)
    if expected.dtype != found.dtype or expected.shape != found.shape:
        return False
    if expected.dtype.kind == "f":
        scale = max(float(np.max(np.abs(expected), initial=0.0)), 1e-30)
        return bool(np.max(np.abs(expected - found), initial=0.0) <= 1e-5 * scale)
    return bool(np.array_equal(expected, found))
