"""Where the headers are that generated code includes as "custom_ops/disc/…"."""

from __future__ import annotations

from pathlib import Path

from tf_blade.errors import EnvironmentError_

_HEADER = Path("custom_ops/disc/ral.h")


def include_dir() -> Path:
    """The folder for the compiler's -I: the installed package's copy, else the checkout that this package lies in.

    It holds custom_ops/disc/ral.h and custom_ops/disc/cpu/*.h.

    Raises:
        EnvironmentError_: the headers are in neither place.
    """
    here = Path(__file__).resolve()
    for folder in (here.parent / "include", here.parents[4]):
        if (folder / _HEADER).exists():
            return folder
    raise EnvironmentError_(f"{here.parent / 'include' / _HEADER} is missing: install tf_blade again")
