"""Compiles and runs concurrency.cc, plain and with the thread and address sanitizers."""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from absl.testing import absltest, parameterized

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]
_SOURCES = [_HERE / "concurrency.cc", *(_ROOT / "custom_ops/runtime" / name for name in ("parallel.cc", "memory.cc"))]


def _absl_headers() -> Path:
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.origin is None:
        raise absltest.SkipTest("TensorFlow's wheel has the headers of absl")
    return Path(spec.origin).parent / "include"


class ConcurrencyTest(parameterized.TestCase):
    @parameterized.parameters("none", "thread", "address,undefined")
    def test_passes(self, sanitizer: str) -> None:
        compiler = shlex.split(os.environ.get("TF_BLADE_CXX") or os.environ.get("CXX") or "c++")
        # The sanitizers' allocators end the process on absurd sizes unless told to return null.
        options = dict.fromkeys(("TSAN_OPTIONS", "ASAN_OPTIONS"), "allocator_may_return_null=1")
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "concurrency"
            flags = ["-std=c++17", "-O1", "-g", "-pthread", f"-I{_ROOT}", "-isystem", str(_absl_headers())]
            if sanitizer != "none":
                flags.append(f"-fsanitize={sanitizer}")
            subprocess.run([*compiler, *flags, *_SOURCES, "-o", program], check=True)
            result = subprocess.run(
                [program], capture_output=True, text=True, env={**os.environ, **options}, check=False
            )
        self.assertEqual((result.returncode, result.stdout), (0, "passed\n"), result.stderr)


if __name__ == "__main__":
    absltest.main()
