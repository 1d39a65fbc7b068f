"""The conformance suite passes a good engine and finds what is wrong with bad ones."""

from __future__ import annotations

from absl.testing import absltest, parameterized

from tests.runtime import conformance
from tests.runtime import engine_kit as kit
from tf_blade.dtypes import DType
from tf_blade.engines.format import EngineFile, write_engine
from tf_blade.engines.signature import EngineInput, EngineOutput, EngineSignature, SymbolInfo


def _test_engine(defect: str) -> bytes:
    """An engine of the suite's own kind, wrong in one way: y[n, 4] = x[n, 4] * w[4]."""
    signature = EngineSignature(
        symbols=(SymbolInfo("n"),),
        inputs=(
            EngineInput("x", DType.FLOAT, (kit.BATCH, kit.const(4))),
            EngineInput("w", DType.FLOAT, (kit.const(4),), "weight"),
        ),
        outputs=(EngineOutput("y", DType.FLOAT, (kit.BATCH, kit.const(4))),),
    )
    sections = {"defect": defect.encode(), "mark": b"0123456789abcdef"}
    return write_engine(EngineFile("test", "1", signature, bytes(32), sections))


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

    def test_good_engine_of_another_kind(self) -> None:
        good, output = conformance.run_suite(_test_engine(""), [6])
        self.assertTrue(good, output)

    @parameterized.parameters(
        ("accepts_anything", "is refused"),
        ("init_fails", "init works"),
        ("init_ignores_memory", "init says so when memory is out"),
        ("keeps_weights", "may be elsewhere than init found them"),
        ("one_state", "states of different weights are apart"),
        ("run_fails", "succeeds, or refuses the inputs"),
        ("no_output", "makes all outputs"),
        ("output_twice", "an output is made once"),
        ("wrong_dims", "has the signature's dimensions"),
        ("persists", "is asked for by init only"),
        ("overruns_output", "an output's surroundings"),
        ("overruns_input", "an input's surroundings"),
        ("writes_input", "inputs are not written"),
        ("counts_runs", "the same inputs and any threads"),
        ("depends_on_threads", "the same inputs and any threads"),
        ("one_scratch", "at the same time do not disturb each other"),
        ("run_ignores_memory", "run says so when memory is out"),
        ("ignores_cancel", "saw its cancellation stops"),
        ("poisoned", "leave nothing behind"),
        ("negative_loop", "are not negative"),
    )
    def test_each_check_can_fail(self, defect: str, complaint: str) -> None:
        good, output = conformance.run_suite(_test_engine(defect), [6])
        self.assertFalse(good, output)
        self.assertIn(complaint, output)

    def test_refused_engine(self) -> None:
        good, output = conformance.run_suite(kit.affine_engine()[:-1])
        self.assertFalse(good)
        self.assertIn("refused", output)


if __name__ == "__main__":
    absltest.main()
