"""Builds and runs the conformance suite of engines (custom_ops/conformance) on an engine file."""

from __future__ import annotations

import ast
import functools
import os
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

_CUSTOM_OPS = Path(__file__).resolve().parents[2] / "custom_ops"


def _sources() -> list[Path]:
    for statement in ast.parse((_CUSTOM_OPS / "sources.bzl").read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "CONFORMANCE_SOURCES":
            return [_CUSTOM_OPS / name for name in ast.literal_eval(statement.value)]
    raise AssertionError("sources.bzl has no CONFORMANCE_SOURCES")


@functools.cache
def _program() -> tuple[tempfile.TemporaryDirectory[str], Path]:
    folder = tempfile.TemporaryDirectory()
    program = Path(folder.name) / "conformance"
    compiler = shlex.split(os.environ.get("TF_BLADE_CXX") or os.environ.get("CXX") or "c++")
    includes = [f"-I{_CUSTOM_OPS.parent}", "-isystem", tf.sysconfig.get_include()]
    package = tf.sysconfig.get_lib()
    link = [f"-L{package}", f"-Wl,-rpath,{package}", "-l:libtensorflow_framework.so.2", "-ldl"]
    flags = ["-std=c++17", "-O1", "-D_GLIBCXX_USE_CXX11_ABI=1", "-DNDEBUG", "-pthread"]
    subprocess.run([*compiler, *flags, *includes, *_sources(), "-o", program, *link], check=True)
    return folder, program


def run_suite(engine: bytes, symbols: Sequence[int] = ()) -> tuple[bool, str]:
    """Whether an engine keeps the contract, and what the suite printed. `symbols` are the symbols' values."""
    folder, program = _program()
    file = Path(folder.name) / "engine"
    file.write_bytes(engine)
    result = subprocess.run([program, file, *map(str, symbols)], capture_output=True, text=True, check=False)
    return result.returncode == 0, result.stdout + result.stderr
