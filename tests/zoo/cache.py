"""Built models kept on disk: Keras takes up to half a minute to export one, and many tests want the same."""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from pathlib import Path

import keras
import tensorflow as tf

from tests.zoo.registry import get

CACHE_VARIABLE = "TF_BLADE_ZOO_CACHE"


def saved(name: str, *, full: bool = False) -> Path:
    """The folder of a built zoo model, made if it is not in the cache; treat it as read-only.

    The cache is `TF_BLADE_ZOO_CACHE`, or a folder of the system's temporary one. Its key covers the zoo's sources and
    the versions of TensorFlow and Keras.
    """
    folder = _root() / _key() / ("full" if full else "small") / name
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{name}.", dir=folder.parent) as scratch:
        built = Path(scratch) / name
        get(name, full=full).build(built)
        try:
            built.rename(folder)
        except OSError:  # another process was faster, and built the same
            if not folder.exists():
                raise
    return folder


def _root() -> Path:
    default = Path(tempfile.gettempdir()) / f"tf_blade_zoo-{os.getuid()}"
    return Path(os.environ.get(CACHE_VARIABLE) or default)


@functools.cache
def _key() -> str:
    digest = hashlib.sha256(f"{tf.__version__} {keras.__version__}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        if source.name.endswith("_test.py"):
            continue
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]
