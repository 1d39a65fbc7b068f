"""Times two SavedModels side by side: same inputs, one process, calls interleaved, medians."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_blade import inputs as inputs_lib
from tf_blade.errors import InvalidSavedModelError
from tf_blade.loaded import LoadedModel, chosen_signatures

Sample = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Timing:
    """One signature at one size.

    Attributes:
        signature: the signature called.
        sizes: dimensions of the inputs, as text.
        original_ms: median milliseconds of a call of the original.
        optimized_ms: the same of the optimized model.
        calls: calls of each that were timed.
    """

    signature: str
    sizes: str
    original_ms: float
    optimized_ms: float
    calls: int

    @property
    def ratio(self) -> float:
        """How many times faster the optimized model is."""
        return self.original_ms / self.optimized_ms


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """All timings of one run."""

    timings: tuple[Timing, ...]

    def to_json(self) -> str:
        return json.dumps([{**dataclasses.asdict(item), "ratio": item.ratio} for item in self.timings], indent=2)

    def to_text(self) -> str:
        lines = [f"{'signature':20} {'inputs':48} {'TensorFlow ms':>14} {'tf_blade ms':>12} {'ratio':>7}"]
        for item in self.timings:
            lines.append(
                f"{item.signature:20} {item.sizes[:48]:48} {item.original_ms:14.3f} {item.optimized_ms:12.3f}"
                f" {item.ratio:7.2f}"
            )
        return "\n".join(lines)


def bench_saved_model(
    src: str | pathlib.Path,
    dst: str | pathlib.Path,
    *,
    signatures: Sequence[str] | None = None,
    sample_inputs: Mapping[str, Sequence[Sample]] | None = None,
    seconds: float = 3.0,
    seed: int = 0,
) -> Benchmark:
    """Calls both models' signatures in turn and gives the medians.

    Args:
        src: the original SavedModel.
        dst: the optimized one.
        signatures: those to time; all when not given.
        sample_inputs: for each signature, the inputs to time (name -> array); random ones at two sizes when not given.
        seconds: time to spend on each signature and size, warm-up not counted.
        seed: of the random inputs.

    Raises:
        InvalidSavedModelError: a model cannot be loaded, or the original takes no random inputs.
        UnknownSignatureError: a named signature does not exist.
    """
    original, optimized = LoadedModel(src), LoadedModel(dst)
    timings = []
    for signature in chosen_signatures(original, signatures):
        for sample in (sample_inputs or {}).get(signature) or _samples(original, signature, seed):
            timings.append(_time_one(original, optimized, signature, sample, seconds))
    return Benchmark(tuple(timings))


def _samples(model: LoadedModel, signature: str, seed: int) -> list[Sample]:
    specs = model.inputs(signature)
    found: list[Sample] = []
    for batch, other in ((1, 128), (8, 64), (1, 16), (8, 8)):
        axes = {axis for spec in specs for axis, dim in enumerate(spec.shape or ()) if dim is None}
        sizes = {axis: batch if axis == 0 else other for axis in axes}
        for sample in inputs_lib.candidates(specs, sizes, seed):
            try:
                model.run(signature, sample)
            except (tf.errors.OpError, ValueError):
                continue
            found.append(sample)
            break
        if len(found) == (2 if axes else 1):
            return found
    if not found:
        raise InvalidSavedModelError(f"signature {signature!r} takes no random inputs; give sample inputs")
    return found


def _time_one(original: LoadedModel, optimized: LoadedModel, signature: str, sample: Sample, seconds: float) -> Timing:
    calls = [_call(model, signature, sample) for model in (original, optimized)]
    for call in calls:
        for _ in range(3):
            call()
    times: tuple[list[float], list[float]] = ([], [])
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or len(times[0]) < 5:
        # the order alternates, so that neither always follows the other's cache contents
        for index in (0, 1) if len(times[0]) % 2 == 0 else (1, 0):
            start = time.perf_counter()
            calls[index]()
            times[index].append(time.perf_counter() - start)
    sizes = ", ".join(f"{name}{list(value.shape)}" for name, value in sorted(sample.items()))
    medians = [statistics.median(item) * 1e3 for item in times]
    return Timing(signature, sizes, medians[0], medians[1], len(times[0]))


def _call(model: LoadedModel, signature: str, sample: Sample) -> Callable[[], Any]:
    function, tensors = model.function(signature), model.tensors(signature, sample)

    def call() -> Any:
        outputs = function(**tensors)
        for value in outputs.values():
            # a small fetch makes sure that the call is over
            value.shape.as_list()
        return outputs

    return call
