"""For which sizes an engine file's plan was made: the beginning of its section "tensorrt" (see plan.py), read again."""

from __future__ import annotations

import dataclasses
import struct

from tf_blade.engines.plan import LAYOUT_VERSION, PlanTensor, Range
from tf_blade.errors import EngineFormatError

MAX_PROFILES = 64  # the runtime's, too


@dataclasses.dataclass(frozen=True)
class PlanSizes:
    """What a plan takes.

    Attributes:
        inputs: of the plan.
        profiles: for each profile and input the (min, opt, max) of each dimension, or of each value of a shape tensor.
    """

    inputs: tuple[PlanTensor, ...]
    profiles: tuple[tuple[tuple[Range, ...], ...], ...]


def read_plan_sizes(data: bytes) -> PlanSizes:
    """The inputs and profiles in a section.

    Raises:
        EngineFormatError: it is cut off, or of another layout.
    """
    reader = _Reader(data)
    try:
        (version, _, _, _, _) = reader.take("<IBBII")
        if version != LAYOUT_VERSION:
            raise EngineFormatError(f"the plan's section has layout {version}; this reads {LAYOUT_VERSION}")
        inputs, _ = reader.tensors(), reader.tensors()
        count = reader.number()
        if count > MAX_PROFILES:
            raise EngineFormatError(
                f"the plan's section is malformed: {count} profiles, and {MAX_PROFILES} at the most"
            )
        profiles = tuple(tuple(reader.ranges() for _ in inputs) for _ in range(count))
    except (struct.error, UnicodeDecodeError) as error:
        raise EngineFormatError(f"the plan's section is malformed: {error}") from error
    return PlanSizes(inputs, profiles)


def profile_text(sizes: PlanSizes, profile: tuple[tuple[Range, ...], ...]) -> str:
    """One of the profiles, each size as ranges are given: `x[1:4:8, 4:64, 8]` is tuned for 4, 64 and 8.

    Inputs each of whose sizes is fixed are left out.
    """
    shown = []
    for tensor, ranges in zip(sizes.inputs, profile, strict=True):
        if any(least != largest for least, _, largest in ranges):
            shown.append(f"{tensor.name}[{', '.join(_range_text(*item) for item in ranges)}]")
    return ", ".join(shown) or "fixed sizes"


def _range_text(least: int, typical: int, largest: int) -> str:
    if least == largest:
        return str(least)
    return f"{least}:{largest}" if typical == largest else f"{least}:{typical}:{largest}"


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return values

    def number(self) -> int:
        return self.take("<I")[0]

    def tensors(self) -> tuple[PlanTensor, ...]:
        return tuple(self._tensor() for _ in range(self.number()))

    def _tensor(self) -> PlanTensor:
        (length,) = self.take("<H")
        raw = struct.unpack_from(f"{length}s", self._data, self._at)[0]
        self._at += length
        index, dtype, rank, shape_tensor = self.take("<iiBB")
        return PlanTensor(raw.decode(errors="surrogateescape"), index, dtype, rank, bool(shape_tensor))

    def ranges(self) -> tuple[Range, ...]:
        found = []
        for _ in range(self.number()):
            least, typical, largest = self.take("<qqq")
            found.append((least, typical, largest))
        return tuple(found)
