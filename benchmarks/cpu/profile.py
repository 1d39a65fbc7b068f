"""Where an optimized model's time goes, kernel by kernel: `python -m benchmarks.cpu.profile NAME [SIZE=N ...]`.

The model is optimized and run in this process, as a server would run it. Each kernel call of the generated code reads
the time stamp counter before and after itself and adds the difference to a table whose address is compiled in.
"""

from __future__ import annotations

import argparse
import ctypes
import pathlib
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from unittest import mock

import tensorflow as tf

import tf_blade
from tests import zoo
from tf_blade.backends.disc import toolchain

_MOST_CALLS = 1 << 16
_ISA = "x86-64-v4"


class Recorder:
    """Instruments translation units, and holds their counters."""

    def __init__(self, folder: pathlib.Path | None) -> None:
        self.folder = folder
        self.ticks = (ctypes.c_uint64 * _MOST_CALLS)()
        self.labels: list[str] = []
        self._build = toolchain.build

    def build(self, text: str, isas: Sequence[str]) -> bytes:
        """Takes the place of toolchain.build."""
        isa = _ISA if _ISA in isas and "avx512f" in pathlib.Path("/proc/cpuinfo").read_text() else isas[0]
        return self._build(self._instrumented(text), [isa])

    def _instrumented(self, text: str) -> str:
        comments = dict(re.findall(r"((?:^// .*\n)+)(?:static|struct) .*?\b((?:kernel|Epilogue)\d+)\b", text, re.M))
        about = {name: comment for comment, name in comments.items()}
        head, run = text.split("\nint32_t run(", 1)
        run, tail = run.split("\n}\n", 1)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / f"engine{len(self.labels)}.cc").write_text(text, encoding="utf-8")
        lines: list[str] = []
        block: list[str] = []
        number = -1
        for line in run.split("\n"):
            block.append(line)
            if line == "  {" and len(self.labels) < _MOST_CALLS:
                number = len(self.labels)
                self.labels.append("")
                lines.append(line)
                lines.append("    const uint64_t ticks = __builtin_ia32_rdtsc();")
                block = []
                continue
            if line == "  }" and number >= 0:
                self.labels[number] = _label(block, about)
                address = ctypes.addressof(self.ticks) + 8 * number
                lines.append(f"    *reinterpret_cast<uint64_t*>({address}u) += __builtin_ia32_rdtsc() - ticks;")
                number = -1
            lines.append(line)
        return head + "\nint32_t run(" + "\n".join(lines) + "\n}\n" + tail


def _label(block: Sequence[str], about: dict[str, str]) -> str:
    text = " ".join(block)
    fields = re.findall(r"args\.(\w+) = (?:INT64_C\()?([\w.]+)\)?;", text)
    if fields:
        shape = " ".join(f"{key}={value}" for key, value in fields if not value.startswith(("static_cast", "reinter")))
        function = re.findall(r"code = (\w+)", text)[0]
        after = "".join(about.get(name, "") for name in re.findall(r"Epilogue\d+", text))
        return f"{function} {shape} [{' '.join(re.findall(r': (.*)', after))}]"
    names = re.findall(r"kernel\d+", text)
    return " ".join(f"{name}: {about.get(name, '').replace(chr(10), ' ; ')}" for name in names) or text[:200]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="a model of the zoo, the full size where there is one")
    parser.add_argument("sizes", nargs="*", help="dimensions of the inputs, as NAME=NUMBER")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--top", type=int, default=40, help="kernels to show")
    parser.add_argument("--width", type=int, default=200, help="of a kernel's description")
    parser.add_argument("--source", type=pathlib.Path, help="folder that the generated code is written to")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Prints the slowest kernels of a model of the zoo."""
    options = parse(arguments)
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    full = options.name in zoo.FULL
    model, recorder = zoo.get(options.name, full=full), Recorder(options.source)
    given = (item.split("=") for item in options.sizes)
    sizes = {key: int(value) for key, value in given} or model.grid()[0]
    source = zoo.saved(options.name, full=full)
    with tempfile.TemporaryDirectory(prefix="tf_blade_") as folder:
        target = pathlib.Path(folder) / "optimized"
        with mock.patch.object(toolchain, "build", recorder.build):
            tf_blade.optimize_saved_model(source, target, verify=False, strict=True)
        loaded = tf.saved_model.load(str(target))
    signature, feeds = next(iter(model.example(sizes).items()))
    function = loaded.signatures[signature]
    tensors = {key: tf.constant(value) for key, value in feeds.items()}
    calls, wall, best = sample(lambda: function(**tensors), recorder, options.seconds)
    scale = 1e6 / _ticks_per_second()
    total = sum(best) * scale
    print(f"{options.name} {sizes}: best of {calls} calls {wall * 1e6:.0f} us; the kernels' best {total:.0f} us")
    for number in sorted(range(len(best)), key=lambda i: -best[i])[: options.top]:
        print(f"{best[number] * scale:10.1f} us  #{number} {recorder.labels[number][: options.width]}")


def sample(call: Callable[[], object], recorder: Recorder, seconds: float) -> tuple[int, float, list[int]]:
    """Calls for some seconds; the number of calls, the shortest one in seconds, and each kernel's least ticks."""
    for _ in range(3):
        call()
    best = [1 << 62] * len(recorder.labels)
    walls: list[float] = []
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or len(walls) < 5:
        ctypes.memset(recorder.ticks, 0, ctypes.sizeof(recorder.ticks))
        start = time.perf_counter()
        call()
        walls.append(time.perf_counter() - start)
        best = [min(old, int(recorder.ticks[number])) for number, old in enumerate(best)]
    return len(walls), min(walls), best


def _ticks_per_second() -> float:
    """The rate of the time stamp counter; close enough where the clock does not change."""
    text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return float(re.findall(r"cpu MHz\s*: ([\d.]+)", text)[0]) * 1e6


if __name__ == "__main__":
    main(sys.argv[1:])
