"""Optimization profiles: for which sizes a plan is made and tuned. They are derived, where nobody gives ranges."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tf_blade import symbolic
from tf_blade.backends.tensorrt.convert import PlanInput
from tf_blade.symbolic import Dim

# What is assumed of a dimension that nothing is known of: a batch, or else a length.
BATCH = (1, 8, 64)
LENGTH = (1, 128, 512)
# A range whose ends differ by more than this factor is cut, into so many profiles at the most.
WIDE = 16
MAX_PROFILES = 4


@dataclasses.dataclass(frozen=True)
class Range:
    """Sizes from `min` to `max`, both included; the plan is tuned for `opt`."""

    min: int
    opt: int
    max: int


Profile = Mapping[str, Range]


def symbols_of(inputs: Iterable[PlanInput]) -> dict[str, bool]:
    """The names of unknown sizes, in order; and whether each is a batch: the first dimension of whatever has it."""
    found: dict[str, bool] = {}
    for item in inputs:
        content = () if item.content is None else tuple(item.content.reshape(-1))
        first = [axis == 0 for axis in range(len(item.shape))]
        for dim, is_first in zip((*item.shape, *content), [*first, *(False for _ in content)], strict=True):
            for symbol in symbolic.free_symbols([dim]):
                name = str(symbol.name)
                found[name] = found.get(name, True) and is_first
    return found


def derive(
    inputs: Sequence[PlanInput],
    observed: Sequence[Mapping[str, int]] = (),
    batch_sizes: Sequence[int] = (),
    given: Mapping[str, Range] | None = None,
    dims: Iterable[Dim] = (),
    padded: Sequence[int] = (),
) -> tuple[Profile, ...]:
    """Profiles that together cover each symbol's range.

    Args:
        inputs: the network's.
        observed: the symbols' values in each of the sample inputs.
        batch_sizes: the sizes that a server batches to.
        given: ranges that somebody wants, by symbol.
        dims: of what the network computes: no size may be so small that one of these is none.
        padded: the sizes that a server pads batches to (`allowed_batch_sizes`): there are profiles for each of them.
    """
    ranges: dict[str, Range] = {}
    # A first dimension that samples show to be more than any batch, a number of tokens say, is none.
    most = max(padded, default=math.inf)
    symbols = {
        name: is_batch and all(values.get(name, 0) <= most for values in observed)
        for name, is_batch in symbols_of(inputs).items()
    }
    for name, is_batch in symbols.items():
        seen = [values[name] for values in observed if values.get(name, 0) > 0]
        sizes = (*batch_sizes, *padded) if is_batch else ()
        ranges[name] = (given or {}).get(name) or _range(seen, sizes, is_batch)
    lengths = [name for name, is_batch in symbols.items() if not is_batch and name not in (given or {})]
    batches = [name for name, is_batch in symbols.items() if is_batch and name not in (given or {})]
    pieces = [dict.fromkeys(batches, piece) for piece in _pieces(padded)] if batches else []
    raised = _raised(ranges, lengths, [dim for dim in dims if _is_over(dim, ranges)])
    # Where batches are in pieces, the other sizes are cut into what is left of profiles.
    rest = _cut(raised, MAX_PROFILES // max(len(pieces), 1), batches if pieces else ())
    return tuple({**profile, **piece} for piece in pieces or [{}] for profile in rest)


def _pieces(padded: Sequence[int]) -> list[Range]:
    """A range for each size that a server pads batches to, tuned for it; of many sizes for some, with the largest."""
    sizes = sorted(set(padded))
    if len(sizes) > MAX_PROFILES:
        sizes = [sizes[round((step + 1) * len(sizes) / MAX_PROFILES) - 1] for step in range(MAX_PROFILES)]
    return [Range(before + 1, size, size) for before, size in itertools.pairwise([0, *sizes])]


def _is_over(dim: Dim, ranges: Mapping[str, Range]) -> bool:
    return all(str(item.name) in ranges for item in symbolic.free_symbols([dim]))


def _raised(ranges: dict[str, Range], lengths: Sequence[str], dims: Sequence[Dim]) -> dict[str, Range]:
    """The ranges with larger beginnings, where an image of one pixel, say, would be pooled to nothing."""
    while not all(_bounds_of(dim, ranges)[0] >= 1 for dim in dims):
        grown = {name: min(2 * ranges[name].min, ranges[name].max) for name in lengths}
        if all(ranges[name].min == size for name, size in grown.items()):
            break
        for name, size in grown.items():
            ranges = {**ranges, name: Range(size, max(size, ranges[name].opt), ranges[name].max)}
    return ranges


def _range(seen: Sequence[int], batch_sizes: Sequence[int], is_batch: bool) -> Range:
    """Batches are served from 1 on; other sizes from the least that was seen, with room beyond the largest."""
    if batch_sizes:
        return Range(1, _typical(seen or batch_sizes), max(*batch_sizes, *seen, 1))
    if seen:
        largest = max(seen)
        return Range(1, _typical(seen), max(largest, BATCH[2]) if is_batch else _power_of_two(largest))
    return Range(*(BATCH if is_batch else LENGTH))


def _typical(sizes: Sequence[int]) -> int:
    return sorted(sizes)[len(sizes) // 2]


def _power_of_two(size: int) -> int:
    return 1 << (size - 1).bit_length()


def _cut(ranges: dict[str, Range], most: int, whole: Sequence[str]) -> tuple[Profile, ...]:
    """The widest range in geometric pieces, where it is wide: plans for small sizes are others than for large ones.

    Args:
        ranges: by symbol.
        most: no more pieces than that.
        whole: symbols whose ranges are not cut.
    """
    names = [name for name in ranges if name not in whole]
    if not names:
        return (ranges,)
    widest = max(names, key=lambda name: ranges[name].max / ranges[name].min)
    low, high = ranges[widest].min, ranges[widest].max
    count = min(most, math.ceil(math.log(max(high / low, 1)) / math.log(WIDE)) or 1)
    if count <= 1:
        return (ranges,)
    edges = [round(low * (high / low) ** (step / count)) for step in range(count + 1)]
    profiles = []
    for index, (begin, end) in enumerate(itertools.pairwise(edges)):
        first = begin if index == 0 else begin + 1
        typical = min(max(ranges[widest].opt, first), end)
        profiles.append({**ranges, widest: Range(first, typical, end)})
    return tuple(profiles)


def bounds(dims: Sequence[Dim], profile: Profile) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The least, tuned-for and largest values of Dims over a profile."""
    return tuple(zip(*(_bounds_of(dim, profile) for dim in dims), strict=True)) or ((), (), ())  # type: ignore[return-value]


def _bounds_of(dim: Dim, profile: Profile) -> tuple[int, int, int]:
    if isinstance(dim, int):
        return dim, dim, dim
    names = [str(item.name) for item in symbolic.free_symbols([dim])]
    corners = itertools.product(*((profile[name].min, profile[name].max) for name in names))
    values = [symbolic.evaluate(dim, dict(zip(names, corner, strict=True))) for corner in corners]
    typical = symbolic.evaluate(dim, {name: profile[name].opt for name in names})
    return min(values), typical, max(values)


def describe(definition: Any, inputs: Sequence[PlanInput], profile: Profile) -> list[dict[str, Any]]:
    """A profile as plans' descriptions have it: for each input its shapes, or values where it is a shape tensor."""
    by_name = {definition.get_input(i).name: definition.get_input(i) for i in range(definition.num_inputs)}
    result = []
    for item in inputs:
        entry: dict[str, Any] = {}
        is_values = by_name[item.name].is_shape_tensor and item.content is not None
        dims = tuple(item.content.reshape(-1)) if is_values and item.content is not None else item.shape
        entry["min"], entry["opt"], entry["max"] = (list(sizes) for sizes in bounds(dims, profile))
        if is_values:
            entry["shape"] = [int(dim) for dim in item.shape]
        result.append(entry)
    return result
