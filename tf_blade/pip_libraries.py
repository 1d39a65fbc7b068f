"""Lets the op library find a TensorRT that pip installed: it looks in the folders of an environment variable, and pip's
are none that the system's loader knows.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

PATH_VARIABLE = "TF_BLADE_TENSORRT_PATH"
# The libraries that plans are run by, a major version follows; and the packages that may hold them. Finding these
# imports nothing.
_LIBRARIES = {
    "libnvinfer.so.": ("tensorrt_libs", "tensorrt"),
    "libtensorrt_rtx.so.": ("tensorrt_rtx_libs", "tensorrt_rtx"),
}


def publish() -> None:
    """Sets the variable in this process to the folders of pip's packages, where nobody has set it.

    A library in LD_LIBRARY_PATH stays the one that is found; one of another major version is another library.
    """
    if PATH_VARIABLE in os.environ:
        return
    known = [Path(item) for item in os.environ.get("LD_LIBRARY_PATH", "").split(":") if item]
    found = [
        str(folder)
        for library, packages in _LIBRARIES.items()
        for folder in _folders(packages)
        if ":" not in str(folder) and _held(folder, library).difference(*(_held(item, library) for item in known))
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


def _held(folder: Path, library: str) -> set[str]:
    """The versions of a library in a folder, by the names that the loader is asked for."""
    try:
        return {item.name for item in folder.glob(f"{library}*") if item.name.removeprefix(library).isdigit()}
    except (
        OSError
    ):  # a folder that this user may not read, or no folder's name: nothing can be loaded from there either
        return set()
