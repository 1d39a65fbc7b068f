"""The count that a test run closes with."""

import json
from pathlib import Path

from absl.testing import absltest, parameterized

from tools import count_tests

_REPORT = """<testsuites><testsuite>
  <testcase name="a" status="run"/>
  <testcase name="b" status="run"><failure message="x"/></testcase>
  <testcase name="c" status="run"><error message="x"/></testcase>
  <testcase name="d" status="notrun"/>
  <testcase name="e" status="run"><skipped/></testcase>
  <testcase name="f" status="run"/>
</testsuite></testsuites>"""
_PASSING = '<testsuites><testsuite><testcase name="a"/></testsuite></testsuites>'


class CountTest(parameterized.TestCase):
    def _count(self, *events: object) -> count_tests.Counts:
        path = self.create_tempfile(content="\n".join(json.dumps(event) for event in events))
        return count_tests.count(Path(path.full_path))

    def _result(self, label: str, status: str, report: str | None, *, shard: int = 1, attempt: int = 1) -> object:
        outputs = []
        if report is not None:
            uri = Path(self.create_tempfile(f"{label}-{shard}-{attempt}.xml", content=report).full_path).as_uri()
            outputs = [{"name": "test.log", "uri": "file:///nowhere"}, {"name": "test.xml", "uri": uri}]
        identity = {"testResult": {"label": label, "shard": shard, "attempt": attempt, "run": 1}}
        return {"id": identity, "testResult": {"status": status, "testActionOutput": outputs}}

    def test_cases_of_each_kind(self) -> None:
        counts = self._count({"id": {"started": {}}}, self._result("a_test", "FAILED", _REPORT))
        self.assertEqual(counts, count_tests.Counts(passed=2, failed=2, skipped=2))

    def test_shards_add_up_and_attempts_do_not(self) -> None:
        counts = self._count(
            self._result("a_test", "PASSED", _PASSING, shard=1),
            self._result("a_test", "FAILED", _REPORT, shard=2),
            self._result("a_test", "PASSED", _PASSING, shard=2, attempt=2),
        )
        self.assertEqual(counts, count_tests.Counts(passed=2))

    @parameterized.parameters((_PASSING, 1), (None, 0))
    def test_a_target_that_died_counts_as_a_failure(self, report: str | None, passed: int) -> None:
        counts = self._count(self._result("a_test", "TIMEOUT", report))
        self.assertEqual(counts, count_tests.Counts(passed=passed, failed=1))

    def test_a_target_that_did_not_build_counts_as_a_failure(self) -> None:
        broken = {"id": {"targetCompleted": {"label": "//:x"}}, "completed": {}}
        fine = {"id": {"targetCompleted": {"label": "//:y"}}, "completed": {"success": True}}
        self.assertEqual(self._count(broken, fine), count_tests.Counts(failed=1))

    @parameterized.parameters((_PASSING, "0", 0), (_PASSING, "1", 1), (_REPORT, "0", 1), (None, "0", 1))
    def test_exit_code(self, report: str | None, failed_steps: str, code: int) -> None:
        status = "PASSED" if report == _PASSING else "FAILED"
        events = self.create_tempfile(content=json.dumps(self._result("a_test", status, report)))
        self.assertEqual(count_tests.main([events.full_path, "--failed-steps", failed_steps]), code)

    def test_no_test_at_all_is_no_success(self) -> None:
        self.assertEqual(count_tests.main([self.create_tempfile(content="").full_path]), 1)


if __name__ == "__main__":
    absltest.main()
