"""C++ text to a shared object, through the machine's compiler.

The text is compiled once for each instruction set level; the objects and a small table of them become one shared object
that needs no symbol but the C library's memory functions. The result depends on the text, the levels and the compiler.
"""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Sequence

from tf_blade import observe
from tf_blade.backends.disc.codegen.templates import include_dir
from tf_blade.errors import BuildFailure, EnvironmentError_

_log = observe.logger("disc.toolchain")
ALLOWED_SYMBOLS = frozenset({"memcpy", "memmove", "memset", "memcmp"})
TIMEOUT_SECONDS = 600
# No contraction: a compiler may contract a vector loop and its scalar remainder differently; results would depend on
# how rows are dealt out to threads. The templates say fma where they want it.
FLAGS = (
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=off",
    "-fopenmp-simd",
    "-fvisibility=hidden",
    "-fno-asynchronous-unwind-tables",
    "-fno-stack-protector",
    "-fno-threadsafe-statics",
    "-fno-ident",
    "-ffunction-sections",
    "-fno-plt",
    "-U_FORTIFY_SOURCE",
    "-w",
    "-g0",
)
LINK_FLAGS = (
    "-shared",
    "-nostdlib",
    "-nostartfiles",
    "-Wl,--build-id=none",
    "-Wl,--gc-sections",
    "-Wl,-z,noexecstack",
    "-Wl,-s",
    "-Wl,-z,relro,-z,now",
)
# Of each level: the compiler's name, the number in BladeVariant, and further flags.
LEVELS: dict[str, tuple[int, tuple[str, ...]]] = {
    "x86-64-v3": (3, ("-march=x86-64-v3",)),
    "x86-64-v4": (4, ("-march=x86-64-v4", "-mprefer-vector-width=512")),
}


def compiler() -> str:
    """The C++ compiler: TF_BLADE_CXX, else c++.

    Raises:
        BuildFailure: there is none.
    """
    name = os.environ.get("TF_BLADE_CXX") or "c++"
    path = shutil.which(name)
    if path is None:
        raise BuildFailure(f"no C++ compiler: {name!r} is not there (set TF_BLADE_CXX)", "disc")
    return path


def build(text: str, isas: Sequence[str]) -> bytes:
    """The shared object of a translation unit.

    Raises:
        BuildFailure: there is no compiler, it failed, or the result needs a symbol it must not.
    """
    unknown = [isa for isa in isas if isa not in LEVELS]
    if unknown or not isas:
        raise BuildFailure(f"no such instruction set level: {', '.join(unknown) or 'none given'}", "disc")
    cxx, levels = compiler(), sorted(isas, key=lambda isa: LEVELS[isa][0])
    with tempfile.TemporaryDirectory(prefix="tf_blade_") as folder:
        root = pathlib.Path(folder)
        (root / "cluster.cc").write_text(text, encoding="utf-8")
        (root / "entry.cc").write_text(_entry(text, levels), encoding="utf-8")
        with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
            jobs = [pool.submit(_compile, cxx, root, isa) for isa in levels]
            objects = [job.result() for job in jobs]
        _run([cxx, *FLAGS, *_includes(root), "-c", "entry.cc", "-o", "entry.o"], root)
        _run([cxx, *LINK_FLAGS, "entry.o", *objects, "-o", "cluster.so"], root)
        image = (root / "cluster.so").read_bytes()
    extra = sorted(undefined_symbols(image) - ALLOWED_SYMBOLS)
    if extra:
        raise BuildFailure(f"the executable would need {', '.join(extra)}", "disc")
    return image


def _includes(root: pathlib.Path) -> list[str]:
    try:
        headers = include_dir()
    except EnvironmentError_ as error:
        raise BuildFailure(str(error), "disc") from error
    return [f"-I{headers}", f"-ffile-prefix-map={root}=.", f"-ffile-prefix-map={headers}=."]


def _compile(cxx: str, root: pathlib.Path, isa: str) -> str:
    number, flags = LEVELS[isa]
    target = f"v{number}.o"
    names = [f"-DBLADE_INIT=tf_blade_init_v{number}", f"-DBLADE_RUN=tf_blade_run_v{number}"]
    _run([cxx, *FLAGS, *flags, *names, *_includes(root), "-c", "cluster.cc", "-o", target], root)
    return target


def _run(command: Sequence[str], folder: pathlib.Path) -> None:
    """Runs the compiler; its first error line becomes the reason of a failure."""
    environment = {**os.environ, "LC_ALL": "C", "TMPDIR": str(folder)}
    begin = time.perf_counter()
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise BuildFailure(f"the C++ compiler took more than {TIMEOUT_SECONDS} s", "disc") from error
    except OSError as error:
        raise BuildFailure(f"the C++ compiler could not be run: {error}", "disc") from error
    _log.info("%s: %.2f s", command[-1], time.perf_counter() - begin)
    _log.debug("%s", " ".join(command))
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        first = next((line for line in lines if "error" in line or "undefined" in line), lines[0] if lines else "")
        raise BuildFailure(f"the C++ compiler failed ({done.returncode}): {first.strip()}", "disc")


def _entry(text: str, levels: Sequence[str]) -> str:
    """The table of variants that the executable exports."""
    numbers = [LEVELS[isa][0] for isa in levels]
    counts = [line for line in text.splitlines() if line.startswith("// inputs ")]
    _, _, inputs, _, outputs = counts[0].split()
    externs = [
        f'extern "C" int32_t tf_blade_init_v{n}(const BladeRal*, const BladeTensor*, void**);\n'
        f'extern "C" int32_t tf_blade_run_v{n}(const BladeRal*, const void*, const BladeTensor*);'
        for n in numbers
    ]
    rows = ", ".join(f"{{{n}, tf_blade_init_v{n}, tf_blade_run_v{n}}}" for n in numbers)
    return "\n".join(
        [
            '#include "custom_ops/disc/ral.h"',
            *externs,
            f"static const BladeVariant kVariants[] = {{{rows}}};",
            "static const BladeExecutable kExecutable = "
            f"{{TF_BLADE_RAL_VERSION, {inputs}, {outputs}, {len(numbers)}, kVariants}};",
            'extern "C" __attribute__((visibility("default"))) const BladeExecutable* tf_blade_executable(void) {',
            "  return &kExecutable;",
            "}",
            "",
        ]
    )


def undefined_symbols(image: bytes) -> set[str]:
    """The dynamic symbols that a 64-bit little-endian ELF shared object needs from others."""
    offset, size, count = struct.unpack_from("<Q", image, 40)[0], *struct.unpack_from("<HH", image, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", image, offset + i * size) for i in range(count)]
    names: set[str] = set()
    for kind, start, length, link, entry in ((s[1], s[4], s[5], s[6], s[9]) for s in sections):
        if kind != 11:  # SHT_DYNSYM
            continue
        strings = sections[link][4]
        for place in range(start + entry, start + length, entry):
            name, _, _, section = struct.unpack_from("<IBBH", image, place)
            if section == 0:
                end = image.index(b"\0", strings + name)
                names.add(image[strings + name : end].decode())
    return names
