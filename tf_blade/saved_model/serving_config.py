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


_PACKAGE = "tensorflow.serving"
# What a server takes where a file of batching parameters does not say how large batches may be.
_USUAL_LARGEST = 1000


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
        TfBladeError: it cannot be read, or a server would refuse it.
    """
    message = _batching_message()()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), message)
    except OSError as error:
        raise TfBladeError(f"the batching parameters {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TfBladeError(f"{path} holds no batching parameters: {error}") from error
    except text_format.ParseError as error:
        where = f"line {error.GetLine()}, column {error.GetColumn()}: "
        what = where + str(error).removeprefix(f"{error.GetLine()}:{error.GetColumn()} : ")
        raise TfBladeError(f"{path} holds no batching parameters as TensorFlow Serving reads them: {what}") from error
    problem = _why_not_batching(message)
    if problem:
        raise TfBladeError(f"the batching parameters {path} are of no use: {problem}")
    sizes, executed = tuple(message.allowed_batch_sizes), _largest_executed(message)
    # Batches grow to the first of these sizes that has room for them.
    used = tuple(size for before, size in zip((0, *sizes), sizes, strict=False) if before < executed)
    return Batching(used[-1] if used else executed, used)


def _largest_taken(message: Any) -> int:
    """Rows that a request may have, and a batch where it is not split."""
    return int(message.max_batch_size.value if message.HasField("max_batch_size") else _USUAL_LARGEST)


def _largest_executed(message: Any) -> int:
    """Rows of the largest batch that is made of requests."""
    if message.enable_large_batch_splitting.value and message.HasField("max_execution_batch_size"):
        return int(message.max_execution_batch_size.value)
    return _largest_taken(message)


def _why_not_batching(message: Any) -> str:
    """What is wrong with the sizes; empty when a server takes them.

    A session checks the padded sizes by the largest request, also where it splits them; other users of the same
    parameters by the largest batch that is executed then.
    """
    sizes, taken, executed = tuple(message.allowed_batch_sizes), _largest_taken(message), _largest_executed(message)
    if not sizes and not message.HasField("max_batch_size"):
        return "they have neither allowed_batch_sizes nor max_batch_size"
    for name, value in (("max_batch_size", taken), ("max_execution_batch_size", executed)):
        if value < 1:
            return f"{name} is {value}"
    if executed > taken:
        return f"max_execution_batch_size is {executed}, which is more than max_batch_size: {taken}"
    if any(size <= before for before, size in zip((0, *sizes), sizes, strict=False)):
        return f"allowed_batch_sizes must be above zero and grow; they are {', '.join(map(str, sizes))}"
    if sizes and sizes[-1] not in (taken, executed):
        usual = "" if message.HasField("max_batch_size") else ", since it is not given"
        last = f"the last of allowed_batch_sizes is {sizes[-1]}"
        return f"{last} and max_batch_size is {taken}{usual}: they must be equal"
    return ""


# Wrappers of google.protobuf, and the fields of BatchingParameters with their numbers.
_WRAPPED = {"Int64Value": "TYPE_INT64", "BoolValue": "TYPE_BOOL", "StringValue": "TYPE_STRING"}
_FIELDS = {
    "max_batch_size": (1, "Int64Value"),
    "batch_timeout_micros": (2, "Int64Value"),
    "max_enqueued_batches": (3, "Int64Value"),
    "num_batch_threads": (4, "Int64Value"),
    "thread_pool_name": (5, "StringValue"),
    "enable_large_batch_splitting": (8, "BoolValue"),
    "max_execution_batch_size": (9, "Int64Value"),
}


@functools.cache
def _batching_message() -> Any:
    """The message type, as TensorFlow Serving's session_bundle_config.proto has it: tensorflow-serving-api does not
    bring it. The fields are all there, so that what a server would not know is an error here too.
    """
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="tf_blade_batching.proto", package=_PACKAGE, syntax="proto3")
    for name, kind in _WRAPPED.items():
        wrapper = file.message_type.add(name=name)
        wrapper.field.add(name="value", number=1, type=kinds.Type.Value(kind), label=kinds.LABEL_OPTIONAL)
    message = file.message_type.add(name="BatchingParameters")
    for name, (number, kind) in _FIELDS.items():
        type_name = f".{_PACKAGE}.{kind}"
        message.field.add(
            name=name, number=number, type=kinds.TYPE_MESSAGE, type_name=type_name, label=kinds.LABEL_OPTIONAL
        )
    message.field.add(name="allowed_batch_sizes", number=6, type=kinds.TYPE_INT64, label=kinds.LABEL_REPEATED)
    message.field.add(name="pad_variable_length_inputs", number=7, type=kinds.TYPE_BOOL, label=kinds.LABEL_OPTIONAL)
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
