"""Chooses the requests of the warmup file: every signature at every batch size, and inputs that reach every engine.

The model runs in a session, as a model server runs it; what it rejects is not written, since a server refuses a model
with a record that fails.
"""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf_blade import inputs as inputs_lib
from tf_blade import observe, runtime
from tf_blade.engine_calls import EngineCalls
from tf_blade.engines.format import read_engine
from tf_blade.errors import EngineFormatError, InvalidSavedModelError
from tf_blade.inputs import InputSpec
from tf_blade.loaded import first_line
from tf_blade.samples import as_arrays
from tf_blade.saved_model import warmup as files
from tf_blade.saved_model.engines import signature_engines
from tf_blade.saved_model.model import read_saved_model
from tf_blade.saved_model.plan_stand_ins import with_stand_ins
from tf_blade.threads import session_config

v1 = tf.compat.v1
Sample = Mapping[str, np.ndarray]
_log = observe.logger("warmup")
# Of the whole file; a signature's first record is written whatever its size.
MAX_BYTES = 64 * 2**20
# Of one request: half of what a message may have.
MAX_REQUEST_BYTES = 2**30
# What is tried to reach an engine: so many requests, whose unknown sizes multiply to no more.
_TRIES, _MOST = 64, 2**14
_MOST_COMBINATIONS = 64 * _TRIES
# Reasons of fallbacks that hold for all calls on this machine: no input changes them.
_FOR_GOOD = frozenset(
    {"corrupt", "hash", "version", "signature", "backend", "isa", "load", "untrusted", "disabled"}
    | {"library", "device", "compute_capability"}
)


@dataclasses.dataclass(frozen=True)
class Warmup:
    """What the file is to hold.

    Attributes:
        records: PredictionLog messages.
        notes: signatures, batch sizes and engines without a record, and why.
    """

    records: tuple[bytes, ...]
    notes: tuple[str, ...]


def make_warmup(
    logs: Any,
    folder: Path,
    *,
    batch_sizes: Sequence[int],
    samples: Mapping[str, Sequence[Sample]] | None = None,
) -> Warmup:
    """The records for a model.

    Args:
        logs: the module that defines PredictionLog.
        folder: the optimized SavedModel.
        batch_sizes: what unknown first dimensions are set to.
        samples: for each signature, inputs to use instead of random ones: name -> array.

    Raises:
        InvalidSavedModelError: TensorFlow cannot load the model.
        InvalidInputError: a signature does not take a sample input.
    """
    with with_stand_ins(folder) as served:
        return _make(logs, _Server(served), tuple(dict.fromkeys(batch_sizes)), samples)


def _make(
    logs: Any, server: _Server, batch_sizes: tuple[int, ...], samples: Mapping[str, Sequence[Sample]] | None
) -> Warmup:
    maker = _Maker(logs, server, batch_sizes)
    names = [name for name, _ in server.model.signatures()]
    for name in names:
        reason = files.why_not_served(server.model, name)
        if reason:
            maker.notes.append(f"signature {name} has no warmup request: {reason}")
        elif (samples or {}).get(name):
            maker.add_given(name, (samples or {})[name])
        else:
            maker.add_generated(name)
    for name in names:
        if maker.missing() and name in maker.accepted:
            maker.add_for_missing(name)
    maker.notes.extend(f"no warmup request reaches {which}" for which in sorted(map(_which, maker.missing())))
    maker.notes.extend(maker.refused())
    _log.info("%d records, %d bytes", len(maker.records), maker.size)
    return Warmup(tuple(maker.records), tuple(maker.notes))


class _Server:
    """A SavedModel in a session, as model servers load it."""

    def __init__(self, folder: Path) -> None:
        runtime.load()
        self.model = read_saved_model(folder)
        with tf.Graph().as_default(), _quiet():
            self._session = v1.Session(config=session_config())
            try:
                meta_graph = v1.saved_model.load(self._session, list(self.model.tags), str(folder))
            except (OSError, LookupError, TypeError, ValueError, RuntimeError, tf.errors.OpError) as error:
                raise InvalidSavedModelError(
                    f"TensorFlow cannot load {folder} into a session: {first_line(error)}"
                ) from error
        self._signatures = meta_graph.signature_def

    def run(self, signature: str, inputs: Sample, specs: Sequence[InputSpec]) -> None:
        """Runs a signature and drops its results. TensorFlow's errors come through."""
        definition = self._signatures[signature]
        dtypes = {spec.name: spec.dtype for spec in specs}
        feeds = {definition.inputs[name].name: np.asarray(value, dtypes[name]) for name, value in inputs.items()}
        self._session.run([info.name for info in definition.outputs.values()], feeds)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the warning that TF1's loader is deprecated: model servers load as it does."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


class _Maker:
    """Collects records, and what they reach."""

    def __init__(self, logs: Any, server: _Server, batch_sizes: tuple[int, ...]) -> None:
        self.records: list[bytes] = []
        self.notes: list[str] = []
        self.size = 0
        self.accepted: dict[str, tuple[InputSpec, ...]] = {}
        self._given: dict[str, list[Sample]] = {}  # samples that the model has accepted
        self._logs, self._server, self._batch_sizes = logs, server, batch_sizes
        self._before = _counts()
        self._calls_before = EngineCalls.so_far()

    def missing(self) -> set[_Engine]:
        """Engines that have not run so far, though signatures with requests may run them and this machine would."""
        found: set[_Engine] = set()
        called = [(key, item) for key, item in _counts().items() if item.calls != self._before.get(key, _NONE).calls]
        for name in {name for signature in self.accepted for name in self._engines(signature)}:
            mine = [(key, item) for key, item in called if key[0] == name]
            if not mine:
                found.add((name, None))
            for key, item in mine:
                before = self._before.get(key, _NONE).runs
                single = len(item.runs) == 1
                for index, runs in item.runs.items():
                    if runs == before.get(index, 0):
                        found.add((name, None if single and index == 0 else index))
        return found

    def _engines(self, signature: str) -> dict[str, tuple[bytes, ...]]:
        return signature_engines(self._server.model, signature)

    def refused(self) -> list[str]:
        """Why engines cannot run in this process, whatever the inputs, and for how many calls that was so."""
        fallbacks = (EngineCalls.so_far() - self._calls_before).fallbacks
        found = {reason: number for reason, number in fallbacks.items() if reason in _FOR_GOOD}
        return [f"{number} calls of engines fell back in warmup requests: {why}" for why, number in found.items()]

    def add_generated(self, signature: str) -> None:
        """A random request for each batch size, of the first kind that the model accepts."""
        specs = files.input_specs(self._server.model, signature)
        rejected = False
        for known in inputs_lib.with_ranks(specs):
            axes = sorted({axis for spec in known for axis, dim in enumerate(spec.shape or ()) if dim is None})
            for batch in self._batch_sizes if 0 in axes else (1,):
                least = inputs_lib.byte_size(known, {axis: 1 if axis else batch for axis in axes})
                if self._is_too_large(signature, batch, least):
                    continue
                sample = self._first_accepted(signature, known, axes, batch)
                rejected = rejected or sample is None
                if sample is not None:
                    self._add(signature, sample, known)
                    self.accepted[signature] = known
            if signature in self.accepted:
                return
        if rejected:
            self._note(f"signature {signature} has no warmup request: it rejects random inputs; give sample inputs")

    def add_given(self, signature: str, samples: Sequence[Sample]) -> None:
        """The caller's inputs, their rows repeated or dropped to make each batch size.

        Raises:
            InvalidInputError: the signature does not take them.
        """
        specs = files.input_specs(self._server.model, signature)
        for sample in samples:
            arrays = as_arrays(sample, specs, signature)
            problem = self._problem(signature, arrays, specs)
            if problem:
                self._note(f"signature {signature} has no warmup request of a sample that it rejects: {problem}")
                continue
            self._given.setdefault(signature, []).append(arrays)
            resized = self._resized(signature, arrays, specs, self._batch_sizes)
            fitting = [item for item in resized if not self._problem(signature, item, specs)]
            for item in fitting or [arrays]:
                self._add(signature, item, specs)
            self.accepted[signature] = specs

    def add_for_missing(self, signature: str) -> None:
        """Inputs of further sizes, where they reach an engine that nothing has reached so far."""
        specs = self.accepted[signature]
        for alternatives in self._further(signature, specs):
            missing = self.missing()
            if not missing:
                return
            for sample in alternatives:
                if not self._problem(signature, sample, specs):
                    if self.missing() != missing:
                        self._add(signature, sample, specs)
                    break

    def _further(self, signature: str, specs: Sequence[InputSpec]) -> Iterator[Iterator[Sample]]:
        """Inputs to try, for each size those of which the model need accept one."""
        edges = _edges(self._engines(signature).values())
        if signature in self._given:
            for sample in self._given[signature]:
                yield from (iter([item]) for item in self._resized(signature, sample, specs, edges))
        elif all(spec.shape is not None for spec in specs):
            for number, sizes in enumerate(inputs_lib.size_grid(specs)):
                if 0 not in sizes.values():  # a server that batches may not take a request without rows
                    yield inputs_lib.candidates(specs, sizes, number)
            for number, sizes in enumerate(_sizes_at(edges, specs)):
                if inputs_lib.byte_size(specs, sizes) > MAX_REQUEST_BYTES:
                    continue
                made = list(inputs_lib.candidates(specs, sizes, number))
                # One value for all elements makes a small record, however large the batch.
                yield iter([*({name: _uniform(array) for name, array in item.items()} for item in made), *made])

    def _first_accepted(
        self, signature: str, specs: Sequence[InputSpec], axes: Sequence[int], batch: int
    ) -> Sample | None:
        """Inputs that engines serve, if there are any; else the first that the model accepts."""
        accepted: Sample | None = None
        others = inputs_lib.OTHER_SIZES if len(axes) > (0 in axes) else inputs_lib.OTHER_SIZES[:1]
        for number, other in enumerate(others):
            sizes = {axis: other if axis else batch for axis in axes}
            if inputs_lib.byte_size(specs, sizes) > MAX_REQUEST_BYTES:
                continue
            for sample in inputs_lib.candidates(specs, sizes, number):
                before = _fallbacks()
                if self._problem(signature, sample, specs):
                    continue
                if _fallbacks() == before:
                    return sample
                accepted = sample if accepted is None else accepted
        return accepted

    def _problem(self, signature: str, sample: Sample, specs: Sequence[InputSpec]) -> str:
        """Why the model rejects a request; empty when it takes it."""
        try:
            self._server.run(signature, sample, specs)
        except (tf.errors.OpError, TypeError, ValueError) as error:
            _log.debug("%s: %s", signature, first_line(error))
            return first_line(error)
        return ""

    def _resized(
        self, signature: str, arrays: Sample, specs: Sequence[InputSpec], batches: Sequence[int]
    ) -> Iterator[Sample]:
        batched = {spec.name for spec in specs if spec.shape and spec.shape[0] is None}
        sizes = {len(arrays[name]) for name in batched}
        if len(sizes) != 1 or 0 in sizes:
            return
        (size,) = sizes
        row_bytes = sum(arrays[name].nbytes // size for name in batched)
        for batch in batches:
            if self._is_too_large(signature, batch, batch * row_bytes):
                continue
            rows = np.arange(batch) % size
            yield {name: value[rows] if name in batched else value for name, value in arrays.items()}

    def _add(self, signature: str, sample: Sample, specs: Sequence[InputSpec]) -> None:
        shapes = ", ".join(f"{name}{list(np.shape(value))}" for name, value in sorted(sample.items()))
        if sum(np.asarray(value).nbytes for value in sample.values()) > MAX_REQUEST_BYTES:
            self._note(f"no warmup request of {signature} with {shapes}: it would exceed {MAX_REQUEST_BYTES} bytes")
            return
        record = files.encode(self._logs, signature, sample, specs)
        if len(self.records) >= files.MAX_RECORDS:
            self._note(f"the warmup file is full: TensorFlow Serving takes {files.MAX_RECORDS} records")
        elif signature in self.accepted and self.size + len(record) > MAX_BYTES:
            self._note(f"no warmup request of {signature} with {shapes}: the file would exceed {MAX_BYTES} bytes")
        elif record not in self.records:
            self.records.append(record)
            self.size += len(record)

    def _is_too_large(self, signature: str, batch: int, size: int) -> bool:
        """Whether a request of so many bytes cannot be written; tells it."""
        if size <= MAX_REQUEST_BYTES:
            return False
        self._note(f"no warmup request of {signature} with {batch} rows: it would have {size} bytes")
        return True

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


# A cluster's engine by its number; None stands for the only one, or for all where the cluster was not called.
_Engine = tuple[str, "int | None"]


@dataclasses.dataclass(frozen=True)
class _Counts:
    """Calls of a cluster in this process, and the runs of those of its engines that could be loaded, by number."""

    calls: int
    runs: Mapping[int, int]


_NONE = _Counts(0, {})


def _counts() -> dict[tuple[str, ...], _Counts]:
    """By the cluster's name and the hashes of its engines: models that were loaded before may share the name."""
    result = {}
    for item in runtime.runtime_stats()["clusters"]:
        runs = {engine["index"]: engine["runs"] for engine in item["engines"] if not engine["load_refusal"]}
        key = (item["cluster"], *(engine["hash"] for engine in item["engines"]))
        result[key] = _Counts(item["calls"], runs)
    return result


def _which(engine: _Engine) -> str:
    name, index = engine
    return f"the engine of {name}" if index is None else f"engine {index} of {name}, which its first call prepares"


def _edges(ops: Iterable[Sequence[bytes]]) -> list[int]:
    """Sizes at the ends of the ranges that engines take, and just beyond, where other engines are behind them."""
    found: set[int] = set()
    for data in (data for engines in ops if len(engines) > 1 for data in engines):
        with contextlib.suppress(EngineFormatError):  # the runtime refuses it too
            for symbol in read_engine(data).signature.symbols:
                if symbol.max is not None:
                    found.update((symbol.min - 1, symbol.min, symbol.max, symbol.max + 1))
    return sorted(size for size in found if size > 0)


def _sizes_at(edges: Sequence[int], specs: Sequence[InputSpec]) -> list[dict[int, int]]:
    """Sizes of the unknown axes, some of them at the edges, the smallest first; none that might be too much work."""
    axes = sorted({axis for spec in specs for axis, dim in enumerate(spec.shape or ()) if dim is None})
    usual = [1 if axis == 0 else inputs_lib.OTHER_SIZES[0] for axis in axes]
    if not edges or not axes:
        return []
    found: list[tuple[int, ...]] = [()]
    for size in usual:
        # Of very many the smallest are enough, so that axes do not multiply them.
        grown = {(*sizes, edge) for sizes in found for edge in (*edges, size) if math.prod(sizes) * edge <= _MOST}
        found = heapq.nsmallest(_MOST_COMBINATIONS, grown, key=lambda item: (math.prod(item), item))
    return [dict(zip(axes, sizes, strict=True)) for sizes in found[:_TRIES]]


def _uniform(array: np.ndarray) -> np.ndarray:
    return np.full_like(array, array.reshape(-1)[0]) if array.size else array


def _fallbacks() -> int:
    """Calls so far that TensorFlow served and that other inputs might bring to an engine."""
    items = itertools.chain.from_iterable(item["fallbacks"].items() for item in runtime.runtime_stats()["clusters"])
    return sum(number for reason, number in items if reason not in _FOR_GOOD)
