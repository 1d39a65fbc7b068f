"""Models whose engine ops hold several engines: inspected, signed, portable, verified, and served by each."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tensorflow.core.protobuf import saved_model_pb2

import tf_blade
from tests.isa import runnable_levels
from tests.saved_model import models, workshop
from tf_blade import runtime
from tf_blade.backends import registry
from tf_blade.dtypes import DType
from tf_blade.engines.format import EngineFile, read_engine, write_engine
from tf_blade.engines.signature import EngineInput, EngineOutput, EngineSignature
from tf_blade.engines.signing import key_name, public_bytes
from tf_blade.graph.graph import Tensor
from tf_blade.report.report import Report
from tf_blade.saved_model.portable import engines_attribute
from tf_blade.settings import Settings
from tf_blade.stages import BuiltEngine, ClusterGraph
from tf_blade.symbolic import DimProgram
from tf_blade.verify import verify_saved_model

_KEY = Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32)
_NARROW = (2, 3)  # batches that the first engines take


def _narrow(data: bytes) -> bytes:
    """The same engine for a few batches: of each symbol of the signature."""
    engine = read_engine(data)
    ranges: dict[str, tuple[int, int | None]] = {symbol.name: _NARROW for symbol in engine.signature.symbols}
    return write_engine(dataclasses.replace(engine, signature=engine.signature.restricted(ranges)))


def _put_narrow_engines_first(folder: Path) -> int:
    """Gives the number of engine ops changed."""
    path = folder / "saved_model.pb"
    message = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    number = 0
    graph = message.meta_graphs[0].graph_def
    for node in (node for function in graph.library.function for node in function.node_def):
        attribute = engines_attribute(node)
        if attribute is not None:
            files = node.attr[attribute].list.s
            files[:] = [_narrow(files[0]), files[0]]
            number += 1
    path.write_bytes(message.SerializeToString(deterministic=True))
    return number


def _runs() -> tuple[int, int]:
    """Calls that first and second engines of all ops have served in this process."""
    found = [item["engines"] for item in runtime.runtime_stats()["clusters"] if len(item["engines"]) == 2]
    return sum(first["runs"] for first, _ in found), sum(second["runs"] for _, second in found)


class SeveralEnginesTest(parameterized.TestCase):
    @parameterized.parameters(False, True)
    def test_each_tool_takes_all_engines(self, portable: bool) -> None:
        folder = Path(self.enter_context(tempfile.TemporaryDirectory()))
        models.shared(folder / "src")
        options: dict[str, Any] = {"isas": ("x86-64-v3",), "warmup": False, "verify": False, **workshop.EAGER}
        tf_blade.optimize_saved_model(folder / "src", folder / "dst", portable=portable, **options)
        self.assertGreater(_put_narrow_engines_first(folder / "dst"), 0)

        pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        (folder / "key.pem").write_bytes(_KEY.private_bytes(pem, form, serialization.NoEncryption()))
        tf_blade.sign_saved_model(folder / "dst", folder / "signed", key=folder / "key.pem")
        inspection = tf_blade.inspect_saved_model(folder / "signed")
        self.assertNotEmpty(inspection.engine_ops)
        self.assertEmpty(inspection.refused)
        for item in inspection.engine_ops:
            self.assertEqual([engine.signers for engine in item.engines], [{key_name(_KEY): True}] * 2)
            first, second = item.engines
            self.assertEqual(first.symbols, [f"2 <= {symbol} <= 3" for symbol in second.symbols])
            self.assertEqual((first.refused, second.refused, item.portable), ("", "", portable))
        self.assertIn("  engine 1  disc", inspection.to_text())

        before = _runs()
        with mock.patch.dict(os.environ, {"TF_BLADE_TRUSTED_KEYS": public_bytes(_KEY).hex()}):
            found = tf_blade.verify_saved_model(folder / "src", folder / "signed")
        self.assertTrue(found.ok, found.to_text())
        self.assertEqual((found.engine_runs, found.fallbacks), (found.calls, {}))
        runs = np.subtract(_runs(), before)
        self.assertGreater(min(runs), 0)
        self.assertEqual(sum(runs), found.engine_runs)


class _Written(workshop.NoEngine):
    """Writes engine files that no runtime loads; they take what the cluster does, or as the outputs' types say else."""

    def __init__(self, name: str, dtype: DType | None = None) -> None:
        self.name, self._dtype = name, dtype

    def build(self, cluster: ClusterGraph, settings: Settings) -> BuiltEngine:
        del settings
        inputs = [EngineInput(f"i{n}", *_type(node.outputs[0])) for n, node in enumerate(cluster.graph.inputs)]
        outputs = [EngineOutput(f"o{n}", *_type(item.tensor)) for n, item in enumerate(cluster.graph.outputs)]
        if self._dtype is not None:
            outputs[-1] = dataclasses.replace(outputs[-1], dtype=int(self._dtype))
        file = EngineFile(
            backend=self.name,
            backend_version="1",
            signature=EngineSignature((), tuple(inputs), tuple(outputs)),
            cluster_hash=bytes(32),
            sections={},
        )
        return BuiltEngine(self.name, write_engine(file), 0.0, partial=True)


def _type(tensor: Tensor) -> tuple[int, tuple[DimProgram, ...]]:
    return int(DType.FLOAT if tensor.dtype == DType.RESOURCE else tensor.dtype), ((("const", 1),),) * 2


class SignaturesTest(absltest.TestCase):
    """Engines of one op take and give the same: one that does not is left out, and the report says why."""

    def setUp(self) -> None:
        super().setUp()
        for name, dtype in (("one", None), ("other", DType.INT32), ("same", None)):
            registry.register(name, functools.partial(_Written, name, dtype))
            self.addCleanup(registry.unregister, name)
        workshop.register()

    def optimize(self, *backends: str) -> tuple[Report, list[list[str]]]:
        """The report, and the backends whose engines each op holds."""
        folder = Path(self.create_tempdir().full_path)
        models.shared(folder / "src")
        options: dict[str, Any] = {"warmup": False, "verify": False, **workshop.EAGER}
        report = tf_blade.optimize_saved_model(folder / "src", folder / "dst", backends=backends, **options)
        ops = tf_blade.inspect_saved_model(folder / "dst").engine_ops
        return report, [[engine.backend for engine in item.engines] for item in ops]

    def test_backends_that_served_no_call_are_told(self) -> None:
        """That the next engine in line is right says nothing about the first."""
        folder = Path(self.create_tempdir().full_path)
        models.shared(folder / "src")
        options: dict[str, Any] = {"warmup": False, "verify": False, "isas": runnable_levels()[-1:], **workshop.EAGER}
        tf_blade.optimize_saved_model(folder / "src", folder / "dst", backends=("one", "disc"), **options)
        found = verify_saved_model(folder / "src", folder / "dst", require_engines=True)
        self.assertTrue(found.ok, found.to_text())
        count = found.calls
        self.assertEqual({"one": 0, "disc": count}, found.backends)
        first, second = found.to_text().splitlines()[-2:]
        self.assertEqual(f"engines served {count} of {count} calls of engine ops (one 0, disc {count})", first)
        self.assertRegex(second, r"^no engine of one served a call; backend: .+")
        ops = json.loads(found.to_json())["engine_ops"]
        self.assertEqual(found.backends, ops["backends"])
        self.assertEqual(["one"], list(ops["idle"]))
        # Engines of other models are in this process too.
        plain = verify_saved_model(folder / "src", folder / "src")
        self.assertEqual(({}, {}), (plain.backends, plain.idle))

    def test_one_that_gives_another_type_is_left_out(self) -> None:
        report, backends = self.optimize("one", "other", "same")
        self.assertNotEmpty(backends)
        self.assertEqual([["one", "same"]] * len(backends), backends)
        self.assertEqual({"one, then same"}, {item.backend for item in report.clusters})
        self.assertEqual({"other"}, {item.backend for item in report.build_failures})
        self.assertLen(report.build_failures, len(report.clusters))
        wanted = r"cannot stand behind one's, .*: output 0 has dtype 1 and rank 2 against dtype 3 and rank 2"
        self.assertRegex(report.build_failures[0].reason, wanted)

    def test_one_that_cannot_be_read_is_left_out(self) -> None:
        report, backends = self.optimize("one", "no_engine")
        self.assertEqual([["one"]] * len(backends), backends)
        self.assertStartsWith(report.build_failures[0].reason, "the engine cannot stand behind one's: ")


if __name__ == "__main__":
    absltest.main()
