"""A process that is killed, and a disk that is full: the target is whole or absent, and the next run succeeds."""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from absl.testing import absltest

from tests.cli import kills, kit
from tests.saved_model import models, workshop

workshop.register()
_PAGE = resource.getpagesize()
_SUFFIX = ".tf_blade.tmp"
_NO_ROOM = "No space left on device; make room beside it for a whole model: a former target stays until .*"


class KillTest(absltest.TestCase):
    def test_a_few_kills(self) -> None:
        outcome = kills.kill(3, seed=2, options=("--no-warmup", "--no-verify"))
        self.assertEmpty(outcome.broken, outcome)
        self.assertEqual(outcome.absent + outcome.former + outcome.whole, outcome.kills + outcome.ended, outcome)
        self.assertGreater(outcome.writing, 0, outcome)


class FullDiskTest(absltest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        models.dense(self.folder / "src")
        self.before = workshop.digest(self.folder / "src")

    def assert_one_error(self, target: Path, found: kit.Outcome, words: str) -> None:
        self.assertEqual((found.status, found.out), (1, ""), found.err)
        self.assertRegex(found.err, rf"^tf-blade: {target} cannot be written: {words}\n$")
        self.assertEqual(self.before, workshop.digest(self.folder / "src"))
        self.assertEqual(os.listdir(target.parent), [])

    def small_disk(self, pages: int) -> Path:
        """A file system with so much room, for this test."""
        mount = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, mount)
        command = ["mount", "-t", "tmpfs", "-o", f"size={pages * _PAGE}", "tmpfs", str(mount)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
            self.skipTest("only root can mount a small file system, and not everywhere")
        self.addCleanup(subprocess.run, ["umount", str(mount)], check=True)
        return mount

    def test_no_room(self) -> None:
        mount = self.small_disk(2)
        for options in ((), ("--overwrite",)):
            found = kit.call("optimize", self.folder / "src", mount / "dst", "--no-verify", *kit.QUICK, *options)
            self.assert_one_error(mount / "dst", found, _NO_ROOM)

    def test_no_room_for_what_is_written_last(self) -> None:
        """The warmup file is written by TensorFlow, with errors of its own."""
        argv = ("--no-verify", *kit.QUICK)
        self.assertEqual(kit.call("optimize", self.folder / "src", self.folder / "dst", *argv).status, 0)
        files = [path.stat().st_size for path in (self.folder / "dst").rglob("*") if path.is_file()]
        mount = self.small_disk(sum(-(-size // _PAGE) for size in files) - 1)
        found = kit.call("optimize", self.folder / "src", mount / "dst", *argv)
        self.assert_one_error(mount / "dst", found, _NO_ROOM)

    def test_a_limit_on_the_size_of_files(self) -> None:
        """The same without root."""
        target = self.folder / "beside" / "dst"
        target.parent.mkdir()
        former = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        self.addCleanup(signal.signal, signal.SIGXFSZ, handler)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, former[1]))
        try:
            argv = ("optimize", self.folder / "src", target, "--no-verify", *kit.QUICK)
            found = kit.call(*argv)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, former)
        self.assert_one_error(target, found, r"File too large; raise the limit on the size of files \(ulimit -f\)")


class LeftoversTest(absltest.TestCase):
    def test_only_what_nobody_writes_is_removed(self) -> None:
        folder = Path(self.create_tempdir().full_path)
        models.dense(folder / "src")
        here = Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", "")[:12]
        left = [f".dst.abcdefgh.{here}", ".dst.abandon1.cafecafecafe", ".dst.abandon2"]
        locked = [f".dst.12345678.{here}", ".dst.lockedXX.cafecafecafe"]
        # Locks of other machines need not show here: what was written lately may be in use.
        elsewhere = [".dst.recent12.cafecafecafe", ".dst.recent34", ".dst.partly12.cafecafecafe"]
        written = [folder / f"{name}{_SUFFIX}" for name in (*locked, *elsewhere)]
        others = [folder / name for name in (f".dst.v2.abcdefgh{_SUFFIX}", ".dst.abcdefgh.old", ".dst.abcdefgh.tmp")]
        for path in (*(folder / f"{name}{_SUFFIX}" for name in left), *written, *others):
            (path / "variables").mkdir(parents=True)
            (path / "variables" / "half").write_text("half")
            if {"abandon1", "abandon2", "lockedXX", "partly12"} & set(path.name.split(".")):
                for item in (path / "variables" / "half", path / "variables", path):
                    os.utime(item, (time.time() - 25 * 3600,) * 2)
        (folder / f"{elsewhere[2]}{_SUFFIX}" / "variables" / "half").write_text("whole")
        for name in locked:
            handle = os.open(folder / f"{name}{_SUFFIX}", os.O_RDONLY)
            self.addCleanup(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX)
        found = kit.call("optimize", folder / "src", folder / "dst", "--no-verify", "--no-warmup", *kit.QUICK)
        self.assertEqual(found.status, 0, found.err)
        self.assertCountEqual(folder.iterdir(), [folder / "src", folder / "dst", *written, *others])


if __name__ == "__main__":
    absltest.main()
