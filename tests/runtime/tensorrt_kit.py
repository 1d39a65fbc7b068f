"""Plans, and a TensorRT and a driver of CUDA for machines without a GPU (tensorrt/fake_*.cc)."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.runtime import engine_kit as kit
from tests.runtime import native
from tf_blade.dtypes import DType
from tf_blade.engines.format import EngineFile, write_engine
from tf_blade.engines.plan import PLAN_DATA_SECTION, PLAN_SECTION, PlanSection, PlanTensor, PlanWeight, write_plan
from tf_blade.engines.signature import EngineInput, EngineOutput, EngineSignature, SymbolInfo

HOME = os.environ.get("TENSORRT_HOME", "")
FOLDER = Path(__file__).with_name("tensorrt")
_CLASSES = ("VRuntime", "VRefitter", "VCudaEngine", "VExecutionContext")
_BUILD = 7  # the fake's build number


def includes() -> tuple[Path, ...]:
    """Folders of headers that TensorRT's runtime is compiled with."""
    folders = (Path(HOME, "include"), Path(HOME, "include/x86_64-linux-gnu"))
    found = next(folder for folder in folders if (folder / "NvInferRuntime.h").exists())
    return found, native.CUSTOM_OPS / "tensorrt/cuda"


@functools.cache
def version() -> tuple[int, int, int, int]:
    """The headers' version, with the fake's build number."""
    text = (includes()[0] / "NvInferVersion.h").read_text()
    numbers = [re.search(rf"#define TRT_{part}_(?:ENTERPRISE|RTX) (\d+)", text) for part in ("MAJOR", "MINOR", "PATCH")]
    major, minor, patch = (int(number.group(1)) for number in numbers if number is not None)
    return major, minor, patch, _BUILD


def _stubs() -> str:
    """Classes that end the process whatever is called, of TensorRT's interfaces as its headers have them."""
    text = re.sub(r"//[^\n]*", "", (includes()[0] / "NvInferImpl.h").read_text())
    parts = ["#include <cstdlib>", "namespace nvinfer1 {"]
    for name in _CLASSES:
        body = re.search(rf"class {name} : public VRoot\s*{{\s*public:(.*?)\n}};", text, re.DOTALL)
        assert body is not None, name
        parts.append(f"class Stub{name} : public apiv::{name} {{ public:")
        for item in body.group(1).split(";"):
            found = re.search(r"virtual\s(.*?)\s*=\s*0$", " ".join(item.split()))
            if found is not None:
                parts.append(f"{found.group(1)} override {{ std::abort(); }}")
        parts.append("};")
    return "\n".join([*parts, "}"])


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


@functools.cache
def libraries() -> Path:
    """A folder with the driver and the TensorRT, under the names by which they are looked for."""
    folder = Path(_folder().name)
    (folder / "stubs.h").write_text(_stubs())
    names = {"fake_cuda": "libcuda.so.1", "fake_tensorrt": f"libnvinfer.so.{version()[0]}"}
    for source, target in names.items():
        flags = ["-std=c++17", "-O1", "-w", "-shared", "-fPIC", "-fvisibility=hidden", f"-I{folder}"]
        flags += [flag for include in includes() for flag in ("-isystem", str(include))]
        command = [*native.compiler(), *flags, str(FOLDER / f"{source}.cc"), "-o", str(folder / target), "-ldl"]
        subprocess.run(command, check=True)
    return folder


def environment(**settings: object) -> dict[str, str]:
    """For processes that are to find them, with the fakes' settings."""
    return {"LD_LIBRARY_PATH": str(libraries()), **{name: str(value) for name, value in settings.items()}}


@functools.cache
def runtime_sources() -> Path:
    """The runtime's sources as one, to be compiled beside a main."""
    joined = Path(_folder().name) / "tensorrt.cc"
    sources = native.sources("TENSORRT_SOURCES")
    joined.write_text("".join(f'#include "{item.relative_to(native.CUSTOM_OPS.parent)}"\n' for item in sources))
    return joined


def program(main: Path, sanitizer: str = "") -> Path:
    """A program of `main` and the runtime, TensorRT's included."""
    extra = (native.CUSTOM_OPS / "conformance/test_engine.cc", runtime_sources())
    return native.program(main, sanitizer, extra, includes())


def plan(*lines: str, numbers: tuple[int, ...] | None = None) -> bytes:
    """A plan that the fake reads: see fake_tensorrt.cc."""
    body = "\n".join([*lines, "end"]).encode()
    size = 28 + len(body)
    return b"ftrt" + bytes(12) + struct.pack("<Q4B", size, *(numbers or version())) + body


def profile_lines(section: PlanSection) -> list[str]:
    which = next((i for i, item in enumerate(section.inputs) if item.is_shape_tensor), 0)
    return [f"profile {profile[which][0][0]} {profile[which][0][2]}" for profile in section.profiles]


def affine_section(*profiles: tuple[int, int], **changes: Any) -> PlanSection:
    """y = relu(x @ w) + b with engine_kit's shapes, for these batches."""
    section = PlanSection(
        flavor="tensorrt",
        num_inputs=3,
        num_outputs=1,
        inputs=(PlanTensor("x", 0, DType.FLOAT, 2),),
        outputs=(PlanTensor("y", 0, DType.FLOAT, 2),),
        profiles=tuple((((low, low, high), (kit.K, kit.K, kit.K)),) for low, high in profiles),
        weights=(
            PlanWeight("w", 1, DType.FLOAT, (kit.K, kit.N), (0, 1)),
            PlanWeight("b", 2, DType.FLOAT, (kit.N,), (0,)),
        ),
        stripped=True,
    )
    return dataclasses.replace(section, **changes)


def engine(
    signature: EngineSignature,
    section: PlanSection,
    *lines: str,
    numbers: tuple[int, ...] | None = None,
    capabilities: tuple[int, ...] = (89,),
    **changes: Any,
) -> bytes:
    """An engine file with a plan for the fake."""
    numbers = numbers or version()
    sections = {
        PLAN_SECTION: plan(*lines, *profile_lines(section), numbers=numbers),
        PLAN_DATA_SECTION: write_plan(section),
    }
    file = EngineFile(
        backend="tensorrt",
        backend_version=".".join(map(str, numbers)),
        signature=signature,
        cluster_hash=bytes(32),
        sections=sections,
        compute_capabilities=capabilities,
    )
    return write_engine(dataclasses.replace(file, **changes))


def affine_engine(*lines: str, profiles: tuple[tuple[int, int], ...] = ((2, 8),), **changes: Any) -> bytes:
    """The affine engine; its signature takes all batches from the least to the greatest of the profiles."""
    options = {name: changes.pop(name) for name in ("numbers", "capabilities", "sections") if name in changes}
    ends = [bound for profile in profiles for bound in profile]
    signature = kit.affine_signature().restricted({"batch": (min(ends), max(ends))})
    section = affine_section(*profiles, **changes)
    return engine(signature, section, "model affine", "refit 1", *lines, **options)


def inputs_engine(*lines: str) -> bytes:
    """The affine engine with weights that the plan reads as inputs."""
    section = affine_section((2, 8))
    weights = (PlanTensor("w", 1, DType.FLOAT, 2), PlanTensor("b", 2, DType.FLOAT, 1))
    ranges = (((kit.K,) * 3, (kit.N,) * 3), ((kit.N,) * 3,))
    section = dataclasses.replace(
        section,
        inputs=(*section.inputs, *weights),
        profiles=tuple((*profile, *ranges) for profile in section.profiles),
        weights=(),
        stripped=False,
    )
    return engine(kit.affine_signature().restricted({"batch": (2, 8)}), section, "model inputs", *lines)


def found_engine(*lines: str) -> bytes:
    """y = those of x that are positive: how many is found while it runs."""
    signature = EngineSignature(
        symbols=(SymbolInfo("n", 1, 64),),
        inputs=(EngineInput("x", DType.FLOAT, (kit.BATCH,)),),
        outputs=(EngineOutput("y", DType.FLOAT, ((),)),),
    )
    tensors = (PlanTensor("x", 0, DType.FLOAT, 1),), (PlanTensor("y", 0, DType.FLOAT, 1),)
    section = PlanSection("tensorrt", 1, 1, *tensors, ((((1, 1, 64),),),))
    return engine(signature, section, "model positive", *lines)


def fill_engine(*lines: str) -> bytes:
    """y = x[0], as often as the other input says: a shape tensor with values from 1 to 9."""
    signature = EngineSignature(
        symbols=(SymbolInfo("n", 1, 64),),
        inputs=(EngineInput("x", DType.FLOAT, (kit.BATCH,)), EngineInput("count", DType.INT32, (kit.const(1),))),
        outputs=(EngineOutput("y", DType.FLOAT, ((),)),),
    )
    inputs = (PlanTensor("x", 0, DType.FLOAT, 1), PlanTensor("count", 1, DType.INT32, 1, is_shape_tensor=True))
    outputs = (PlanTensor("y", 0, DType.FLOAT, 1),)
    section = PlanSection("tensorrt", 2, 1, inputs, outputs, ((((1, 1, 64),), ((1, 1, 9),)),))
    return engine(signature, section, "model fill", *lines)
