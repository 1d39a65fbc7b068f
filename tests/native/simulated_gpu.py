"""A process that sees a GPU, where there is none: a pluggable device of TensorFlow whose memory nobody can touch."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import tensorflow as tf

from tests.runtime import native
from tf_blade import runtime

_HERE = Path(__file__).parent


def missing() -> str:
    """Why there can be no such process here; empty when there can."""
    command = native.compiler()[0]
    return "" if shutil.which(command) else f"there is no compiler {command}"


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


def _compile(name: str, *more: str | Path) -> Path:
    package = tf.sysconfig.get_lib()
    target = Path(_folder().name) / f"{name}.so"
    flags = ["-std=c++17", "-O0", "-D_GLIBCXX_USE_CXX11_ABI=1", "-DNDEBUG", "-Wall", "-Wextra", "-shared", "-fPIC"]
    # The libraries of the wheel refer to each other in ways that a linker would complain of.
    link = [f"-L{package}", "-l:libtensorflow_framework.so.2", "-Wl,--unresolved-symbols=ignore-in-shared-libs"]
    include = [f"-I{native.CUSTOM_OPS.parent}", "-isystem", tf.sysconfig.get_include()]
    command = [*native.compiler(), *flags, "-fvisibility=hidden", *include, _HERE / f"{name}.cc", *more]
    subprocess.run([*command, "-o", target, *link], check=True)
    return target


@functools.cache
def device() -> Path:
    """The device's library, for tf.config's loader of pluggable devices."""
    return _compile("simulated_gpu", f"-L{tf.sysconfig.get_lib()}", "-l:libtensorflow_cc.so.2")


@functools.cache
def engines() -> Path:
    """A library with engines that work on the device, to be loaded after it and the op library."""
    return _compile("device_engine", native.CUSTOM_OPS / "runtime/reason.cc", device(), runtime.library_path())


def start(script: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs a script with the paths of both libraries before its other arguments."""
    command = [sys.executable, str(script), str(device()), str(engines()), *map(str, arguments)]
    path = f"{_HERE.parents[1]}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    # Warnings are part of what tests look at.
    environment = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
