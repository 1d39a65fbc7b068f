"""Programs of the runtime's C++ sources without TensorFlow's op, plain or with a sanitizer."""

from __future__ import annotations

import ast
import ctypes
import functools
import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf

CUSTOM_OPS = Path(__file__).resolve().parents[2] / "custom_ops"
# What finds nothing exits with 0, what finds something with these and a report on standard error. The sanitizers'
# allocators end the process on absurd sizes unless told to return null.
_OPTIONS = {
    "TSAN_OPTIONS": "allocator_may_return_null=1:exitcode=66",
    "ASAN_OPTIONS": "allocator_may_return_null=1:exitcode=66:detect_leaks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    # The libraries of the wheel are not instrumented, and keep what they allocate when they are loaded.
    "LSAN_OPTIONS": "print_suppressions=0:suppressions=" + str(Path(__file__).with_name("lsan.supp")),
}


def sources(name: str) -> list[Path]:
    """The files of a list in custom_ops/sources.bzl."""
    for statement in ast.parse((CUSTOM_OPS / "sources.bzl").read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name:
            return [CUSTOM_OPS / item for item in ast.literal_eval(statement.value)]
    raise AssertionError(f"sources.bzl has no {name}")


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


def compiler() -> list[str]:
    """The C++ compiler's command."""
    return shlex.split(os.environ.get("TF_BLADE_CXX") or os.environ.get("CXX") or "c++")


def tensorflow_library(folder: Path, *names: str) -> ctypes.CDLL:
    """A library of this folder's sources over TensorFlow's headers, loaded."""
    target = folder / "tensorflow_library.so"
    package = tf.sysconfig.get_lib()
    flags = ["-std=c++17", "-O0", "-D_GLIBCXX_USE_CXX11_ABI=1", "-DNDEBUG", "-shared", "-fPIC", "-w"]
    include, link = ["-isystem", tf.sysconfig.get_include()], [f"-L{package}", "-l:libtensorflow_framework.so.2"]
    files = [str(Path(__file__).with_name(name)) for name in names]
    subprocess.run([*compiler(), *flags, *include, *files, "-o", str(target), *link], check=True)
    return ctypes.CDLL(str(target))


@functools.cache
def _object(source: Path, sanitizer: str, headers: tuple[Path, ...] = ()) -> Path:
    flags = ["-std=c++17", "-O1", "-g1", "-D_GLIBCXX_USE_CXX11_ABI=1", "-DNDEBUG", "-pthread", "-Wall", "-Wextra"]
    if sanitizer:
        flags += [f"-fsanitize={sanitizer}", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
    includes = [f"-I{CUSTOM_OPS.parent}", "-isystem", tf.sysconfig.get_include()]
    includes += [flag for folder in headers for flag in ("-isystem", str(folder))]
    target = Path(_folder().name) / f"{source.stem}.{sanitizer or 'plain'}.o"
    subprocess.run([*compiler(), *flags, *includes, "-c", source, "-o", target], check=True)
    return target


@functools.cache
def _joined() -> Path:
    """The runtime's sources as one: most of a compilation's time goes into headers."""
    joined = Path(_folder().name) / "runtime.cc"
    lines = [f'#include "{source.relative_to(CUSTOM_OPS.parent)}"' for source in sources("STANDALONE_SOURCES")]
    joined.write_text("\n".join(lines) + "\n")
    return joined


@functools.cache
def program(main: Path, sanitizer: str = "", extra: tuple[Path, ...] = (), headers: tuple[Path, ...] = ()) -> Path:
    """A program of `main`, `extra` and the runtime's sources; `sanitizer` is an argument of -fsanitize, `headers` are
    folders that extra sources include from.
    """
    objects = [_object(source, sanitizer) for source in (main, _joined())]
    objects += [_object(source, sanitizer, headers) for source in extra]
    package = tf.sysconfig.get_lib()
    link = ["-pthread", f"-L{package}", f"-Wl,-rpath,{package}", "-l:libtensorflow_framework.so.2", "-ldl"]
    target = Path(_folder().name) / f"{main.stem}.{sanitizer or 'plain'}{'.tensorrt' if headers else ''}"
    instrument = [f"-fsanitize={sanitizer}"] if sanitizer else []
    subprocess.run([*compiler(), *instrument, *objects, "-o", target, *link], check=True)
    return target


def run(
    program_: Path, arguments: Sequence[str | Path] = (), environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a program with the sanitizers' options set."""
    variables = {**os.environ, **_OPTIONS, **(environment or {})}
    command = [str(program_), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
