"""Kills `tf-blade optimize` (SIGKILL) at random moments: the target is whole or absent, or the former one, each time.

    python -m tests.cli.kills [--kills 50] [--seed 0] [options of optimize]

Half of the kills come at any moment of a run, the other half while the target is being written. Every second run or so
replaces a former target (--overwrite). The same model gives the same bytes, so a whole target is told by its hash.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.cli import kit
from tests.saved_model import models, workshop

_PATIENCE_SECONDS = 300
OPTIONS = ("--isas=x86-64-v3", "--min-cluster-nodes=1", "--min-cluster-gain-us=-1e9", "--quiet")


@dataclasses.dataclass
class Outcome:
    """What was seen.

    Attributes:
        kills: processes that were killed before they ended.
        ended: those that were faster.
        writing: of the killed, those that had begun to write the target.
        absent: targets that were absent afterwards.
        former: targets that were still the former model.
        whole: targets that were the new model.
        broken: what was found instead, in words.
        leftovers: the most temporary folders that lay beside the target at once.
    """

    kills: int = 0
    ended: int = 0
    writing: int = 0
    absent: int = 0
    former: int = 0
    whole: int = 0
    leftovers: int = 0
    broken: list[str] = dataclasses.field(default_factory=list)


class _Place:
    """A source, a former model, and the target's folder."""

    def __init__(self, folder: Path, options: Sequence[str]) -> None:
        self.src, self.former, self.beside = folder / "src", folder / "former", folder / "beside"
        self.dst, self.scratch, self._options = self.beside / "dst", folder / "scratch", options
        models.shared(self.src)
        models.dense(self.former)
        self.beside.mkdir()
        self.scratch.mkdir()
        self.source_digest, self.former_digest = workshop.digest(self.src), workshop.digest(self.former)
        begin = time.monotonic()
        status, err = self.run()
        self.seconds = time.monotonic() - begin
        if status != 0:
            raise RuntimeError(f"optimize fails unharmed: {err}")
        self.new_digest = workshop.digest(self.dst)

    def command(self) -> list[str]:
        return ["optimize", str(self.src), str(self.dst), "--overwrite", *self._options]

    def run(self) -> tuple[int, str]:
        """An optimization that nobody kills."""
        with kit.process(*self.command(), env={"TMPDIR": str(self.scratch)}) as process:
            _, err = process.communicate(timeout=_PATIENCE_SECONDS)
        return process.returncode, err

    def reset(self, *, former: bool) -> None:
        if self.dst.exists():
            shutil.rmtree(self.dst)
        if former:
            shutil.copytree(self.former, self.dst)

    def temporary(self) -> list[Path]:
        """Temporary folders beside the target."""
        return [path for path in self.beside.iterdir() if path != self.dst]

    def judge(self, outcome: Outcome, *, former: bool) -> None:
        """Counts what the target is now."""
        found = workshop.digest(self.dst) if self.dst.exists() else None
        if found is None and not former:
            outcome.absent += 1
        elif found == self.new_digest:
            outcome.whole += 1
        elif found == self.former_digest and former:
            outcome.former += 1
        else:
            outcome.broken.append("the former target is gone" if found is None else f"a target of {found}")
        if workshop.digest(self.src) != self.source_digest:
            outcome.broken.append("the source has changed")
        outcome.leftovers = max(outcome.leftovers, len(self.temporary()))


def _kill_once(place: _Place, generator: random.Random, outcome: Outcome, *, writing: bool) -> None:
    """Starts an optimization and kills its process: at any moment, or a little after it began to write the target."""
    before = set(place.temporary())
    moment = generator.uniform(0, place.seconds)
    with kit.process(*place.command(), env={"TMPDIR": str(place.scratch)}) as process:
        begin = time.monotonic()
        while process.poll() is None and time.monotonic() - begin < (_PATIENCE_SECONDS if writing else moment):
            if writing and set(place.temporary()) - before:
                # Reading back, verifying, warming up and renaming take the rest of the time.
                time.sleep(generator.choice((0.0, 0.01, 0.1, 0.3 * place.seconds)) * generator.random())
                break
            time.sleep(0.001)
        killed = process.poll() is None
        process.kill()
        process.communicate(timeout=_PATIENCE_SECONDS)
    outcome.kills += killed
    outcome.ended += not killed
    outcome.writing += killed and bool(set(place.temporary()) - before)


def kill(kills: int, seed: int, options: Sequence[str] = ()) -> Outcome:
    """Kills so many processes; in the end one is left alone, and must succeed and clean up."""
    generator, outcome = random.Random(seed), Outcome()
    with tempfile.TemporaryDirectory() as folder:
        place = _Place(Path(folder), [*OPTIONS, *options])
        while outcome.kills < kills:
            former = generator.random() < 0.5
            place.reset(former=former)
            _kill_once(place, generator, outcome, writing=outcome.kills % 2 == 1)
            place.judge(outcome, former=former)
        place.reset(former=True)
        status, err = place.run()
        if (status, workshop.digest(place.dst)) != (0, place.new_digest):
            outcome.broken.append(f"the next run fails: {err}")
        if place.temporary():
            outcome.broken.append(f"the next run leaves {os.listdir(place.beside)}")
    return outcome


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options, rest = parser.parse_known_args()
    outcome = kill(options.kills, options.seed, rest)
    sys.stdout.write(f"{outcome}\n")
    return 1 if outcome.broken else 0


if __name__ == "__main__":
    sys.exit(main())
