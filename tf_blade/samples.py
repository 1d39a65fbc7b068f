"""Sample inputs as users give them, arrays or nested lists, made arrays of the types that a signature takes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tf_blade.errors import InvalidInputError, UnknownSignatureError
from tf_blade.inputs import InputSpec

Sample = Mapping[str, Any]
Arrays = dict[str, np.ndarray]


def all_as_arrays(
    samples: Mapping[str, Sequence[Sample]],
    signatures: Collection[str],
    specs: Callable[[str], Sequence[InputSpec]],
    model: str,
) -> dict[str, list[Arrays]]:
    """The sample inputs of several signatures as arrays.

    Args:
        samples: by signature.
        signatures: those that the model has.
        specs: gives the inputs of one of them.
        model: what messages call the model.

    Raises:
        UnknownSignatureError: there is no such signature.
        InvalidInputError: it does not take a sample.
    """
    result: dict[str, list[Arrays]] = {}
    for name, items in samples.items():
        if name not in signatures:
            there = ", ".join(signatures) or "none"
            raise UnknownSignatureError(
                f"{model} has no signature {name!r} to give sample inputs to; there are: {there}"
            )
        known = specs(name)
        result[name] = [as_arrays(item, known, name) for item in items]
    return result


def as_arrays(sample: Any, specs: Sequence[InputSpec], signature: str) -> Arrays:
    """A sample as arrays of its inputs' types.

    Raises:
        InvalidInputError: the signature does not take it.
    """
    if not isinstance(sample, Mapping):
        kind = type(sample).__name__
        raise InvalidInputError(
            f"sample inputs of signature {signature!r} are a list of mappings name -> array, not of {kind}"
        )
    by_name = {spec.name: spec for spec in specs}
    if by_name.keys() != sample.keys():
        wanted, given = (", ".join(sorted(names)) or "none" for names in (by_name, sample))
        raise InvalidInputError(f"signature {signature!r} takes the inputs {wanted}; given are {given}")
    return {name: as_array(value, by_name[name], signature) for name, value in sample.items()}


def as_array(given: Any, spec: InputSpec, signature: str) -> np.ndarray:
    """An array, or nested lists, as an array of an input's type.

    Raises:
        InvalidInputError: the type or the shape is another. Lists have no type of their own, only a kind; their numbers
            must be such as the type can hold.
    """
    what = f"input {spec.name!r} of signature {signature!r} is {_type_text(spec)}"
    typed = isinstance(given, (np.ndarray, np.generic))
    try:
        # As they are: NumPy's own strings end with their last byte that is not zero, and large integers become floats.
        value = np.asarray(given, dtype=object) if not typed and spec.dtype.kind in "Oiu" else np.asarray(given)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidInputError(f"{what}; given is no array: {error}") from error
    shown = f"{value.dtype if typed else _natural(given)}{list(value.shape)}"
    if not _has_shape(spec, value) or not _is_kind(spec.dtype, value, typed=typed):
        raise InvalidInputError(f"{what}; given is {shown}")
    if spec.dtype.kind in "iu" and not typed:
        low, high = np.iinfo(spec.dtype).min, np.iinfo(spec.dtype).max
        wrong = next((item for item in value.flat if not low <= item <= high), None)
        if wrong is not None:
            raise InvalidInputError(
                f"{what}, which holds numbers from {low} to {high}; given is {wrong}:"
                " give one that fits, or export the model with a larger type"
            )
    try:
        return np.asarray(value, dtype=spec.dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidInputError(f"{what}; given is {shown}: {error}") from error


def _natural(given: Any) -> np.dtype:
    """The type that lists would have as an array of their own."""
    try:
        return np.asarray(given).dtype
    except (ValueError, TypeError, OverflowError):
        return np.dtype(object)


def _type_text(spec: InputSpec) -> str:
    shape = "[?]" if spec.shape is None else str(["?" if dim is None else dim for dim in spec.shape]).replace("'", "")
    return ("string" if spec.dtype.kind == "O" else spec.dtype.name) + shape


def _has_shape(spec: InputSpec, value: np.ndarray) -> bool:
    return spec.shape is None or (
        len(spec.shape) == value.ndim
        and all(dim is None or dim == size for dim, size in zip(spec.shape, value.shape, strict=True))
    )


def _is_kind(wanted: np.dtype, value: np.ndarray, *, typed: bool) -> bool:
    """Whether values are of the type wanted; where they have none of their own (lists), of its kind.

    So it is for types that files of arrays do not know (bfloat16, NumPy's kind V): they are given as float32. An empty
    list is of any kind.
    """
    given = value.dtype
    if wanted.kind == "O" or (wanted.kind in "iu" and not typed):
        kinds = (bytes, str) if wanted.kind == "O" else (int, np.integer, np.bool_)
        return given.kind in "SU" if given.kind != "O" else all(isinstance(item, kinds) for item in value.flat)
    if given == wanted or (not typed and value.size == 0):
        return True
    return (not typed or wanted.kind == "V") and bool(np.can_cast(given, wanted, casting="same_kind"))
