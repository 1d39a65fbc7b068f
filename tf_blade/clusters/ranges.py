"""Ranges of inputs' sizes that somebody wants engines for: read, checked, and followed into clusters."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import sympy

from tf_blade import symbolic
from tf_blade.dtypes import DType
from tf_blade.errors import InvalidInputError, TfBladeError
from tf_blade.graph.graph import Graph, Node
from tf_blade.inputs import InputSpec
from tf_blade.stages import ClusterGraph
from tf_blade.symbolic import Dim

Bounds = tuple[int, int, int]
_TEXT = re.compile(r"(.+)\[(\d+)\]=(\d+)(?::(\d+))?(?::(\d+))?")
_HOW = "write NAME[AXIS]=MIN:OPT:MAX, as tokens[1]=1:64:128; MIN:MAX is tuned for MAX"


@dataclasses.dataclass(frozen=True)
class SizeRange:
    """The sizes of one dimension of an input: the least, the one to tune for, and the largest."""

    input: str
    axis: int
    bounds: Bounds

    @property
    def name(self) -> str:
        return f"{self.input}[{self.axis}]"


def parse_ranges(texts: Sequence[str]) -> tuple[SizeRange, ...]:
    """The ranges of texts as `tokens[1]=1:64:128`.

    Raises:
        TfBladeError: one is no range, or a dimension has two.
    """
    ranges = tuple(_parse(text) for text in texts)
    for number, item in enumerate(ranges):
        if any((item.input, item.axis) == (other.input, other.axis) for other in ranges[:number]):
            raise TfBladeError(f"{item.name} is given two ranges")
    return ranges


def _parse(text: str) -> SizeRange:
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise TfBladeError(f"{text!r} is no range of sizes: {_HOW}")
    name, axis, *numbers = found.groups()
    sizes = [int(number) for number in numbers if number is not None]
    least, typical, largest = sizes[0], sizes[len(sizes) // 2], sizes[-1]
    if not 1 <= least <= typical <= largest < 2**31:
        raise TfBladeError(f"{text!r} is no range of sizes: they must be 1 or more, and grow; {_HOW}")
    return SizeRange(name, int(axis), (least, typical, largest))


class GivenRanges:
    """Ranges for a model's signatures, and where they came to.

    Args:
        ranges: what is wanted.
        signatures: the inputs of each signature, by name.
        arguments: for each body that signatures call, the inputs that its arguments are.

    Raises:
        InvalidInputError: no signature has such an input, or its dimension is another.
    """

    def __init__(
        self,
        ranges: Sequence[SizeRange] = (),
        signatures: Mapping[str, Sequence[InputSpec]] = MappingProxyType({}),
        arguments: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType({}),
    ) -> None:
        self._ranges = {(item.input, item.axis): item for item in ranges}
        self._inputs = [{spec.name: spec for spec in specs} for specs in signatures.values()]
        self._arguments = arguments
        self._origins: dict[tuple[str, str], tuple[str, ...]] = {}
        for item in ranges:
            _check(item, signatures)

    def of(self, graph: Graph, piece: ClusterGraph) -> dict[str, Bounds]:
        """Ranges of the symbols of a cluster that was cut from a graph; of those alone that follow from what is given.

        Raises:
            InvalidInputError: one size is given two different ranges.
        """
        known = self._bound(graph) if self._ranges else {}
        found: dict[str, Bounds] = {}
        for tensor, node in zip(piece.cluster.inputs, piece.graph.inputs, strict=True):
            for old, new in zip(tensor.shape or (), node.outputs[0].shape or (), strict=True):
                names = [str(item.name) for item in symbolic.free_symbols([old])]
                if not isinstance(new, sympy.Symbol) or not names or not all(name in known for name in names):
                    continue
                bounds = _bounds(old, {name: known[name].bounds for name in names})
                if bounds is not None:
                    found[str(new.name)] = bounds
                    origin = dict.fromkeys(item for name in names for item in known[name].names)
                    self._origins[piece.cluster.name, str(new.name)] = tuple(origin)
        return found

    def unused(self) -> list[str]:
        """Those that no cluster's sizes followed from."""
        used = {name for names in self._origins.values() for name in names}
        return [item.name for item in self._ranges.values() if item.name not in used]

    def origin(self, cluster: str, symbol: str) -> tuple[str, ...]:
        """Those that the range of a cluster's symbol followed from, as `x[1]`."""
        return self._origins.get((cluster, symbol), ())

    def _bound(self, graph: Graph) -> dict[str, _Given]:
        """What is given for each symbol of the graph's arguments."""
        known: dict[str, _Given] = {}
        for node, inputs in self._arguments_of(graph):
            for axis, dim in enumerate(node.outputs[0].shape or ()):
                items = [self._ranges[name, axis] for name in sorted(inputs) if (name, axis) in self._ranges]
                if not items or not isinstance(dim, sympy.Symbol):
                    continue
                names = tuple(item.name for item in items)
                given = _Given(_around([item.bounds for item in items]), names, is_one_input=len(inputs) == 1)
                before = known.get(str(dim.name))
                known[str(dim.name)] = given if before is None else before.joined(given)
        return known

    def _arguments_of(self, graph: Graph) -> Iterator[tuple[Node, frozenset[str]]]:
        """The graph's arguments with the inputs that they are: those that signatures call it with, else those of their
        names; where neither is known, those of their kind, if these have the same ranges.
        """
        called = self._arguments.get(graph.name, {})
        taken = frozenset[str]().union(*called.values())
        there = {name for inputs in self._inputs for name in inputs}
        found = {
            node: called.get(node.name) or (frozenset({node.name}) & there) - taken
            for node in graph.inputs
            if node.outputs[0].dtype not in (DType.RESOURCE, DType.VARIANT)
        }
        if not called and not any(found.values()):
            found = {node: self._of_kind(node, list(found)) for node in found}
        yield from found.items()

    def _of_kind(self, argument: Node, arguments: Sequence[Node]) -> frozenset[str]:
        """The inputs that an argument may be: those of its type and rank, of signatures whose inputs are such arguments
        as these. None where it matters which one it is.
        """
        kinds = Counter(_kind(node) for node in arguments)
        kind = _kind(argument)
        names = {
            spec.name
            for inputs in self._inputs
            if Counter(_kind_of(spec) for spec in inputs.values()) == kinds
            for spec in inputs.values()
            if _kind_of(spec) == kind
        }
        wanted = {tuple(self._bounds_given(name, axis) for axis in range(kind[1] or 0)) for name in names}
        return frozenset(names if len(wanted) == 1 else ())

    def _bounds_given(self, name: str, axis: int) -> Bounds | None:
        item = self._ranges.get((name, axis))
        return None if item is None else item.bounds


@dataclasses.dataclass(frozen=True)
class _Given:
    """A range, and the dimensions of inputs that it is given for: of one input, or of one in each of several calls."""

    bounds: Bounds
    names: tuple[str, ...]
    is_one_input: bool

    def joined(self, other: _Given) -> _Given:
        """With what is given for another argument's dimension that always equals this one.

        Raises:
            InvalidInputError: two inputs of one call are given different ranges.
        """
        is_one_input = self.is_one_input and other.is_one_input
        if self.bounds != other.bounds and is_one_input:
            raise InvalidInputError(
                f"{self.names[0]} and {other.names[0]} are always equal in the model, and their ranges differ"
            )
        bounds = self.bounds if self.bounds == other.bounds else _around([self.bounds, other.bounds])
        return _Given(bounds, (*self.names, *other.names), is_one_input)


_Kind = tuple[np.dtype | None, int | None]


def _kind_of(spec: InputSpec) -> _Kind:
    return spec.dtype, None if spec.shape is None else len(spec.shape)


def _kind(node: Node) -> _Kind:
    tensor = node.outputs[0]
    rank = None if tensor.shape is None else len(tensor.shape)
    if tensor.dtype == DType.STRING:
        return np.dtype(object), rank
    try:
        return tensor.dtype.numpy, rank
    except KeyError:  # a type that NumPy lacks
        return None, rank


def _around(ranges: Sequence[Bounds]) -> Bounds:
    """The range that spans all of them: of one argument, that is different inputs of different signatures."""
    typical = sorted(item[1] for item in ranges)[len(ranges) // 2]
    return min(item[0] for item in ranges), typical, max(item[2] for item in ranges)


def _check(item: SizeRange, signatures: Mapping[str, Sequence[InputSpec]]) -> None:
    specs = [spec for inputs in signatures.values() for spec in inputs if spec.name == item.input]
    if not specs:
        there = sorted({spec.name for inputs in signatures.values() for spec in inputs})
        raise InvalidInputError(
            f"there is no input {item.input!r} to give a range of sizes to; there are: {', '.join(there) or 'none'}"
        )
    shapes = [spec.shape for spec in specs]
    if all(shape is not None and item.axis >= len(shape) for shape in shapes):
        raise InvalidInputError(
            f"input {item.input!r} has {len(shapes[0] or ())} dimensions, so that there is no {item.name}"
        )
    fixed = [shape[item.axis] for shape in shapes if shape is not None and item.axis < len(shape)]
    if len(fixed) == len(shapes) and None not in fixed:
        raise InvalidInputError(f"{item.name} is {fixed[0]} for good: a range is for a dimension that is not known")


def _bounds(dim: Dim, ranges: Mapping[str, Bounds]) -> Bounds | None:
    """The least, tuned-for and largest value over ranges of its symbols; None where the ranges' ends do not tell."""
    if sympy.sympify(dim).has(symbolic.Mod):
        return None
    corners = itertools.product(*((least, largest) for least, _, largest in ranges.values()))
    try:
        values = [symbolic.evaluate(dim, dict(zip(ranges, corner, strict=True))) for corner in corners]
        typical = symbolic.evaluate(dim, {name: bounds[1] for name, bounds in ranges.items()})
    except ZeroDivisionError:
        return None
    # A window over an image that is smaller has no results; engines are for those that have.
    least, typical, largest = (max(size, 1) for size in (min(*values, typical), typical, max(*values, typical)))
    return least, typical, largest
