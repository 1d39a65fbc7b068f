"""Bodies as graphs, taken out of a SavedModel and put back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported
from tf_blade.graph.graph import Graph
from tf_blade.graph.graphdef import (
    function_def_from_graph,
    graph_def_from_graph,
    graph_from_function_def,
    graph_from_graph_def,
)
from tf_blade.saved_model.handles import annotate_handles
from tf_blade.saved_model.model import FunctionDef, SavedModel
from tf_blade.saved_model.selection import Selection
from tf_blade.saved_model.stand_ins import add_stand_ins, captured_tensors, output_types
from tf_blade.saved_model.writer import Edit

MAIN = ""


@dataclasses.dataclass(frozen=True)
class Bodies:
    """The bodies to optimize.

    Attributes:
        graphs: by function name, the main graph's part under `MAIN`.
        main_nodes: names of the main graph's part's nodes, as they were.
        unreadable: bodies that must stay as they are, with reasons.
        captured: for each body, the nodes whose outputs the object graph names, with these outputs' types.
    """

    graphs: dict[str, Graph]
    main_nodes: tuple[str, ...]
    unreadable: tuple[tuple[str, Unsupported], ...]
    captured: Mapping[str, Mapping[str, tuple[DType, ...]]]


def read_bodies(model: SavedModel, selection: Selection) -> Bodies:
    """The selected bodies as graphs."""
    graphs: dict[str, Graph] = {}
    unreadable: list[tuple[str, Unsupported]] = []
    main = selection.main
    if main is not None:
        try:
            graphs[MAIN] = graph_from_graph_def(
                model.meta_graph.graph_def,
                model.catalog,
                feeds=main.feeds,
                fetches=main.fetches,
                targets=main.targets,
                keep=main.keep,
            )
            graphs[MAIN].demands = _demands(graphs[MAIN], main.reaches)
        except Unsupported as error:
            unreadable.append((MAIN, error))
    for name in selection.bodies:
        try:
            graphs[name] = graph_from_function_def(model.functions[name], model.catalog)
        except Unsupported as error:
            unreadable.append((name, error))
    annotate_handles(model, graphs)
    main_nodes = tuple(node.name for node in graphs[MAIN].nodes) if MAIN in graphs else ()
    captured = {
        name: output_types(graphs[name], tensors) for name, tensors in captured_tensors(model).items() if name in graphs
    }
    return Bodies(graphs, main_nodes, tuple(unreadable), captured)


def _demands(graph: Graph, reaches: Iterable[frozenset[str]]) -> tuple[frozenset[str], ...]:
    """The outputs of the main graph's part that each signature's nodes are, or are computed by the rest from."""
    named = [(output.name, output.tensor.node.name) for output in graph.outputs]
    named += [(name, node.name) for name, node in graph.control_outputs]
    return tuple(frozenset(name for name, node in named if node in reach) for reach in reaches)


def make_edit(
    model: SavedModel,
    bodies: Bodies,
    changed: Iterable[str],
    removed: Mapping[str, str],
    fallbacks: Iterable[Graph],
) -> Edit:
    """The difference between the model and the one with engines.

    Args:
        model: the original.
        bodies: its bodies, rewritten.
        changed: names of the bodies that hold engines; all others stay as they were.
        removed: functions that were inlined, with the body that they went into. They disappear if that body changed,
            or disappears itself.
        fallbacks: bodies of new functions.
    """
    changed = set(changed)
    added: list[FunctionDef] = []
    for graph in fallbacks:
        added.append(function_def_from_graph(graph, None, model.catalog))
        model.catalog.add_function(added[-1])
    for name, types in bodies.captured.items():
        if name in changed:
            add_stand_ins(bodies.graphs[name], types)
    functions = {
        name: function_def_from_graph(bodies.graphs[name], model.functions[name], model.catalog)
        for name in bodies.graphs
        if name in changed and name != MAIN
    }
    main = None
    if MAIN in changed:
        original = model.meta_graph.graph_def
        main = graph_def_from_graph(bodies.graphs[MAIN], original, model.catalog, before=bodies.main_nodes)
    return Edit(functions, [name for name in removed if _is_gone(name, removed, changed)], added, main)


def _is_gone(name: str, removed: Mapping[str, str], changed: set[str]) -> bool:
    while name in removed:
        name = removed[name]
    return name in changed
