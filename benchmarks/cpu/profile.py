"""Where an optimized model's time goes, kernel by kernel: `python -m benchmarks.cpu.profile NAME [SIZE=N ...]`.

The model is optimized and run in this process, as a server would run it. Each kernel call of the generated code reads
the time stamp counter before and after itself and adds the difference to a table whose address is compiled in.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import pathlib
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

import tf_blade
from benchmarks.cpu.instrument import Entry, Recorder
from tests import zoo


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


@dataclasses.dataclass(frozen=True)
class Profile:
    """Where the time of the shortest of some calls went.

    Attributes:
        name: of the model.
        sizes: of its unknown dimensions.
        calls: how many there were.
        seconds: of the shortest call, all around included.
        kernels: each with its own shortest time over the calls.
    """

    name: str
    sizes: Mapping[str, int]
    calls: int
    seconds: float
    kernels: Sequence[Entry]


def main(arguments: Sequence[str]) -> None:
    """Prints the slowest kernels of a model of the zoo."""
    options = parse(arguments)
    given = (item.split("=") for item in options.sizes)
    sizes = {key: int(value) for key, value in given}
    (found,) = profile(options.name, [sizes], options.threads, options.seconds, options.source)
    total = sum(seconds(entry) for entry in found.kernels)
    head = f"best of {found.calls} calls {found.seconds * 1e6:.0f} us; the kernels' best {total * 1e6:.0f} us"
    print(f"{found.name} {dict(found.sizes)}: {head}")
    for number in sorted(range(len(found.kernels)), key=lambda i: -found.kernels[i].ticks)[: options.top]:
        entry = found.kernels[number]
        print(f"{seconds(entry) * 1e6:10.1f} us {rates(entry)} #{number} {entry.label[: options.width]}")


def profile(
    name: str, grid: Sequence[Mapping[str, int]], threads: int, limit: float, folder: pathlib.Path | None = None
) -> list[Profile]:
    """Optimizes a model of the zoo with counters, and calls it for `limit` seconds at each of the sizes."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    full = name in zoo.FULL
    model, recorder, found = zoo.get(name, full=full), Recorder(folder), []
    source = zoo.saved(name, full=full)
    with tempfile.TemporaryDirectory(prefix="tf_blade_") as scratch:
        target = pathlib.Path(scratch) / "optimized"
        with recorder.patched():
            tf_blade.optimize_saved_model(source, target, verify=False, strict=True)
        loaded = tf.saved_model.load(str(target))
    for given in grid:
        sizes = given or model.grid()[0]
        signature, feeds = next(iter(model.example(sizes).items()))
        function = loaded.signatures[signature]
        tensors = {key: tf.constant(value) for key, value in feeds.items()}
        calls, shortest = sample(functools.partial(function, **tensors), recorder, limit)
        kernels = [dataclasses.replace(entry) for entry in recorder.entries]
        found.append(Profile(name, sizes, calls, shortest, kernels))
    return found


def sample(call: Callable[[], object], recorder: Recorder, limit: float) -> tuple[int, float]:
    """Calls for some seconds; the number of calls, and the shortest one in seconds."""
    recorder.forget()
    for _ in range(3):
        call()
    walls: list[float] = []
    stop = time.perf_counter() + limit
    while time.perf_counter() < stop or len(walls) < 5:
        recorder.clear()
        start = time.perf_counter()
        call()
        walls.append(time.perf_counter() - start)
        recorder.take()
    return len(walls), min(walls)


def rates(entry: Entry) -> str:
    """GFLOP/s and GB/s of a kernel, where known."""
    nanoseconds = max(seconds(entry) * 1e9, 1e-3)
    flops = f"{entry.flops / nanoseconds:7.1f}" if entry.flops else "      –"
    moved = f"{entry.bytes / nanoseconds:6.1f}" if entry.bytes else "     –"
    return f"{flops} GFLOP/s {moved} GB/s"


def seconds(entry: Entry) -> float:
    """The shortest time of a kernel."""
    return entry.ticks / _ticks_per_second()


@functools.cache
def _ticks_per_second() -> float:
    """The rate of the time stamp counter; close enough where the clock does not change."""
    text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return float(re.findall(r"cpu MHz\s*: ([\d.]+)", text)[0]) * 1e6


if __name__ == "__main__":
    main(sys.argv[1:])
