"""Configuration for TensorFlow Serving beside a model: batching parameters, and a sample of a list of models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
