"""Optimizing what was optimized before: what is written, and that the report says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

import tf_blade
from tests.saved_model import models, workshop
from tf_blade.errors import TfBladeError
from tf_blade.report.report import Report

workshop.register()
_OPTIONS: dict[str, Any] = {"backends": ("no_engine",), "verify": False, "warmup": False, **workshop.EAGER}
_PORTABLE = "portable: TensorFlow without the op library serves it too, without engines"
_NOT_PORTABLE = "not portable: whatever serves it needs the op library"


def _ops(folder: Path) -> set[str]:
    """All ops of a model and its functions; portable calls are marked."""
    graph = SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return {"portable call" if "_blade_engines" in node.attr else node.op for node in nodes}


class AgainTest(parameterized.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.src, self.first, self.again = (self.folder / name for name in ("src", "first", "again"))

    def optimize(self, src: Path, dst: Path, **options: Any) -> Report:
        return tf_blade.optimize_saved_model(src, dst, **{**_OPTIONS, **options})

    def check(self, report: Report, target: Path, case: models.Case, *, new: int, earlier: int) -> None:
        """The report's numbers against what is in the file; results against the original's."""
        totals, written = report.totals, report.written
        assert written is not None
        self.assertEqual((totals.engines, totals.earlier_engines, written.engines), (new, earlier, new + earlier))
        self.assertLen(tf_blade.inspect_saved_model(target, **workshop.EAGER).engine_ops, new + earlier)
        self.assertEqual(written.portable, "BladeEngineOp" not in _ops(target))
        self.assertEqual(written.bytes, sum(path.stat().st_size for path in target.rglob("*") if path.is_file()))
        lines = report.to_text().splitlines()
        self.assertEndsWith(lines[1], _PORTABLE if written.portable else _NOT_PORTABLE)
        kept = [line for line in lines if line.startswith("  earlier  ")]
        self.assertLen(kept, bool(earlier))
        if earlier:
            self.assertStartsWith(kept[0], f"  earlier  {earlier} engine op")
        for results in (workshop.results, workshop.results_of_session):
            expected, found = dict(results(self.src, case)), dict(results(target, case))
            self.assertEqual(expected.keys(), found.keys())
            for key, value in expected.items():
                self.assertTrue(workshop.same(value, found[key]), key)

    @parameterized.parameters(False, True)
    def test_nothing_is_left_to_do(self, portable: bool) -> None:
        """Neither the settings nor other backends reach engines that are there."""
        case = models.CASES["shared"]
        case.build(self.src)
        count = self.optimize(self.src, self.first, portable=portable).totals.engines
        report = self.optimize(self.first, self.again, backends=("no_relu",), strict=True)
        self.check(report, self.again, case, new=0, earlier=count)
        self.assertIn("  FLOPs    no other floating-point work", report.to_text().splitlines())
        self.assertEqual(self.again_bytes(), (self.first / "saved_model.pb").read_bytes())
        nodes = f"{count} node{'s' if count > 1 else ''}"
        self.assertIn(f"the model has engines already, at {nodes}: these stay as they are", report.notes[0])

    def again_bytes(self) -> bytes:
        return (self.again / "saved_model.pb").read_bytes()

    def test_one_signature_after_the_other(self) -> None:
        case = models.CASES["shared"]
        case.build(self.src)
        first = self.optimize(self.src, self.first, signatures=("embed",)).totals.engines
        report = self.optimize(self.first, self.again, signatures=("score",))
        self.assertGreater(report.totals.engines, 0)
        self.check(report, self.again, case, new=report.totals.engines, earlier=first)

    @parameterized.parameters((False, {"BladeEngineOp", "portable call"}), (True, {"portable call"}))
    def test_a_portable_part_and_the_rest(self, portable: bool, ops: set[str]) -> None:
        case = models.CASES["shared"]
        case.build(self.src)
        first = self.optimize(self.src, self.first, signatures=("embed",), portable=True).totals.engines
        report = self.optimize(self.first, self.again, portable=portable)
        self.assertGreater(report.totals.engines, 0)
        self.check(report, self.again, case, new=report.totals.engines, earlier=first)
        self.assertEqual(_ops(self.again) & {"BladeEngineOp", "portable call"}, ops)
        told = [note for note in report.notes if "pass portable=True (--portable) to keep it portable" in note]
        self.assertLen(told, not portable)

    def test_names_are_not_used_twice(self) -> None:
        """The first time takes a function's large cluster only."""

        class Two(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None, 4], name="x")])
            def serve(self, x: Any) -> Any:
                y = tf.exp(tf.tanh(tf.nn.relu(x) * 2.0) + 1.0)
                y = tf.strings.to_number(tf.strings.as_string(y, precision=7))
                return {"y": tf.sigmoid(y) * 3.0}

        model = Two()
        tf.saved_model.save(model, str(self.src), signatures=model.serve)
        case = models.Case(lambda folder: None, {"serving_default": {"x": np.ones((2, 4), np.float32)}})
        first = self.optimize(self.src, self.first, min_cluster_nodes=4)
        report = self.optimize(self.first, self.again)
        self.check(report, self.again, case, new=report.totals.engines, earlier=first.totals.engines)
        names = [item.name for item in tf_blade.inspect_saved_model(self.again, **workshop.EAGER).engine_ops]
        self.assertLen(set(names), len(names))

    def test_what_cannot_become_portable_is_refused_at_once(self) -> None:
        models.shared(self.src)
        self.optimize(self.src, self.first, signatures=("embed",))
        with (
            mock.patch.object(workshop.NoEngine, "build", side_effect=AssertionError("an engine was built")),
            self.assertRaisesRegex(TfBladeError, "make a portable model from the original"),
        ):
            self.optimize(self.first, self.again, portable=True, strict=True)
        self.assertFalse(self.again.exists())

    def test_earlier_engines_are_not_signed(self) -> None:
        models.dense(self.src)
        self.optimize(self.src, self.first)
        key, file = Ed25519PrivateKey.from_private_bytes(bytes(32)), self.folder / "key.pem"
        pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        file.write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
        report = self.optimize(self.first, self.again, sign_key=str(file))
        self.assertRegex(
            "\n".join(report.notes), r"earlier engines at \d nodes? are not signed by ed25519:\w+: `tf-blade sign`"
        )

    def test_a_bare_graph(self) -> None:
        with tf.Graph().as_default() as graph:
            x = tf.compat.v1.placeholder(tf.float32, [None, 4], name="x")
            tf.identity(tf.tanh(x) * 2.0 + 1.0, name="y")
        options = {"backends": ("no_engine",), **workshop.EAGER}
        once, first = tf_blade.optimize_graph_def(graph.as_graph_def(), outputs=["y"], **options)
        twice, report = tf_blade.optimize_graph_def(once, outputs=["y"], **options)
        self.assertEqual((report.totals.engines, report.totals.earlier_engines), (0, first.totals.engines))
        self.assertEqual(once, twice)
        self.assertIn("the model has engines already, at 1 node", report.notes[0])


if __name__ == "__main__":
    absltest.main()
