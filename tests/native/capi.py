"""Compiles and runs the C program that serves a SavedModel through TensorFlow's C API."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tf_blade import runtime

_SOURCE = Path(__file__).with_name("capi_load_run.c")


def build_program(folder: Path, source: Path = _SOURCE) -> Path:
    """Compiles a C program, capi_load_run if no other, against the installed TensorFlow's headers and libraries."""
    package = Path(tf.sysconfig.get_lib())
    compiler = shlex.split(os.environ.get("CC") or "cc")
    # The libraries of the wheel refer to each other in ways that a linker would complain of.
    link = [
        "-l:libtensorflow_cc.so.2",
        "-l:libtensorflow_framework.so.2",
        "-Wl,--unresolved-symbols=ignore-in-shared-libs",
    ]
    include = [f"-I{tf.sysconfig.get_include()}", f"-I{_SOURCE.parents[2]}"]
    library_path = [f"-L{package}", f"-Wl,-rpath,{package}"]
    target = folder / source.stem
    command: list[str | Path] = [
        *compiler,
        "-O2",
        "-pthread",
        *include,
        source,
        "-o",
        target,
        *library_path,
        *link,
        "-ldl",
    ]
    subprocess.run(command, check=True)
    return target


def run_program(
    program: Path, model: Path, input_name: str, output_name: str, x: npt.NDArray[np.float32], library: str = ""
) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
    """Runs a model on a matrix; gives the output's elements and the process's statistics.

    The names are the signature's tensors, "operation:index"; `library` is the op library, if not this package's.

    Raises:
        subprocess.CalledProcessError: the program failed; its `stderr` says why.
    """
    sizes = [str(size) for size in x.shape]
    result = subprocess.run(
        [program, library or runtime.library_path(), model, input_name, output_name, *sizes],
        input=" ".join(repr(float(value)) for value in x.reshape(-1)),
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    lines = result.stdout.strip().split("\n")
    return np.array([float(line) for line in lines[:-1]], np.float32), json.loads(lines[-1])
