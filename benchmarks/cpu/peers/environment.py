"""The virtual environment that the benchmark runs in, apart from the one of the tests. Standard library only."""

from __future__ import annotations

import hashlib
import os
import pathlib
import subprocess
import sys
import venv
from collections.abc import Sequence

REQUIREMENTS = pathlib.Path(__file__).resolve().parents[1] / "requirements.txt"
DEFAULT = REQUIREMENTS.parents[2] / "models" / "venv_peers"
_STAMP = "peers-requirements"


def enter(folder: pathlib.Path, module: str, arguments: Sequence[str]) -> None:
    """Continues in the environment in `folder`, made first where it is not there or of other requirements.

    Returns only in a process that runs in it already.
    """
    if pathlib.Path(sys.prefix).resolve() == folder.resolve():
        return
    python = folder / "bin" / "python"
    stamp, wanted = folder / _STAMP, hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        print(f"installing the peers into {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", REQUIREMENTS], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    os.execv(python, [str(python), "-m", module, *arguments])
