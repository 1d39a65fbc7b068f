"""Signs all engines of a SavedModel: the same model in a new folder, with other engine files, nothing else changed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from tensorflow.core.protobuf import saved_model_pb2

from tf_blade.engines.signing import key_name, read_private_key, sign_engine
from tf_blade.errors import EngineFormatError, LosslessCheckError, SigningError
from tf_blade.report import text
from tf_blade.saved_model.files import check_target, target_folder
from tf_blade.saved_model.model import SavedModel, read_saved_model
from tf_blade.saved_model.portable import engine_attributes
from tf_blade.saved_model.writer import write_saved_model


@dataclasses.dataclass(frozen=True)
class Signed:
    """What was signed.

    Attributes:
        target: the new model's folder.
        key: the public key, "ed25519:" and hexadecimal digits.
        engines: number of different engine files.
    """

    target: str
    key: str
    engines: int

    def to_json(self) -> str:
        """Everything, as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    def to_text(self) -> str:
        """One line."""
        return f"{self.target}: {text.count(self.engines, 'engine', 'engines')} signed by {self.key}"

    def __str__(self) -> str:
        return self.to_text()


def sign_saved_model(src: str | Path, dst: str | Path, *, key: str | Path, overwrite: bool = False) -> Signed:
    """Writes an optimized SavedModel with each of its engines signed; signatures of other keys stay.

    Args:
        src: folder of an optimized SavedModel; it is only read.
        dst: folder to write. It appears complete or not at all.
        key: PEM file of an Ed25519 private key.
        overwrite: replace an existing target.

    Raises:
        SigningError: the key cannot be used, or the model has no engines, or malformed ones.
        TfBladeError: a subclass says what else is wrong; nothing was written.
    """
    source, target = Path(src), Path(dst)
    private_key = read_private_key(key)
    model = read_saved_model(source)
    check_target(source, target, overwrite=overwrite)
    files: dict[bytes, bytes] = {}

    def sign(data: bytes) -> bytes:
        if data not in files:
            files[data] = sign_engine(data, private_key)
        return files[data]

    message = saved_model_pb2.SavedModel()
    message.CopyFrom(model.message)
    try:
        _exchange(message, sign)
    except EngineFormatError as error:
        raise SigningError(f"an engine of {source} is malformed, nothing was signed: {error}") from error
    if not files:
        raise SigningError(f"{source} has no engines: optimize it first")
    with target_folder(source, target, overwrite=overwrite) as folder:
        write_saved_model(model, message, folder)
        _check(model, read_saved_model(folder), {new: old for old, new in files.items()})
    return Signed(str(target), key_name(private_key), len(files))


def _exchange(message: saved_model_pb2.SavedModel, exchange: Callable[[bytes], bytes]) -> None:
    for attribute in engine_attributes(message):
        attribute.list.s[:] = [exchange(data) for data in attribute.list.s]


def _check(original: SavedModel, written: SavedModel, unsigned: dict[bytes, bytes]) -> None:
    """Reads what was written once more: but for the signatures it must be the original.

    Raises:
        LosslessCheckError: it is not.
    """
    message = saved_model_pb2.SavedModel()
    message.CopyFrom(written.message)
    _exchange(message, lambda data: unsigned.get(data, data))
    if message != original.message:
        raise LosslessCheckError("more than signatures changed in saved_model.pb; nothing was published")
