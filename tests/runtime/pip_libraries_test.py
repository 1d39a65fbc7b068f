"""A TensorRT that pip installed is found by its package's folder; whoever says where to look is left alone."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from absl.testing import absltest, parameterized

from tf_blade import pip_libraries
from tf_blade.pip_libraries import PATH_VARIABLE

_SHOW = f"""
import ctypes, sys
import tf_blade
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
heavy = [name for name in sys.modules if name.partition(".")[0] in {{names}}]
print(repr((getenv(b"{PATH_VARIABLE}").decode(), heavy)))
"""
_NAMES = ("tensorflow", "tensorrt", "tensorrt_libs", "tensorrt_rtx", "tensorrt_rtx_libs")


class PipLibrariesTest(parameterized.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.site = Path(self.create_tempdir().full_path)
        # Installed ones are hidden, imported ones too, and importing one of these would fail.
        self.enter_context(mock.patch.dict(sys.modules))
        for name in _NAMES[1:]:
            sys.modules.pop(name, None)
            (self.site / name).mkdir()
            (self.site / name / "__init__.py").write_text("raise AssertionError('imported')")

    def install(self, package: str, library: str) -> str:
        (self.site / package / library).touch()
        return str(self.site / package)

    def found(self, **variables: str) -> str | None:
        environment = {key: value for key, value in os.environ.items() if key not in (PATH_VARIABLE, "LD_LIBRARY_PATH")}
        with (
            mock.patch.dict(os.environ, {**environment, **variables}, clear=True),
            mock.patch.object(sys, "path", [str(self.site)]),
        ):
            pip_libraries.publish()
            return os.environ.get(PATH_VARIABLE)

    def test_none(self) -> None:
        self.assertIsNone(self.found())
        self.install("tensorrt_libs", "libnvinfer_plugin.so.10")  # another one
        self.assertIsNone(self.found())

    @parameterized.parameters(
        ("tensorrt_libs", "libnvinfer.so.10"),
        ("tensorrt", "libnvinfer.so.11"),
        ("tensorrt_rtx_libs", "libtensorrt_rtx.so.1"),
        ("tensorrt_rtx", "libtensorrt_rtx.so.1"),
    )
    def test_one(self, package: str, library: str) -> None:
        self.assertEqual(self.install(package, library), self.found())

    def test_both(self) -> None:
        folders = [self.install("tensorrt_libs", "libnvinfer.so.10")]
        folders.append(self.install("tensorrt_rtx_libs", "libtensorrt_rtx.so.1"))
        self.assertEqual(":".join(folders), self.found())

    @parameterized.parameters("/mine", "")
    def test_who_has_set_it_keeps_it(self, value: str) -> None:
        self.install("tensorrt_libs", "libnvinfer.so.10")
        self.assertEqual(value, self.found(**{PATH_VARIABLE: value}))

    def test_what_the_loader_finds_anyway_comes_first(self) -> None:
        folder = Path(self.create_tempdir().full_path)
        (folder / "libnvinfer.so.10").touch()
        self.install("tensorrt_libs", "libnvinfer.so.10")
        other = self.install("tensorrt_rtx_libs", "libtensorrt_rtx.so.1")
        self.assertEqual(other, self.found(LD_LIBRARY_PATH=f"/none:{folder}"))

    def test_one_of_another_major_version_is_another_library(self) -> None:
        """The op library asks the loader for the version that it was built for, which may be in pip's folder alone."""
        folder = Path(self.create_tempdir().full_path)
        (folder / "libnvinfer.so.10").touch()
        (folder / "libnvinfer.so.11.0.3").touch()  # which nobody asks for
        mine = self.install("tensorrt_libs", "libnvinfer.so.11")
        self.assertEqual(mine, self.found(LD_LIBRARY_PATH=str(folder)))
        (folder / "libnvinfer.so.11").touch()
        self.assertIsNone(self.found(LD_LIBRARY_PATH=str(folder)))

    @parameterized.parameters("x" * 300, "x/" * 3000, "file/inside", "loop/inside")
    def test_folders_that_cannot_be_read(self, name: str) -> None:
        """Too long for the system, of what is no folder, and links in a circle."""
        (self.site / "file").touch()
        (self.site / "loop").symlink_to("loop")
        mine = self.install("tensorrt_libs", "libnvinfer.so.11")
        self.assertEqual(mine, self.found(LD_LIBRARY_PATH=f"{self.site}/{name}"))

    def test_a_package_that_cannot_be_read(self) -> None:
        folders = {package: self.install(package, "libnvinfer.so.11") for package in ("tensorrt_libs", "tensorrt")}
        glob = Path.glob

        def refuse(folder: Path, pattern: str) -> Iterator[Path]:
            if str(folder) == folders["tensorrt_libs"]:
                raise PermissionError(errno.EACCES, "Permission denied", str(folder))
            return glob(folder, pattern)

        with mock.patch.object(Path, "glob", refuse):
            self.assertEqual(folders["tensorrt"], self.found())

    def test_a_module_that_is_no_package(self) -> None:
        with mock.patch.dict(sys.modules, {"tensorrt_libs": types.ModuleType("tensorrt_libs")}):
            self.assertIsNone(self.found())

    def test_importing_the_package_does_it_and_imports_none_of_them(self) -> None:
        folder = self.install("tensorrt_rtx_libs", "libtensorrt_rtx.so.1")
        root = str(Path(__file__).resolve().parents[2])
        environment = {key: value for key, value in os.environ.items() if key not in (PATH_VARIABLE, "LD_LIBRARY_PATH")}
        environment["PYTHONPATH"] = os.pathsep.join([str(self.site), root, environment.get("PYTHONPATH", "")])
        script = _SHOW.format(names=_NAMES)
        run = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        self.assertEqual(repr((folder, [])), run.stdout.strip())


if __name__ == "__main__":
    absltest.main()
