"""Bounded runs of the fuzz targets."""

from __future__ import annotations

import re

from absl.testing import absltest

from tests.fuzz import engine_file, saved_model_fuzz


class FuzzTest(absltest.TestCase):
    def test_engine_file_parser(self) -> None:
        result = engine_file.fuzz(seconds=10, executions=200_000, seed=1)
        self.assertEqual(result.returncode, 0, result.stderr)
        counts = re.match(r"(\d+) executions, (\d+) parsed", result.stdout)
        assert counts is not None
        executions, parsed = map(int, counts.groups())
        self.assertGreater(executions, 2000)
        # Many get past the header, and not all of them.
        self.assertBetween(parsed, executions // 50, executions // 10 * 9)

    def test_saved_model_reader(self) -> None:
        executions, accepted, defects = saved_model_fuzz.fuzz(seconds=30, executions=150, seed=1)
        self.assertEqual(len(defects), 0)  # tracebacks are on standard error
        self.assertGreater(executions, 20)
        self.assertBetween(accepted, 1, executions - 1)


if __name__ == "__main__":
    absltest.main()
