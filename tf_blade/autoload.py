"""Loads the op library as soon as TensorFlow is there, whichever of the two is imported first.

`import tf_blade` alone does not import TensorFlow, which takes seconds: `tf-blade --help` and the parts of the package
that need no TensorFlow stay quick.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
import warnings
from collections.abc import Sequence

from tf_blade import pip_libraries, runtime
from tf_blade.errors import EnvironmentError_

_TENSORFLOW = "tensorflow"


def install() -> None:
    """Loads the library now if TensorFlow is imported, else once it is.

    What the environment says of TensorRT is settled first: TensorFlow's threads may read it later.
    """
    pip_libraries.publish()
    if _TENSORFLOW in sys.modules:
        _load()
    elif not any(isinstance(item, _Finder) for item in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _load() -> None:
    try:
        runtime.load()
    except EnvironmentError_ as error:
        # TensorFlow itself must stay importable; whatever needs the library says the same as an error.
        warnings.warn(f"tf_blade's op library was not loaded: {error}", RuntimeWarning, stacklevel=2)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds TensorFlow as everybody does, and has the library loaded after it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of TensorFlow, with a loader that does more; None for everything else."""
        if fullname != _TENSORFLOW:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _load()
