"""Models whose engine ops hold several engines: inspected, signed, portable, verified, and served by each."""

from __future__ import annotations

import dataclasses
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
from tests.saved_model import models, workshop
from tf_blade import runtime
from tf_blade.engines.format import read_engine, write_engine
from tf_blade.engines.signing import key_name, public_bytes
from tf_blade.saved_model.portable import engines_attribute

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


if __name__ == "__main__":
    absltest.main()
