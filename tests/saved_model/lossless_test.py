"""Each kind of model, optimized: the same answers by every way of calling it, and nothing else changed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl.testing import absltest, parameterized
from tensorflow.core.protobuf import fingerprint_pb2, saved_model_pb2

import tf_blade
from tests.saved_model import models, workshop
from tf_blade.saved_model.engines import engine_reports
from tf_blade.saved_model.model import read_saved_model

workshop.register()


class LosslessTest(parameterized.TestCase):
    @parameterized.parameters(*models.CASES)
    def test_answers_as_before(self, name: str) -> None:
        case = models.CASES[name]
        folder = Path(self.create_tempdir().full_path)
        src, dst = folder / "src", folder / "dst"
        case.build(src)
        before = workshop.digest(src)
        report = tf_blade.optimize_saved_model(
            src, dst, backends=("no_engine",), verify=False, warmup=False, **workshop.EAGER
        )
        self.assertEqual(before, workshop.digest(src), "the source was touched")
        self.assertGreaterEqual(report.totals.engines, case.engines)
        self.assertLen(list(engine_reports(read_saved_model(dst))), report.totals.engines)
        self.assertEmpty(report.notes)
        after = workshop.digest(dst)
        for file, value in before.items():
            if file not in ("saved_model.pb", "fingerprint.pb"):
                self.assertEqual(value, after[file])
        self.assertEqual(before.keys(), after.keys())
        for results in (workshop.results, workshop.results_of_session):
            expected, found = dict(results(src, case)), dict(results(dst, case))
            self.assertEqual(expected.keys(), found.keys())
            for key, value in expected.items():
                self.assertTrue(workshop.same(value, found[key]), f"{key}: {value} became {found[key]}")

    def test_what_xla_compiles_stays(self) -> None:
        folder = Path(self.create_tempdir().full_path)
        src, dst = folder / "src", folder / "dst"
        models.compiled(src)
        report = tf_blade.optimize_saved_model(
            src, dst, backends=("no_engine",), verify=False, warmup=False, **workshop.EAGER
        )
        self.assertEqual(report.totals.engines, 1)
        self.assertLen([note for note in report.notes if "XLA compiles it" in note], 2)
        mine, theirs = tf.saved_model.load(str(src)), tf.saved_model.load(str(dst))
        x = tf.constant([[1.0, 2.0, 3.0, 4.0]])
        for name in ("inner", "compiled"):
            self.assertTrue(workshop.same(getattr(mine, name)(x), getattr(theirs, name)(x)), name)
        self.assertTrue(workshop.same(mine.serve(x)["y"], theirs.serve(x)["y"]))

    def test_signatures_are_declared_as_before(self) -> None:
        folder = Path(self.create_tempdir().full_path)
        src, dst = folder / "src", folder / "dst"
        models.shared(src)
        tf_blade.optimize_saved_model(src, dst, backends=("no_engine",), verify=False, warmup=False, **workshop.EAGER)
        mine, theirs = (tf.saved_model.load(str(path)).signatures for path in (src, dst))
        self.assertEqual(sorted(mine), sorted(theirs))
        for name in mine:
            self.assertEqual(mine[name].structured_input_signature, theirs[name].structured_input_signature)
            self.assertEqual(mine[name].structured_outputs, theirs[name].structured_outputs)

    def test_new_values_of_variables_are_used(self) -> None:
        folder = Path(self.create_tempdir().full_path)
        src, dst = folder / "src", folder / "dst"
        models.dense(src)
        tf_blade.optimize_saved_model(src, dst, backends=("no_engine",), verify=False, warmup=False, **workshop.EAGER)
        mine, theirs = tf.saved_model.load(str(src)), tf.saved_model.load(str(dst))
        x = tf.constant([[1.0, 2.0, 3.0, 4.0]])
        for model in (mine, theirs):
            model.w.assign(model.w * 0.5 + 1.0)
        self.assertTrue(workshop.same(mine(x), theirs(x)))

    def test_only_named_signatures_are_optimized(self) -> None:
        folder = Path(self.create_tempdir().full_path)
        src, dst = folder / "src", folder / "dst"
        models.shared(src)
        options: dict[str, Any] = {"backends": ("no_engine",), "verify": False, "warmup": False, **workshop.EAGER}
        tf_blade.optimize_saved_model(src, dst, signatures=("embed",), **options)
        functions = {item.function for item in engine_reports(read_saved_model(dst))}
        self.assertNotEmpty(functions)
        self.assertTrue(all("embed" in name for name in functions), functions)

    def test_nothing_to_do_gives_the_same_bytes(self) -> None:
        folder = Path(self.create_tempdir().full_path)
        src, dst = folder / "src", folder / "dst"
        models.dense(src)
        report = tf_blade.optimize_saved_model(src, dst, verify=False, warmup=False, min_cluster_nodes=10**6)
        self.assertEqual(report.totals.engines, 0)
        before, after = workshop.digest(src), workshop.digest(dst)
        before.pop("fingerprint.pb")
        after.pop("fingerprint.pb")
        self.assertEqual(before, after)

    def test_an_optimized_model_can_be_optimized_again(self) -> None:
        folder = Path(self.create_tempdir().full_path)
        models.dense(folder / "src")
        options: dict[str, Any] = {"backends": ("no_engine",), "verify": False, "warmup": False, **workshop.EAGER}
        first = tf_blade.optimize_saved_model(folder / "src", folder / "once", **options)
        second = tf_blade.optimize_saved_model(folder / "once", folder / "twice", **options)
        self.assertGreater(first.totals.engines, 0)
        case = models.CASES["dense"]
        expected, found = dict(workshop.results(folder / "src", case)), dict(workshop.results(folder / "twice", case))
        for key, value in expected.items():
            self.assertTrue(workshop.same(value, found[key]), key)
        engines = [item.name for item in engine_reports(read_saved_model(folder / "twice"))]
        self.assertLen(engines, first.totals.engines + second.totals.engines)
        self.assertLen(set(engines), len(engines))

    def test_fingerprint_is_the_new_models(self) -> None:
        folder = Path(self.create_tempdir().full_path)
        src, dst = folder / "src", folder / "dst"
        models.dense(src)
        tf_blade.optimize_saved_model(src, dst, backends=("no_engine",), verify=False, warmup=False, **workshop.EAGER)
        found, old = fingerprint_pb2.FingerprintDef(), fingerprint_pb2.FingerprintDef()
        found.ParseFromString((dst / "fingerprint.pb").read_bytes())
        old.ParseFromString((src / "fingerprint.pb").read_bytes())
        self.assertNotEqual(found.saved_model_checksum, old.saved_model_checksum)
        self.assertEqual(found.checkpoint_hash, old.checkpoint_hash)
        read = tf.saved_model.experimental.read_fingerprint(str(dst))
        self.assertEqual(read.saved_model_checksum, found.saved_model_checksum)

    def test_a_model_that_tensorflow_makes_no_fingerprint_of_has_none(self) -> None:
        folder = Path(self.create_tempdir().full_path)
        src, dst = folder / "src", folder / "dst"
        models.dense(src)
        content = (src / "saved_model.pb").read_bytes()
        name = re.search(rb"__inference_signature_wrapper_\w*?(\d+)", content)
        assert name is not None
        (src / "saved_model.pb").write_bytes(content.replace(name[0], name[0][:-1] + b"x"))
        with self.assertLogs("tf_blade", "WARNING") as logs:
            tf_blade.optimize_saved_model(src, dst, backends=("no_engine",), warmup=False, **workshop.EAGER)
        self.assertIn("fingerprint.pb: left out", "".join(logs.output))
        self.assertFalse((dst / "fingerprint.pb").exists())
        case = models.CASES["dense"]
        expected, found = dict(workshop.results(src, case)), dict(workshop.results(dst, case))
        for key, value in expected.items():
            self.assertTrue(workshop.same(value, found[key]), key)

    @parameterized.parameters(("Const", "dtype"), ("Const", "value"), ("StatefulPartitionedCall", "f"))
    def test_what_crashes_the_fingerprint_is_found_before(self, op: str, attribute: str) -> None:
        folder = Path(self.create_tempdir().full_path)
        src, dst = folder / "src", folder / "dst"
        models.dense(src)
        message = saved_model_pb2.SavedModel.FromString((src / "saved_model.pb").read_bytes())
        nodes = [node for node in message.meta_graphs[0].graph_def.node if node.op == op]
        for node in nodes:
            del node.attr[attribute]
        (src / "saved_model.pb").write_bytes(message.SerializeToString())
        with self.assertLogs("tf_blade", "WARNING") as logs:
            tf_blade.optimize_saved_model(
                src, dst, backends=("no_engine",), verify=False, warmup=False, **workshop.EAGER
            )
        self.assertIn(f"has no attribute '{attribute}'", "".join(logs.output))
        self.assertTrue((dst / "saved_model.pb").exists())
        self.assertFalse((dst / "fingerprint.pb").exists())


_OPTIMIZE = """
import sys, tf_blade
from tests.saved_model import workshop
workshop.register()
options = {"backends": ("no_engine",), "verify": False, "warmup": False, **workshop.EAGER}
tf_blade.optimize_saved_model(sys.argv[1], sys.argv[2], **options)
"""


class DeterminismTest(absltest.TestCase):
    def test_two_processes_give_the_same_bytes(self) -> None:
        folder = Path(self.create_tempdir().full_path)
        models.shared(folder / "src")
        root = Path(__file__).resolve().parents[2]
        for seed in ("1", "2"):
            environment = {
                **os.environ,
                "PYTHONHASHSEED": seed,
                "PYTHONPATH": f"{root}:{os.environ.get('PYTHONPATH', '')}",
            }
            command = [sys.executable, "-c", _OPTIMIZE, str(folder / "src"), str(folder / seed)]
            subprocess.run(command, env=environment, cwd=root, check=True, capture_output=True)
        self.assertEqual(workshop.digest(folder / "1"), workshop.digest(folder / "2"))


if __name__ == "__main__":
    absltest.main()
