"""Fuzz target: the command line, with any arguments and with small damaged SavedModels, in this process.

    python -m tests.fuzz.cli_fuzz [--seconds 120] [--executions 1000000] [--seed 0]

Whatever is given, the command ends with one of its exit statuses; with status 1 or 2 it says why, in no
traceback; the source stays as it was, the target is whole or absent, and nothing is left beside it.

Damaged models are never run: what TensorFlow does with them is not under test.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import math
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import tf_blade
from tests.fuzz import saved_model_fuzz
from tests.fuzz.options import options_parser
from tests.saved_model import models, workshop
from tf_blade import cli
from tf_blade.pipeline import LABELS
from tf_blade.settings import Settings

workshop.register()
# A file's name that is no UTF-8.
_NO_TEXT = "\udcfe"
_COMMANDS = ("optimize", "inspect", "verify", "bench", "sign")
# Engines that never run and cost no compiler.
_QUICK = ("--backends=no_engine", "--no-verify", "--no-warmup", "--quiet", "--min-cluster-nodes=1")
_WORDS = (
    *("", "-", "--", "0", "-1", "1", "1.5", "1e999", "nan", "99999999999999999999", "true", "None", "serving_default"),
    *("a,b", ",", ",,1", "x86-64-v3", "x86-64-v9", "disc", "no_engine", "broken", "raising", "all", "é", "\udcff", "*"),
    *(
        "{src}",
        "{dst}",
        "{damaged}",
        "{signed}",
        "{file}",
        "{npz}",
        "{key}",
        "{folder}",
        "{missing}",
        "{folder}/a/b/c",
        "{strange}",
    ),
    *LABELS[:6],
)
_FLAGS = (
    *(f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(Settings)),
    *("--no-verify", "--no-warmup", "--sample-inputs", "--inputs", "--json", "--quiet", "--rtol", "--seed", "--key"),
    *("--threads", "--callable", "--help", "--overwrit", "--unknown"),
)
# What is accepted, at the ends of its range or beside it.
_PLAUSIBLE = (
    *("--json", "--overwrite", "--strict", "--debug", "--portable", "--quiet", "--seed=-1", "--seed=4294967296"),
    *(
        "--rtol=0",
        "--rtol=-1",
        "--rtol=nan",
        "--min-cluster-nodes=-5",
        "--min-cluster-gain-us=nan",
        "--weight-bytes=-1",
    ),
    *("--weight-bytes=99999999999999999999", "--batch-sizes=", "--batch-sizes=0", "--batch-sizes=-3,99999999999"),
    *("--isas=", "--backends=", "--signatures=", "--signatures=none", "--signatures=serving_default", "--serving"),
    *("--stop-after=read", "--stop-after=rewrite", "--dump-after=all", "--dump-dir={folder}/dump", "--dump-dir={file}"),
    *("--sign-key={key}", "--sign-key={file}", "--sign-key={folder}", "--sample-inputs={npz}", "--inputs={npz}"),
    *("--sample-inputs={file}", "--inputs={folder}", "--inputs={missing}", "--key={missing}", "--key={npz}"),
)


@dataclasses.dataclass
class Result:
    """What a run found.

    Attributes:
        executions: of the command.
        statuses: how often it ended with which exit status.
        defects: the arguments that found one, with what was wrong.
    """

    executions: int = 0
    statuses: dict[int, int] = dataclasses.field(default_factory=dict)
    defects: list[tuple[list[str], str]] = dataclasses.field(default_factory=list)


class Workplace:
    """A folder with models, files of all kinds, and room for targets; it is the same before each execution."""

    def __init__(self, folder: Path) -> None:
        self.folder, kept = folder / "work", folder / "kept"
        self._kept = kept
        names = ("src", "dst", "damaged", "signed", "file", "npz", "key", "missing")
        self.paths = {name: str(self.folder / name) for name in names} | {
            "folder": str(self.folder),
            "strange": str(self.folder / _NO_TEXT),
        }
        models.dense(kept / "src")
        shutil.copytree(kept / "src", kept / "damaged")
        shutil.copytree(kept / "src", kept / _NO_TEXT)
        pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        (kept / "key").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
        options: dict[str, Any] = {"isas": ("x86-64-v3",), "sign_key": str(kept / "key"), **workshop.EAGER}
        tf_blade.optimize_saved_model(kept / "src", kept / "signed", verify=False, warmup=False, **options)
        (kept / "file").write_text("neither this nor that\n")
        with (kept / "npz").open("wb") as file:
            np.savez(file, x=np.ones((2, 4), np.float32))
        self._models = [*saved_model_fuzz.corpus(), (kept / "signed" / "saved_model.pb").read_bytes()]
        self._npz = (kept / "npz").read_bytes()
        self._digest = workshop.digest(kept / "src")
        self.restore()

    def restore(self) -> None:
        """Makes everything as it was."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
        shutil.copytree(self._kept, self.folder)

    def damage(self, generator: random.Random) -> None:
        """Writes another damaged model, and at times a damaged file of inputs."""
        data = saved_model_fuzz.mutated(generator, self._models)
        (self.folder / "damaged" / "saved_model.pb").write_bytes(data)
        damaged = generator.random() < 0.2
        npz = saved_model_fuzz.mutated(generator, [self._npz]) if damaged else self._npz
        (self.folder / "npz").write_bytes(npz)

    def source_changed(self) -> bool:
        return workshop.digest(self.folder / "src") != self._digest

    def left_behind(self) -> list[str]:
        """Names of temporary folders."""
        return [path.name for path in self.folder.rglob(".*")]


def arguments(generator: random.Random) -> list[str]:
    """A command line: sensible ones with a word exchanged, removed or added here and there."""
    command = generator.choice(_COMMANDS)
    model = "{damaged}" if command in ("optimize", "inspect", "sign") and generator.random() < 0.7 else "{src}"
    sensible = {
        "optimize": ["optimize", model, "{dst}", *_QUICK],
        "inspect": ["inspect", generator.choice((model, "{signed}", "{strange}"))],
        "verify": ["verify", model, "{signed}"],
        "bench": ["bench", model, "{signed}", "--seconds", "0.01"],
        "sign": ["sign", generator.choice((model, "{signed}")), "{dst}", "--key", "{key}"],
    }
    words = sensible[command]
    for _ in range(generator.choice((0, 0, 1, 1, 2, 3))):
        at = generator.randrange(len(words) + 1)
        kind = generator.randrange(4)
        if kind == 0:
            words.insert(at, generator.choice(_WORDS))
        elif kind == 1:
            words[at:at] = [generator.choice(_FLAGS), generator.choice(_WORDS)]
        elif kind == 2:
            words.insert(at, f"{generator.choice(_FLAGS)}={generator.choice(_WORDS)}")
            if generator.random() < 0.5:
                words[at] = generator.choice(_PLAUSIBLE)
        else:
            del words[at : at + 1]
    return words


def harmless(words: Sequence[str]) -> bool:
    """Whether the command neither runs a damaged model nor takes minutes."""
    command = next((word for word in words if word in _COMMANDS), "")
    text = " ".join(words)
    # Whoever asks for years of measurements gets them.
    if any(word == "--seconds" and _is_long(time) for word, time in itertools.pairwise(words)):
        return False
    runs = command in ("verify", "bench") or "--verify" in text or "--warmup" in text
    if command == "optimize" and not all(item in words for item in _QUICK[:3]):
        return False
    return "disc" not in text and not (runs and "{damaged}" in text)


def _is_long(seconds: str) -> bool:
    try:
        return 1.0 < float(seconds) < math.inf
    except ValueError:
        return False


def execute(words: Sequence[str]) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of the command in this process.

    Raises:
        Exception: a defect.
    """
    # As in a shell: what cannot be encoded is an error on the one, and escaped on the other.
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = cli.main(list(words))
        except SystemExit as stop:  # argparse's way
            status = int(stop.code or 0)
        out.flush()
        err.flush()
    texts = [stream.buffer.getvalue().decode(errors="replace") for stream in (out, err)]
    return status, texts[0], texts[1]


def problems(place: Workplace, words: Sequence[str]) -> tuple[int, list[str]]:
    """Runs a command: its exit status (-1: none), and what is wrong with what it did."""
    found = []
    try:
        status, _, err = execute([word.format(**place.paths) for word in words])
    except Exception:  # noqa: BLE001 - this is what a fuzzer looks for
        return -1, [traceback.format_exc()]
    target = place.folder / "dst"
    if status not in (cli.EXIT_OK, cli.EXIT_ERROR, cli.EXIT_USAGE):
        found.append(f"exit status {status}")
    if status != cli.EXIT_OK and "verify" not in words and not err.strip():
        found.append("no word about the error")
    if "Traceback" in err or (status == cli.EXIT_ERROR and "tf-blade: " not in err and "verify" not in words):
        found.append(f"it says: {err}")
    if target.exists() and (status != cli.EXIT_OK or not (target / "saved_model.pb").exists()):
        found.append(f"a target, though the exit status is {status}")
    if place.source_changed() and not any(word.startswith("--overwrit") for word in words):
        found.append("the source has changed")
    if place.left_behind():
        found.append(f"left behind: {place.left_behind()}")
    return status, found


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """With this working directory: some targets have relative names."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def fuzz(seconds: float, executions: int, seed: int) -> Result:
    """Runs the target."""
    generator, result = random.Random(seed), Result()
    with tempfile.TemporaryDirectory() as folder:
        place = Workplace(Path(folder))
        begin = time.monotonic()
        # The number of threads can be set only once in a process.
        with mock.patch("tensorflow.config.threading.set_intra_op_parallelism_threads"):
            while result.executions < executions and time.monotonic() - begin < seconds:
                words = arguments(generator)
                if not harmless(words):
                    continue
                place.damage(generator)
                with _inside(place.folder):
                    status, found = problems(place, words)
                result.executions += 1
                result.statuses[status] = result.statuses.get(status, 0) + 1
                if found:
                    sys.stderr.write(f"{words}\n" + "\n".join(found) + "\n")
                    result.defects.append((words, found[0]))
                place.restore()
    return result


def main() -> int:
    """The command line."""
    options = options_parser(__doc__).parse_args()
    result = fuzz(options.seconds, options.executions, options.seed)
    sys.stdout.write(f"{result.executions} executions, {result.statuses}, {len(result.defects)} defects\n")
    return 1 if result.defects else 0


if __name__ == "__main__":
    sys.exit(main())
