"""What can go wrong, as types.

A refusal (`Unsupported`, `BuildFailure`) costs a node or a cluster its engine and is recorded in the report. An error
(`TfBladeError` and below) ends the command with one clear message; the source is untouched and no target appears.
"""

from __future__ import annotations


class TfBladeError(Exception):
    """Base of the errors that a user sees. The message says what is wrong and what to do."""


class InvalidSavedModelError(TfBladeError):
    """The source is missing, unreadable or no SavedModel."""


class TargetError(TfBladeError):
    """The target exists already or cannot be written."""


class UnknownSignatureError(TfBladeError):
    """A signature was named that the SavedModel does not have."""


class InvalidInputError(TfBladeError):
    """Inputs were given that the model's signature does not take."""


class LosslessCheckError(TfBladeError):
    """The written SavedModel differs from the source where it must not; nothing was published."""


class VerificationError(TfBladeError):
    """The optimized model's results differ from the original's by more than the tolerance; nothing was published."""


class EnvironmentError_(TfBladeError):
    """The machine lacks something: a library, a compiler, a matching TensorFlow."""


class StrictModeError(TfBladeError):
    """`strict=True` and something stayed TensorFlow that was not allowed to."""


class EngineFormatError(TfBladeError):
    """An engine file is malformed, altered or of another version."""


class SigningError(TfBladeError):
    """A key cannot be used, or there is nothing to sign."""


class LegalityError(TfBladeError):
    """A graph or an IR module breaks a rule: a defect in tf_blade itself."""


class Unsupported(Exception):
    """A backend cannot take a node. Raised by op rules, recorded by the support stage.

    Attributes:
        reason: a short English sentence without the node's name.
        node: the node's name, filled in by the support stage when the rule did not.
    """

    def __init__(self, reason: str, node: str = "") -> None:
        super().__init__(f"{node}: {reason}" if node else reason)
        self.reason = reason
        self.node = node


class BuildFailure(Exception):
    """A backend could not build an engine for a cluster. The next backend is tried, then TensorFlow keeps the cluster.

    Attributes:
        reason: what failed, in a sentence.
        backend: the backend's name.
        cluster: the cluster's name.
    """

    def __init__(self, reason: str, backend: str = "", cluster: str = "") -> None:
        super().__init__(f"{backend}: {cluster}: {reason}")
        self.reason = reason
        self.backend = backend
        self.cluster = cluster
