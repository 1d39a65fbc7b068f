"""Counts the test cases of one `bazel test` from its build events: `count_tests.py EVENTS [--failed-steps N]`.

Prints `N passed, N failed, N skipped`; exits with 1 where anything failed, nothing ran, or a step before did not pass.
A target that failed without a failed case (a crash, a timeout, a build error) counts as one failure.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any


@dataclasses.dataclass
class Counts:
    """Numbers of test cases."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add_xml(self, path: Path) -> int:
        """Adds the cases of one JUnit report and returns how many of them failed."""
        before = self.failed
        for case in ElementTree.parse(path).getroot().iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                self.failed += 1
            elif case.find("skipped") is not None or case.get("status") == "notrun":
                self.skipped += 1
            else:
                self.passed += 1
        return self.failed - before


def count(events: Path) -> Counts:
    """Counts the test cases behind a file of build events (one JSON object a line)."""
    counts = Counts()
    results: dict[tuple[str, int], dict[str, Any]] = {}
    for line in events.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        identity = event.get("id", {})
        if "testResult" in event:
            place = identity["testResult"]
            results[place["label"], place.get("shard", 0)] = event[
                "testResult"
            ]  # the last attempt is the one that counts
        elif "targetCompleted" in identity and not event.get("completed", {}).get("success"):
            print(f"not built: {identity['targetCompleted']['label']}")
            counts.failed += 1
    for (label, shard), result in sorted(results.items()):
        _add_result(counts, f"{label} (shard {shard})", result)
    return counts


def _add_result(counts: Counts, name: str, result: dict[str, Any]) -> None:
    reports = [_path(output["uri"]) for output in result.get("testActionOutput", []) if output["name"] == "test.xml"]
    failed = sum(counts.add_xml(report) for report in reports if report.exists())
    if result.get("status") != "PASSED" and not failed:
        print(f"{name}: {result.get('status')}")
        counts.failed += 1


def _path(uri: str) -> Path:
    return Path(urllib.request.url2pathname(urllib.parse.urlparse(uri).path))


def main(arguments: list[str]) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", type=Path)
    parser.add_argument("--failed-steps", type=int, default=0, help="steps before this one that did not pass")
    options = parser.parse_args(arguments)
    counts = count(options.events)
    if options.failed_steps:
        print(f"{options.failed_steps} of the steps above did not pass")
    print(f"{counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped")
    return int(bool(counts.failed or options.failed_steps or not counts.passed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
