"""Lets the op library find a TensorRT that pip installed: it looks in the folders of an environment variable, and pip's
are none that the system's loader knows.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

PATH_VARIABLE = "TF_BLADE_TENSORRT_PATH"
# The libraries that plans are run by, and the packages that may hold them. Finding these imports nothing.
_LIBRARIES = {
    "libnvinfer.so.*": ("tensorrt_libs", "tensorrt"),
    "libtensorrt_rtx.so.*": ("tensorrt_rtx_libs", "tensorrt_rtx"),
}


def publish() -> None:
    """Sets the variable in this process to the folders of pip's packages, where nobody has set it.

    A library in LD_LIBRARY_PATH stays the one that is found.
    """
    if PATH_VARIABLE in os.environ:
        return
    known = [Path(item) for item in os.environ.get("LD_LIBRARY_PATH", "").split(":") if item]
    found = [
        str(folder)
        for pattern, packages in _LIBRARIES.items()
        if not any(_holds(item, pattern) for item in known)
        for folder in _folders(packages)
        if _holds(folder, pattern) and ":" not in str(folder)
    ]
    if found:
        os.environ[PATH_VARIABLE] = ":".join(dict.fromkeys(found))


def _folders(packages: tuple[str, ...]) -> Iterator[Path]:
    for name in packages:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):  # something else of that name, that somebody has put into sys.modules
            continue
        yield from map(Path, (spec.submodule_search_locations or ()) if spec is not None else ())


def _holds(folder: Path, pattern: str) -> bool:
    return next(folder.glob(pattern), None) is not None
