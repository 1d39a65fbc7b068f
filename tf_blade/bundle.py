"""What TensorFlow Serving reads beside a model, written into its folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tf_blade.errors import EnvironmentError_, TfBladeError
from tf_blade.saved_model import serving_config, warmup
from tf_blade.saved_model.model import read_saved_model
from tf_blade.settings import Settings

# TensorFlow Serving counts rows in 32 bits.
_MAX_ROWS = 2**31 - 1


def check_bundle(settings: Settings) -> None:
    """Finds out early what could not be written.

    Raises:
        TfBladeError: the batch sizes are no sizes.
        EnvironmentError_: a whole bundle is wanted, and the package that writes warmup files is not there.
    """
    if not settings.batch_sizes or not all(0 < size <= _MAX_ROWS for size in settings.batch_sizes):
        given = ", ".join(map(str, settings.batch_sizes)) or "none"
        raise TfBladeError(f"batch_sizes (--batch-sizes) must be numbers from 1 to {_MAX_ROWS}; given are {given}")
    if settings.serving and settings.warmup and warmup.prediction_logs() is None:
        raise EnvironmentError_(
            f"serving=True (--serving) writes a warmup file, but {warmup.MISSING}; or add --no-warmup"
        )


def batched(settings: Settings) -> tuple[Settings, tuple[int, ...]]:
    """The settings with the batch sizes of batching parameters, where such are given; and what batches are padded to.

    Raises:
        TfBladeError: the file cannot be used, or batch sizes are given beside it.
    """
    if not settings.batching_parameters_file:
        return settings, ()
    usual = Settings().batch_sizes
    if settings.batch_sizes != usual:
        raise TfBladeError("give batch_sizes or batching_parameters_file, which says how large batches are; not both")
    found = serving_config.read_batching(Path(settings.batching_parameters_file))
    sizes = found.padded or (*(size for size in usual if size < found.largest), found.largest)
    return dataclasses.replace(settings, batch_sizes=sizes), found.padded


def write_bundle(
    settings: Settings,
    folder: Path,
    target: Path,
    samples: Mapping[str, Sequence[Mapping[str, np.ndarray]]] | None,
) -> list[str]:
    """Writes what `settings` ask for; files that the model has are kept.

    Args:
        settings: the settings of the optimization.
        folder: the optimized model's folder as long as it is being made.
        target: the folder that it will become.
        samples: inputs by signature to make requests of, instead of random ones.

    Returns:
        Notes for the report.

    Raises:
        InvalidSavedModelError: TensorFlow cannot load the model.
        InvalidInputError: the model does not take a sample input.
    """
    notes: list[str] = []
    if settings.warmup and not (folder / warmup.WARMUP_FILE).exists():
        notes += _write_warmup(settings, folder, samples)
    if settings.serving:
        notes += _write_config(settings, folder, target)
    return notes


def _write_warmup(
    settings: Settings,
    folder: Path,
    samples: Mapping[str, Sequence[Mapping[str, np.ndarray]]] | None,
) -> list[str]:
    logs = warmup.prediction_logs()
    if logs is None:
        return [f"no warmup file was written: {warmup.MISSING}"]
    from tf_blade.warmup import make_warmup

    made = make_warmup(logs, folder, batch_sizes=settings.batch_sizes, samples=samples)
    if made.records:
        warmup.write_warmup(folder, made.records)
    return list(made.notes)


def _write_config(settings: Settings, folder: Path, target: Path) -> list[str]:
    model, notes = read_saved_model(folder), []
    for name, _ in model.signatures():
        reason = serving_config.why_not_batched(warmup.input_specs(model, name), warmup.output_ranks(model, name))
        if reason:
            notes.append(f"no {serving_config.BATCHING_FILE} was written: in signature {name} {reason}")
    texts = {serving_config.CONFIG_FILE: serving_config.model_config(target)}
    if not notes:
        given = settings.batching_parameters_file
        made = (
            Path(given).read_text(encoding="utf-8") if given else serving_config.batching_params(settings.batch_sizes)
        )
        texts[serving_config.BATCHING_FILE] = made
    for path, text in texts.items():
        if not (folder / path).exists():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    return notes
