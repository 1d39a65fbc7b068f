"""A loaded SavedModel, seen through its signatures: what verify and bench call."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_blade import runtime
from tf_blade.errors import InvalidSavedModelError, UnknownSignatureError
from tf_blade.inputs import InputSpec


class LoadedModel:
    """A SavedModel loaded in this process, with the op library."""

    def __init__(self, path: str | pathlib.Path) -> None:
        runtime.load()
        if not pathlib.Path(path).is_dir():
            raise InvalidSavedModelError(f"{path} is no folder; give the folder that holds saved_model.pb")
        try:
            self._model: Any = tf.saved_model.load(str(path))
        except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
            raise InvalidSavedModelError(f"TensorFlow cannot load {path}: {error}") from error
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
        """The outputs, by name. TensorFlow's errors come through."""
        function = self.function(signature)
        results = function(**self.tensors(signature, inputs))
        return {name: np.asarray(value) for name, value in results.items()}

    def tensors(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """The arrays as tensors of the signature's types."""
        _, keywords = self.function(signature).structured_input_signature
        return {name: tf.constant(value, dtype=keywords[name].dtype) for name, value in inputs.items()}


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
