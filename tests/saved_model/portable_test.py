"""Portable models of every kind: the same answers where the engines are put in, and where they are not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from absl.testing import absltest, parameterized

import tf_blade
from tests.saved_model import models, workshop
from tf_blade.errors import TfBladeError
from tf_blade.saved_model.engines import engine_reports
from tf_blade.saved_model.model import read_saved_model

workshop.register()
_OPTIONS: dict[str, Any] = {"backends": ("no_engine",), "verify": False, "warmup": False, **workshop.EAGER}
Results = Callable[[Path, models.Case], Iterator[tuple[str, Any]]]


def _calls() -> dict[str, int]:
    """Calls of engine ops by cluster. The engines of these tests serve none of them: each runs the fallback."""
    return {item["cluster"]: item["calls"] for item in tf_blade.runtime_stats()["clusters"] if item["calls"]}


class PortableTest(parameterized.TestCase):
    def setUp(self) -> None:
        super().setUp()
        folder = Path(self.create_tempdir().full_path)
        self.src, self.dst = folder / "src", folder / "dst"
        self.again = folder / "again"

    @parameterized.parameters(*models.CASES)
    def test_answers_with_and_without_engines(self, name: str) -> None:
        case = models.CASES[name]
        case.build(self.src)
        report = tf_blade.optimize_saved_model(self.src, self.dst, portable=True, **_OPTIONS)
        self.assertGreaterEqual(report.totals.engines, case.engines)
        self.assertNotIn(b"BladeEngineOp", (self.dst / "saved_model.pb").read_bytes())
        self.assertLen(list(engine_reports(read_saved_model(self.dst))), report.totals.engines)
        clusters = {item.name for item in report.clusters if item.backend}
        called: set[str] = set()
        for results in (workshop.results, workshop.results_of_session):
            called |= self.check(results, case, {})
            self.assertEmpty(self.check(results, case, {"TF_BLADE_DISABLE": "1"}))
        self.assertLessEqual(called, clusters)
        self.assertGreaterEqual(len(called), case.engines)

    def check(self, results: Results, case: models.Case, env: dict[str, str]) -> set[str]:
        """Compares the portable model with the original; gives the clusters whose engine ops were called."""
        expected = dict(results(self.src, case))
        tf_blade.reset_runtime_stats()
        with mock.patch.dict(os.environ, env):
            found = dict(results(self.dst, case))
        self.assertEqual(expected.keys(), found.keys())
        for key, value in expected.items():
            self.assertTrue(workshop.same(value, found[key]), f"{key}: {value} became {found[key]}")
        return set(_calls())

    def test_optimized_once_more_it_stays_as_it_is(self) -> None:
        models.shared(self.src)
        first = tf_blade.optimize_saved_model(self.src, self.dst, portable=True, **_OPTIONS)
        second = tf_blade.optimize_saved_model(self.dst, self.again, **_OPTIONS)
        self.assertEqual(second.totals.engines, 0)
        self.assertLen(list(engine_reports(read_saved_model(self.again))), first.totals.engines)
        inspection = tf_blade.inspect_saved_model(self.dst, **workshop.EAGER)
        self.assertLen(inspection.engine_ops, first.totals.engines)
        self.assertEmpty(inspection.plan.clusters)

    def test_made_of_an_optimized_model_it_is_refused(self) -> None:
        models.shared(self.src)
        tf_blade.optimize_saved_model(self.src, self.dst, **_OPTIONS)
        with self.assertRaisesRegex(TfBladeError, "make a portable model from the original"):
            tf_blade.optimize_saved_model(self.dst, self.again, portable=True, **_OPTIONS)
        self.assertFalse(self.again.exists())


if __name__ == "__main__":
    absltest.main()
