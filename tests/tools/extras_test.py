"""What messages say to install is what pyproject.toml has: the package is in no index, and so are its extras."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from absl.testing import absltest, parameterized

from tf_blade.backends.tensorrt import library
from tf_blade.engines import signing
from tf_blade.saved_model import warmup

_PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def _extra(name: str) -> list[str]:
    """An extra that is written in one line."""
    found = re.search(rf"^{re.escape(name)} = \[(.*)\]$", _PROJECT.read_text(), re.MULTILINE)
    assert found is not None, name
    return re.findall(r'"([^"]+)"', found.group(1))


class ExtrasTest(parameterized.TestCase):
    @parameterized.parameters(
        ("sign", signing.HOW_TO_INSTALL), ("tensorrt-rtx", library.HOW_TO_INSTALL), ("serving", warmup.MISSING)
    )
    def test_messages(self, extra: str, message: str) -> None:
        command = re.search(r"pip install [^(;`]+", message)
        assert command is not None
        words = [word for word in shlex.split(command.group(0))[2:] if not word.startswith("-")]
        self.assertEqual(_extra(extra), words)


if __name__ == "__main__":
    absltest.main()
