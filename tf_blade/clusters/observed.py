"""Which sizes a cluster's unknown dimensions have in the sample inputs of a model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import sympy

from tf_blade import symbolic
from tf_blade.dtypes import DType
from tf_blade.graph.graph import Graph, Node
from tf_blade.stages import ClusterGraph

Sample = Mapping[str, np.ndarray]


def observed(
    graph: Graph,
    piece: ClusterGraph,
    samples: Iterable[Sample],
    inputs: Mapping[str, frozenset[str]] = MappingProxyType({}),
) -> tuple[dict[str, int], ...]:
    """For each sample that fits the graph's arguments, the values of the cut-out cluster's symbols that follow from it.

    Args:
        graph: the function or main graph that the cluster was cut from.
        piece: the cluster.
        samples: inputs of signatures, by name.
        inputs: which of them each of the graph's arguments is, where that is known.
    """
    found = []
    for sample in samples:
        for values in _bound(graph, sample, inputs):
            sizes = _sizes(piece, values) if values else {}
            if sizes and sizes not in found:
                found.append(sizes)
    return tuple(found)


def _bound(graph: Graph, sample: Sample, inputs: Mapping[str, frozenset[str]]) -> Iterator[dict[str, int]]:
    """The graph's symbols that are dimensions of its arguments, where these are the sample's inputs, in each call."""
    arguments = [node for node in graph.inputs if node.outputs[0].dtype not in (DType.RESOURCE, DType.VARIANT)]
    for pairs in _pairs(arguments, sample, inputs):
        yield _values(pairs)


def _values(pairs: Sequence[tuple[Node, np.ndarray]]) -> dict[str, int]:
    """Of the symbols that are dimensions of arguments; none where the sizes contradict each other."""
    values: dict[str, int] = {}
    for node, array in pairs:
        for dim, size in zip(node.outputs[0].shape or (), array.shape, strict=True):
            if isinstance(dim, int):
                if dim != size:
                    return {}
            elif isinstance(dim, sympy.Symbol) and values.setdefault(str(dim.name), size) != size:
                return {}
    return values


def _pairs(
    arguments: Sequence[Node], sample: Sample, inputs: Mapping[str, frozenset[str]]
) -> Iterator[list[tuple[Node, np.ndarray]]]:
    """Arguments with the arrays that they are, or those of their names; or all of them in order, where nothing is known
    and there are as many and ranks agree. Where calls have different inputs for an argument, one after the other.
    """
    taken = frozenset[str]().union(*inputs.values())
    choices = [
        sorted(name for name in inputs.get(node.name) or {node.name} - taken if name in sample) for node in arguments
    ]
    if not any(choices) and not inputs and len(arguments) == len(sample):
        choices = [[name] for name in sorted(sample)]
    for number in range(max(map(len, choices), default=0)):
        chosen = [
            (node, sample[names[min(number, len(names) - 1)]])
            for node, names in zip(arguments, choices, strict=True)
            if names
        ]
        yield [(node, array) for node, array in chosen if len(node.outputs[0].shape or ()) == np.ndim(array)]


def _sizes(piece: ClusterGraph, values: Mapping[str, int]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for tensor, node in zip(piece.cluster.inputs, piece.graph.inputs, strict=True):
        for old, new in zip(tensor.shape or (), node.outputs[0].shape or (), strict=True):
            names = [str(item.name) for item in symbolic.free_symbols([old])]
            if isinstance(new, sympy.Symbol) and all(name in values for name in names):
                with contextlib.suppress(ZeroDivisionError):  # the sample has no such size
                    sizes[str(new.name)] = symbolic.evaluate(old, {name: values[name] for name in names})
    return sizes
