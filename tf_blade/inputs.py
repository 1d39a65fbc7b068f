"""Random inputs for a signature, at several sizes of each unknown dimension."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

# What unknown dimensions are set to. The first axis (the batch) and the others are varied separately.
BATCH_SIZES = (1, 2, 3, 5, 8)
OTHER_SIZES = (16, 1, 7, 32, 64)
# Integer inputs are drawn below these bounds in turn until the original model accepts them (indices, token ids, flags).
INTEGER_BOUNDS = (100, 8, 2, 1)


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """One input of a signature.

    Attributes:
        name: keyword of the signature.
        dtype: NumPy dtype; object for strings.
        shape: None where unknown; None as a whole when even the rank is.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int | None, ...] | None


def size_grid(specs: Sequence[InputSpec], *, limit: int = 9) -> list[dict[int, int]]:
    """Sizes for the unknown axes: {axis: size}. Unknown dimensions at the same axis of several inputs are one size, as
    in a batch or a padded sequence.
    """
    axes = sorted({axis for spec in specs for axis, dim in enumerate(spec.shape or ()) if dim is None})
    grid: list[dict[int, int]] = []
    for i in range(len(BATCH_SIZES)):
        grid.append({axis: (BATCH_SIZES if axis == 0 else OTHER_SIZES)[i] for axis in axes})
    for batch, other in itertools.product(BATCH_SIZES[:2], OTHER_SIZES):
        grid.append({axis: batch if axis == 0 else other for axis in axes})
    unique = list({tuple(item.items()): item for item in grid}.values())
    return unique[:limit]


def random_inputs(
    specs: Sequence[InputSpec], sizes: Mapping[int, int], rng: np.random.Generator, *, integer_bound: int
) -> dict[str, np.ndarray]:
    """One array an input: normal floats, integers in [0, integer_bound), coin-flip bools, short words as strings."""
    return {spec.name: _random(spec, sizes, rng, integer_bound) for spec in specs}


def _random(spec: InputSpec, sizes: Mapping[int, int], rng: np.random.Generator, bound: int) -> np.ndarray:
    shape = tuple(sizes[axis] if dim is None else dim for axis, dim in enumerate(spec.shape or ()))
    kind = spec.dtype.kind
    if kind == "O" or kind in "SU":
        words = np.array([b"the", b"a quick", b"brown fox", b"jumps", b"", b"over the lazy dog 42"], dtype=object)
        return np.asarray(words[rng.integers(0, len(words), shape)], dtype=object).reshape(shape)
    if kind == "b":
        return rng.random(shape) < 0.5
    if kind in "iu":
        return np.asarray(rng.integers(0, bound, shape)).astype(spec.dtype)
    return np.asarray(rng.standard_normal(shape)).astype(spec.dtype)


def candidates(specs: Sequence[InputSpec], sizes: Mapping[int, int], seed: int) -> Iterator[dict[str, np.ndarray]]:
    """Inputs of the given sizes, the most general first; the caller takes the first that the original model accepts."""
    has_integers = any(spec.dtype.kind in "iu" for spec in specs)
    for bound in INTEGER_BOUNDS if has_integers else INTEGER_BOUNDS[:1]:
        yield random_inputs(specs, sizes, np.random.default_rng(seed), integer_bound=bound)
