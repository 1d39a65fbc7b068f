"""Configuration for TensorFlow Serving beside a model: batching parameters, and a sample of a list of models."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from tf_blade.errors import TfBladeError
from tf_blade.inputs import InputSpec

# Where a server with --enable_per_model_batching_parameters looks.
BATCHING_FILE = Path("batching_params.pbtxt")
CONFIG_FILE = Path("assets.extra") / "model.config"

_BATCHING = """\
# Read by: tensorflow_model_server --enable_batching --enable_per_model_batching_parameters
# Engines take batches of every size, so that there are no allowed_batch_sizes, to which requests would be padded.
# The warmup file has requests of {sizes} rows.
max_batch_size {{ value: {largest} }}
batch_timeout_micros {{ value: 1000 }}
max_enqueued_batches {{ value: 100 }}
"""
_CONFIG = """\
# Read by: tensorflow_model_server --model_config_file=FILE
# The model's folder belongs into {base}/1; a later version's into {base}/2.
model_config_list {{
  config {{
    name: "{name}"
    base_path: "{base}"
    model_platform: "tensorflow"
  }}
}}
"""


_PACKAGE = "tf_blade.serving"


@dataclasses.dataclass(frozen=True)
class Batching:
    """What batching parameters say of sizes.

    Attributes:
        largest: of the batches that the model is called with.
        padded: the sizes that batches are padded to (`allowed_batch_sizes`); empty where they keep theirs.
    """

    largest: int
    padded: tuple[int, ...]


def read_batching(path: Path) -> Batching:
    """The sizes in a file of batching parameters, which is a text proto, as TensorFlow Serving reads it.

    Raises:
        TfBladeError: it cannot be read, or a server would refuse its sizes.
    """
    message = _batching_message()()
    try:
        content = path.read_text(encoding="utf-8")
        text_format.Parse(content, message, allow_unknown_field=True)
    except OSError as error:
        raise TfBladeError(f"the batching parameters {path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, text_format.ParseError) as error:
        raise TfBladeError(f"{path} holds no batching parameters: {error}") from error
    sizes = tuple(message.allowed_batch_sizes)
    largest = message.max_batch_size.value if message.HasField("max_batch_size") else None
    problem = _why_not_batching(sizes, largest, "enable_large_batch_splitting" in content)
    if problem:
        raise TfBladeError(f"the batching parameters {path} are of no use: {problem}")
    return Batching(sizes[-1] if sizes else largest or 1, sizes)


def _why_not_batching(sizes: Sequence[int], largest: int | None, splits: bool) -> str:
    """What is wrong with the sizes; empty when a server takes them.

    Args:
        sizes: those that batches are padded to.
        largest: the largest batch that may be made of requests.
        splits: whether the server may be told to cut batches, so that those that it runs are smaller.
    """
    if not sizes and largest is None:
        return "they have neither allowed_batch_sizes nor max_batch_size"
    if largest is not None and largest < 1:
        return f"max_batch_size is {largest}"
    if any(size <= before for before, size in zip((0, *sizes), sizes, strict=False)):
        return f"allowed_batch_sizes must be above zero and grow; they are {', '.join(map(str, sizes))}"
    if sizes and largest is not None and (sizes[-1] > largest or (sizes[-1] < largest and not splits)):
        return f"the last of allowed_batch_sizes is {sizes[-1]} and max_batch_size is {largest}: they must be equal"
    return ""


@functools.cache
def _batching_message() -> Any:
    """The message type with the fields that count here: tensorflow-serving-api does not bring it."""
    kinds = descriptor_pb2.FieldDescriptorProto
    optional, repeated, int64 = kinds.LABEL_OPTIONAL, kinds.LABEL_REPEATED, kinds.TYPE_INT64
    file = descriptor_pb2.FileDescriptorProto(name="tf_blade_batching.proto", package=_PACKAGE, syntax="proto3")
    wrapper = file.message_type.add(name="Int64Value")
    wrapper.field.add(name="value", number=1, type=int64, label=optional)
    message = file.message_type.add(name="BatchingParameters")
    message.field.add(name="allowed_batch_sizes", number=6, type=int64, label=repeated)
    largest = message.field.add(name="max_batch_size", number=1, type=kinds.TYPE_MESSAGE, label=optional)
    largest.type_name = f".{_PACKAGE}.{wrapper.name}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{message.name}"))


def batching_params(batch_sizes: Sequence[int]) -> str:
    """The batching parameters whose largest batch is the largest that the warmup file holds."""
    return _BATCHING.format(sizes=", ".join(map(str, sorted(batch_sizes))), largest=max(batch_sizes))


def model_config(target: Path) -> str:
    """A list of one model, named after the folder that it is written to, or that one's parent if it is a version."""
    folder = target.absolute()
    name = folder.parent.name if folder.name.isdigit() else folder.name
    name = name.replace("\\", "_").replace('"', "_").replace("\n", "_") or "model"
    return _CONFIG.format(name=name, base=f"/models/{name}")


def why_not_batched(specs: Sequence[InputSpec], output_ranks: Sequence[int | None]) -> str:
    """Why a server cannot join requests of a signature to batches; empty when it can."""
    for spec in specs:
        if spec.shape is not None and (not spec.shape or spec.shape[0] is not None):
            return f"input {spec.name!r} has no dimension for batches"
    if not specs or 0 in output_ranks:
        return "an output has no dimension for batches" if specs else "it has no inputs"
    return ""
