"""The command as a process of its own: what a shell sees, and Ctrl-C while an engine is being compiled."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from absl.testing import absltest

from tests.cli import kit
from tests.saved_model import models, workshop

_PATIENCE_SECONDS = 120


class ProcessTest(absltest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        models.shared(self.folder / "src")

    def test_from_end_to_end(self) -> None:
        """An engine compiled for real; nothing but the report is printed."""
        argv = ("optimize", self.folder / "src", self.folder / "dst", "--isas=x86-64-v3", *kit.EAGER)
        with kit.process(*argv) as process:
            out, err = process.communicate(timeout=_PATIENCE_SECONDS)
        self.assertEqual((process.returncode, err), (0, ""))
        self.assertRegex(out, r"FLOPs .* \(100\.0%\)")
        found = kit.call("verify", self.folder / "src", self.folder / "dst")
        self.assertEqual(found.status, 0, found.out)
        self.assertRegex(found.out, r"engines served (\d+) of \1 calls of engine ops$")

    def test_an_error(self) -> None:
        with kit.process("inspect", self.folder / "none") as process:
            out, err = process.communicate(timeout=_PATIENCE_SECONDS)
        self.assertEqual((process.returncode, out), (1, ""))
        self.assertEqual(err, f"tf-blade: {self.folder / 'none'} does not exist\n")

    def test_interrupted_while_building(self) -> None:
        """The compiler sleeps; Ctrl-C goes to all processes of the group, as in a shell."""
        scratch, started = self.folder / "scratch", self.folder / "started"
        scratch.mkdir()
        compiler = self.folder / "compiler"
        compiler.write_text(f"#!/bin/sh\ntouch '{started}'\nexec sleep {_PATIENCE_SECONDS}\n")
        compiler.chmod(0o755)
        before = workshop.digest(self.folder)
        argv = ("optimize", self.folder / "src", self.folder / "dst", *kit.EAGER)
        with kit.process(*argv, env={"TF_BLADE_CXX": str(compiler), "TMPDIR": str(scratch)}) as process:
            end = time.monotonic() + _PATIENCE_SECONDS
            while not started.exists() and process.poll() is None and time.monotonic() < end:
                time.sleep(0.05)
            self.assertTrue(started.exists(), "the compiler was not called")
            os.killpg(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=_PATIENCE_SECONDS)
        self.assertEqual((process.returncode, out), (130, ""))
        self.assertEqual(err, "tf-blade: interrupted; nothing was written\n")
        started.unlink()
        self.assertEqual(before, workshop.digest(self.folder))
        self.assertCountEqual(os.listdir(self.folder), ["src", "scratch", "compiler"])
        self.assertEmpty(os.listdir(scratch))


if __name__ == "__main__":
    absltest.main()
