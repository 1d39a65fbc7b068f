"""Portable models of every kind: the same answers where the engines are put in, and where they are not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized
from google.protobuf import text_format
from tensorflow.core.framework.function_pb2 import FunctionDef
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.eager import context, execute

import tf_blade
from tests.saved_model import models, workshop
from tf_blade import runtime
from tf_blade.errors import TfBladeError
from tf_blade.saved_model.engines import engine_reports
from tf_blade.saved_model.model import read_saved_model
from tf_blade.settings import Settings
from tf_blade.stages import BuiltEngine, ClusterGraph

workshop.register()
_OPTIONS: dict[str, Any] = {"backends": ("no_engine",), "verify": False, "warmup": False, **workshop.EAGER}
Results = Callable[[Path, models.Case], Iterator[tuple[str, Any]]]
_ENGINES, _CLUSTER = "_blade_engines", "_blade_cluster"


def _remove(name: str) -> Callable[[NodeDef], None]:
    def change(node: NodeDef) -> None:
        node.attr.pop(name)

    return change


def _make_number(name: str) -> Callable[[NodeDef], None]:
    def change(node: NodeDef) -> None:
        node.attr[name].i = 3

    return change


def _set_engine(data: bytes) -> Callable[[NodeDef], None]:
    def change(node: NodeDef) -> None:
        node.attr[_ENGINES].list.s[:] = [data]

    return change


def _no_engines(node: NodeDef) -> None:
    del node.attr[_ENGINES].list.s[:]


def _numbers_among_engines(node: NodeDef) -> None:
    node.attr[_ENGINES].list.i.append(3)


def _on_gpu(node: NodeDef) -> None:
    node.device = "/device:GPU:0"


def _for_xla(node: NodeDef) -> None:
    node.attr["_XlaMustCompile"].b = True


# What may be wrong with a call's attributes, and what becomes of it.
_DAMAGES: dict[str, tuple[Callable[[NodeDef], None], str]] = {
    "none": (lambda node: None, "engine"),
    "engines_gone": (_remove(_ENGINES), ""),
    "engines_empty": (_no_engines, "damaged"),
    "engines_a_number": (_make_number(_ENGINES), "damaged"),
    "engines_mixed": (_numbers_among_engines, "engine"),
    "engine_garbage": (_set_engine(b"\x00garbage"), "engine"),
    "cluster_gone": (_remove(_CLUSTER), "engine"),
    "cluster_a_number": (_make_number(_CLUSTER), "engine"),
    "on_gpu": (_on_gpu, "device"),
    "for_xla": (_for_xla, "compiled"),
}
# A function that calls another.
_CALLER = """
signature {{
  name: "{name}"
  input_arg {{ name: "x" type: DT_FLOAT }}
  output_arg {{ name: "y" type: DT_FLOAT }}
}}
node_def {{
  name: "call" op: "StatefulPartitionedCall" input: "x"
  attr {{ key: "f" value {{ func {{ name: "{callee}" }} }} }}
  attr {{ key: "Tin" value {{ list {{ type: DT_FLOAT }} }} }}
  attr {{ key: "Tout" value {{ list {{ type: DT_FLOAT }} }} }}
}}
ret {{ key: "y" value: "call:output:0" }}
"""


def _engine_of(cluster: str) -> bytes:
    return f"<{cluster}>".encode() * 1000


def _unique_engine(backend: workshop.NoEngine, cluster: ClusterGraph, settings: Settings) -> BuiltEngine:
    return BuiltEngine(backend.name, _engine_of(cluster.cluster.name), 0.0)


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

    @parameterized.parameters(*_DAMAGES)
    def test_damaged_calls_are_calls(self, damage: str) -> None:
        case = models.CASES["dense"]
        case.build(self.src)
        tf_blade.optimize_saved_model(self.src, self.dst, portable=True, **_OPTIONS)
        change, result = _DAMAGES[damage]
        self.change_calls(change)
        called = self.check(workshop.results, case, {})
        self.assertEqual(bool(called), result == "engine", called)
        self.assertEqual(set(tf_blade.runtime_stats()["portable_calls"]), {result} - {""})

    def change_calls(self, change: Callable[[NodeDef], None]) -> None:
        file = self.dst / "saved_model.pb"
        message = SavedModel.FromString(file.read_bytes())
        functions = message.meta_graphs[0].graph_def.library.function
        calls = [node for function in functions for node in function.node_def if _ENGINES in node.attr]
        self.assertTrue(calls)
        for node in calls:
            change(node)
        file.write_bytes(message.SerializeToString(deterministic=True))

    @parameterized.parameters("Tin", "Tout", "f")
    def test_calls_without_what_they_need_are_errors(self, missing: str) -> None:
        """The pass sees them in a function that is called, before TensorFlow looks at them."""
        inner, outer = f"portable_test_inner_{missing}", f"portable_test_outer_{missing}"
        broken = text_format.Parse(_CALLER.format(name=inner, callee="nobody"), FunctionDef())
        broken.node_def[0].attr[_ENGINES].list.s.append(b"engine")
        broken.node_def[0].attr.pop(missing)
        for function in (broken, text_format.Parse(_CALLER.format(name=outer, callee=inner), FunctionDef())):
            context.context().add_function_def(function)
        with self.assertRaisesRegex(tf.errors.OpError, missing):
            execute.execute(outer, 1, [tf.constant(1.0)], None, context.context())

    def test_xla_compiles_it_as_tensorflow(self) -> None:
        models.dense(self.src)
        tf_blade.optimize_saved_model(self.src, self.dst, portable=True, **_OPTIONS)
        x = tf.constant(np.linspace(-1.0, 1.0, 12, dtype=np.float32).reshape(3, 4))
        expected = tf.saved_model.load(str(self.src))(x).numpy() * 3.0
        model = tf.saved_model.load(str(self.dst))
        compiled = tf.function(lambda y: model(y) * 2.0, jit_compile=True)
        tf_blade.reset_runtime_stats()
        found = tf.function(lambda y: compiled(y) + model(y))(x).numpy()
        self.assertTrue(workshop.same(expected, found))
        self.assertTrue(workshop.same(expected * 2.0 / 3.0, compiled(x).numpy()))
        self.assertEmpty(_calls())
        self.assertEqual(set(tf_blade.runtime_stats()["portable_calls"]), {"compiled"})

    def test_each_engine_is_stored_once(self) -> None:
        """However many signatures and functions call it."""
        models.shared(self.src)
        with mock.patch.object(workshop.NoEngine, "build", _unique_engine):
            report = tf_blade.optimize_saved_model(self.src, self.dst, portable=True, **_OPTIONS)
        stored = (self.dst / "saved_model.pb").read_bytes()
        names = [item.name for item in report.clusters if item.backend]
        self.assertLen(names, report.totals.engines)
        for name in names:
            self.assertEqual(stored.count(_engine_of(name)), 1)
        engines = sum(len(_engine_of(name)) for name in names)
        # Beside the engines: the calls and the fallback functions, which hold what the model held before.
        self.assertLess(len(stored) - engines, 3 * (self.src / "saved_model.pb").stat().st_size)

    def test_paused_calls_stay_calls(self) -> None:
        """Only what is prepared meanwhile."""
        case = models.CASES["dense"]
        case.build(self.src)
        tf_blade.optimize_saved_model(self.src, self.dst, portable=True, **_OPTIONS)
        with runtime.without_portable_engines(), runtime.without_portable_engines():
            self.assertEmpty(self.check(workshop.results, case, {}))
        self.assertEqual(set(tf_blade.runtime_stats()["portable_calls"]), {"disabled"})
        self.assertNotEmpty(sorted(self.check(workshop.results_of_session, case, {})))

    def test_optimized_once_more_it_stays_as_it_is(self) -> None:
        models.shared(self.src)
        first = tf_blade.optimize_saved_model(self.src, self.dst, portable=True, **_OPTIONS)
        second = tf_blade.optimize_saved_model(self.dst, self.again, **_OPTIONS)
        self.assertEqual(second.totals.engines, 0)
        note = f"the model has engines already, at {first.totals.engines} nodes: these stay as they are"
        self.assertTrue(any(note in item for item in second.notes), second.notes)
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
