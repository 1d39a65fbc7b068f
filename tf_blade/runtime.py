"""The op library: finding it, loading it, and reading what engines did in this process."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tf_blade.errors import EnvironmentError_

_PACKAGED = Path(__file__).resolve().parent / "lib" / "libtf_blade.so"
_LIBRARY = Path(os.environ.get("TF_BLADE_LIBRARY") or _PACKAGED).absolute()
_VERSION_MARK = b"TF_BLADE_BUILT_FOR_TENSORFLOW="


def library_path() -> str:
    """The op library's file: for `tf.load_op_library`, `TF_LoadLibrary`, or a server's list of custom ops.

    `TF_BLADE_LIBRARY` names another than the package's, such as the one that Bazel built.

    Raises:
        EnvironmentError_: it has not been built.
    """
    if not _LIBRARY.exists():
        raise EnvironmentError_(
            f"{_LIBRARY} is missing: run `pip install .`, or `python setup.py build_ext --inplace` in a checkout"
        )
    return str(_LIBRARY)


def built_for(library: str) -> str:
    """The version of TensorFlow that a library was built for, read from its bytes: loading it might already fail.

    Raises:
        EnvironmentError_: the file does not say.
    """
    data = Path(library).read_bytes()
    begin = data.find(_VERSION_MARK)
    end = data.find(b";", begin)
    if begin < 0 or end < 0:
        raise EnvironmentError_(f"{library} is no op library of tf_blade")
    return data[begin + len(_VERSION_MARK) : end].decode()


@functools.cache
def load() -> str:
    """Loads the op library into this process, once, and returns its path.

    Raises:
        EnvironmentError_: there is no library, it was built for another TensorFlow, or the op is registered already.
    """
    try:
        import tensorflow as tf
    except ImportError as error:
        raise EnvironmentError_("tf_blade needs TensorFlow: install tensorflow-cpu or tensorflow 2.21") from error
    path = library_path()
    version = built_for(path)
    if version != tf.version.VERSION:
        raise EnvironmentError_(
            f"{path} was built for TensorFlow {version}, this is TensorFlow {tf.version.VERSION}: "
            "build tf_blade again in this environment"
        )
    try:
        tf.load_op_library(path)
    except (tf.errors.OpError, OSError) as error:
        raise EnvironmentError_(f"{path} cannot be loaded: {error}") from error
    return path


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(load())
    for name in ("tf_blade_runtime_stats_json", "tf_blade_check_engine", "tf_blade_engine_signers"):
        getattr(library, name).restype = ctypes.c_void_p  # c_char_p would lose the pointer that must be freed
    for name in ("tf_blade_check_engine", "tf_blade_engine_signers"):
        getattr(library, name).argtypes = [ctypes.c_char_p, ctypes.c_ulonglong]
    library.tf_blade_free.argtypes = [ctypes.c_void_p]
    return library


def _take_text(pointer: int | None) -> str | None:
    if pointer is None:
        return None
    try:
        return ctypes.string_at(pointer).decode(errors="replace")
    finally:
        _library().tf_blade_free(pointer)


def runtime_stats() -> dict[str, Any]:
    """What engines did in this process.

    Returns:
        {"clusters": [...], "scratch_bytes": ..., "portable_calls": {...}}. Each cluster with "cluster" (its name),
        "calls", "engine_runs" (calls that an engine served), "shadowed" (calls that TensorFlow served and an engine
        computed too, to compare), "fallbacks" ({reason: other calls that TensorFlow served}), "contexts" (of calls, at
        work and idle), "call_scratch_bytes" (the most scratch memory that a call needed) and "engines": by order of
        preference, each with "index", "backend", "hash", "file_bytes", "runs", "inits" (times its weights were
        prepared), "init_ns", "state_bytes" (what prepared weights hold now), "breaker" ("closed", "open" or
        "half_open"), "openings" (times it opened), "refused" ({reason: calls it did not serve; what is found when it is
        loaded counts once a load}), "load_refusal" ("reason: detail" of the last load, "" when it succeeded), "shadow"
        ("runs" compared, "drifts" among them, "skipped" and "max_drift"), and "shapes": how often it was called with
        which magnitudes of its unknown dimensions, [{"up_to": {symbol: 0, 1, 2, 4, 8, ...}, "calls"}].

        "scratch_bytes" is the scratch memory that the process holds, in calls and between them: calls of all engines
        share it, so that there is as much as the largest calls at once lately needed.

        "portable_calls" says what became of a portable model's calls in the graphs and functions that TensorFlow
        prepared, each time it did: "engine" (an engine op took the call's place), or why it stayed TensorFlow:
        "damaged" (its attributes), "disabled" (by TF_BLADE_DISABLE), "compiled" (by XLA), "device" (it may run on
        another than a CPU).
    """
    text = _take_text(_library().tf_blade_runtime_stats_json())
    if text is None:
        return {"clusters": [], "scratch_bytes": 0, "portable_calls": {}}
    result: dict[str, Any] = json.loads(text)
    return result


def reset_runtime_stats() -> None:
    """Sets all of `runtime_stats`' counters to zero. What is held, and the breakers' states, stay as they are."""
    _library().tf_blade_runtime_stats_reset()


@contextlib.contextmanager
def without_portable_engines() -> Iterator[None]:
    """What TensorFlow prepares inside, in any thread, keeps a portable model's calls: plain TensorFlow runs them."""
    library = _library()
    library.tf_blade_pause_portable()
    try:
        yield
    finally:
        library.tf_blade_resume_portable()


def check_engine(data: bytes) -> str | None:
    """Why the runtime on this machine would refuse an engine file ("reason: detail"); None when it would load it."""
    return _take_text(_library().tf_blade_check_engine(data, len(data)))


def lacks_backend(name: str) -> bool:
    """Whether the op library was built without the part that runs a backend's engines, and refuses all of them."""
    # Imported when it is needed: importing the package is quick.
    from tf_blade.engines.format import EngineFile, write_engine
    from tf_blade.engines.signature import EngineSignature

    # An engine without content: a library that knows the backend has another reason to refuse it.
    signature = EngineSignature((), (), ())
    empty = EngineFile(backend=name, backend_version="", signature=signature, cluster_hash=bytes(32), sections={})
    return (check_engine(write_engine(empty)) or "").startswith("backend: ")


def engine_signers(data: bytes) -> dict[str, bool]:
    """The keys that signed an engine file ("ed25519:" and hexadecimal), and whether each one's signature is right."""
    lines = (_take_text(_library().tf_blade_engine_signers(data, len(data))) or "").splitlines()
    # A key that stands there twice is right where both signatures are.
    result: dict[str, bool] = {}
    for key, verdict in (line.split() for line in lines):
        result[key] = result.get(key, True) and verdict == "right"
    return result
