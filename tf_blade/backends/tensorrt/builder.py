"""Plans from networks, in this process. `child.py` runs it in another one, with limits."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tf_blade import symbolic
from tf_blade.backends.tensorrt.convert import Converted, Converter
from tf_blade.backends.tensorrt.library import Library
from tf_blade.backends.tensorrt.precision import PRECISIONS
from tf_blade.backends.tensorrt.profiles import Profile, Range, describe
from tf_blade.backends.tensorrt.weights import REFIT
from tf_blade.errors import Unsupported


@dataclasses.dataclass(frozen=True)
class PlanOptions:
    """How to build a plan.

    Attributes:
        precision: one of `precision.PRECISIONS`.
        compute_capabilities: targets, as 89 for 8.9, where the version can build for others than the GPU at hand.
        version_compatible: later versions' runtimes can load it.
        hardware_compatible: later GPUs can run it.
        timing_cache: file of timings that builds share; "" for none.
        weights_as: what becomes of weights: "inputs", "refit" or "plan".
    """

    precision: str = "fp32"
    compute_capabilities: tuple[int, ...] = ()
    version_compatible: bool = False
    hardware_compatible: bool = False
    timing_cache: str = ""
    weights_as: str = "inputs"


def within(profiles: Sequence[Profile], limits: Mapping[str, int]) -> tuple[Profile, ...]:
    """The profiles cut to sizes that a network is right for.

    Raises:
        Unsupported: nothing is left.
    """
    kept = [
        {name: _up_to(sizes, limits.get(name, sizes.max)) for name, sizes in profile.items()}
        for profile in profiles
        if all(profile[name].min <= limit for name, limit in limits.items() if name in profile)
    ]
    if not kept:
        raise Unsupported(f"sizes beyond {limits}, up to which a plan computes what TensorFlow does")
    return tuple(kept)


def _up_to(sizes: Range, limit: int) -> Range:
    return Range(sizes.min, min(sizes.opt, limit), min(sizes.max, limit))


def make_plan(converter: Converter, converted: Converted, profiles: Sequence[Profile], options: PlanOptions) -> bytes:
    """The serialized plan.

    Raises:
        Unsupported: TensorRT does not build it; says why.
    """
    config = converter.builder.create_builder_config()
    _set_flags(converter, config, options)
    _set_targets(converter, config, options)
    for profile in profiles:
        _add_profile(converter, config, converted, profile)
    cache = _timing_cache(config, options)
    converter.log.last_error = ""
    plan = converter.builder.build_serialized_network(converted.definition, config)
    if plan is None:
        raise Unsupported(f"TensorRT cannot build it: {converter.log.last_error or 'it gives no reason'}")
    if cache is not None:
        _store_cache(Path(options.timing_cache), config)
    return bytes(plan)


def _set_flags(converter: Converter, config: Any, options: PlanOptions) -> None:
    flags = converter.library.trt.BuilderFlag
    if not PRECISIONS[options.precision].tf32:
        config.clear_flag(flags.TF32)
    wanted = []
    if options.version_compatible:
        wanted.append("VERSION_COMPATIBLE")
    if options.weights_as == REFIT:
        wanted += ["REFIT", "STRIP_PLAN"]
    for name in wanted:
        if not hasattr(flags, name):
            raise Unsupported(f"this TensorRT has no {name}")
        config.set_flag(getattr(flags, name))
    if options.hardware_compatible:
        config.hardware_compatibility_level = converter.library.trt.HardwareCompatibilityLevel.AMPERE_PLUS


def known_capabilities(library: Library) -> tuple[int, ...]:
    """The compute capabilities that a version can be told to build for, as 89 for 8.9; empty where it takes none."""
    names = getattr(getattr(library.trt, "ComputeCapability", None), "__members__", {})
    return tuple(sorted(int(name[2:]) for name in names if name[:2] == "SM" and name[2:].isdigit()))


def _set_targets(converter: Converter, config: Any, options: PlanOptions) -> None:
    """Builds for the GPU at hand where no targets are named, or the version knows of none."""
    if not options.compute_capabilities or not hasattr(config, "num_compute_capabilities"):
        return
    known = converter.library.trt.ComputeCapability
    config.num_compute_capabilities = len(options.compute_capabilities)
    for index, number in enumerate(options.compute_capabilities):
        if not hasattr(known, f"SM{number}"):
            raise Unsupported(f"this TensorRT builds nothing for compute capability {number / 10}")
        config.set_compute_capability(getattr(known, f"SM{number}"), index)


def _add_profile(converter: Converter, config: Any, converted: Converted, profile: Profile) -> None:
    entries = describe(converted.definition, converted.inputs, profile)
    if not any(
        "shape" in entry or not symbolic.is_static(x.shape) for x, entry in zip(converted.inputs, entries, strict=True)
    ):
        return
    made = converter.builder.create_optimization_profile()
    for item, entry in zip(converted.inputs, entries, strict=True):
        sizes = entry["min"], entry["opt"], entry["max"]
        if "shape" in entry:
            made.set_shape_input(item.name, *sizes)
        elif not symbolic.is_static(item.shape):
            made.set_shape(item.name, *sizes)
    if config.add_optimization_profile(made) < 0:
        raise Unsupported(f"TensorRT refuses a profile: {converter.log.last_error}")


def _timing_cache(config: Any, options: PlanOptions) -> Any:
    if not options.timing_cache:
        return None
    path = Path(options.timing_cache)
    cache = config.create_timing_cache(path.read_bytes() if path.exists() else b"")
    # One of another version or GPU is refused: this build then times anew.
    return cache if cache is not None and config.set_timing_cache(cache, False) else None


def _store_cache(path: Path, config: Any) -> None:
    """Written beside and renamed: builds at the same time each leave a whole file."""
    cache = config.get_timing_cache()
    if cache is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{id(config):x}.new")
    fresh.write_bytes(bytes(cache.serialize()))
    fresh.replace(path)
