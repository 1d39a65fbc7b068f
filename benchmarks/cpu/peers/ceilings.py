"""What the machine can do at most, by `ceilings.cc`, and the fraction of it that the kernel templates reach."""

from __future__ import annotations

import json
import pathlib
import subprocess
import tempfile
from unittest import mock

from benchmarks.cpu.peers.convert import ROOT
from benchmarks.cpu.peers.driver import ForeignLoad
from tf_blade.engines.format import EngineFile, write_engine

SOURCES = [ROOT / "benchmarks" / "cpu" / "ceilings.cc", ROOT / "custom_ops" / "runtime" / "parallel.cc"]


def build(folder: pathlib.Path) -> pathlib.Path:
    """Compiles the program with the flags of generated code, for the best instruction set of this machine."""
    import tensorflow as tf

    from tf_blade.backends.disc import toolchain

    flags = [flag for flag in toolchain.FLAGS if not flag.startswith(("-fno-stack", "-fvisibility", "-fno-plt"))]
    isa = "x86-64-v4" if "avx512vl" in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8") else "x86-64-v3"
    target = folder / "ceilings"
    include = [f"-I{ROOT}", f"-isystem{tf.sysconfig.get_include()}"]
    command = [toolchain.compiler(), *flags, *toolchain.LEVELS[isa][1], "-pthread", *include, *map(str, SOURCES)]
    subprocess.run([*command, "-o", str(target)], check=True)
    return target


def chain(folder: pathlib.Path) -> tuple[pathlib.Path, str]:
    """The executable of the memory-bound chain, and its inputs' shapes for 64×512×1024 elements."""
    import tf_blade
    from tests import zoo
    from tf_blade.backends.disc import backend

    engines: list[EngineFile] = []

    def keep(engine: EngineFile) -> bytes:
        engines.append(engine)
        return write_engine(engine)

    with mock.patch.object(backend, "write_engine", keep):
        tf_blade.optimize_saved_model(zoo.saved("chain", full=True), folder / "chain", verify=False, strict=True)
    (engine,) = engines
    file = folder / "chain.so"
    file.write_bytes(engine.sections["elf"])
    return file, ",".join("w1024" if len(item.dims) == 1 else "256x128x1024" for item in engine.signature.inputs)


def measure(threads: int, seconds: float) -> dict[str, float]:
    """GFLOP/s and GB/s by name; `foreign_load` is the share of the processors that others used meanwhile."""
    with tempfile.TemporaryDirectory(prefix="tf_blade_") as name:
        folder = pathlib.Path(name)
        program, (executable, shapes) = build(folder), chain(folder)
        others = ForeignLoad()
        command = [str(program), str(threads), str(seconds), str(executable), shapes]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        share = others.share()
    found: dict[str, float] = json.loads(done.stdout)
    found["chain_64x512x1024"] = found.pop("executable")
    rates = {name: value for name, value in found.items() if name not in ("threads", "lanes")}
    return {**rates, "foreign_load": share}
