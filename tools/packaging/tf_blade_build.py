"""The build backend: setuptools, plus TensorFlow's headers where the target environment has no TensorFlow.

The op library compiles against the headers inside TensorFlow's wheel. Where `pip install .` runs in an environment that
has TensorFlow (either distribution, CPU or GPU), `setup.py` uses that one even under build isolation, so that the op
library matches what will load it. Only where there is none is the CPU wheel fetched for the build.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from setuptools import build_meta

build_editable = build_meta.build_editable
build_sdist = build_meta.build_sdist
build_wheel = build_meta.build_wheel
prepare_metadata_for_build_editable = build_meta.prepare_metadata_for_build_editable
prepare_metadata_for_build_wheel = build_meta.prepare_metadata_for_build_wheel

_TENSORFLOW = "tensorflow-cpu==2.21.*"


def _target_has_tensorflow() -> bool:
    """Looks past an isolated build environment: `-I` ignores the variables by which pip hides the target's packages."""
    probe = "import importlib.util as u, sys; sys.exit(u.find_spec('tensorflow') is None)"
    return subprocess.run([sys.executable, "-I", "-c", probe], check=False).returncode == 0


def _requirements(base: list[str]) -> list[str]:
    return base if _target_has_tensorflow() else [*base, _TENSORFLOW]


def get_requires_for_build_wheel(config_settings: dict[str, Any] | None = None) -> list[str]:
    """PEP 517 hook: what building a wheel needs beyond `build-system.requires`."""
    return _requirements(build_meta.get_requires_for_build_wheel(config_settings))


def get_requires_for_build_editable(config_settings: dict[str, Any] | None = None) -> list[str]:
    """PEP 660 hook: what an editable install needs beyond `build-system.requires`."""
    return _requirements(build_meta.get_requires_for_build_editable(config_settings))


def get_requires_for_build_sdist(config_settings: dict[str, Any] | None = None) -> list[str]:
    """PEP 517 hook: a source archive needs no TensorFlow."""
    return build_meta.get_requires_for_build_sdist(config_settings)
