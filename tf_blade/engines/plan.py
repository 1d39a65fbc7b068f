r"""How an engine file holds a TensorRT plan: the section "plan" has the plan's bytes, the section "tensorrt" what the
runtime must know to run it. The latter, little-endian; `str` is a u16 length and bytes:

    u32 version of this layout
    u8  flavor: 0 TensorRT, 1 TensorRT-RTX
    u8  flags: 1 stripped, 2 version compatible, 4 hardware compatible, 8 baked, 16 CUDA graphs
    u32 inputs, u32 outputs of the engine's signature
    u32 n, n × input:   str name in the plan, i32 index in the signature, i32 dtype, u8 rank, u8 is a shape tensor
    u32 n, n × output:  the same
    u32 n, n × profile: for each input u32 k, k × (i64 min, i64 opt, i64 max): dimensions, of shape tensors the values
    u32 n, n × weight:  str name in the plan, i32 index in the signature or -1, i32 dtype in the plan,
                        u8 rank, rank × i64 dimensions of the source, rank × u8 permutation
                        baked: 32 bytes SHA-256 of the source's bytes;  index -1: u64 size, the bytes

The compute capabilities and the builder's version are those of the engine file. The runtime's reader is
custom_ops/tensorrt/plan_data.cc; both are tested on the same bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from tf_blade.errors import EngineFormatError

PLAN_SECTION, PLAN_DATA_SECTION = "plan", "tensorrt"
LAYOUT_VERSION = 1
MAX_RANK = 8  # TensorRT's
_FLAVORS = ("tensorrt", "tensorrt_rtx")
_DIGEST = 32

Range = tuple[int, int, int]


@dataclass(frozen=True)
class PlanTensor:
    """An input or output of a plan.

    Attributes:
        index: its place among the inputs or outputs of the engine's signature.
        dtype: TensorFlow's DataType number; the signature's.
        is_shape_tensor: whether TensorRT needs its values to know shapes; it reads them in the machine's memory.
    """

    name: str
    index: int
    dtype: int
    rank: int
    is_shape_tensor: bool = False


@dataclass(frozen=True)
class PlanWeight:
    """Weights that the runtime puts into a plan, or, where they are baked in, checks.

    Attributes:
        index: the signature's input that they come from; None where `data` has them.
        dtype: in the plan; the source is cast from float32 where it differs.
        dims: of the source.
        permutation: of the source's axes.
        sha256: of the source's bytes; for baked plans.
        data: the bytes, as the plan wants them.
    """

    name: str
    index: int | None
    dtype: int
    dims: tuple[int, ...]
    permutation: tuple[int, ...]
    sha256: bytes = b""
    data: bytes = b""


@dataclass(frozen=True)
class PlanSection:
    """What the runtime must know of a plan.

    Attributes:
        num_inputs: of the engine's signature; those that the plan does not read are not among `inputs`.
        profiles: for each profile and input the (min, opt, max) of each dimension, or of each value of a shape tensor.
        stripped: the plan has no weights until the runtime has put all of `weights` into it.
        version_compatible: later versions of the same major version run it too.
        hardware_compatible: GPUs from compute capability 8.0 on run it, whatever it was built for.
        baked: the weights' values are in the plan for good.
        cuda_graphs: replay launches as CUDA graphs, one for each shape.
    """

    flavor: Literal["tensorrt", "tensorrt_rtx"]
    num_inputs: int
    num_outputs: int
    inputs: tuple[PlanTensor, ...]
    outputs: tuple[PlanTensor, ...]
    profiles: tuple[tuple[tuple[Range, ...], ...], ...]
    weights: tuple[PlanWeight, ...] = ()
    stripped: bool = False
    version_compatible: bool = False
    hardware_compatible: bool = False
    baked: bool = False
    cuda_graphs: bool = False


def write_plan(section: PlanSection) -> bytes:
    """The section's bytes.

    Raises:
        EngineFormatError: the content is not one that readers accept.
    """
    _check(section)
    try:
        return b"".join(
            (
                struct.pack("<IBB", LAYOUT_VERSION, _FLAVORS.index(section.flavor), _flags(section)),
                struct.pack("<II", section.num_inputs, section.num_outputs),
                *_many([_tensor(item) for item in section.inputs]),
                *_many([_tensor(item) for item in section.outputs]),
                *_many([b"".join(map(_ranges, profile)) for profile in section.profiles]),
                *_many([_weight(item, section.baked) for item in section.weights]),
            )
        )
    except struct.error as error:
        raise EngineFormatError(f"a number is out of range: {error}") from error


def _check(section: PlanSection) -> None:
    if not section.profiles:
        raise EngineFormatError("a plan needs a profile")
    if sorted(item.index for item in section.outputs) != list(range(section.num_outputs)):
        raise EngineFormatError("a plan must make each output once")
    if any(not 0 <= item.index < section.num_inputs for item in section.inputs):
        raise EngineFormatError("a plan's input is none of the signature")
    if section.baked and section.stripped:
        raise EngineFormatError("a plan's weights are stripped or baked in, not both")
    for profile in section.profiles:
        for item, ranges in zip(section.inputs, profile, strict=True):
            if not item.is_shape_tensor and len(ranges) != item.rank:
                raise EngineFormatError(f"a profile has {len(ranges)} dimensions for {item.name!r} of rank {item.rank}")
            if any(not low <= opt <= high for low, opt, high in ranges):
                raise EngineFormatError(f"a profile's range for {item.name!r} is not in order")
    for weight in section.weights:
        if sorted(weight.permutation) != list(range(len(weight.dims))) or len(weight.dims) > MAX_RANK:
            raise EngineFormatError(f"the permutation of weights {weight.name!r} is none of its dimensions")
        if section.baked and len(weight.sha256) != _DIGEST:
            raise EngineFormatError(f"weights {weight.name!r} are baked in, without a hash")


def _flags(section: PlanSection) -> int:
    values = (
        section.stripped,
        section.version_compatible,
        section.hardware_compatible,
        section.baked,
        section.cuda_graphs,
    )
    return sum(int(value) << bit for bit, value in enumerate(values))


def _many(items: list[bytes]) -> list[bytes]:
    return [struct.pack("<I", len(items)), *items]


def _string(text: str) -> bytes:
    raw = text.encode(errors="surrogateescape")
    return struct.pack("<H", len(raw)) + raw


def _tensor(item: PlanTensor) -> bytes:
    if item.rank > MAX_RANK:
        raise EngineFormatError(f"rank {item.rank} of {item.name!r} is beyond TensorRT's {MAX_RANK}")
    return _string(item.name) + struct.pack("<iiBB", item.index, item.dtype, item.rank, item.is_shape_tensor)


def _ranges(ranges: tuple[Range, ...]) -> bytes:
    return struct.pack("<I", len(ranges)) + b"".join(struct.pack("<qqq", *item) for item in ranges)


def _weight(item: PlanWeight, baked: bool) -> bytes:
    rank = len(item.dims)
    parts = [
        _string(item.name),
        struct.pack("<iiB", -1 if item.index is None else item.index, item.dtype, rank),
        struct.pack(f"<{rank}q{rank}B", *item.dims, *item.permutation),
    ]
    if baked:
        parts.append(item.sha256)
    if item.index is None:
        parts += [struct.pack("<Q", len(item.data)), item.data]
    return b"".join(parts)
