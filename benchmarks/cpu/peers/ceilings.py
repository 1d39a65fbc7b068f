"""What the machine can do at most, by `ceilings.cc`, and the fraction of it that the kernel templates reach."""

from __future__ import annotations

import json
import pathlib
import subprocess
import tempfile

from benchmarks.cpu.peers.convert import ROOT
from benchmarks.cpu.peers.driver import ForeignLoad

SOURCE = ROOT / "benchmarks" / "cpu" / "ceilings.cc"


def build(folder: pathlib.Path) -> pathlib.Path:
    """Compiles the program with the flags of generated code, for the best instruction set of this machine."""
    from tf_blade.backends.disc import toolchain

    flags = [flag for flag in toolchain.FLAGS if not flag.startswith(("-fno-stack", "-fvisibility", "-fno-plt"))]
    isa = "x86-64-v4" if "avx512vl" in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8") else "x86-64-v3"
    target = folder / "ceilings"
    command = [toolchain.compiler(), *flags, *toolchain.LEVELS[isa][1], "-pthread", f"-I{ROOT}", str(SOURCE)]
    subprocess.run([*command, "-o", str(target)], check=True)
    return target


def measure(threads: int, seconds: float) -> dict[str, float]:
    """GFLOP/s and GB/s by name; `foreign_load` is the share of the processors that others used meanwhile."""
    with tempfile.TemporaryDirectory(prefix="tf_blade_") as folder:
        program = build(pathlib.Path(folder))
        others = ForeignLoad()
        done = subprocess.run([program, str(threads), str(seconds)], stdout=subprocess.PIPE, text=True, check=True)
        share = others.share()
    found: dict[str, float] = json.loads(done.stdout)
    return {**{name: value for name, value in found.items() if name not in ("threads", "lanes")}, "foreign_load": share}
