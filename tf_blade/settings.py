"""All options, in one frozen place; the command's flags and the docs' tables are made from it."""

from __future__ import annotations

import dataclasses
from typing import Any

from tf_blade.settings_check import checked


def _option(default: Any, text: str, **rules: Any) -> Any:
    """A field. Rules: `allowed` (the values there are), `least`, `above`, `finite` (of numbers) and `capabilities`."""
    return dataclasses.field(default=default, metadata={"help": text, **rules})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Options of one optimization. Every field has a `help` text in its metadata.

    Raises:
        InvalidInputError: an option has another type, or a value that is not allowed.
    """

    backends: tuple[str, ...] = _option(("disc",), "backends, in order of preference")
    signatures: tuple[str, ...] | None = _option(None, "signatures to optimize; all when not given")
    strict: bool = _option(False, "fail when a supported-looking node or a cluster stays TensorFlow")
    verify: bool = _option(True, "compare the optimized model with the original before publishing")
    overwrite: bool = _option(False, "replace an existing target")
    rtol: float = _option(
        1e-4, "tolerance of verify, relative to an output's largest magnitude (float32)", least=0, finite=True
    )
    min_cluster_nodes: int = _option(2, "clusters of fewer computing nodes stay TensorFlow", least=0)
    min_cluster_gain_us: float = _option(5.0, "clusters that save fewer estimated microseconds stay TensorFlow")
    weight_bytes: int = _option(1024, "constants above this many bytes stay outside the engine, as its inputs", least=0)
    isas: tuple[str, ...] = _option(
        ("x86-64-v3", "x86-64-v4"), "instruction set levels to compile for", allowed=("x86-64-v3", "x86-64-v4")
    )
    portable: bool = _option(False, "write a model that TensorFlow without the op library serves too, without engines")
    sign_key: str = _option("", "PEM file of an Ed25519 private key to sign engines with")
    warmup: bool = _option(True, "write a warmup file for TensorFlow Serving, unless the model has one")
    serving: bool = _option(False, "also write batching parameters and a sample configuration for TensorFlow Serving")
    batch_sizes: tuple[int, ...] = _option((1, 8), "batch sizes to serve: of warmup requests and batching parameters")
    batching_parameters_file: str = _option(
        "", "batching parameters of TensorFlow Serving, whose batch sizes are taken instead of batch_sizes"
    )
    tensorrt_precision: str = _option(
        "fp32", "precision of TensorRT plans: fp32, tf32, fp16 or bf16", allowed=("fp32", "tf32", "fp16", "bf16")
    )
    tensorrt_targets: tuple[str, ...] = _option(
        ("8.0", "8.6", "8.9"), "compute capabilities that TensorRT-RTX builds for, as 8.9", capabilities=True
    )
    tensorrt_seconds: float = _option(600.0, "a TensorRT build that takes longer is given up", above=0)
    tensorrt_memory_mb: int = _option(0, "memory that a TensorRT build may take, in MiB; 0: no limit", least=0)
    tensorrt_weights: str = _option(
        "inputs",
        "TensorRT plans read weights as inputs (inputs), or are refitted with them (refit)",
        allowed=("inputs", "refit"),
    )
    tensorrt_ranges: tuple[str, ...] = _option(
        (), "sizes to build TensorRT plans for, where others than the derived ones: INPUT[AXIS]=MIN:OPT:MAX"
    )
    tensorrt_timing_cache: str = _option("", "file of TensorRT timings that builds share; none when not given")
    tensorrt_version_compatible: bool = _option(False, "TensorRT plans that later versions load too")
    tensorrt_hardware_compatible: bool = _option(False, "TensorRT plans that later GPUs run too")
    stop_after: str = _option("", "stop after this phase and write nothing")
    dump_after: tuple[str, ...] = _option((), "phases to print the graphs after; 'all' for every one")
    dump_dir: str = _option("", "folder for dumps; standard error when not given")
    debug: bool = _option(False, "check legality after every pass")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, checked(field, getattr(self, field.name)))
