"""Signing models: engines of every place they stand at, nothing else changed, and servers that require it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

from absl.testing import absltest, parameterized
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import tf_blade
from tests.cli import kit
from tests.folders import class_folder
from tests.saved_model import models, workshop
from tf_blade.engines.signing import key_name, public_bytes
from tf_blade.errors import SigningError, TargetError
from tf_blade.report.report import Report
from tf_blade.saved_model.model import read_saved_model

workshop.register()
_KEY, _OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (7, 8))


def _trusting(key: Ed25519PrivateKey) -> Any:
    return mock.patch.dict(os.environ, {"TF_BLADE_TRUSTED_KEYS": public_bytes(key).hex()})


def _signers(model: Path) -> list[dict[str, bool]]:
    return [engine.signers for item in tf_blade.inspect_saved_model(model).engine_ops for engine in item.engines]


class SignTest(parameterized.TestCase):
    folder: Path
    report: Report

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.folder = class_folder(cls)
        for name, key in (("key", _KEY), ("other", _OTHER)):
            pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
            (cls.folder / f"{name}.pem").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
        models.shared(cls.folder / "src")
        options: dict[str, Any] = {"isas": ("x86-64-v3",), "warmup": False, "verify": False, **workshop.EAGER}
        for name, portable in (("plain", False), ("portable", True)):
            tf_blade.optimize_saved_model(cls.folder / "src", cls.folder / name, portable=portable, **options)
        # Signed while it is made, and verified as the server will see it.
        with _trusting(_KEY):
            options.update(verify=True, sign_key=str(cls.folder / "key.pem"))
            cls.report = tf_blade.optimize_saved_model(cls.folder / "src", cls.folder / "made_signed", **options)

    @parameterized.parameters("plain", "portable")
    def test_a_model_is_signed(self, name: str) -> None:
        source, target = self.folder / name, self.folder / f"{name}_signed"
        before = workshop.digest(source)
        with _trusting(_KEY):
            refused = tf_blade.verify_saved_model(self.folder / "src", source)
        self.assertEqual((refused.ok, refused.engine_runs), (True, 0))
        self.assertEqual(refused.fallbacks, {"untrusted": refused.calls})

        found = kit.call("sign", source, target, "--key", self.folder / "key.pem")
        self.assertEqual(found.status, 0, found.err)
        self.assertRegex(found.out, rf"^{target}: \d engines signed by {key_name(_KEY)}\n$")
        self.assertEqual(before, workshop.digest(source))
        self.assertEqual(set(map(str, _signers(target))), {str({key_name(_KEY): True})})
        with _trusting(_KEY):
            served = tf_blade.verify_saved_model(self.folder / "src", target)
        self.assertTrue(served.ok, served.to_text())
        self.assertEqual((served.engine_runs, served.fallbacks), (served.calls, {}))
        self.assertGreater(served.calls, 0)
        with _trusting(_OTHER):
            timed = tf_blade.bench_saved_model(self.folder / "src", target, signatures=["score"], seconds=0.01)
        self.assertRegex(timed.to_text(), r"\n\d+ calls of engines fell back: untrusted$")

    def test_a_model_is_made_signed(self) -> None:
        """The same model as signing it afterwards."""
        self.assertEqual([note for note in self.report.notes if "fell back" in note], [])
        target = self.folder / "signed_afterwards"
        tf_blade.sign_saved_model(self.folder / "plain", target, key=self.folder / "key.pem")
        made = self.folder / "made_signed"
        digests = [workshop.digest(target), workshop.digest(made)]
        for digest in digests:
            del digest["fingerprint.pb"]  # has the identifier of the model that it was made from
        self.assertEqual(*digests)

    def test_a_second_signature(self) -> None:
        once, twice = self.folder / "made_signed", self.folder / "twice"
        found = kit.call("sign", once, twice, "--key", self.folder / "other.pem", "--json")
        self.assertEqual(json.loads(found.out)["key"], key_name(_OTHER))
        both = {key_name(_KEY): True, key_name(_OTHER): True}
        self.assertEqual([item == both for item in _signers(twice)], [True] * len(_signers(once)))
        text = tf_blade.inspect_saved_model(twice).to_text()
        self.assertIn(f"      signed   by {key_name(_KEY)}\n      signed   by {key_name(_OTHER)}\n", text)
        self.assertNotIn("WRONG", text)

    def test_a_wrong_signature_shows(self) -> None:
        model = read_saved_model(self.folder / "made_signed")
        (path := self.folder / "damaged").mkdir()
        for function in model.meta_graph.graph_def.library.function:
            for node in function.node_def:
                engines = node.attr["engines"].list.s if node.op == "BladeEngineOp" else []
                engines[:] = [data[:-1] + bytes([data[-1] ^ 1]) for data in engines]
        (path / "saved_model.pb").write_bytes(model.message.SerializeToString())
        self.assertIn(f"signed   by {key_name(_KEY)}: WRONG", tf_blade.inspect_saved_model(path).to_text())

    def test_what_cannot_be_signed(self) -> None:
        key, target = self.folder / "key.pem", self.folder / "none"
        with self.assertRaisesRegex(SigningError, "has no engines: optimize it first"):
            tf_blade.sign_saved_model(self.folder / "src", target, key=key)
        with self.assertRaisesRegex(TargetError, "exists"):
            tf_blade.sign_saved_model(self.folder / "plain", self.folder / "src", key=key)
        tf_blade.optimize_saved_model(
            self.folder / "src",
            self.folder / "malformed",
            backends=("no_engine",),
            verify=False,
            warmup=False,
            **workshop.EAGER,
        )
        with self.assertRaisesRegex(SigningError, "malformed, nothing was signed: this is no engine file"):
            tf_blade.sign_saved_model(self.folder / "malformed", target, key=key)
        found = kit.call("optimize", self.folder / "src", target, "--sign-key", "/nowhere.pem")
        self.assertEqual(
            (found.status, found.err), (1, "tf-blade: the key /nowhere.pem cannot be read: No such file or directory\n")
        )
        self.assertFalse(target.exists())

    def test_warmup_tells_what_cannot_run(self) -> None:
        target = self.folder / "untrusted"
        with _trusting(_KEY):
            report = tf_blade.optimize_saved_model(
                self.folder / "src", target, isas=("x86-64-v3",), verify=False, **workshop.EAGER
            )
        self.assertRegex("\n".join(report.notes), r"\d+ calls of engines fell back in warmup requests: untrusted")

    def test_nothing_of_a_disabled_engine_is_loaded(self) -> None:
        with mock.patch.dict(os.environ, {"TF_BLADE_DISABLE": "1"}):
            text = tf_blade.inspect_saved_model(self.folder / "plain").to_text()
        self.assertIn("this machine refuses it (disabled: TF_BLADE_DISABLE is set)", text)


if __name__ == "__main__":
    absltest.main()
