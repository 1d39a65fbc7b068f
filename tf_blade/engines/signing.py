"""Signs engine files with Ed25519 (RFC 8032). The op library verifies: custom_ops/runtime/trust.cc.

What is signed is a fixed text and the file's content hash, so all of the file: code, guards, shapes, targets, and the
hash of what was compiled.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tf_blade.engines.format import Signer, content_hash, read_engine, without_signers, write_signers
from tf_blade.errors import EnvironmentError_, SigningError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# The extra `sign` of pyproject.toml, for whoever has installed from a checkout.
HOW_TO_INSTALL = "pip install 'cryptography>=42,<51'"
_CONTEXT = b"tf_blade engine signature 1\n"


def read_private_key(path: str | Path) -> Ed25519PrivateKey:
    """The private key of a PEM file, as `openssl genpkey -algorithm ed25519` writes it.

    Raises:
        SigningError: the file cannot be read, or holds no such key.
        EnvironmentError_: the package that signs is missing.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise EnvironmentError_(f"signing takes the package cryptography: {HOW_TO_INSTALL}") from error
    try:
        key = load_pem_private_key(Path(path).read_bytes(), password=None)
    except OSError as error:
        raise SigningError(f"the key {path} cannot be read: {error.strerror}") from error
    except TypeError as error:
        message = f"the key {path} is encrypted; sign with a decrypted one (openssl pkey -in {path} -out PLAIN)"
        raise SigningError(message) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningError(f"{path} holds no private key in PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningError(f"the key {path} is none for Ed25519; make one with: openssl genpkey -algorithm ed25519")
    return key


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The 32 bytes of the public key."""
    return key.public_key().public_bytes_raw()


def key_name(key: Ed25519PrivateKey) -> str:
    """The public key as reports show it."""
    return f"ed25519:{public_bytes(key).hex()}"


def sign_engine(data: bytes, key: Ed25519PrivateKey) -> bytes:
    """The engine file with the key's signature beside those of others. The same file and key give the same bytes.

    Raises:
        EngineFormatError: it is malformed, or has too many signatures.
    """
    mine = public_bytes(key)
    others = [item for item in read_engine(data).signers if item.key != mine]
    signers = (*others, Signer(mine, key.sign(_CONTEXT + content_hash(data))))
    return without_signers(data) + write_signers(signers)
