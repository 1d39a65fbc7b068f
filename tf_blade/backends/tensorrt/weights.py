"""What becomes of a cluster's weights: variables and large constants.

They stay where the model has them. A plan reads them as inputs of its own or, where the version builds stripped plans,
is refitted with them; either way the runtime prepares them once by the recipes collected here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_blade.backends.tensorrt.library import dtype_name
from tf_blade.backends.tensorrt.values import Value, WeightSource
from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported

if TYPE_CHECKING:
    from tf_blade.backends.tensorrt.network import Network

INPUTS, REFIT, PLAN = "inputs", "refit", "plan"


class WeightStore:
    """The weights of one network.

    Attributes:
        weights_as: "inputs" (of the network), "refit" (constants by name) or "plan" (constants of `contents`).
        recipes: for each weight of the plan, by name, how it is made of the engine's inputs; see docs/tensorrt.md.
    """

    def __init__(self, weights_as: str = INPUTS, contents: Mapping[int, np.ndarray] | None = None) -> None:
        self.weights_as = weights_as
        self.recipes: dict[str, dict[str, Any]] = {}
        self._contents = dict(contents or {})
        self._known: dict[str, Any] = {}
        self._zeros: dict[DType, np.ndarray] = {}

    def tensor(self, network: Network, value: Value) -> Any:
        """The weight as a tensor of the network."""
        assert value.weight is not None
        return self._tensor(network, _recipe(value.weight, value.dtype), value.dtype)

    def folded(
        self, network: Network, kind: str, parts: list[Value], epsilon: float, dims: tuple[int, ...]
    ) -> Value | None:
        """A batch norm's scale or shift made of its weights; None where one of them is no weight as it is."""
        if self.weights_as == PLAN or any(
            item.weight is None or item.weight.permute is not None or item.dtype != DType.FLOAT for item in parts
        ):
            return None
        inputs = [item.weight.index for item in parts if item.weight is not None]
        recipe = {"fold": kind, "inputs": inputs, "epsilon": epsilon, "dtype": "float32", "shape": list(dims)}
        return Value(DType.FLOAT, dims, self._tensor(network, recipe, DType.FLOAT))

    def _tensor(self, network: Network, recipe: dict[str, Any], dtype: DType) -> Any:
        key = f"{network.prefix}{sorted(recipe.items())}"
        if key not in self._known:
            self._known[key] = self._make(network, recipe, dtype)
        return self._known[key]

    def _make(self, network: Network, recipe: dict[str, Any], dtype: DType) -> Any:
        if self.weights_as == PLAN:
            return network.constant_tensor(prepare(recipe, self._contents).astype(dtype.numpy))
        name = f"{network.prefix}weight_{len(self.recipes)}"
        self.recipes[name] = recipe
        if self.weights_as == INPUTS:
            tensor = network.definition.add_input(name, network.dtype(dtype), recipe["shape"])
            if tensor is None:
                raise Unsupported(f"a weight of type {dtype.name.lower()} and shape {recipe['shape']}")
            return tensor
        return network.constant_tensor(self._some(dtype, recipe["shape"]), name)

    def _some(self, dtype: DType, dims: list[int]) -> np.ndarray:
        """Zeros, in memory that all weights share: the values come when the plan is refitted."""
        count = math.prod(dims)
        zeros = self._zeros.get(dtype)
        if zeros is None or zeros.size < count:
            zeros = self._zeros[dtype] = np.zeros(count, dtype.numpy)
        return zeros[:count].reshape(dims)

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


def _recipe(weight: WeightSource, dtype: DType) -> dict[str, Any]:
    recipe: dict[str, Any] = {"input": weight.index, "dtype": dtype_name(dtype), "shape": list(weight.dims)}
    if weight.permute is not None:
        recipe["reshape"] = list(weight.reshape or ())
        recipe["permute"] = list(weight.permute)
    return recipe


def prepare(recipe: Mapping[str, Any], contents: Mapping[int, np.ndarray]) -> np.ndarray:
    """What a recipe makes of the engine's inputs, but for the final cast: the runtime's work, in NumPy."""
    if "fold" in recipe:
        parts = [contents[index] for index in recipe["inputs"]]
        gamma, variance = parts[0], parts[-1]
        scale = gamma / np.sqrt(variance + np.float32(recipe["epsilon"]))
        result = scale if recipe["fold"] == "scale" else parts[1] - parts[2] * scale
    else:
        result = contents[recipe["input"]]
        if "permute" in recipe:
            result = result.reshape(recipe["reshape"]).transpose(recipe["permute"])
    return np.asarray(result).reshape(recipe["shape"])
