"""Ranges of inputs' sizes that somebody wants engines for: read, checked, and followed into clusters."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

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
        placeholders: names of the main graph's placeholders, with the inputs that they stand for.

    Raises:
        InvalidInputError: no signature has such an input, or its dimension is another.
    """

    def __init__(
        self,
        ranges: Sequence[SizeRange] = (),
        signatures: Mapping[str, Sequence[InputSpec]] = MappingProxyType({}),
        placeholders: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._ranges = {(item.input, item.axis): item for item in ranges}
        self._inputs = [[spec.name for spec in specs] for specs in signatures.values()]
        self._placeholders = placeholders
        self._used: set[str] = set()
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
                if isinstance(new, sympy.Symbol) and names and all(name in known for name in names):
                    found[str(new.name)] = _bounds(old, {name: known[name][0].bounds for name in names})
                    self._used.update(item.name for name in names for item in known[name])
        return found

    def unused(self) -> list[str]:
        """Those that no cluster's sizes followed from."""
        return [item.name for item in self._ranges.values() if item.name not in self._used]

    def _bound(self, graph: Graph) -> dict[str, list[SizeRange]]:
        """For each symbol of the graph's arguments the ranges that are given for it, all the same."""
        known: dict[str, list[SizeRange]] = {}
        for name, node in self._named(graph):
            for axis, dim in enumerate(node.outputs[0].shape or ()):
                item = self._ranges.get((name, axis))
                if item is None or not isinstance(dim, sympy.Symbol):
                    continue
                same = known.setdefault(str(dim.name), [])
                if same and same[0].bounds != item.bounds:
                    raise InvalidInputError(
                        f"{same[0].name} and {item.name} are always equal in the model, and their ranges differ"
                    )
                same.append(item)
        return known

    def _named(self, graph: Graph) -> Iterator[tuple[str, Node]]:
        """The graph's arguments with the inputs that they are: by name, or in order where no name agrees."""
        arguments = [node for node in graph.inputs if node.outputs[0].dtype not in (DType.RESOURCE, DType.VARIANT)]
        names = [self._placeholders.get(node.name, node.name) for node in arguments]
        if not any(name in inputs for name in names for inputs in self._inputs):
            names = next((sorted(inputs) for inputs in self._inputs if len(inputs) == len(arguments)), [])
        yield from zip(names, arguments, strict=False)


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


def _bounds(dim: Dim, ranges: Mapping[str, Bounds]) -> Bounds:
    """The least, tuned-for and largest value over ranges of its symbols."""
    corners = itertools.product(*((least, largest) for least, _, largest in ranges.values()))
    values = [symbolic.evaluate(dim, dict(zip(ranges, corner, strict=True))) for corner in corners]
    typical = symbolic.evaluate(dim, {name: bounds[1] for name, bounds in ranges.items()})
    return min(*values, typical), typical, max(*values, typical)
