"""Backends by name. Adding one is a line here and a folder beside this file."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence

from tf_blade.errors import EnvironmentError_, TfBladeError
from tf_blade.stages import Backend, MayBeMissing

# Module and class, imported when the backend is asked for.
_CLASSES: dict[str, tuple[str, str]] = {
    "disc": ("tf_blade.backends.disc.backend", "DiscBackend"),
    "tensorrt": ("tf_blade.backends.tensorrt.backend", "TensorrtBackend"),
}
_FACTORIES: dict[str, Callable[[], Backend]] = {}


def register(name: str, factory: Callable[[], Backend]) -> None:
    """Adds a backend that is not part of tf_blade, or replaces one."""
    _FACTORIES[name] = factory


def unregister(name: str) -> None:
    """Takes a backend away that `register` added."""
    del _FACTORIES[name]


def available() -> list[str]:
    """The names of all backends."""
    return sorted({*_CLASSES, *_FACTORIES})


def get_backend(name: str) -> Backend:
    """The backend of that name.

    Raises:
        TfBladeError: there is none.
    """
    factory = _FACTORIES.get(name)
    if factory is not None:
        return factory()
    if name not in _CLASSES:
        raise TfBladeError(f"there is no backend {name!r}; there are: {', '.join(available())}")
    module, cls = _CLASSES[name]
    backend: Backend = getattr(importlib.import_module(module), cls)()
    return backend


def get_backends(names: Sequence[str]) -> tuple[Backend, ...]:
    """The backends of these names, in order.

    Raises:
        TfBladeError: a name is unknown, or comes twice.
    """
    if len(set(names)) != len(names):
        raise TfBladeError(f"a backend is named twice: {', '.join(names)}")
    return tuple(get_backend(name) for name in names)


def usable(names: Sequence[str]) -> tuple[tuple[Backend, ...], dict[str, str]]:
    """Those of the backends of these names that can build here, in order; and why the others cannot.

    Raises:
        EnvironmentError_: none can.
        TfBladeError: a name is unknown, or comes twice.
    """
    backends = get_backends(names)
    reasons = {item.name: item.missing() for item in backends if isinstance(item, MayBeMissing)}
    missing = {name: reason for name, reason in reasons.items() if reason}
    if missing and len(missing) == len(backends):
        raise EnvironmentError_("; ".join(f"the backend {name} cannot be used: {why}" for name, why in missing.items()))
    return tuple(item for item in backends if item.name not in missing), missing
