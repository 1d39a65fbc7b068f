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
from tf_blade.samples import Arrays, Sample, all_as_arrays, as_arrays
from tf_blade.saved_model.model import read_saved_model


class LoadedModel:
    """A SavedModel loaded in this process, with the op library."""

    def __init__(self, path: str | pathlib.Path) -> None:
        runtime.load()
        model = read_saved_model(path)  # says better than TensorFlow's loader what is wrong with a folder
        self.tags = model.tags
        try:
            # Asked for tags, it wants them to be all that the meta graph has; it asks for some where there are several.
            tags = list(self.tags) if len(model.message.meta_graphs) > 1 else None
            self._model: Any = tf.saved_model.load(str(path), tags)
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

    def samples(self, given: Mapping[str, Sequence[Sample]] | None) -> dict[str, list[Arrays]]:
        """Sample inputs by signature, as arrays of the signatures' types.

        Raises:
            UnknownSignatureError: there is no such signature.
            InvalidInputError: it does not take a sample.
        """
        return all_as_arrays(given or {}, self.signatures, self.inputs, self.path)

    def tensors(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """The arrays, or nested lists, as tensors of the signature's types.

        Raises:
            InvalidInputError: the signature does not take these inputs.
        """
        arrays = as_arrays(inputs, self.inputs(signature), signature)
        _, keywords = self.function(signature).structured_input_signature
        return {name: tf.constant(value, dtype=keywords[name].dtype) for name, value in arrays.items()}


def first_line(error: Exception) -> str:
    """An error's first line; TensorFlow adds pages of node names and stacks."""
    return str(error).strip().split("\n")[0] or type(error).__name__


def _dims(shape: Any) -> tuple[int | None, ...] | None:
    return None if shape.rank is None else tuple(shape.as_list())


def check_names(names: Sequence[str] | None) -> None:
    """Refuses one string where several are wanted, whose letters would be taken for names.

    Raises:
        InvalidInputError: it is one.
    """
    if isinstance(names, str):
        raise InvalidInputError(f"signatures is {names!r}; give a sequence of strings, as {names.split(',')}")


def chosen_signatures(model: LoadedModel, names: Sequence[str] | None) -> tuple[str, ...]:
    """The named signatures, or all.

    Raises:
        UnknownSignatureError: one does not exist, or none is named.
    """
    if names is None:
        return model.signatures
    if not names:
        raise UnknownSignatureError("signatures (--signatures) names none; name some, or leave it out for all")
    for name in names:
        model.function(name)
    return tuple(names)
