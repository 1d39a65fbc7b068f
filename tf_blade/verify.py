"""Compares two SavedModels output by output, over several sizes of every unknown dimension."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_blade import engine_calls, observe, runtime
from tf_blade import inputs as inputs_lib
from tf_blade.compare import check_rtol, relative_error, tolerance
from tf_blade.engine_calls import EngineCalls
from tf_blade.errors import InvalidInputError
from tf_blade.loaded import LoadedModel, check_names, chosen_signatures, first_line
from tf_blade.report import text
from tf_blade.saved_model.model import read_saved_model
from tf_blade.saved_model.portable import is_portable

Sample = Mapping[str, np.ndarray]
Arrays = Mapping[str, np.ndarray]
_log = observe.logger("verify")
_REJECTED = "the original rejects random inputs; give sample inputs"
_UNSTABLE = "the original gives other results each time it is loaded"


@dataclasses.dataclass(frozen=True)
class OutputError:
    """How far one output of one call is off.

    Attributes:
        signature: the signature called.
        output: the output's name.
        sizes: dimensions of the inputs, as text.
        error: largest absolute difference, relative to the original output's largest magnitude; infinite when shapes,
            types, NaNs or non-float values differ.
        ok: whether the error is within the tolerance.
        message: what is wrong, where a number does not say it.
        engines: whether engines were to run; a portable model is compared without them too.
    """

    signature: str
    output: str
    sizes: str
    error: float
    ok: bool
    message: str = ""
    engines: bool = True


@dataclasses.dataclass(frozen=True)
class Verification:
    """What was compared.

    Attributes:
        errors: one entry for each output of each call.
        inconclusive: what could not be compared, and why: signatures that the original model rejected every generated
            input of, and "signature/output" where the original does not agree with itself.
        calls: calls of engine ops during the comparison.
        engine_runs: those of them that an engine served.
        fallbacks: the others, by reason.
        unserved: the clusters all of whose calls fell back.
        backends: for each backend that the called clusters have engines of, the calls that these served.
        idle: those of these backends whose engines served no call, with why they refused to.
        require_engines: whether `ok` asks for engines too: that some were called, and that none is unserved.
    """

    errors: tuple[OutputError, ...]
    inconclusive: Mapping[str, str]
    calls: int = 0
    engine_runs: int = 0
    fallbacks: Mapping[str, int] = dataclasses.field(default_factory=dict)
    unserved: tuple[str, ...] = ()
    require_engines: bool = False
    backends: Mapping[str, int] = dataclasses.field(default_factory=dict)
    idle: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return all(item.ok for item in self.errors) and not self.lacks_engines

    @property
    def lacks_engines(self) -> bool:
        """Whether engines are required, and one served no call, or none was called at all."""
        return self.require_engines and (not self.calls or bool(self.unserved))

    @property
    def max_error(self) -> float:
        return max((item.error for item in self.errors), default=0.0)

    def worst(self) -> dict[tuple[str, str, bool], OutputError]:
        """The largest error of each (signature, output, engines); one that is wrong before one that is not."""
        result: dict[tuple[str, str, bool], OutputError] = {}
        for item in self.errors:
            key = (item.signature, item.output, item.engines)
            if key not in result or (not item.ok, item.error) > (not result[key].ok, result[key].error):
                result[key] = item
        return result

    def to_json(self) -> str:
        """Everything, as JSON. Infinite errors are null, since JSON has no infinity."""
        errors = [{**dataclasses.asdict(item), "error": _finite(item.error)} for item in self.errors]
        result: dict[str, Any] = {
            "ok": self.ok,
            "max_error": _finite(self.max_error),
            "inconclusive": dict(self.inconclusive),
            "engine_ops": {
                "calls": self.calls,
                "engine_runs": self.engine_runs,
                "fallbacks": dict(self.fallbacks),
                "unserved": list(self.unserved),
                "backends": dict(self.backends),
                "idle": {name: list(why) for name, why in self.idle.items()},
            },
            "errors": errors,
        }
        return json.dumps(result, indent=2)

    def to_text(self) -> str:
        """One row for each output, with the inputs at which it is worst."""
        rows = [
            (
                signature,
                output if engines else f"{output} (without engines)",
                "ok" if item.ok else "WRONG",
                f"{item.error:.1e}",
                item.sizes,
                item.message,
            )
            for (signature, output, engines), item in sorted(self.worst().items())
        ]
        lines = text.table(("signature", "output", "", "largest error", "at", ""), rows, right=(3,))
        lines += [f"{name} was not compared: {reason}" for name, reason in self.inconclusive.items()]
        lines += engine_calls.lines(self.calls, self.engine_runs, self.fallbacks, self.backends, self.idle)
        if self.lacks_engines:
            named = f"engines served no call of {', '.join(self.unserved)}"
            lines.append(f"WRONG: engines are required, and {named if self.calls else 'no engine op was called'}")
        return "\n".join(lines) or "nothing to compare"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def verify_saved_model(
    src: str | pathlib.Path,
    dst: str | pathlib.Path,
    *,
    signatures: Sequence[str] | None = None,
    sample_inputs: Mapping[str, Sequence[Sample]] | None = None,
    rtol: float = 1e-4,
    seed: int = 0,
    require_engines: bool = False,
) -> Verification:
    """Runs both models on the same inputs and compares every output; a portable model is run twice, the second time as
    TensorFlow without the op library would run it.

    Args:
        src: the original SavedModel.
        dst: the optimized one.
        signatures: those to compare; all when not given.
        sample_inputs: for each signature, inputs to use instead of random ones: name -> array.
        rtol: tolerance of float outputs, relative to the output's largest magnitude; float16 and bfloat16 outputs are
            given what their precision needs. Everything else must be equal.
        seed: of the random inputs.
        require_engines: whether an engine that served no call is an error, whatever the results.

    Raises:
        InvalidSavedModelError: one of the models cannot be loaded.
        InvalidInputError: the original does not take a sample input, `rtol` is no tolerance, or `signatures` a string.
        UnknownSignatureError: a named signature does not exist, or the optimized model lacks one.
    """
    check_rtol(rtol)
    check_names(signatures)
    original, optimized = LoadedModel(src), LoadedModel(dst)
    given = original.samples(sample_inputs)
    before = EngineCalls.so_far()
    calls: list[_Call] = []
    inconclusive: dict[str, str] = {}
    for signature in chosen_signatures(original, signatures):
        samples = given.get(signature)
        made = _given(original, signature, samples) if samples else _generated(original, signature, seed)
        mine = [_Call(signature, sample, expected, *_found(optimized, signature, sample)) for sample, expected in made]
        if not mine:
            inconclusive[signature] = _REJECTED
        calls.extend(mine)
    if is_portable(read_saved_model(dst).meta_graph.graph_def):
        calls.extend(_without_engines(dst, calls))
    errors = [error for call in calls for error in call.errors(rtol)]
    if not all(error.ok for error in errors):
        unstable = _unstable(LoadedModel(src), [call for call in calls if call.engines], rtol)
        inconclusive.update({f"{signature}/{output}": _UNSTABLE for signature, output in unstable})
        errors = [item for item in errors if not _excused(item, unstable)]
    served = EngineCalls.so_far() - before
    result = Verification(
        errors=tuple(errors),
        inconclusive=inconclusive,
        calls=served.calls,
        engine_runs=served.engine_runs,
        fallbacks=served.fallbacks,
        unserved=served.unserved(),
        require_engines=require_engines,
        backends=served.backends(),
        idle=served.idle(),
    )
    _log.info("%d outputs compared, largest error %.1e", len(errors), result.max_error)
    return result


@dataclasses.dataclass(frozen=True)
class _Call:
    """One call of both models; `message` says why the optimized model gave nothing."""

    signature: str
    sample: Sample
    expected: Arrays
    found: Arrays
    message: str
    engines: bool = True

    def errors(self, rtol: float) -> Iterator[OutputError]:
        """One entry for each output of either model."""
        sizes = ", ".join(f"{name}{list(np.shape(value))}" for name, value in sorted(self.sample.items()))
        for name in sorted({*self.expected, *self.found}):
            wanted, got = self.expected.get(name), self.found.get(name)
            if wanted is None or got is None:
                lacking = "the original lacks it" if wanted is None else "the optimized model lacks it"
                yield OutputError(self.signature, name, sizes, math.inf, False, self.message or lacking, self.engines)
                continue
            error = relative_error(wanted, got)
            message = "" if math.isfinite(error) else _difference(wanted, got)
            ok = error <= tolerance(wanted, rtol)
            yield OutputError(self.signature, name, sizes, error, ok, message, self.engines)


def _difference(expected: np.ndarray, found: np.ndarray) -> str:
    """What differs in kind."""
    if expected.dtype != found.dtype:
        return f"{found.dtype} instead of {expected.dtype}"
    if expected.shape != found.shape:
        return f"shape {list(found.shape)} instead of {list(expected.shape)}"
    if expected.dtype.kind in "fc" and np.any(np.isfinite(expected) != np.isfinite(found)):
        return "NaNs or infinities are at other places"
    return f"{np.count_nonzero(expected != found)} of {expected.size} values differ"


def _given(model: LoadedModel, signature: str, samples: Sequence[Sample]) -> list[tuple[Sample, Arrays]]:
    pairs: list[tuple[Sample, Arrays]] = []
    for sample in samples:
        try:
            pairs.append((sample, model.run(signature, sample)))
        except (tf.errors.OpError, ValueError) as error:
            raise InvalidInputError(
                f"signature {signature!r} of {model.path} rejects a sample input: {first_line(error)}"
            ) from error
    return pairs


def _generated(model: LoadedModel, signature: str, seed: int) -> list[tuple[Sample, Arrays]]:
    """Random inputs that the original accepts, with its outputs."""
    for specs in inputs_lib.with_ranks(model.inputs(signature)):
        pairs: list[tuple[Sample, Arrays]] = []
        for number, sizes in enumerate(inputs_lib.size_grid(specs)):
            pair = _first_accepted(model, signature, inputs_lib.candidates(specs, sizes, seed + number))
            if pair is None:
                _log.info("%s rejects inputs of sizes %s", signature, sizes)
            else:
                pairs.append(pair)
        if pairs:
            return pairs
    return []


def _first_accepted(model: LoadedModel, signature: str, candidates: Iterator[Sample]) -> tuple[Sample, Arrays] | None:
    for sample in candidates:
        try:
            return sample, model.run(signature, sample)
        except (tf.errors.OpError, ValueError) as error:
            _log.debug("%s: %s", signature, first_line(error))
    return None


def _found(model: LoadedModel, signature: str, sample: Sample) -> tuple[Arrays, str]:
    """The optimized model's outputs, or why there are none."""
    try:
        return model.run(signature, sample), ""
    except (tf.errors.OpError, ValueError, InvalidInputError) as error:
        return {}, f"the optimized model fails: {first_line(error)}"


def _without_engines(dst: str | pathlib.Path, calls: Sequence[_Call]) -> list[_Call]:
    """The same calls of the portable model as TensorFlow without the op library runs it."""
    with runtime.without_portable_engines():
        plain = LoadedModel(dst)
        return [
            _Call(
                call.signature, call.sample, call.expected, *_found(plain, call.signature, call.sample), engines=False
            )
            for call in calls
        ]


def _unstable(twin: LoadedModel, calls: Sequence[_Call], rtol: float) -> dict[tuple[str, str], float]:
    """Outputs in which the original, loaded again and called in the same order, does not agree with itself, and how far
    it is off.
    """
    unstable: dict[tuple[str, str], float] = {}
    for call in calls:
        again, message = _found(twin, call.signature, call.sample)
        repeated = dataclasses.replace(call, found=again, message=message)
        for item in repeated.errors(rtol):
            if not item.ok:
                key = (item.signature, item.output)
                unstable[key] = max(item.error, unstable.get(key, 0.0))
    return unstable


def _excused(item: OutputError, unstable: Mapping[tuple[str, str], float]) -> bool:
    """Whether the original differs from itself as this does: random numbers excuse other numbers, no other shape."""
    error = unstable.get((item.signature, item.output))
    return error is not None and (math.isfinite(item.error) or not math.isfinite(error))
