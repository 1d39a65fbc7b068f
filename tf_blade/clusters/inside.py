"""Functions that only engines run: the bodies of loops and branches that are part of clusters."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tf_blade.graph.graph import Graph, Node


def inside_engines(
    graphs: Mapping[str, Graph],
    clustered: Collection[Node],
    *,
    callers: Mapping[str, Collection[str]],
    removed: Collection[str],
) -> frozenset[str]:
    """Names of bodies that no node calls but those in clusters, directly or through each other.

    Args:
        graphs: all bodies, by function name.
        clustered: the nodes of all clusters.
        callers: for each function, who calls it in the model as it was, bodies or not.
        removed: functions that were inlined: they call nothing any more.
    """
    called = {name for graph in graphs.values() for node in graph.nodes for name in _called(node)}
    known = {*graphs, *removed}
    alive = [
        name for name in graphs if name not in called or any(caller not in known for caller in callers.get(name, ()))
    ]
    seen = set(alive)
    while alive:
        for node in graphs[alive.pop()].nodes:
            if node in clustered:
                continue
            for name in _called(node):
                if name in graphs and name not in seen:
                    seen.add(name)
                    alive.append(name)
    return frozenset(name for name in graphs if name not in seen)


def _called(node: Node) -> list[str]:
    return [node.op, *(item.name for item in node.functions())]
