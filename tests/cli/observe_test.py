"""Log channels, and the progress bar."""

from __future__ import annotations

import io
import logging
from unittest import mock

from absl.testing import absltest

from tf_blade import observe
from tf_blade.errors import TfBladeError
from tf_blade.progress import BarProgress, SilentProgress, progress_bar


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class ChannelsTest(absltest.TestCase):
    def test_levels(self) -> None:
        self.assertEqual(observe.levels(""), {})
        self.assertEqual(
            observe.levels("support, +disc.fusion,"), {"support": logging.INFO, "disc.fusion": logging.DEBUG}
        )
        self.assertEqual(observe.levels("all"), dict.fromkeys(observe.CHANNELS, logging.INFO))
        self.assertEqual(observe.levels("all,+verify")["verify"], logging.DEBUG)

    def test_unknown(self) -> None:
        with self.assertRaisesRegex(TfBladeError, "TF_BLADE_LOGS names no log channel: 'clutser'.*clusters"):
            observe.levels("support,clutser")
        with self.assertRaises(KeyError):
            observe.logger("clutser")

    def test_only_what_was_asked_for_is_shown(self) -> None:
        root = logging.getLogger("tf_blade")
        before, level = root.handlers[:], root.level
        root.handlers.clear()
        root.setLevel(logging.NOTSET)
        stream = io.StringIO()
        try:
            with mock.patch("sys.stderr", stream):
                observe.configure("+support,clusters")
            for channel in ("support", "clusters", "rewrite"):
                observe.logger(channel).info("%s tells", channel)
                observe.logger(channel).debug("%s details", channel)
        finally:
            root.handlers[:] = before
            root.setLevel(level)
            root.propagate = True
            for channel in observe.CHANNELS:
                observe.logger(channel).setLevel(logging.NOTSET)
        self.assertEqual(
            stream.getvalue().splitlines(),
            [
                "tf_blade.support: support tells",
                "tf_blade.support: support details",
                "tf_blade.clusters: clusters tells",
            ],
        )


class ProgressTest(absltest.TestCase):
    def test_silent_without_a_terminal(self) -> None:
        with mock.patch("sys.stderr", io.StringIO()) as stream:
            with progress_bar(enabled=True) as progress:
                self.assertIsInstance(progress, SilentProgress)
                progress.phase("build", 2)
                progress.step("cluster_0")
            self.assertEqual(stream.getvalue(), "")

    def test_silent_when_not_wanted(self) -> None:
        with mock.patch("sys.stderr", Terminal()) as stream, progress_bar(enabled=False) as progress:
            self.assertIsInstance(progress, SilentProgress)
            progress.phase("build")
        self.assertEqual(stream.getvalue(), "")

    def test_a_terminal_sees_phase_and_cluster(self) -> None:
        with mock.patch("sys.stderr", Terminal()) as stream:
            with progress_bar(enabled=True) as progress:
                self.assertIsInstance(progress, BarProgress)
                progress.phase("read")
                progress.phase("build", 2)
                progress.step("cluster_0")
                progress.step("cluster_1")
            shown = stream.getvalue()
        self.assertIn("read", shown)
        self.assertIn("build", shown)
        self.assertIn("cluster_0", shown)
        self.assertIn("1/2", shown)
        self.assertEqual(shown.rsplit("\r", 2)[1].strip(), "")  # the bar is gone at the end


if __name__ == "__main__":
    absltest.main()
