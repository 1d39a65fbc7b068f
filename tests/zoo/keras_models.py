"""Keras 3: random weights for any model, and the export of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from tests.zoo.base import Array


def exporter(
    make: Callable[[], keras.Model], *, seed: int, calibration: Callable[[np.random.Generator], Array] | None = None
) -> Callable[[Path], None]:
    """A `build` function: makes the model, gives it nontrivial weights, and exports it.

    Args:
      make: returns the model.
      seed: of all random weights.
      calibration: a batch of inputs over which the moving statistics of batch norm are taken.
    """

    def build(folder: Path) -> None:
        keras.backend.clear_session()
        keras.utils.set_random_seed(seed)
        model = make()
        rng = np.random.default_rng(seed)
        _randomize(model, rng)
        if calibration is not None:
            _calibrate(model, calibration(rng), rng)
        model.export(str(folder), format="tf_saved_model", verbose=False)

    return build


def _randomize(model: keras.Model, rng: np.random.Generator) -> None:
    """Moves what Keras initializes to 0 or 1, and spreads embeddings."""
    for weight in model.weights:
        if not weight.trainable:
            continue
        shape = tuple(weight.shape)
        if weight.name == "gamma":
            weight.assign(rng.uniform(0.6, 1.4, shape))
        elif weight.name in ("beta", "bias"):
            weight.assign(0.1 * rng.standard_normal(shape))
        elif weight.name == "embeddings":
            weight.assign(rng.standard_normal(shape))


def _calibrate(model: keras.Model, batch: Array, rng: np.random.Generator) -> None:
    """Takes moving statistics from one batch (momentum 0), then shakes them so that no layer normalizes exactly."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    model(batch, training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        variance = np.asarray(layer.moving_variance)
        layer.moving_mean.assign(np.asarray(layer.moving_mean) + 0.1 * rng.standard_normal(variance.shape))
        layer.moving_variance.assign((variance + 0.01) * rng.uniform(0.8, 1.25, variance.shape))
