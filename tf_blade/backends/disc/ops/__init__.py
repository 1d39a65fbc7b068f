"""The op rules, by family. Importing this package registers all of them in `base.RULES`."""

from __future__ import annotations

import importlib

FAMILIES = (
    "state",
    "elementwise",
    "reductions",
    "shape",
    "slicing",
    "movement",
    "blocks",
    "gathers",
    "diagonals",
    "images",
    "matrix",
    "einsum",
    "convolution",
    "pooling",
    "normalization",
    "fused",
    "dynamic_sizes",
    "detection",
    "ragged",
    "lists",
    "control",
    "gradients",
    "special",
    "segments",
    "rearrange",
    "diagonal_matrices",
    "colors",
    "sampling",
    "patches",
    "volumes",
    "losses",
    "search",
    "quantization",
    "cells",
)

for _family in FAMILIES:
    importlib.import_module(f"{__name__}.{_family}")
