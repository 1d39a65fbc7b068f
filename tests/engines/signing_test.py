"""Signing: what is added to an engine file, and keys that cannot be used."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from unittest import mock

from absl.testing import absltest, parameterized
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tests.engines.example import EXAMPLE
from tf_blade.engines import signing
from tf_blade.engines.format import Signer, content_hash, read_engine, without_signers, write_engine, write_signers
from tf_blade.errors import EngineFormatError, EnvironmentError_, SigningError

_KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in range(18)]
_PEM, _PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
_PLAIN = serialization.NoEncryption()
_PUBLIC = _KEYS[0].public_key().public_bytes(_PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


class SigningTest(parameterized.TestCase):
    def test_a_signature_follows_the_file(self) -> None:
        data = write_engine(EXAMPLE)
        signed = signing.sign_engine(data, _KEYS[0])
        self.assertEqual(signed, signing.sign_engine(data, _KEYS[0]))
        self.assertEqual(signed[: len(data)], data)
        self.assertEqual(without_signers(signed), data)
        self.assertEqual(write_engine(read_engine(signed)), signed)
        (signer,) = read_engine(signed).signers
        # Raises where it is wrong.
        message = b"tf_blade engine signature 1\n" + content_hash(data)
        Ed25519PublicKey.from_public_bytes(signer.key).verify(signer.signature, message)

    def test_each_key_signs_once(self) -> None:
        signed = write_engine(EXAMPLE)
        for key in (_KEYS[0], _KEYS[1], _KEYS[0]):
            signed = signing.sign_engine(signed, key)
        keys = [item.key for item in read_engine(signed).signers]
        self.assertEqual(keys, [signing.public_bytes(_KEYS[1]), signing.public_bytes(_KEYS[0])])

    def test_no_more_than_sixteen(self) -> None:
        signed = write_engine(EXAMPLE)
        for key in _KEYS[:16]:
            signed = signing.sign_engine(signed, key)
        self.assertLen(read_engine(signed).signers, 16)
        with self.assertRaisesRegex(EngineFormatError, "too many signers: 17"):
            signing.sign_engine(signed, _KEYS[16])

    def test_malformed_signatures(self) -> None:
        data = write_engine(EXAMPLE)
        block = write_signers([Signer(bytes(32), bytes(64))])
        for end, problem in ((b"x", "cut short"), (bytes(40), "follow the file"), (block[:-1], "cut short")):
            with self.assertRaisesRegex(EngineFormatError, problem):
                read_engine(data + end)
        with self.assertRaisesRegex(EngineFormatError, "follow the signatures"):
            read_engine(data + block + b"x")
        self.assertLen(read_engine(data + block).signers, 1)

    def test_reading_a_key(self) -> None:
        path = Path(self.create_tempfile(content=_KEYS[3].private_bytes(_PEM, _PKCS8, _PLAIN)).full_path)
        self.assertEqual(signing.key_name(signing.read_private_key(path)), signing.key_name(_KEYS[3]))

    @parameterized.named_parameters(
        ("encrypted", _KEYS[0].private_bytes(_PEM, _PKCS8, serialization.BestAvailableEncryption(b"x")), "encrypted"),
        (
            "public",
            _KEYS[0].public_key().public_bytes(_PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
            "no priv",
        ),
        ("other_kind", ec.generate_private_key(ec.SECP256R1()).private_bytes(_PEM, _PKCS8, _PLAIN), "none for Ed25519"),
        ("garbage", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds no private key"),
        ("empty", b"", "holds no private key"),
    )
    def test_keys_that_cannot_sign(self, content: bytes, problem: str) -> None:
        path = self.create_tempfile(content=content).full_path
        with self.assertRaisesRegex(SigningError, problem):
            signing.read_private_key(path)

    def test_a_missing_key(self) -> None:
        with self.assertRaisesRegex(SigningError, "cannot be read: No such file"):
            signing.read_private_key("/nowhere/key.pem")

    def test_a_missing_package(self) -> None:
        hidden: dict[str, Any] = {name: None for name in sys.modules if name.startswith("cryptography")}
        with (
            mock.patch.dict(sys.modules, hidden),
            self.assertRaisesRegex(EnvironmentError_, "pip install 'cryptography>="),
        ):
            signing.read_private_key("/nowhere/key.pem")


if __name__ == "__main__":
    absltest.main()
