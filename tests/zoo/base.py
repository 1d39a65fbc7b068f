"""What a zoo model is, and how its weights are made.

Weights are random, but never trivial: scales differ from 1, biases and moving means from 0, and the moving statistics
of batch norm come from data, so that a wrong fold, a lost bias or swapped operands show in the outputs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

Array = npt.NDArray[Any]
Sizes = Mapping[str, int]
Feeds = dict[str, dict[str, Array]]

DEFAULT = "serving_default"


@dataclasses.dataclass(frozen=True)
class ZooModel:
    """A model that can be built into a folder, and what to feed it.

    Attributes:
      name: unique in its registry.
      build: writes a SavedModel into a folder; the same bytes of weights each time.
      inputs: random inputs by signature and input name, for given sizes of the unknown dimensions.
      dims: at least five sizes of each unknown dimension.
      bench: sizes at which the model is timed.
      engine_flops: the share of estimated FLOPs that must end up inside engines; None where it is no criterion.
    """

    name: str
    build: Callable[[Path], None]
    inputs: Callable[[np.random.Generator, Sizes], Feeds]
    dims: Mapping[str, Sequence[int]]
    bench: Sequence[Sizes] = ()
    engine_flops: float | None = None

    def grid(self) -> list[dict[str, int]]:
        """Combinations of sizes in which each unknown dimension takes all its sizes, and no two go in lockstep."""
        longest = max(len(values) for values in self.dims.values())
        return [
            {dim: values[(i * (j + 1) + j) % len(values)] for j, (dim, values) in enumerate(self.dims.items())}
            for i in range(longest)
        ]

    def example(self, sizes: Sizes | None = None, *, seed: int = 0) -> Feeds:
        """Inputs for `sizes`, or for the first row of `grid()`; the same for the same seed."""
        return self.inputs(np.random.default_rng(seed), sizes or self.grid()[0])


class Weights:
    """Variables with random values, made in the order in which a model asks for them."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._count = 0

    def __call__(self, *shape: int, scale: float | None = None, offset: float = 0.0) -> tf.Variable:
        """A variable N(offset, scale²); the default scale keeps a matrix product's variance (1/√fan-in)."""
        if scale is None:
            scale = float(np.prod(shape[:-1])) ** -0.5
        self._count += 1
        return tf.Variable(self.array(*shape, scale=scale, offset=offset), name=f"w{self._count}")

    def array(self, *shape: int, scale: float, offset: float = 0.0) -> Array:
        """Random float32 values N(offset, scale²)."""
        return (offset + scale * self._rng.standard_normal(shape)).astype(np.float32)

    def gain(self, *shape: int) -> tf.Variable:
        """A scale around 1."""
        return self(*shape, scale=0.2, offset=1.0)

    def bias(self, *shape: int) -> tf.Variable:
        """An offset around 0."""
        return self(*shape, scale=0.1)

    def positive(self, *shape: int) -> tf.Variable:
        """A variance: between 0.5 and 1.5."""
        self._count += 1
        return tf.Variable(self._rng.uniform(0.5, 1.5, shape).astype(np.float32), name=f"w{self._count}")


def float_input(rng: np.random.Generator, *shape: int) -> Array:
    """Standard normal float32."""
    return rng.standard_normal(shape).astype(np.float32)


def id_input(rng: np.random.Generator, vocabulary: int, *shape: int) -> Array:
    """Uniform int32 identifiers below `vocabulary`, none of them 0 (padding)."""
    return rng.integers(1, vocabulary, shape).astype(np.int32)


def mask_input(rng: np.random.Generator, batch: int, length: int) -> Array:
    """An int32 mask of 1 over a prefix of each row, at least one long, and 0 over the padding."""
    ends = rng.integers(1, length + 1, (batch, 1)) if length else np.zeros((batch, 1), np.int64)
    return (np.arange(length)[None, :] < ends).astype(np.int32)
