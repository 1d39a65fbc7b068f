"""Finding and loading the op library: clear errors for one that does not fit."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import tensorflow as tf
from absl.testing import absltest

from tests.runtime import native
from tf_blade import runtime
from tf_blade.errors import EnvironmentError_


class LibraryTest(absltest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def load_fresh(self, library: Path) -> str:
        with mock.patch.object(runtime, "_LIBRARY", library):
            return runtime.load.__wrapped__()

    def test_built_for_this_tensorflow(self) -> None:
        self.assertEqual(runtime.built_for(runtime.library_path()), tf.version.VERSION)
        self.assertEqual(runtime.load(), runtime.library_path())

    def test_missing_library(self) -> None:
        with self.assertRaisesRegex(EnvironmentError_, "is missing: run"):
            self.load_fresh(self.folder / "none.so")

    def test_library_of_another_tensorflow(self) -> None:
        version = tf.version.VERSION.encode()
        other = self.folder / "libtf_blade.so"
        other.write_bytes(Path(runtime.library_path()).read_bytes().replace(version, b"9" + version[1:]))
        with self.assertRaisesRegex(EnvironmentError_, "was built for TensorFlow 9"):
            self.load_fresh(other)

    def test_file_that_is_no_op_library(self) -> None:
        other = self.folder / "libtf_blade.so"
        for content in (b"", b"\x7fELF"):
            other.write_bytes(content)
            with self.assertRaisesRegex(EnvironmentError_, "is no op library"):
                self.load_fresh(other)

    def test_loading_a_second_copy_is_refused(self) -> None:
        copy = self.folder / "copy.so"
        shutil.copyfile(runtime.library_path(), copy)
        script = f"""
import tensorflow as tf
from tf_blade import runtime
tf.load_op_library(runtime.library_path())
runtime.load()  # the same file again is no harm
try:
    tf.load_op_library({str(copy)!r})
except tf.errors.OpError as error:
    assert "registered already" in str(error), error
    print("refused")
"""
        self.assertIn("refused", _run(script).stdout)

    def test_a_copy_that_nobody_waits_for_disturbs_no_one(self) -> None:
        """Another thread may be loading another library meanwhile, which is not to get the copy's status."""
        copy = self.folder / "copy.so"
        shutil.copyfile(runtime.library_path(), copy)
        native.tensorflow_library(self.folder, "registry_watch.cc")
        result = _run(f"""
import ctypes
import tensorflow as tf
from tf_blade import runtime
tf.load_op_library(runtime.library_path())
watch = ctypes.CDLL({str(self.folder / "tensorflow_library.so")!r})
assert watch.watch_begin() == 0
ctypes.CDLL({str(copy)!r})
print("told", watch.watch_end())
""")
        self.assertEqual(result.stdout.split(), ["told", "0"])
        self.assertRegex(result.stderr, "registered already.*this one stays unused")


def _run(script: str) -> subprocess.CompletedProcess[str]:
    root = Path(runtime.__file__).resolve().parents[1]
    return subprocess.run([sys.executable, "-c", script], cwd=root, check=True, capture_output=True, text=True)


if __name__ == "__main__":
    absltest.main()
