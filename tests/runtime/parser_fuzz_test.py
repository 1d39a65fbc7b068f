"""The runtime's parser on malformed files whose hashes are right: it refuses what the Python reader refuses."""

from __future__ import annotations

import dataclasses
import random

from absl.testing import absltest

from tests.engines.example import EXAMPLE
from tf_blade import runtime
from tf_blade.engines.format import read_engine, seal, write_engine
from tf_blade.errors import EngineFormatError


def _python_refuses(data: bytes) -> bool:
    try:
        read_engine(data)
    except EngineFormatError:
        return True
    return False


def _runtime_reason(data: bytes) -> str:
    return (runtime.check_engine(data) or "none").split(":")[0]


class ParserFuzzTest(absltest.TestCase):
    def test_both_readers_agree(self) -> None:
        good = write_engine(EXAMPLE)
        # It parses; only its executable is none.
        self.assertEqual(_runtime_reason(good), "load")
        generator = random.Random(11)
        refused = 0
        for _ in range(3000):
            content = bytearray(good[:-32])
            for _ in range(generator.randrange(1, 4)):
                content[generator.randrange(len(content))] = generator.choice((0, 1, 255, generator.randrange(256)))
            data = seal(bytes(content))
            reason = _runtime_reason(data)
            if _python_refuses(data):
                refused += 1
                self.assertIn(reason, ("corrupt", "hash", "version"), data.hex())
            else:
                # What still parses may well be refused by the backend.
                self.assertIn(reason, ("load", "backend", "version", "isa", "corrupt"), data.hex())
        self.assertGreater(refused, 1000)

    def test_huge_counts_end_early(self) -> None:
        good = write_engine(EXAMPLE)
        content = bytearray(good[:-32])
        for position in range(28, 28 + 200):
            data = bytes(content[:position]) + b"\xff" * 4 + bytes(content[position + 4 :])
            self.assertNotEqual(_runtime_reason(seal(data)), "none")

    def test_sha256_of_every_length(self) -> None:
        """Sections of all lengths modulo the block size; each has a hash of its own."""
        for size in range(130):
            engine = write_engine(dataclasses.replace(EXAMPLE, backend="nobody", sections={"data": b"a" * size}))
            self.assertEqual(_runtime_reason(engine), "backend")


if __name__ == "__main__":
    absltest.main()
