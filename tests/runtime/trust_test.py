"""With TF_BLADE_TRUSTED_KEYS set, only engines run that a trusted key has signed; all others fall back, counted."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.runtime import engine_kit as kit
from tf_blade import runtime
from tf_blade.engines.format import content_hash, seal, without_signers
from tf_blade.engines.signing import key_name, public_bytes, sign_engine

_ROOT = Path(__file__).resolve().parents[2]
_VARIABLE = "TF_BLADE_TRUSTED_KEYS"
_MARKED = "MARK=100.0f"  # a result of the engine would differ from TensorFlow's
_OURS, _SECOND, _THEIRS = (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2, 3))


def _hex(key: Ed25519PrivateKey) -> str:
    return public_bytes(key).hex()


def _base64(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(public_bytes(key)).decode()


def _pem(key: Any) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return str(key.public_key().public_bytes(serialization.Encoding.PEM, form).decode())


def _private_pem(key: Ed25519PrivateKey) -> str:
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(pem, form, serialization.NoEncryption()).decode()


@functools.cache
def _signed() -> bytes:
    return sign_engine(kit.affine_engine(_MARKED), _OURS)


def _trusting(value: str) -> contextlib.AbstractContextManager[Any]:
    return mock.patch.dict(os.environ, {_VARIABLE: value})


def _reason(data: bytes) -> str:
    return (runtime.check_engine(data) or "none").split(":")[0]


def _flipped(position: int) -> bytes:
    data = bytearray(_signed())
    data[position] ^= 1
    return bytes(data)


def _resealed(change: Callable[[bytearray], None]) -> bytes:
    """Altered by someone who knows the format: the hash is made to fit again, the signature stays."""
    plain, signers = without_signers(_signed()), _signed()[len(without_signers(_signed())) :]
    content = bytearray(plain[:-32])
    change(content)
    return seal(bytes(content)) + signers


def _other_cluster_hash(content: bytearray) -> None:
    content[28] ^= 1


def _wider_guard(content: bytearray) -> None:
    """The symbol's range ends at 65 instead of 64."""
    at = content.index(b"batch") + len(b"batch") + 8
    assert content[at] == 64
    content[at] += 1


def _padding(content: bytearray) -> None:
    """Between the sections, where nothing reads."""
    elf = content.index(b"\x7fELF")
    assert content[elf - 1] == 0
    content[elf - 1] = 1


_END = len(without_signers(_signed()))
_ELF = _signed().index(b"\x7fELF")
_DAMAGES: dict[str, tuple[Callable[[], bytes], str]] = {
    "unsigned": (lambda: without_signers(_signed()), "untrusted"),
    "signed_by_others": (lambda: sign_engine(without_signers(_signed()), _THEIRS), "untrusted"),
    "signature_of_another_engine": (
        lambda: without_signers(_signed()) + sign_engine(kit.affine_engine(), _OURS)[len(kit.affine_engine()) :],
        "untrusted",
    ),
    "key_exchanged": (
        lambda: without_signers(_signed()) + _signed()[_END : _END + 12] + public_bytes(_THEIRS) + _signed()[-64:],
        "untrusted",
    ),
    "magic": (lambda: _flipped(3), "corrupt"),
    "version": (lambda: _flipped(8), "version"),
    "flags": (lambda: _flipped(12), "corrupt"),
    "size": (lambda: _flipped(16), "hash"),
    "metadata": (lambda: _flipped(40), "hash"),
    "code": (lambda: _flipped(_ELF + 4000), "hash"),
    "content_hash": (lambda: _flipped(_END - 7), "hash"),
    "magic_of_signatures": (lambda: _flipped(_END), "corrupt"),
    "number_of_signatures": (lambda: _flipped(_END + 8), "corrupt"),
    "key": (lambda: _flipped(_END + 12), "untrusted"),
    "first_half_of_signature": (lambda: _flipped(_END + 44), "untrusted"),
    "second_half_of_signature": (lambda: _flipped(_END + 80), "untrusted"),
    "last_byte": (lambda: _flipped(len(_signed()) - 1), "untrusted"),
    "signature_cut": (lambda: _signed()[:-1], "corrupt"),
    "bytes_behind": (lambda: _signed() + b"x", "corrupt"),
    "cluster_hash_resealed": (lambda: _resealed(_other_cluster_hash), "untrusted"),
    "guard_resealed": (lambda: _resealed(_wider_guard), "untrusted"),
    # The section's own hash does not cover it, the whole's does.
    "padding_resealed": (lambda: _resealed(_padding), "untrusted"),
}
_ALSO_PLAIN = {"corrupt", "version", "hash"}  # found without keys too


class TrustTest(parameterized.TestCase):
    def served(self, engine: bytes, cluster: str) -> tuple[int, dict[str, int]]:
        """Calls that the engine served of one, and fallbacks by reason. The result is right either way."""
        model = kit.Affine([engine], cluster)
        x = tf.constant(np.random.default_rng(4).standard_normal((4, kit.K)).astype(np.float32))
        result = model.serve(x)["y"]
        stats = kit.stats_of(cluster)
        np.testing.assert_allclose(result, model.expected(x) + 100 * stats["engine_runs"], rtol=1e-5, atol=1e-4)
        self.assertEqual(stats["calls"], 1)
        return stats["engine_runs"], stats["fallbacks"]

    def test_signed_engine_runs(self) -> None:
        with _trusting(_hex(_OURS)):
            self.assertEqual(self.served(_signed(), "signed"), (1, {}))

    @parameterized.named_parameters((name, name) for name in _DAMAGES)
    def test_damage(self, name: str) -> None:
        make, reason = _DAMAGES[name]
        with _trusting(_hex(_OURS)):
            self.assertEqual(self.served(make(), f"damage_{name}"), (0, {reason: 1}))
        if reason == "untrusted" and "resealed" not in name:
            self.assertEqual(_reason(make()), "none")  # nobody asks for signatures
        elif reason in _ALSO_PLAIN:
            self.assertEqual(_reason(make()), reason)

    def test_every_changed_byte_is_noticed(self) -> None:
        generator = random.Random(5)
        positions = [*range(200), *range(_END - 40, len(_signed())), *(generator.randrange(_END) for _ in range(200))]
        with _trusting(_hex(_OURS)):
            self.assertEqual(_reason(_signed()), "none")
            for position in positions:
                self.assertIn(_reason(_flipped(position)), ("untrusted", *_ALSO_PLAIN), position)

    @parameterized.named_parameters(
        ("hex", lambda folder: _hex(_OURS)),
        ("capitals", lambda folder: _hex(_OURS).upper()),
        ("base64", lambda folder: _base64(_OURS)),
        ("pem", lambda folder: _pem(_OURS)),
        ("two", lambda folder: f"{_hex(_THEIRS)}:{_base64(_OURS)}"),
        ("file", lambda folder: folder("# of the build machine\n\n" + _hex(_OURS) + "\r\n")),
        ("pem_file", lambda folder: folder(_pem(_THEIRS) + _pem(_OURS))),
        ("file_beside_key", lambda folder: f"{_hex(_THEIRS)}:{folder(_base64(_OURS))}"),
    )
    def test_ways_to_name_a_key(self, value: Callable[[Callable[[str], str]], str]) -> None:
        def file(text: str) -> str:
            return str(self.create_tempfile(content=text).full_path)

        with _trusting(value(file)):
            self.assertEqual(_reason(_signed()), "none")
            self.assertEqual(_reason(sign_engine(without_signers(_signed()), _SECOND)), "untrusted")

    @parameterized.named_parameters(
        ("empty", "", "it is empty"),
        ("digit_missing", _hex(_OURS)[:-1], "neither a key nor a file"),
        ("no_digit", _hex(_OURS)[:-1] + "g", "neither a key nor a file"),
        ("colon_behind", _hex(_OURS) + ":", "an entry is empty"),
        ("one_of_two", f"{_hex(_OURS)}:nonsense", "'nonsense' is neither"),
        ("no_file", "/nowhere/keys", "'/nowhere/keys' is neither"),
        ("folder", "/", "'/' is neither"),
        ("endless_file", "/dev/zero", "'/dev/zero' is neither"),
        ("empty_file", "/dev/null", "there is no key in it"),
        ("private_key", _private_pem(_OURS), "no public key"),
        ("pem_cut", _pem(_OURS)[:60], "is cut short"),
        ("pem_of_garbage", _pem(_OURS).replace("MCow", "MCox"), "no Ed25519 public key"),
    )
    def test_malformed_keys_trust_nothing(self, value: str, message: str) -> None:
        with _trusting(value), kit.standard_error() as lines:
            for _ in range(2):
                self.assertEqual(_reason(_signed()), "untrusted")
        self.assert_told_once(lines, message)

    def test_a_malformed_file_trusts_nothing(self) -> None:
        # A short path: what is told of the variable's content is cut.
        file = Path(self.enter_context(tempfile.TemporaryDirectory(dir="/tmp")), "keys")
        file.write_text(f"{_hex(_OURS)}\n\n# the next one\nsecret\n", encoding="utf-8")
        with _trusting(f"{_hex(_OURS)}:{file}"), kit.standard_error() as lines:
            for _ in range(2):
                self.assertEqual(_reason(_signed()), "untrusted")
        self.assert_told_once(lines, f"file '{file}': line 4 is no key")

    def assert_told_once(self, lines: list[str], message: str) -> None:
        found = [line for line in lines if "is malformed" in line]
        self.assertLen(found, 1)  # not at every engine
        self.assertRegex(found[0], rf"{_VARIABLE} is malformed: .*{message}.*No engine is trusted")
        self.assertNoCommonElements(["PRIVATE", "secret"], found[0].split())

    def test_keys_are_exchanged(self) -> None:
        """Both sign for a while; then the former key is no longer trusted."""
        both = sign_engine(_signed(), _SECOND)
        self.assertEqual(runtime.engine_signers(both), {key_name(_OURS): True, key_name(_SECOND): True})
        for key in (_OURS, _SECOND):
            with _trusting(_hex(key)):
                self.assertEqual(_reason(both), "none")
        file = self.create_tempfile(content=_hex(_OURS))
        with _trusting(str(file.full_path)):
            self.assertEqual(_reason(_signed()), "none")
            file.write_text(_hex(_SECOND))
            self.assertIn(f"only by {key_name(_OURS)}", runtime.check_engine(_signed()) or "")

    def test_an_engine_in_use_is_no_more_trusted(self) -> None:
        """The process holds engines by their content: whether one is signed is asked before."""
        plain = without_signers(_signed())
        self.assertEqual(self.served(plain, "before"), (1, {}))
        with _trusting(_hex(_OURS)):
            self.assertEqual(self.served(plain, "since"), (0, {"untrusted": 1}))
            self.assertEqual(self.served(_signed(), "signed_since"), (1, {}))

    def test_untrusted_engines_tell_no_shapes(self) -> None:
        file = self.create_tempfile()
        with _trusting(str(file.full_path)):
            # The keys of each time count, though the shape function remembers what it has read of an engine.
            for number, key in enumerate((_OURS, _THEIRS, _OURS)):
                file.write_text(_hex(key))
                serve = kit.Affine([_signed()], f"shapes_{number}").serve
                shape = serve.get_concrete_function().structured_outputs["y"].shape
                self.assertEqual(shape.rank, 2 if key is _OURS else None)

    def test_signers_are_told(self) -> None:
        self.assertEqual(runtime.engine_signers(_signed()), {key_name(_OURS): True})
        self.assertEqual(runtime.engine_signers(_flipped(_END + 50)), {key_name(_OURS): False})
        self.assertEqual(runtime.engine_signers(without_signers(_signed())), {})
        self.assertEqual(runtime.engine_signers(b"junk"), {})
        self.assertEqual(content_hash(_signed()), content_hash(without_signers(_signed())))


# A malformed value, what is told of it, and the reason of the calls that TensorFlow then serves.
_MALFORMED = {
    "TF_BLADE_TRUSTED_KEY=00": ("means nothing to tf_blade: is it misspelt?", None),  # told with the first kernel
    "TF_BLADE_FAULTS=often": ("is not of the form 1/N: no fault is injected", None),
    "TF_BLADE_SHADOW=1/0": ("is not of the form 1/N: no call is shadowed", None),
    "TF_BLADE_SHADOW_TOLERANCE=much": ("is no number from 0 on: 0.001 is used", None),
    "TF_BLADE_MAX_ISA=sse": ("is not of the form x86-64-vN: there is no limit", None),
    "TF_BLADE_DISABLE=yes": ("is neither 0 nor 1: no engine runs", "disabled"),
}

_LATER = "TF_BLADE_NOTHING=1"


@functools.cache
def _serving_under_malformed_values() -> dict[str, dict[str, Any]]:
    # What a process writes to its log is settled when it begins, by a variable that may turn warnings off here.
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "1"}
    command = [sys.executable, "-m", "tests.runtime.variables_main", *_MALFORMED, _LATER]
    done = subprocess.run(command, cwd=_ROOT, env=env, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return dict(zip((*_MALFORMED, _LATER), json.loads(done.stdout), strict=True))


class OtherVariablesTest(parameterized.TestCase):
    @parameterized.parameters(*_MALFORMED)
    def test_a_malformed_value_is_told_once(self, setting: str) -> None:
        message, reason = _MALFORMED[setting]
        found = _serving_under_malformed_values()[setting]
        self.assertEqual(found["fallbacks"], [{reason: 1} if reason else {}] * 2)
        told = [line for line in found["lines"] if setting.split("=")[0] in line and message in line]
        self.assertLen(told, 1, found["lines"])

    def test_the_environment_is_walked_once(self) -> None:
        found = _serving_under_malformed_values()[_LATER]
        self.assertEqual(found["fallbacks"], [{}] * 2)
        self.assertEmpty([line for line in found["lines"] if _LATER.split("=")[0] in line])


if __name__ == "__main__":
    absltest.main()
