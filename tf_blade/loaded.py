"""A loaded SavedModel, seen through its signatures: what verify and bench call."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_blade import runtime
from tf_blade.errors import InvalidInputError, InvalidSavedModelError, UnknownSignatureError
from tf_blade.inputs import InputSpec
from tf_blade.saved_model.model import read_saved_model


class LoadedModel:
    """A SavedModel loaded in this process, with the op library."""

    def __init__(self, path: str | pathlib.Path) -> None:
        runtime.load()
        read_saved_model(path)  # says better than TensorFlow's loader what is wrong with a folder
        try:
            self._model: Any = tf.saved_model.load(str(path))
        except (OSError, LookupError, TypeError, ValueError, AttributeError, tf.errors.OpError) as error:
            raise InvalidSavedModelError(f"TensorFlow cannot load {path}: {first_line(error)}") from error
        self.path = str(path)

    @property
    def signatures(self) -> tuple[str, ...]:
        return tuple(sorted(self._model.signatures))

    def function(self, signature: str) -> Any:
        """The signature's concrete function.

        Raises:
            UnknownSignatureError: there is none of that name.
        """
        if signature not in self._model.signatures:
            raise UnknownSignatureError(
                f"{self.path} has no signature {signature!r}; it has {', '.join(self.signatures) or 'none'}"
            )
        return self._model.signatures[signature]

    def inputs(self, signature: str) -> tuple[InputSpec, ...]:
        """The signature's inputs, by name."""
        _, keywords = self.function(signature).structured_input_signature
        return tuple(
            InputSpec(name, np.dtype(spec.dtype.as_numpy_dtype), _dims(spec.shape))
            for name, spec in sorted(keywords.items())
        )

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs, by name. TensorFlow's errors come through.

        Raises:
            InvalidInputError: the signature does not take these inputs.
        """
        results = self.function(signature)(**self.tensors(signature, inputs))
        return {name: np.asarray(value) for name, value in results.items()}

    def tensors(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """The arrays as tensors of the signature's types.

        Raises:
            InvalidInputError: the signature does not take these inputs.
        """
        specs = {spec.name: spec for spec in self.inputs(signature)}
        if specs.keys() != inputs.keys():
            wanted, given = (", ".join(sorted(names)) or "none" for names in (specs, inputs))
            raise InvalidInputError(f"signature {signature!r} takes the inputs {wanted}; given are {given}")
        for name, value in inputs.items():
            check_fits(specs[name], value, signature)
        _, keywords = self.function(signature).structured_input_signature
        return {name: tf.constant(value, dtype=keywords[name].dtype) for name, value in inputs.items()}


def check_fits(spec: InputSpec, given: Any, signature: str) -> None:
    """Checks that an array, or nested lists, can be given to an input.

    Raises:
        InvalidInputError: the type or the shape is another. Lists have no type of their own, only a kind.
    """
    value = np.asarray(given)
    wanted = "[?]" if spec.shape is None else str(["?" if dim is None else dim for dim in spec.shape]).replace("'", "")
    kind = "string" if spec.dtype.kind == "O" else spec.dtype.name
    fits = spec.shape is None or (
        len(spec.shape) == value.ndim
        and all(dim is None or dim == size for dim, size in zip(spec.shape, value.shape, strict=True))
    )
    if not fits or not _same_type(spec.dtype, value.dtype, typed=isinstance(given, (np.ndarray, np.generic))):
        shown = f"{value.dtype}{list(value.shape)}"
        raise InvalidInputError(f"input {spec.name!r} of signature {signature!r} is {kind}{wanted}; given is {shown}")


def _same_type(wanted: np.dtype, given: np.dtype, *, typed: bool) -> bool:
    """Whether values are of the type wanted; where they have none of their own (lists), of its kind.

    So it is for types that files of arrays do not know (bfloat16, NumPy's kind V): they are given as float32.
    """
    if wanted.kind == "O":
        return given.kind in "OSU"
    loose = not typed or wanted.kind == "V"
    return given == wanted or (loose and bool(np.can_cast(given, wanted, casting="same_kind")))


def first_line(error: Exception) -> str:
    """An error's first line; TensorFlow adds pages of node names and stacks."""
    return str(error).strip().split("\n")[0] or type(error).__name__


def _dims(shape: Any) -> tuple[int | None, ...] | None:
    return None if shape.rank is None else tuple(shape.as_list())


def chosen_signatures(model: LoadedModel, names: Sequence[str] | None) -> tuple[str, ...]:
    """The named signatures, or all.

    Raises:
        UnknownSignatureError: one does not exist.
    """
    for name in names or ():
        model.function(name)
    return tuple(names) if names else model.signatures
