"""The runtime's lock-free and threaded parts (concurrency.cc) and the conformance suite, plain and with sanitizers."""

from __future__ import annotations

from pathlib import Path

from absl.testing import absltest, parameterized

from tests.runtime import conformance, native
from tests.runtime import engine_kit as kit

_MAIN = Path(__file__).with_name("concurrency.cc")
_SANITIZERS = ("thread", "address,undefined")


class ConcurrencyTest(parameterized.TestCase):
    @parameterized.parameters("", *_SANITIZERS)
    def test_passes(self, sanitizer: str) -> None:
        result = native.run(native.program(_MAIN, sanitizer))
        self.assertEqual((result.returncode, result.stdout), (0, "passed\n"), result.stderr)

    @parameterized.parameters(*_SANITIZERS)
    def test_loader_and_conformance_suite(self, sanitizer: str) -> None:
        good, output = conformance.run_suite(kit.affine_engine(), [5], sanitizer)
        self.assertTrue(good, output)
        self.assertIn("outcome of run: 0", output)

    @parameterized.parameters(("thread", "race"), ("address,undefined", "overflow"), ("address,undefined", "undefined"))
    def test_sanitizers_are_at_work(self, sanitizer: str, defect: str) -> None:
        result = native.run(native.program(_MAIN, sanitizer), [defect])
        self.assertNotEqual(result.returncode, 0)
        self.assertRegex(result.stderr, "Sanitizer|runtime error")


if __name__ == "__main__":
    absltest.main()
