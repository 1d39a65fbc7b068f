"""Random inputs for a signature, at several sizes of each unknown dimension."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tf_blade.errors import InvalidInputError

# What unknown dimensions are set to. The first axis (the batch) and the others are varied separately.
BATCH_SIZES = (1, 2, 3, 5, 8)
OTHER_SIZES = (16, 1, 7, 32, 64)
# Inputs of unknown rank are given these in turn until the original model accepts one.
RANKS = (2, 1, 3, 4, 0)
# Integer inputs are drawn below these bounds in turn until the original model accepts them (indices, token ids, flags).
INTEGER_BOUNDS = (100, 8, 2, 1)
# What reading a damaged or an encrypted archive, or an array's header in it, raises.
_NO_ARCHIVE = (OSError, ValueError, AttributeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


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


def with_ranks(specs: Sequence[InputSpec]) -> list[tuple[InputSpec, ...]]:
    """The specs with unknown ranks made known, in each way that is tried."""
    if all(spec.shape is not None for spec in specs):
        return [tuple(specs)]
    return [
        tuple(dataclasses.replace(spec, shape=(None,) * rank) if spec.shape is None else spec for spec in specs)
        for rank in RANKS
    ]


def size_grid(specs: Sequence[InputSpec]) -> list[dict[int, int]]:
    """Sizes for the unknown axes: {axis: size}. Unknown dimensions at the same axis of several inputs are one size, as
    in a batch or a padded sequence.

    All axes but the first are of one size at first, which most models need (square images, equal lengths), then of
    different ones. An empty batch comes last.
    """
    axes = sorted({axis for spec in specs for axis, dim in enumerate(spec.shape or ()) if dim is None})
    count = len(OTHER_SIZES)
    grid: list[dict[int, int]] = []
    for shift in (0, 1):
        for i in range(count):
            others = {axis: OTHER_SIZES[(i + shift * axis) % count] for axis in axes if axis > 0}
            grid.append({axis: others.get(axis, BATCH_SIZES[i]) for axis in axes})
    grid.append({axis: OTHER_SIZES[0] if axis else 0 for axis in axes})
    return list({tuple(item.items()): item for item in grid}.values())


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


def byte_size(specs: Sequence[InputSpec], sizes: Mapping[int, int]) -> int:
    """Bytes of inputs of the given sizes, strings not counted; unknown ranks count as scalars."""
    shapes = [[sizes[axis] if dim is None else dim for axis, dim in enumerate(spec.shape or ())] for spec in specs]
    return sum(math.prod(shape) * spec.dtype.itemsize for spec, shape in zip(specs, shapes, strict=True))


def candidates(specs: Sequence[InputSpec], sizes: Mapping[int, int], seed: int) -> Iterator[dict[str, np.ndarray]]:
    """Inputs of the given sizes, the most general first; the caller takes the first that the original model accepts."""
    has_integers = any(spec.dtype.kind in "iu" for spec in specs)
    for bound in INTEGER_BOUNDS if has_integers else INTEGER_BOUNDS[:1]:
        yield random_inputs(specs, sizes, np.random.default_rng(seed), integer_bound=bound)


def read_samples(path: pathlib.Path, signatures: Mapping[str, Sequence[str]]) -> dict[str, list[dict[str, np.ndarray]]]:
    """Sample inputs by signature, from an .npz of arrays named 'signature/input', or 'input' for every signature that
    has it.

    Args:
        path: the file.
        signatures: names of the inputs of each signature.

    Raises:
        InvalidInputError: the file cannot be read, or an array in it is no input.
    """
    if not path.is_file():
        raise InvalidInputError(f"there is no file {path}; give an .npz of arrays named 'signature/input' or 'input'")
    try:
        with path.open("rb") as file:  # NumPy leaves a file open that is no whole archive
            archive = np.load(file, allow_pickle=False)  # pickled objects would run code
            if isinstance(archive, np.ndarray):
                raise InvalidInputError(
                    f"{path} is one array without a name (.npy); write an .npz: np.savez(FILE, input=array)"
                )
            with archive:
                arrays: dict[str, np.ndarray] = {name: archive[name] for name in archive.files}
    except _NO_ARCHIVE as error:
        raise InvalidInputError(f"{path} is no .npz of plain arrays: {error}") from error
    return _by_signature(arrays, path, signatures)


def _by_signature(
    arrays: Mapping[str, np.ndarray], path: pathlib.Path, signatures: Mapping[str, Sequence[str]]
) -> dict[str, list[dict[str, np.ndarray]]]:
    result: dict[str, list[dict[str, np.ndarray]]] = {}
    used: set[str] = set()
    for signature, names in signatures.items():
        keys = {name: key for name in names for key in (name, f"{signature}/{name}") if key in arrays}
        used.update(keys.values())
        if names and len(keys) == len(names):
            result[signature] = [{name: arrays[key] for name, key in keys.items()}]
    wanted = "; ".join(f"{signature}: {', '.join(names) or 'no input'}" for signature, names in signatures.items())
    if unused := sorted(set(arrays) - used):
        raise InvalidInputError(f"{path} has {', '.join(unused)}, which is no input of the model; it has {wanted}")
    if not result:
        raise InvalidInputError(f"{path} has all inputs of no signature; the model has {wanted}")
    return result
