"""The environment variables that anything reads are those that the runtime knows, and each has a row in the docs."""

from __future__ import annotations

import re
from pathlib import Path

from absl.testing import absltest

_ROOT = Path(__file__).resolve().parents[2]
_LIST = _ROOT / "custom_ops" / "runtime" / "environment.cc"
_PAGES = ("docs/usage.md", "CONTRIBUTING.md")
_READERS = (
    *("setup.py", ".bazelrc", "bazel/*.bzl", "bazel/*.py", "tools/*.sh", "tools/**/*.py", "tf_blade/**/*.py"),
    *("custom_ops/**/*.cc", "custom_ops/**/*.h", "tests/BUILD", "tests/**/*.py", "benchmarks/**/*.py"),
)
# A name alone in quotes, as functions and constants have it; a variable of a shell; a flag of Bazel's.
_NAME = re.compile(r"""(?:["']|\$\{?|--test_env=)(TF_BLADE_[A-Z_]+)(?=["'}:\s])""")


def _known() -> set[str]:
    text = _LIST.read_text(encoding="utf-8").partition("kKnown[] = {")[2].partition("};")[0]
    return set(re.findall(r'"(\w+)"', text))


def _read() -> dict[str, set[str]]:
    """The names, with the files that have them."""
    found: dict[str, set[str]] = {}
    for pattern in _READERS:
        files = [path for path in _ROOT.glob(pattern) if path != _LIST]
        assert files, pattern
        for path in files:
            for name in _NAME.findall(path.read_text(encoding="utf-8")):
                found.setdefault(name, set()).add(str(path.relative_to(_ROOT)))
    return found


class EnvironmentTest(absltest.TestCase):
    def test_the_runtime_knows_what_is_read(self) -> None:
        found = _read()
        self.assertIn("tf_blade/observe.py", found["TF_BLADE_LOGS"])
        self.assertIn("custom_ops/disc/cpu_isa.cc", found["TF_BLADE_MAX_ISA"])
        self.assertIn("tools/setup.sh", found["TF_BLADE_PYTHON"])
        self.assertEqual({name: found.get(name) for name in _known()}, found)

    def test_each_has_one_row(self) -> None:
        rows: list[str] = []
        for page in _PAGES:
            rows += re.findall(r"^\| `(TF_BLADE_\w+)` \|", (_ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
        self.assertCountEqual(rows, _known())


if __name__ == "__main__":
    absltest.main()
