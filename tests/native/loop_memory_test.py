"""Scratch memory of loops: used again in each turn, given back where there is more than is kept."""

from __future__ import annotations

import subprocess
from pathlib import Path

from absl.testing import absltest

from tests.runtime import native

_ROOT = Path(__file__).resolve().parents[2]


class LoopMemoryTest(absltest.TestCase):
    def test_loop_memory(self) -> None:
        program = Path(self.create_tempdir().full_path) / "loop_memory"
        source = _ROOT / "tests/native/loop_memory.cc"
        flags = ["-std=c++17", "-O1", "-g1", "-march=x86-64-v3", "-Wall", "-Wextra", "-fsanitize=address"]
        subprocess.run([*native.compiler(), *flags, f"-I{_ROOT}", source, "-o", program], check=True)
        found = subprocess.run([program], check=False, capture_output=True, text=True)
        self.assertEqual((found.returncode, found.stdout), (0, ""), found.stderr)


if __name__ == "__main__":
    absltest.main()
