"""Inspection of models that were optimized, and of models that were not."""

from __future__ import annotations

import json
from pathlib import Path

from absl.testing import absltest
from tensorflow.core.protobuf import saved_model_pb2

import tf_blade
from tests.folders import class_folder
from tests.saved_model import models, workshop
from tf_blade.errors import InvalidSavedModelError
from tf_blade.inspection import Inspection
from tf_blade.report.report import Report

workshop.register()


class InspectionTest(absltest.TestCase):
    folder: Path
    report: Report
    optimized: Inspection

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.folder = class_folder(cls)
        models.shared(cls.folder / "src")
        # One instruction set is enough here, and compiles faster.
        options = {"isas": ("x86-64-v3",), "signatures": ("score",), "verify": False, **workshop.EAGER}
        cls.report = tf_blade.optimize_saved_model(cls.folder / "src", cls.folder / "dst", **options)
        cls.optimized = tf_blade.inspect_saved_model(cls.folder / "dst", **workshop.EAGER)

    def test_engines_are_listed(self) -> None:
        self.assertTrue(self.optimized.optimized)
        self.assertEmpty(self.optimized.refused)
        self.assertLen(self.optimized.engine_ops, self.report.totals.engines)
        functions = {item.function for item in self.optimized.engine_ops}
        self.assertEqual(functions, {item.function for item in self.report.clusters if item.backend})
        for item in self.optimized.engine_ops:
            (engine,) = item.engines
            self.assertEqual((engine.backend, engine.targets, engine.refused), ("disc", ["x86-64-v3"], ""))
            self.assertEqual(item.fallback_nodes, sum(item.ops.values()))
            self.assertIn("MatMul", item.ops)
        inputs = [text for item in self.optimized.engine_ops for text in item.engines[0].inputs]
        self.assertNotEmpty([text for text in inputs if text.endswith("float[4, 6] weight")], inputs)
        sizes = [item.engines[0].bytes for item in self.optimized.engine_ops]
        self.assertEqual(sum(sizes), self.report.totals.engine_bytes)

    def test_signatures(self) -> None:
        shown = str(self.optimized).splitlines()
        begin = shown.index("signatures")
        self.assertEqual(
            shown[begin + 1 : begin + 4],
            ["  embed", "    inputs   x: float32[?, 4]", "    outputs  output_0: float32[?, 6]"],
        )
        found = json.loads(self.optimized.to_json())["signatures"]
        self.assertEqual(found["score"]["inputs"], ["a: float32[?, 4]", "b: float32[?, 4]"])
        models.labels(self.folder / "text")
        (labels,) = tf_blade.inspect_saved_model(self.folder / "text").signatures.values()
        self.assertEqual(labels.inputs, ("tag: string[?]", "x: float32[?, 4]"))

    def test_what_was_written(self) -> None:
        written = self.report.written
        assert written is not None
        sizes = [path.stat().st_size for path in (self.folder / "dst").rglob("*") if path.is_file()]
        self.assertEqual((written.bytes, written.portable), (sum(sizes), False))
        self.assertEqual(written.engines, len(self.optimized.engine_ops))

    def test_an_optimized_model_that_is_optimized_again(self) -> None:
        for portable in (False, True):
            first, again = self.folder / f"first {portable}", self.folder / f"again {portable}"
            quick = {"backends": ("no_engine",), "verify": False, "warmup": False, **workshop.EAGER}
            tf_blade.optimize_saved_model(self.folder / "src", first, portable=portable, **quick)
            report = tf_blade.optimize_saved_model(first, again, portable=portable, **quick)
            reasons = {item.op: item.reason for item in report.refusals if "engines" in item.reason}
            op = "StatefulPartitionedCall" if portable else "BladeEngineOp"
            self.assertEqual({op: "it runs engines: the model is optimized already"}, reasons)

    def test_what_is_left_is_planned(self) -> None:
        """Only one signature was optimized: the others' functions would get clusters, and engines are no refusals."""
        self.assertNotEmpty(self.optimized.plan.clusters)
        self.assertNotIn("BladeEngineOp", {item.op for item in self.optimized.plan.refusals})
        there = {item.function for item in self.optimized.engine_ops}
        self.assertTrue(there.isdisjoint(item.function for item in self.optimized.plan.clusters))

    def test_text_and_json_of_an_optimized_model(self) -> None:
        shown = str(self.optimized)
        self.assertIn("runs on this machine", shown)
        self.assertRegex(shown, r"inputs +input_0: float\[\w+, ")
        found = json.loads(self.optimized.to_json())
        self.assertTrue(found["optimized"])
        self.assertLen(found["engine_ops"][0]["engines"][0]["hash"], 64)

    def test_an_engine_that_this_machine_refuses(self) -> None:
        target = self.folder / "altered"
        target.mkdir()
        message = saved_model_pb2.SavedModel.FromString((self.folder / "dst" / "saved_model.pb").read_bytes())
        for function in message.meta_graphs[0].graph_def.library.function:
            for node in function.node_def:
                if node.op == "BladeEngineOp":
                    engines = node.attr["engines"].list.s
                    engines[0] = engines[0][:-1] + bytes([engines[0][-1] ^ 1])
        (target / "saved_model.pb").write_bytes(message.SerializeToString())
        found = tf_blade.inspect_saved_model(target)
        self.assertLen(found.refused, len(self.optimized.engine_ops))
        self.assertIn("would fall back to TensorFlow here", str(found))
        self.assertIn("this machine refuses it", str(found))

    def test_a_plain_model(self) -> None:
        before = workshop.digest(self.folder / "src")
        found = tf_blade.inspect_saved_model(self.folder / "src", **workshop.EAGER)
        self.assertEqual(before, workshop.digest(self.folder / "src"))
        self.assertFalse(found.optimized)
        self.assertEqual({item.candidate for item in found.plan.clusters}, {"disc"})
        self.assertEqual({item.backend for item in found.plan.clusters}, {""})
        self.assertIn("not optimized", str(found))
        self.assertRegex(str(found), r"an optimization would do\n +\d clusters? of ")

    def test_reasons(self) -> None:
        """A table stays TensorFlow, and the plan says so."""
        models.labels(self.folder / "labels")
        found = tf_blade.inspect_saved_model(self.folder / "labels")
        groups = {group.op: group for group in found.plan.refusal_groups()}
        self.assertIn("is of type string", groups["LookupTableFindV2"].reason)

    def test_no_model(self) -> None:
        with self.assertRaises(InvalidSavedModelError):
            tf_blade.inspect_saved_model(self.folder / "nothing")


if __name__ == "__main__":
    absltest.main()
