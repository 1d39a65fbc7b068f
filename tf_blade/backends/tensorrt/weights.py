"""What becomes of a cluster's weights: variables and large constants.

They stay where the model has them. A plan reads them as inputs of its own or, where the version builds stripped plans,
is refitted with them; docs/adr/0010 tells why.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_blade.backends.tensorrt.values import Value, WeightSource
from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported

if TYPE_CHECKING:
    from tf_blade.backends.tensorrt.network import Network

# Inputs of the plan, constants that it is refitted with, or constants of known values in it.
INPUTS, REFIT, PLAN = "inputs", "refit", "plan"


@dataclasses.dataclass(frozen=True)
class RefitWeight:
    """A constant of a plan that the runtime puts there.

    Attributes:
        index: the engine's input that it comes from.
        dtype: in the plan.
        dims: of the source.
        permutation: of the source's axes.
    """

    name: str
    index: int
    dtype: DType
    dims: tuple[int, ...]
    permutation: tuple[int, ...]


class WeightStore:
    """The weights of one network.

    Attributes:
        weights_as: "inputs", "refit" or "plan".
        inputs: in the first case, the weights that the plan reads.
        refits: in the second, what the runtime puts into it.
    """

    def __init__(self, weights_as: str = INPUTS, contents: Mapping[int, np.ndarray] | None = None) -> None:
        self.weights_as = weights_as
        self.inputs: list[WeightSource] = []
        self.refits: list[RefitWeight] = []
        self._contents = dict(contents or {})
        self._known: dict[tuple[object, ...], Any] = {}
        self._zeros: dict[DType, np.ndarray] = {}

    def tensor(self, network: Network, value: Value) -> Any:
        """The weight as a tensor of the network."""
        assert value.weight is not None
        key = (network.prefix, value.weight, value.dtype)
        if key not in self._known:
            make = {INPUTS: self._input, REFIT: self._refit, PLAN: self._content}[self.weights_as]
            self._known[key] = make(network, value.weight, value.dtype)
        return self._known[key]

    def _input(self, network: Network, weight: WeightSource, dtype: DType) -> Any:
        """The variable itself, and what makes of it in each call what the layers want."""
        key = (network.prefix, weight.index)
        dims = weight.source_dims
        if key not in self._known:
            name = f"{network.prefix}{weight.name}"
            tensor = network.definition.add_input(name, network.dtype(weight.dtype), dims)
            if tensor is None:
                raise Unsupported(f"a weight of type {weight.dtype.name.lower()} and rank {len(dims)}")
            self._known[key] = tensor
            self.inputs.append(dataclasses.replace(weight, name=name))
        value = Value(weight.dtype, dims, self._known[key])
        if weight.permute is not None and weight.reshape is not None:
            value = network.transpose(network.reshape(value, weight.reshape), weight.permute)
        return network.tensor(network.cast(network.reshape(value, weight.dims), dtype))

    def _refit(self, network: Network, weight: WeightSource, dtype: DType) -> Any:
        """Zeros, in memory that all weights share: the values come when the plan is refitted."""
        name = f"{network.prefix}weight_{len(self.refits)}"
        dims = weight.reshape or weight.dims
        self.refits.append(RefitWeight(name, weight.index, dtype, dims, weight.permute or tuple(range(len(dims)))))
        count = math.prod(weight.dims)
        zeros = self._zeros.get(dtype)
        if zeros is None or zeros.size < count:
            zeros = self._zeros[dtype] = np.zeros(count, dtype.numpy)
        return network.constant_tensor(zeros[:count].reshape(weight.dims), name)

    def _content(self, network: Network, weight: WeightSource, dtype: DType) -> Any:
        array = self._contents[weight.index]
        if weight.permute is not None and weight.reshape is not None:
            array = array.reshape(weight.reshape).transpose(weight.permute)
        return network.constant_tensor(array.reshape(weight.dims).astype(dtype.numpy))

    def reshape(self, value: Value, dims: tuple[int, ...]) -> Value:
        """The weight in another shape."""
        assert value.weight is not None
        return Value(value.dtype, dims, weight=dataclasses.replace(value.weight, dims=dims))

    def transpose(self, value: Value, axes: tuple[int, ...]) -> Value:
        """The weight with its axes permuted, which it was not before."""
        assert value.weight is not None and value.weight.permute is None
        old = value.weight.dims
        dims = tuple(old[axis] for axis in axes)
        return Value(value.dtype, dims, weight=dataclasses.replace(value.weight, reshape=old, permute=axes, dims=dims))
