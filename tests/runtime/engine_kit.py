"""Hand-made engines for tests: y = relu(x @ w) + b in a C++ executable with the RAL's ABI, and graphs that run it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from tf_blade import runtime
from tf_blade.backends.disc.codegen.templates import include_dir
from tf_blade.dtypes import DType
from tf_blade.engines.format import EngineFile, write_engine
from tf_blade.engines.signature import EngineInput, EngineOutput, EngineSignature, SymbolInfo
from tf_blade.symbolic import DimProgram

K, N = 5, 3
BATCH: DimProgram = (("sym", 0),)

_SOURCE = Path(__file__).with_name("affine_executable.cc")


@functools.cache
def executable(*defines: str) -> bytes:
    """The executable's shared object, compiled with macros such as "NUM_INPUTS=2"."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "engine.so"
        compiler = shlex.split(os.environ.get("TF_BLADE_CXX") or os.environ.get("CXX") or "c++")
        flags = ["-std=c++17", "-O1", "-shared", "-fPIC", "-fvisibility=hidden", "-fno-exceptions", "-fno-rtti"]
        macros = [f"-D{define}" for define in defines]
        subprocess.run([*compiler, *flags, *macros, f"-I{include_dir()}", _SOURCE, "-o", target], check=True)
        return target.read_bytes()


def const(value: int) -> DimProgram:
    return (("const", value),)


def affine_signature() -> EngineSignature:
    """x [batch, K], w [K, N] and b [N] to y [batch, N], all float32."""
    return EngineSignature(
        symbols=(SymbolInfo("batch", 0, 64),),
        inputs=(
            EngineInput("x", DType.FLOAT, (BATCH, const(K))),
            EngineInput("w", DType.FLOAT, (const(K), const(N)), "weight"),
            EngineInput("b", DType.FLOAT, (const(N),), "weight"),
        ),
        outputs=(EngineOutput("y", DType.FLOAT, (BATCH, const(N))),),
    )


@functools.cache
def affine_file(*defines: str) -> EngineFile:
    return EngineFile(
        backend="disc",
        backend_version="test",
        signature=affine_signature(),
        cluster_hash=hashlib.sha256(b"affine").digest(),
        sections={"elf": executable(*defines)},
        isa_levels=(3, 4),
    )


def affine_engine(*defines: str, **changes: Any) -> bytes:
    """The engine's file, with fields of EngineFile replaced."""
    return write_engine(dataclasses.replace(affine_file(*defines), **changes))


def fallback_function(dtype: tf.DType = tf.float32, resources: bool = True) -> Any:
    """The subgraph that the engine stands for; y is marked by nothing: it is the engine's result."""
    spec = tf.TensorSpec(None, tf.resource) if resources else tf.TensorSpec(None, dtype)

    @tf.function(input_signature=[tf.TensorSpec(None, dtype), spec, spec])
    def fallback(x: Any, w: Any, b: Any) -> Any:
        if resources:
            w = tf.raw_ops.ReadVariableOp(resource=w, dtype=dtype)
            b = tf.raw_ops.ReadVariableOp(resource=b, dtype=dtype)
        return tf.nn.relu(tf.matmul(x, w)) + b

    return fallback.get_concrete_function()


def blade_engine(
    inputs: Sequence[Any], tout: Sequence[tf.DType], fallback: Any, engines: Sequence[bytes], cluster: str
) -> list[Any]:
    """The op; `inputs` are tensors, resource handles among them."""
    module = tf.load_op_library(runtime.load())
    return list(
        module.blade_engine_op(
            inputs=list(inputs), Tout=list(tout), fallback=fallback, engines=list(engines), cluster=cluster
        )
    )


class Affine(tf.Module):
    """A model of the one op, with variables; `__call__` is a tf.function."""

    def __init__(self, engines: Sequence[bytes], cluster: str, *, unknown_rank: bool = False) -> None:
        super().__init__()
        generator = tf.random.Generator.from_seed(7)
        self.w = tf.Variable(generator.normal([K, N]), shape=tf.TensorShape(None), name="w")
        self.b = tf.Variable(generator.normal([N]), shape=tf.TensorShape(None), name="b")
        spec = tf.TensorSpec(None if unknown_rank else [None, K], tf.float32)
        fallback = fallback_function()

        def call(x: Any) -> Any:
            outputs = blade_engine([x, self.w.handle, self.b.handle], [tf.float32], fallback, engines, cluster)
            return {"y": outputs[0]}

        self.serve = tf.function(call, input_signature=[spec])

    def expected(self, x: Any) -> Any:
        return (tf.nn.relu(tf.matmul(x, self.w)) + self.b).numpy()


def stats_of(cluster: str) -> dict[str, Any]:
    """The cluster's counters, summed over its kernels with different engines."""
    found = [item for item in runtime.runtime_stats()["clusters"] if item["cluster"] == cluster]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} clusters named {cluster}")
    return dict(found[0])


@contextlib.contextmanager
def standard_error() -> Iterator[list[str]]:
    """What is written to standard error past Python, by lines."""
    lines: list[str] = []
    saved = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            file.seek(0)
            lines.extend(file.read().decode().splitlines())
