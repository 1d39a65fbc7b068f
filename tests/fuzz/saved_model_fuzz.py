"""Fuzz target: reading and inspecting SavedModels. Anything but a `TfBladeError` for a malformed one is a defect.

    python -m tests.fuzz.saved_model_fuzz [--seconds 120] [--executions 1000000] [--seed 0]

It mutates small models by itself; `test_one_input` is what a coverage-guided fuzzer (atheris) would call.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import tf_blade
from tests import zoo
from tests.fuzz.options import options_parser

_MODELS = ("ranking", "chain", "three_signatures")


def corpus() -> list[bytes]:
    """The small models' graphs."""
    return [(zoo.saved(name) / "saved_model.pb").read_bytes() for name in _MODELS]


def test_one_input(data: bytes) -> bool:
    """Inspects a SavedModel of these bytes; whether it was accepted.

    Raises:
        Exception: anything but a refusal, which is a defect.
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "saved_model.pb").write_bytes(data)
        try:
            tf_blade.inspect_saved_model(folder).to_text()
        except tf_blade.TfBladeError:
            return False
    return True


def mutated(generator: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with a few bytes changed, removed, repeated or taken from another."""
    data = bytearray(generator.choice(seeds))
    for _ in range(generator.randrange(1, 4)):
        at, size = generator.randrange(len(data)), generator.randrange(1, 32)
        kind = generator.randrange(5)
        if kind == 0:
            data[at] = generator.randrange(256)
        elif kind == 1:
            data[at] ^= 1 << generator.randrange(8)
        elif kind == 2:
            del data[at : at + size]
        elif kind == 3:
            data[at:at] = data[at : at + size]
        else:
            other = generator.choice(seeds)
            start = generator.randrange(len(other))
            data[at : at + size] = other[start : start + size]
        if not data:
            break
    return bytes(data)


def fuzz(seconds: float, executions: int, seed: int) -> tuple[int, int, list[bytes]]:
    """Executions, how many models of them were accepted, and the inputs that found a defect."""
    generator, seeds, begin = random.Random(seed), corpus(), time.monotonic()
    done = accepted = 0
    found: list[bytes] = []
    while done < executions and time.monotonic() - begin < seconds:
        data = mutated(generator, seeds)
        done += 1
        try:
            accepted += test_one_input(data)
        except Exception:  # noqa: BLE001 - this is what a fuzzer looks for
            sys.stderr.write(traceback.format_exc())
            found.append(data)
    return done, accepted, found


def main() -> int:
    """The command line."""
    options = options_parser(__doc__).parse_args()
    done, accepted, found = fuzz(options.seconds, options.executions, options.seed)
    sys.stdout.write(f"{done} executions, {accepted} accepted, {len(found)} defects\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
