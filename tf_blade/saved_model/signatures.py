"""Signatures as people read them: what each takes and gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo

from tf_blade.dtypes import DType
from tf_blade.saved_model.model import SavedModel


@dataclasses.dataclass(frozen=True)
class SignatureReport:
    """Inputs and outputs, each as `tokens: int32[?, 128]`; `[...]` stands for an unknown rank."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def lines(self, name: str) -> list[str]:
        """The signature as text."""
        return [
            name,
            f"  inputs   {', '.join(self.inputs) or 'none'}",
            f"  outputs  {', '.join(self.outputs) or 'none'}",
        ]


def signature_reports(model: SavedModel) -> dict[str, SignatureReport]:
    """All signatures that somebody can call, by name."""
    return {name: SignatureReport(_texts(item.inputs), _texts(item.outputs)) for name, item in model.signatures()}


def _texts(infos: Mapping[str, TensorInfo]) -> tuple[str, ...]:
    return tuple(f"{name}: {_type(info)}" for name, info in sorted(infos.items()))


def _type(info: TensorInfo) -> str:
    try:
        dtype = DType(info.dtype)
        kind = dtype.numpy.name
    except KeyError:
        kind = dtype.name.lower()
    except ValueError:
        kind = f"dtype {info.dtype}"
    shape = info.tensor_shape
    dims = "..." if shape.unknown_rank else ", ".join("?" if dim.size < 0 else str(dim.size) for dim in shape.dim)
    return f"{kind}[{dims}]"
