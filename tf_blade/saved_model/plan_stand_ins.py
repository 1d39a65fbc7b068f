"""A model as a machine with the GPU serves it, for machines that cannot: in the place of each TensorRT plan stands the
engine behind it, for the plan's sizes alone. So it shows here which requests reach which engine there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tensorflow.core.protobuf import saved_model_pb2

from tf_blade.engines.format import EngineFile, read_engine, write_engine
from tf_blade.engines.plan import PLAN_DATA_SECTION
from tf_blade.engines.plan_sizes import PlanSizes, read_plan_sizes
from tf_blade.engines.signature import EngineSignature
from tf_blade.errors import EngineFormatError
from tf_blade.saved_model.model import FINGERPRINT_FILE, SAVED_MODEL_FILE, read_saved_model
from tf_blade.saved_model.portable import engine_attributes


@contextlib.contextmanager
def with_stand_ins(folder: Path) -> Iterator[Path]:
    """A folder with the same model that has the stand-ins; the model's own where there is nothing to stand in for."""
    message = saved_model_pb2.SavedModel()
    message.CopyFrom(read_saved_model(folder).message)
    changed = False
    for attribute in engine_attributes(message):
        before = list(attribute.list.s)
        after = stood_in(before)
        if after != before:
            attribute.list.s[:] = after
            changed = True
    if not changed:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="tf_blade_warmup_") as name:
        copy = Path(name)
        for item in folder.iterdir():
            if item.name not in (SAVED_MODEL_FILE, FINGERPRINT_FILE):
                (copy / item.name).symlink_to(item.absolute())
        (copy / SAVED_MODEL_FILE).write_bytes(message.SerializeToString(deterministic=True))
        yield copy


def stood_in(files: Sequence[bytes]) -> list[bytes]:
    """The engines of an op, plans replaced where an engine of another kind is behind them.

    Stand-ins are signed by nobody: where signatures are required, there are none. Behind a stand-in that takes all
    calls there is none: no call would get there.
    """
    if os.environ.get("TF_BLADE_TRUSTED_KEYS"):
        return list(files)
    engines = [_read(data) for data in files]
    result = []
    for number, data in enumerate(files):
        made = _stand_in(engines[number], engines[number + 1 :])
        result.append(data if made is None else write_engine(made))
        if made is not None and not any(symbol.max for symbol in made.signature.symbols):
            break
    return result


def _read(data: bytes) -> EngineFile | None:
    try:
        return read_engine(data)
    except EngineFormatError:  # the runtime refuses it too
        return None


def _stand_in(plan: EngineFile | None, behind: Sequence[EngineFile | None]) -> EngineFile | None:
    section = None if plan is None else plan.sections.get(PLAN_DATA_SECTION)
    others = [item for item in behind if item is not None and PLAN_DATA_SECTION not in item.sections]
    if section is None or not others:
        return None
    try:
        ranges = _ranges(read_plan_sizes(section), others[0].signature)
        return dataclasses.replace(others[0], signature=others[0].signature.restricted(ranges), signers=())
    except EngineFormatError:  # of another layout, or for sizes that no call has
        return None


def _ranges(sizes: PlanSizes, signature: EngineSignature) -> dict[str, tuple[int, int | None]]:
    """What the profiles together take of each symbol of the other engine's signature."""
    found: dict[str, tuple[int, int | None]] = {}
    for number, tensor in enumerate(sizes.inputs):
        if tensor.is_shape_tensor or not 0 <= tensor.index < len(signature.inputs):
            continue
        for axis, program in enumerate(signature.inputs[tensor.index].dims):
            if len(program) == 1 and program[0][0] == "sym":
                bounds = [profile[number][axis] for profile in sizes.profiles]
                name = signature.symbols[program[0][1]].name
                found[name] = (min(item[0] for item in bounds), max(item[2] for item in bounds))
    return found
