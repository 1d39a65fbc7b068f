"""Finds the TensorRT that is installed: `tensorrt` or `tensorrt_rtx`, whichever there is, chosen at run time."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from tf_blade import observe
from tf_blade.dtypes import DType
from tf_blade.errors import EnvironmentError_

TENSORRT, TENSORRT_RTX = "tensorrt", "tensorrt_rtx"
# Python modules of each, in the order they are tried: the meta package, then the bindings that it installs.
_MODULES = {TENSORRT: ("tensorrt", "tensorrt_bindings"), TENSORRT_RTX: ("tensorrt_rtx", "tensorrt_rtx_bindings")}
_LIBRARIES = {TENSORRT: ("tensorrt_libs",), TENSORRT_RTX: ("tensorrt_rtx_libs",)}
# Strong typing, INT64 and the layers that rules use are there from these on.
_OLDEST = {TENSORRT: (10, 3), TENSORRT_RTX: (1, 0)}
FLAVOR_VARIABLE = "TF_BLADE_TENSORRT"
# The extra `tensorrt-rtx` of pyproject.toml, for whoever has installed from a checkout.
HOW_TO_INSTALL = (
    "pip install 'tensorrt_rtx_cu12_bindings>=1.7.1,<2' 'tensorrt_rtx_cu12_libs>=1.7.1,<2' (or NVIDIA's tensorrt); "
    "see docs/tensorrt.md"
)
_log = observe.logger("tensorrt")

_DTYPES = {
    DType.FLOAT: "float32", DType.HALF: "float16", DType.BFLOAT16: "bfloat16", DType.INT8: "int8",
    DType.INT32: "int32", DType.INT64: "int64", DType.BOOL: "bool", DType.UINT8: "uint8",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Library:
    """An installed TensorRT.

    Attributes:
        trt: its Python module.
        flavor: "tensorrt" or "tensorrt_rtx".
        version: as the module spells it.
    """

    trt: Any
    flavor: str
    version: str

    @property
    def numbers(self) -> tuple[int, ...]:
        """The version as numbers."""
        return _numbers(self.version)

    def dtype(self, dtype: DType) -> Any:
        """The library's element type.

        Raises:
            KeyError: it has none.
        """
        return getattr(self.trt, _DTYPES[dtype])

    def dtype_of(self, dtype: Any) -> DType:
        """The element type of the library's; KeyError where TensorFlow has none."""
        return next(key for key, name in _DTYPES.items() if getattr(self.trt, name) == dtype)

    def has(self, layer: str) -> bool:
        """Whether networks of this version have a layer: "add_cumulative"."""
        return hasattr(self.trt.INetworkDefinition, layer)


@functools.cache
def load() -> Library:
    """The TensorRT that is installed. `TF_BLADE_TENSORRT` names the one to take where both are.

    Raises:
        EnvironmentError_: none is, or it is too old; says what to do.
    """
    wanted = os.environ.get(FLAVOR_VARIABLE, "")
    if wanted and wanted not in _MODULES:
        raise EnvironmentError_(f"{FLAVOR_VARIABLE}={wanted}: say {' or '.join(_MODULES)}")
    problems = []
    for flavor in (wanted,) if wanted else (TENSORRT, TENSORRT_RTX):
        try:
            return _load_flavor(flavor)
        except EnvironmentError_ as error:
            problems.append(str(error))
    other = TENSORRT_RTX if wanted == TENSORRT else TENSORRT
    if wanted and any(_is_installed(name) for name in _MODULES[other]):
        raise EnvironmentError_(
            f"{FLAVOR_VARIABLE}={wanted} asks for {wanted} and excludes {other}, which is installed:"
            f" {'; '.join(problems)}; unset {FLAVOR_VARIABLE}, or set it to {other}"
        )
    raise EnvironmentError_(f"{'; '.join(problems)}; {HOW_TO_INSTALL}")


def _load_flavor(flavor: str) -> Library:
    _preload(flavor)
    reasons = []
    for name in _MODULES[flavor]:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                reasons.append(f"{name} cannot be imported: {error}")
        except (ImportError, OSError, RuntimeError) as error:
            reasons.append(f"{name} cannot be imported: {error}")
        else:
            return check(module, flavor)
    raise EnvironmentError_("; ".join(reasons) or f"{flavor} is not installed")


def _is_installed(name: str) -> bool:
    return name in sys.modules or importlib.util.find_spec(name) is not None


def has_gpu() -> bool:
    """Whether there is a driver, and a GPU that it lets this process see."""
    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):  # there is none, or something else has its name
        return False


def check(module: Any, flavor: str) -> Library:
    """The library of a module.

    Raises:
        EnvironmentError_: it is too old.
    """
    version = str(getattr(module, "__version__", "0"))
    if _numbers(version) < _OLDEST[flavor]:
        oldest = ".".join(map(str, _OLDEST[flavor]))
        raise EnvironmentError_(f"{flavor} {version} is too old: {oldest} or later is needed")
    _log.info("using %s %s", flavor, version)
    return Library(module, flavor, version)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(item) if item.isdigit() else 0 for item in version.split("."))


def _preload(flavor: str) -> None:
    """Makes the wheels' shared libraries known to the loader, which finds no others by the bindings' names."""
    for name in _LIBRARIES[flavor]:
        spec = importlib.util.find_spec(name)
        folders = list(spec.submodule_search_locations or ()) if spec is not None else []
        for path in sorted(item for folder in folders for item in Path(folder).glob("*.so*")):
            try:
                ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
            except OSError as error:
                _log.info("%s cannot be loaded: %s", path.name, error)
