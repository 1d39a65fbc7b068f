"""The public functions; `import tf_blade` gives them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tf_blade.inspection import Inspection, inspect
from tf_blade.pipeline import optimize, optimize_in_memory
from tf_blade.progress import Progress
from tf_blade.report.report import Report
from tf_blade.saved_model.graph_def import edited_graph_def, model_of_graph_def
from tf_blade.settings import Settings
from tf_blade.settings_check import unknown_option


def optimize_saved_model(
    src: str | Path,
    dst: str | Path,
    *,
    sample_inputs: Mapping[str, Sequence[Mapping[str, np.ndarray]]] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Report:
    """Writes a SavedModel that serves in the place of another, faster.

    Args:
        src: folder of the original SavedModel; it is only read.
        dst: folder to write. It appears complete or not at all.
        sample_inputs: inputs to verify with, by signature: name -> array. Random ones when not given.
        progress: is told what is being done.
        **options: fields of `Settings`: backends, signatures, strict, verify, overwrite, …

    Raises:
        TfBladeError: a subclass says what is wrong; nothing was written. `InvalidInputError`: an option does not exist,
            or its value is not allowed.
    """
    return optimize(Path(src), Path(dst), _settings(options), sample_inputs=sample_inputs, progress=progress)


def optimize_graph_def(
    graph_def: Any, *, outputs: Sequence[str], inputs: Sequence[str] | None = None, **options: Any
) -> tuple[Any, Report]:
    """The same for a bare `tf.compat.v1.GraphDef`: gives the new GraphDef and the report.

    Results are not verified: a GraphDef alone does not say what its inputs may be.

    Args:
        graph_def: stays as it is.
        outputs: tensors that are fetched, "node" or "node:index".
        inputs: tensors that are fed; all placeholders when not given.
        **options: fields of `Settings`.

    Raises:
        TfBladeError: a subclass says what is wrong.
    """
    model = model_of_graph_def(graph_def, inputs=inputs, outputs=outputs)
    edit, report = optimize_in_memory(model, _settings(options))
    return edited_graph_def(model, edit), report


def inspect_saved_model(path: str | Path, **options: Any) -> Inspection:
    """What is in a SavedModel: engines that it has, clusters that it would get, and why nodes stay TensorFlow.

    Args:
        path: folder of the SavedModel, optimized or not; it is only read.
        **options: fields of `Settings`: what an optimization with these options would do.

    Raises:
        InvalidSavedModelError: it cannot be read.
        InvalidInputError: an option does not exist, or its value is not allowed.
    """
    return inspect(Path(path), _settings(options))


def _settings(options: Mapping[str, Any]) -> Settings:
    known = [field.name for field in dataclasses.fields(Settings)]
    for name in options:
        if name not in known:
            raise unknown_option(name, known)
    return Settings(**options)
