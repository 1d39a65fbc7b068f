"""Compares two SavedModels output by output, over several sizes of every unknown dimension."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tf_blade import inputs as inputs_lib
from tf_blade import observe
from tf_blade.loaded import LoadedModel, chosen_signatures

Sample = Mapping[str, np.ndarray]
_log = observe.logger("verify")


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
    """

    signature: str
    output: str
    sizes: str
    error: float
    ok: bool


@dataclasses.dataclass(frozen=True)
class Verification:
    """What was compared.

    Attributes:
        errors: one entry for each output of each call.
        inconclusive: signatures that the original model rejected every generated input of; give sample inputs for them.
    """

    errors: tuple[OutputError, ...]
    inconclusive: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return all(item.ok for item in self.errors)

    @property
    def max_error(self) -> float:
        return max((item.error for item in self.errors), default=0.0)

    def worst(self) -> dict[tuple[str, str], OutputError]:
        """The largest error of each (signature, output)."""
        result: dict[tuple[str, str], OutputError] = {}
        for item in self.errors:
            key = (item.signature, item.output)
            if key not in result or item.error > result[key].error:
                result[key] = item
        return result

    def to_json(self) -> str:
        return json.dumps(
            {
                "ok": self.ok,
                "max_error": self.max_error,
                "inconclusive": list(self.inconclusive),
                "errors": [dataclasses.asdict(item) for item in self.errors],
            },
            indent=2,
        )

    def to_text(self) -> str:
        lines = [f"{'signature':24} {'output':24} {'largest error':>14}  at"]
        for (signature, output), item in sorted(self.worst().items()):
            mark = "" if item.ok else "  WRONG"
            lines.append(f"{signature:24} {output:24} {item.error:14.3e}  {item.sizes}{mark}")
        for name in self.inconclusive:
            lines.append(f"{name:24} not compared: the original rejects random inputs; give sample inputs")
        return "\n".join(lines)


def verify_saved_model(
    src: str | pathlib.Path,
    dst: str | pathlib.Path,
    *,
    signatures: Sequence[str] | None = None,
    sample_inputs: Mapping[str, Sequence[Sample]] | None = None,
    rtol: float = 1e-4,
    seed: int = 0,
) -> Verification:
    """Runs both models on the same inputs and compares every output.

    Args:
        src: the original SavedModel.
        dst: the optimized one.
        signatures: those to compare; all when not given.
        sample_inputs: for each signature, inputs to use instead of random ones: name -> array.
        rtol: tolerance of float outputs, relative to the output's largest magnitude; float16 and bfloat16 outputs are
            given what their precision needs. Everything else must be equal.
        seed: of the random inputs.

    Raises:
        InvalidSavedModelError: one of the models cannot be loaded.
        UnknownSignatureError: a named signature does not exist.
    """
    original, optimized = LoadedModel(src), LoadedModel(dst)
    errors: list[OutputError] = []
    inconclusive: list[str] = []
    for signature in chosen_signatures(original, signatures):
        samples = (sample_inputs or {}).get(signature)
        pairs = _given(original, signature, samples) if samples else _generated(original, signature, seed)
        for sample, expected in pairs:
            found = optimized.run(signature, sample)
            errors.extend(_compare(signature, sample, expected, found, rtol))
        if not pairs:
            inconclusive.append(signature)
    return Verification(tuple(errors), tuple(inconclusive))


def _given(model: LoadedModel, signature: str, samples: Sequence[Sample]) -> list[tuple[Sample, dict[str, np.ndarray]]]:
    return [(sample, model.run(signature, sample)) for sample in samples]


def _generated(model: LoadedModel, signature: str, seed: int) -> list[tuple[Sample, dict[str, np.ndarray]]]:
    """Random inputs that the original accepts, with its outputs."""
    specs = model.inputs(signature)
    pairs: list[tuple[Sample, dict[str, np.ndarray]]] = []
    if any(spec.shape is None for spec in specs):
        return pairs
    for number, sizes in enumerate(inputs_lib.size_grid(specs)):
        for sample in inputs_lib.candidates(specs, sizes, seed + number):
            try:
                expected = model.run(signature, sample)
            except (tf.errors.OpError, ValueError) as error:
                _log.info("%s rejects inputs of sizes %s: %s", signature, sizes, str(error).split("\n")[0])
                continue
            pairs.append((sample, expected))
            break
    return pairs


def _compare(
    signature: str, sample: Sample, expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray], rtol: float
) -> list[OutputError]:
    sizes = ", ".join(f"{name}{list(value.shape)}" for name, value in sorted(sample.items()))
    errors = []
    for name in sorted(expected):
        error = relative_error(expected[name], found[name]) if name in found else float("inf")
        tolerance = max(rtol, _PRECISION.get(expected[name].dtype.name, 0.0))
        errors.append(OutputError(signature, name, sizes, error, error <= tolerance))
    return errors


# float types of half width: a few units in the last place
_PRECISION = {"float16": 4e-3, "bfloat16": 3e-2}


def relative_error(expected: np.ndarray, found: np.ndarray) -> float:
    """Largest |expected - found| over the largest finite |expected|; infinite where they differ in kind."""
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return float("inf")
    if expected.dtype.kind not in "fcV" or expected.dtype == object:
        return 0.0 if np.array_equal(expected, found) else float("inf")
    a, b = expected.astype(np.float64), found.astype(np.float64)
    finite = np.isfinite(a)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.all(np.isfinite(b[finite])):
        return float("inf")
    if not np.any(finite):
        return 0.0
    difference = float(np.max(np.abs(a[finite] - b[finite])))
    scale = float(np.max(np.abs(a[finite])))
    return difference / scale if scale > 0 else difference
