"""The op rules, by family. Importing this package registers all of them in `base.RULES`."""

from __future__ import annotations

import importlib

FAMILIES = ("state", "elementwise", "reductions", "matrix", "convolution", "shape", "movement", "images")

for _family in FAMILIES:
    importlib.import_module(f"{__name__}.{_family}")
