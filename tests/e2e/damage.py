"""Optimized models with something wrong in them: their engines rewritten in the SavedModel's file, or failing code."""

from __future__ import annotations

import dataclasses
import functools
import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tensorflow.core.framework import node_def_pb2
from tensorflow.core.protobuf import saved_model_pb2

from tf_blade.backends.disc.codegen.templates import include_dir
from tf_blade.engines.format import read_engine, write_engine

_FILE = "saved_model.pb"
_SOURCE = Path(__file__).with_name("failing_executable.cc")


def engine_nodes(message: saved_model_pb2.SavedModel) -> Iterator[node_def_pb2.NodeDef]:
    """The engine ops of all bodies."""
    graph = message.meta_graphs[0].graph_def
    for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
        yield from (node for node in nodes if node.op == "BladeEngineOp")


def parse(folder: Path) -> saved_model_pb2.SavedModel:
    """The SavedModel's message."""
    message = saved_model_pb2.SavedModel()
    message.ParseFromString((folder / _FILE).read_bytes())
    return message


def engines(folder: Path) -> list[bytes]:
    """All engine files of a SavedModel; one that functions for sessions have again is given once."""
    return list(dict.fromkeys(data for node in engine_nodes(parse(folder)) for data in node.attr["engines"].list.s))


def rewritten(source: Path, target: Path, change: Callable[[bytes], bytes]) -> Path:
    """A copy of a SavedModel with each engine changed; the rest of the folder is shared, not copied."""
    message = parse(source)
    for node in engine_nodes(message):
        changed = [change(data) for data in node.attr["engines"].list.s]
        node.attr["engines"].list.s[:] = changed
    target.mkdir(parents=True, exist_ok=True)
    for item in source.iterdir():
        if item.is_dir() and not (target / item.name).exists():
            (target / item.name).symlink_to(item)
    (target / _FILE).write_bytes(message.SerializeToString())
    return target


def with_fields(data: bytes, **changes: Any) -> bytes:
    """An engine file with fields of EngineFile replaced, and hashes that fit."""
    return write_engine(dataclasses.replace(read_engine(data), **changes))


@functools.cache
def failing_executable(inputs: int, outputs: int, *, init: str = "BLADE_OK", run: str = "BLADE_OK") -> bytes:
    """A shared object whose init and run return these results and do nothing else."""
    compiler = shlex.split(os.environ.get("TF_BLADE_CXX") or os.environ.get("CXX") or "c++")
    macros = [f"-DNUM_INPUTS={inputs}", f"-DNUM_OUTPUTS={outputs}", f"-DINIT_RESULT={init}", f"-DRUN_RESULT={run}"]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "engine.so"
        flags = ["-std=c++17", "-O1", "-shared", "-fPIC", "-fvisibility=hidden", "-fno-exceptions", "-fno-rtti"]
        subprocess.run([*compiler, *flags, *macros, f"-I{include_dir()}", _SOURCE, "-o", target], check=True)
        return target.read_bytes()


def failing(data: bytes, **results: str) -> bytes:
    """An engine file with the executable exchanged for a failing one of the same signature."""
    signature = read_engine(data).signature
    executable = failing_executable(len(signature.inputs), len(signature.outputs), **results)
    return with_fields(data, sections={"elf": executable}, isa_levels=(3,))
