"""--stop-after, --dump-after, and what is printed where."""

from __future__ import annotations

import json
import os
from pathlib import Path

from absl.testing import absltest, parameterized

from tests.cli import kit
from tests.folders import class_folder
from tests.saved_model import models, workshop
from tf_blade import pipeline

workshop.register()
# Phases after which there are graphs to show.
_GRAPH_PHASES = pipeline.LABELS[: pipeline.LABELS.index("rewrite") + 1]


class PhasesTest(parameterized.TestCase):
    source: Path

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.source = class_folder(cls) / "src"
        models.shared(cls.source)

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    @parameterized.parameters(*pipeline.LABELS)
    def test_stop_after(self, label: str) -> None:
        found = kit.call("optimize", self.source, self.folder / "dst", "--json", f"--stop-after={label}", *kit.QUICK)
        self.assertEqual((found.status, found.err), (0, ""))
        report = json.loads(found.out)
        self.assertEqual(report["target"], "")
        names = [item["name"] for item in report["phases"]]
        self.assertEqual(names, list(pipeline.LABELS[: pipeline.LABELS.index(label) + 1]))
        self.assertEmpty(os.listdir(self.folder))
        built = pipeline.LABELS.index(label) >= pipeline.LABELS.index("build")
        self.assertEqual(report["totals"]["engines"] > 0, built)

    def test_stopping_needs_no_free_target(self) -> None:
        (self.folder / "dst").mkdir()
        found = kit.call("optimize", self.source, self.folder / "dst", "--stop-after=clusters", *kit.QUICK)
        self.assertEqual(found.status, 0, found.err)
        self.assertIn("(nothing written)", found.out)
        self.assertEmpty(os.listdir(self.folder / "dst"))

    def test_dumps_of_all_phases(self) -> None:
        dumps = self.folder / "dumps"
        found = kit.call(
            "optimize", self.source, self.folder / "dst", "--dump-after=all", "--dump-dir", dumps, *kit.QUICK
        )
        self.assertEqual((found.status, found.err), (0, ""))
        texts = {path.name: path.read_text() for path in dumps.iterdir()}
        self.assertContainsSubset(_GRAPH_PHASES, {name.partition(".")[0] for name in texts})
        bodies = {
            label: "".join(texts[name] for name in texts if name.startswith(f"{label}.")) for label in _GRAPH_PHASES
        }
        for label in _GRAPH_PHASES[:-1]:
            self.assertIn(" Tanh(", bodies[label], label)
            self.assertNotIn(" BladeEngineOp(", bodies[label], label)
        self.assertIn(" BladeEngineOp(", bodies["rewrite"])
        self.assertNotIn(" Tanh(", bodies["rewrite"])

    def test_dumps_to_standard_error(self) -> None:
        found = kit.call(
            "optimize", self.source, self.folder / "dst", "--dump-after=shapes,rewrite", "--no-verify", *kit.QUICK
        )
        self.assertEqual(found.status, 0)
        heads = [line for line in found.err.splitlines() if line.startswith("--- ")]
        self.assertEqual({line.split()[1] for line in heads}, {"shapes:", "rewrite:"})
        self.assertIn("BladeEngineOp", found.err.partition("--- rewrite:")[2])

    def test_json_and_text_tell_the_same(self) -> None:
        argv = ("optimize", self.source, self.folder / "dst", "--no-verify", *kit.QUICK)
        report = json.loads(kit.call(*argv, "--json").out)
        self.assertEqual(report["target"], str(self.folder / "dst"))
        shown = kit.call(*argv, "--overwrite").out
        self.assertIn(f"engines  {report['totals']['engines']} in ", shown)
        for cluster in report["clusters"]:
            self.assertIn(cluster["name"], shown)

    def test_inspect(self) -> None:
        kit.call("optimize", self.source, self.folder / "dst", "--no-verify", *kit.QUICK)
        found = kit.call("inspect", self.folder / "dst", "--json")
        self.assertEqual((found.status, found.err), (0, ""))
        ops = json.loads(found.out)["engine_ops"]
        self.assertNotEmpty(ops)
        self.assertIn("optimized, ", kit.call("inspect", self.folder / "dst").out)
        planned = json.loads(kit.call("inspect", self.source, "--json", *kit.EAGER).out)
        self.assertLen(planned["plan"]["clusters"], len(ops))
        self.assertEmpty(planned["engine_ops"])

    def test_bench(self) -> None:
        argv = ("bench", self.source, self.source, "--signatures=embed", "--seconds=0.02", "--callable")
        found = kit.call(*argv)
        self.assertEqual((found.status, found.err), (0, ""))
        self.assertLen(found.out.splitlines(), 5)  # a head, two sizes, each called in two ways
        self.assertLen(json.loads(kit.call(*argv, "--json").out), 4)


if __name__ == "__main__":
    absltest.main()
