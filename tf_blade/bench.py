"""Times two SavedModels side by side: same inputs, one process, calls interleaved, medians."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_blade import inputs as inputs_lib
from tf_blade.engine_calls import EngineCalls
from tf_blade.errors import InvalidInputError, InvalidSavedModelError, TfBladeError
from tf_blade.loaded import LoadedModel, check_names, chosen_signatures, first_line
from tf_blade.report import text
from tf_blade.threads import session_config

v1 = tf.compat.v1
Sample = Mapping[str, np.ndarray]
Call = Callable[[], Any]
# (batch, every other dimension) of random inputs, in the order in which they are tried
_SIZES = ((1, 128), (8, 64), (1, 16), (8, 8))
_WARM_UP_CALLS = 3
_MIN_CALLS = 5


@dataclasses.dataclass(frozen=True)
class Timing:
    """One signature at one size.

    Attributes:
        signature: the signature called.
        sizes: dimensions of the inputs, as text.
        original_ms: median milliseconds of a call of the original.
        optimized_ms: the same of the optimized model.
        calls: calls of each that were timed.
        through: how it was called: "python" for the loaded object's signature, "session" for a session's callable.
        fallbacks: calls of engine ops meanwhile, warm-up included, that TensorFlow served, by reason.
    """

    signature: str
    sizes: str
    original_ms: float
    optimized_ms: float
    calls: int
    through: str = "python"
    fallbacks: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """How many times faster the optimized model is."""
        return self.original_ms / self.optimized_ms


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """All timings of one run."""

    timings: tuple[Timing, ...]

    def to_json(self) -> str:
        """All timings, as JSON."""
        return json.dumps([{**dataclasses.asdict(item), "ratio": item.ratio} for item in self.timings], indent=2)

    def to_text(self) -> str:
        """One row for each timing."""
        rows = [
            (
                item.signature,
                text.shorten(item.sizes, 60),
                item.through,
                f"{item.original_ms:.3f}",
                f"{item.optimized_ms:.3f}",
                f"{item.ratio:.2f}",
            )
            for item in self.timings
        ]
        head = ("signature", "inputs", "called through", "TensorFlow ms", "tf_blade ms", "ratio")
        return "\n".join([*text.table(head, rows, right=(3, 4, 5)), *self._fallbacks()]) or "nothing to time"

    def _fallbacks(self) -> list[str]:
        """What a reader of the ratios must know: where engines did not run."""
        counts: Counter[str] = Counter()
        for item in self.timings:
            counts.update(item.fallbacks)
        return [f"{text.count(number, 'call', 'calls')} of engines fell back: {why}" for why, number in counts.items()]


def bench_saved_model(
    src: str | pathlib.Path,
    dst: str | pathlib.Path,
    *,
    signatures: Sequence[str] | None = None,
    sample_inputs: Mapping[str, Sequence[Sample]] | None = None,
    seconds: float = 3.0,
    seed: int = 0,
    through_session: bool = False,
) -> Benchmark:
    """Calls both models' signatures in turn and gives the medians.

    Args:
        src: the original SavedModel.
        dst: the optimized one.
        signatures: those to time; all when not given.
        sample_inputs: for each signature, the inputs to time (name -> array); random ones at two sizes when not given.
        seconds: time to spend on each signature and size, warm-up not counted.
        seed: of the random inputs.
        through_session: time each also as a model server calls it: a session's callable, fed and fetched.

    Raises:
        InvalidSavedModelError: a model cannot be loaded.
        InvalidInputError: the original takes no random inputs, or not the given ones; `signatures` is one string.
        UnknownSignatureError: a named signature does not exist.
        TfBladeError: `seconds` is no length of time.
    """
    if not 0.0 <= seconds < math.inf:
        raise TfBladeError(f"seconds is {seconds}; give a finite number, 0 or larger")
    check_names(signatures)
    original, optimized = LoadedModel(src), LoadedModel(dst)
    given = original.samples(sample_inputs)
    sessions = (_Session(original), _Session(optimized)) if through_session else None
    timings = []
    for signature in chosen_signatures(original, signatures):
        for sample in given.get(signature) or _samples(original, signature, seed):
            _check_accepted(original, signature, sample)
            timings.append(
                _time(
                    signature,
                    sample,
                    [_call(model, signature, sample) for model in (original, optimized)],
                    seconds,
                    "python",
                )
            )
            if sessions is not None:
                timings.append(
                    _time(signature, sample, [item.call(signature, sample) for item in sessions], seconds, "session")
                )
    return Benchmark(tuple(timings))


def _samples(model: LoadedModel, signature: str, seed: int) -> list[Sample]:
    for specs in inputs_lib.with_ranks(model.inputs(signature)):
        axes = {axis for spec in specs for axis, dim in enumerate(spec.shape or ()) if dim is None}
        found: list[Sample] = []
        for batch, other in _SIZES:
            sizes = {axis: other if axis else batch for axis in axes}
            accepted = (item for item in inputs_lib.candidates(specs, sizes, seed) if _accepts(model, signature, item))
            found.extend(sample for sample in [next(accepted, None)] if sample is not None)
            if len(found) == (2 if axes else 1):
                break
        if found:
            return found
    raise InvalidInputError(f"signature {signature!r} of {model.path} takes no random inputs; give sample inputs")


def _accepts(model: LoadedModel, signature: str, sample: Sample) -> bool:
    try:
        model.run(signature, sample)
    except (tf.errors.OpError, ValueError):
        return False
    return True


def _check_accepted(model: LoadedModel, signature: str, sample: Sample) -> None:
    try:
        model.run(signature, sample)
    except (tf.errors.OpError, ValueError) as error:
        raise InvalidInputError(
            f"signature {signature!r} of {model.path} rejects its input: {first_line(error)}"
        ) from error


def _time(signature: str, sample: Sample, calls: Sequence[Call], seconds: float, through: str) -> Timing:
    before = EngineCalls.so_far()
    for call in calls:
        for _ in range(_WARM_UP_CALLS):
            call()
    times: tuple[list[float], list[float]] = ([], [])
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or len(times[0]) < _MIN_CALLS:
        # the order alternates, so that neither always follows the other's cache contents
        for index in (0, 1) if len(times[0]) % 2 == 0 else (1, 0):
            start = time.perf_counter()
            calls[index]()
            times[index].append(time.perf_counter() - start)
    sizes = ", ".join(f"{name}{list(np.shape(value))}" for name, value in sorted(sample.items()))
    medians = [statistics.median(item) * 1e3 for item in times]
    fallbacks = (EngineCalls.so_far() - before).fallbacks
    return Timing(signature, sizes, medians[0], medians[1], len(times[0]), through, fallbacks)


def _call(model: LoadedModel, signature: str, sample: Sample) -> Call:
    """A call of the signature as a Python user makes it, with tensors that are there already."""
    function, tensors = model.function(signature), model.tensors(signature, sample)

    def call() -> Any:
        # reading the values waits for whatever has not been computed yet
        return [value.numpy() for value in function(**tensors).values()]

    return call


class _Session:
    """A SavedModel loaded by TF1's loader, as model servers do."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        with tf.Graph().as_default():
            self._session = v1.Session(config=session_config())
            try:
                self._meta_graph = v1.saved_model.load(self._session, list(model.tags), model.path)
            except (OSError, LookupError, TypeError, ValueError, RuntimeError, tf.errors.OpError) as error:
                raise InvalidSavedModelError(
                    f"TensorFlow cannot load {model.path} into a session: {first_line(error)}"
                ) from error

    def call(self, signature: str, sample: Sample) -> Call:
        """A call that feeds arrays and fetches arrays."""
        spec = self._meta_graph.signature_def[signature]
        names = sorted(spec.inputs)
        specs = {item.name: item for item in self._model.inputs(signature)}
        fetches = [spec.outputs[name].name for name in sorted(spec.outputs)]
        function = self._session.make_callable(fetches, feed_list=[spec.inputs[name].name for name in names])
        values = [np.asarray(sample[name], dtype=specs[name].dtype) for name in names]
        return lambda: function(*values)
