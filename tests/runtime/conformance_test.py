"""The conformance suite passes a good engine and finds what is wrong with bad ones."""

from __future__ import annotations

from absl.testing import absltest, parameterized

from tests.runtime import conformance
from tests.runtime import engine_kit as kit


class ConformanceTest(parameterized.TestCase):
    @parameterized.parameters(0, 1, 2, 33)
    def test_good_engine(self, batch: int) -> None:
        good, output = conformance.run_suite(kit.affine_engine(), [batch])
        self.assertTrue(good, output)
        self.assertIn("outcome of run: 0", output)

    @parameterized.parameters(
        ("INIT_RESULT=BLADE_ERROR", "init works"),
        ("OVERRUN=1", "surroundings are not written"),
        ("STATEFUL=1", "give the same bytes"),
        ("WRITE_INPUT=1", "inputs are not written"),
        ("IGNORE_MEMORY=1", "says so when memory is out"),
    )
    def test_bad_engine(self, define: str, complaint: str) -> None:
        good, output = conformance.run_suite(kit.affine_engine(define), [4])
        self.assertFalse(good)
        self.assertIn(complaint, output)

    def test_refused_engine(self) -> None:
        good, output = conformance.run_suite(kit.affine_engine()[:-1])
        self.assertFalse(good)
        self.assertIn("refused", output)


if __name__ == "__main__":
    absltest.main()
