"""Fuzzes the runtime's parser of engine files, compiled with the address and undefined-behaviour sanitizers.

    python -m tests.fuzz.engine_file [--seconds 120] [--executions N] [--seed 0] [--sanitizer address,undefined]

With clang, custom_ops/fuzz/engine_file_fuzz.cc is a libFuzzer target as well.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.engines.example import EXAMPLE
from tests.fuzz.options import options_parser
from tests.runtime import native
from tf_blade.engines.format import write_engine
from tf_blade.engines.signature import EngineSignature
from tf_blade.engines.signing import public_bytes, sign_engine

_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_MAIN = native.CUSTOM_OPS / "fuzz/engine_file_fuzz.cc"


def corpus() -> list[bytes]:
    """Engine files to begin with: a usual one, one without inputs, one of many sections, a signed one; keys."""
    empty = dataclasses.replace(EXAMPLE, signature=EngineSignature((), (), ()), sections={})
    many = dataclasses.replace(EXAMPLE, sections={f"part{i}": bytes(i) for i in range(9)})
    plain = [write_engine(engine) for engine in (EXAMPLE, empty, many)]
    pem = _KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return [*plain, sign_engine(plain[0], _KEY), b"# keys\n" + public_bytes(_KEY).hex().encode() + b"\n" + pem]


def fuzz(
    seconds: float, executions: int, seed: int, sanitizer: str = "address,undefined"
) -> subprocess.CompletedProcess[str]:
    """Runs the target; it exits with 0 when nothing was found, and prints executions, parsed and trusted files."""
    program = native.program(_MAIN, sanitizer)
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, data in enumerate(corpus()):
            files.append(Path(folder) / f"seed{number}")
            files[-1].write_bytes(data)
        environment = {"TF_BLADE_TRUSTED_KEYS": public_bytes(_KEY).hex()}
        return native.run(program, [str(seconds), str(executions), str(seed), *files], environment)


def main() -> int:
    """The command line."""
    parser = options_parser(__doc__, executions=1_000_000_000)
    parser.add_argument("--sanitizer", default="address,undefined")
    options = parser.parse_args()
    result = fuzz(options.seconds, options.executions, options.seed, options.sanitizer)
    sys.stdout.write(result.stdout)
    sys.stderr.write(result.stderr)
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
