"""Bounded runs of the fuzz targets."""

from __future__ import annotations

import re

from absl.testing import absltest

from tests.fuzz import cli_fuzz, engine_file, saved_model_fuzz


class FuzzTest(absltest.TestCase):
    def test_engine_file_parser(self) -> None:
        result = engine_file.fuzz(seconds=30, executions=600_000, seed=1)
        self.assertEqual(result.returncode, 0, result.stderr)
        counts = re.match(r"(\d+) executions, (\d+) parsed, (\d+) trusted", result.stdout)
        assert counts is not None
        executions, parsed, trusted = map(int, counts.groups())
        self.assertGreater(executions, 2000)
        # Many get past the header, and not all of them.
        self.assertBetween(parsed, executions // 50, executions // 10 * 9)
        # Those that no mutation has touched.
        self.assertBetween(trusted, executions // 500, parsed // 4)

    def test_saved_model_reader(self) -> None:
        executions, accepted, defects = saved_model_fuzz.fuzz(seconds=40, executions=1500, seed=1)
        self.assertEqual(len(defects), 0)  # tracebacks are on standard error
        self.assertGreater(executions, 20)
        self.assertBetween(accepted, 1, executions - 1)

    def test_command_line(self) -> None:
        result = cli_fuzz.fuzz(seconds=50, executions=1500, seed=1)
        self.assertEmpty(result.defects)
        self.assertGreater(result.executions, 20)
        # Some of all kinds: done, refused, misused.
        self.assertGreater(min(result.statuses.get(status, 0) for status in (0, 1, 2)), 0, result.statuses)


if __name__ == "__main__":
    absltest.main()
