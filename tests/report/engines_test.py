"""What an engine file says about itself, readable."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable

from absl.testing import absltest, parameterized

from tests.engines import example
from tf_blade import runtime, symbolic
from tf_blade.engines.format import content_hash, write_engine
from tf_blade.engines.plan import PLAN_DATA_SECTION, PLAN_SECTION, PlanSection, PlanTensor, write_plan
from tf_blade.report.engines import (
    NOT_BUILT_FOR_TENSORRT,
    EngineOpReport,
    engine_file_report,
    engine_op_lines,
    program_text,
    tensor_text,
)
from tf_blade.symbolic import Dim, DimProgram

_NAMES = ["a", "b", "c"]


def _random_dim(rng: random.Random, depth: int) -> Dim:
    if depth == 0:
        return rng.choice([symbolic.symbol(rng.choice(_NAMES)), rng.randint(1, 9)])
    left, right = _random_dim(rng, depth - 1), _random_dim(rng, depth - 1)
    operations: list[Callable[[Dim, Dim], Dim]] = [
        symbolic.add,
        symbolic.sub,
        symbolic.mul,
        symbolic.maximum,
        symbolic.minimum,
    ]
    operation = rng.choice(operations)
    if rng.random() < 0.4:
        divisions: list[Callable[[Dim, Dim], Dim]] = [symbolic.floordiv, symbolic.mod]
        operation, right = rng.choice(divisions), rng.randint(1, 7)
    return operation(left, right)


class ProgramTextTest(parameterized.TestCase):
    @parameterized.parameters(
        ((), "?"),
        ((("const", 7),), "7"),
        ((("sym", 1),), "b"),
        ((("sym", 0), ("const", 2), ("mul", 0)), "a*2"),
        ((("sym", 0), ("sym", 1), ("add", 0), ("const", 2), ("mul", 0)), "(a + b)*2"),
        ((("sym", 0), ("sym", 1), ("sym", 2), ("sub", 0), ("sub", 0)), "a - (b - c)"),
        ((("sym", 0), ("sym", 1), ("sub", 0), ("sym", 2), ("sub", 0)), "a - b - c"),
        ((("sym", 0), ("sym", 1), ("const", 2), ("floordiv", 0), ("mul", 0)), "a*(b//2)"),
        ((("sym", 0), ("const", -3), ("mul", 0)), "a*(-3)"),
        ((("sym", 0), ("sym", 1), ("bcast", 0)), "broadcast(a, b)"),
    )
    def test_formula(self, program: DimProgram, expected: str) -> None:
        self.assertEqual(program_text(program, _NAMES), expected)

    def test_the_text_means_what_the_program_computes(self) -> None:
        rng = random.Random(1)
        for _ in range(300):
            program = symbolic.to_rpn(_random_dim(rng, 3), _NAMES)
            shown = program_text(program, _NAMES)
            for _ in range(5):
                values = {name: rng.randint(0, 20) for name in _NAMES}
                expected = symbolic.run_program(program, values=values, names=_NAMES)
                self.assertEqual(eval(shown, {"max": max, "min": min}, dict(values)), expected, shown)

    def test_tensor(self) -> None:
        dims = ((("sym", 0),), (("const", 4),), ())
        self.assertEqual(tensor_text("x", 3, dims, _NAMES), "x: int32[a, 4, ?]")
        self.assertEqual(tensor_text("s", 1, (), _NAMES), "s: float[]")
        self.assertEqual(tensor_text("odd", 999, (), _NAMES), "odd: dtype 999[]")


class EngineFileTest(absltest.TestCase):
    def test_fields(self) -> None:
        data = write_engine(example.EXAMPLE)
        found = engine_file_report(data)
        self.assertEqual((found.backend, found.backend_version, found.ral_version), ("disc", "1.2", 2))
        self.assertEqual(found.targets, ["x86-64-v3", "x86-64-v4", "sm_80", "sm_90"])
        self.assertEqual((found.bytes, found.hash), (len(data), content_hash(data).hex()))
        self.assertEqual(found.cluster_hash, bytes(range(32)).hex())
        self.assertEqual(found.sections, {"elf": 148, "empty": 0, "source": 1})
        self.assertEqual(found.symbols, ["batch >= 1", "0 <= length <= 512"])
        self.assertEqual(found.inputs, ["tokens: int32[batch, length]", "café: float[768] weight", "scalar: float[]"])
        self.assertEqual(found.outputs, ["a: float[batch*2, (-3) + length]", "b: int64[?]"])
        self.assertNotEmpty(found.refused)  # its section holds no executable

    def test_a_broken_file_is_told(self) -> None:
        data = bytearray(write_engine(example.EXAMPLE))
        data[100] ^= 1
        found = engine_file_report(bytes(data))
        self.assertEqual((found.backend, found.bytes), ("", len(data)))
        self.assertNotEmpty(found.refused)

    def test_lines(self) -> None:
        engine = engine_file_report(write_engine(example.EXAMPLE))
        engine.refused = "isa: this machine has no AVX-512"
        item = EngineOpReport("c0", "serve", "c0_op", "blade_fallback_c0", 3, {"Add": 1, "Mul": 2}, [engine])
        shown = "\n".join(engine_op_lines(item))
        self.assertIn("c0 in serve, node c0_op", shown)
        self.assertIn("blade_fallback_c0, 3 nodes: 2 Mul, 1 Add", shown)
        self.assertIn("this machine refuses it (isa: this machine has no AVX-512)", shown)
        self.assertIn("inputs   tokens: int32[batch, length], café: float[768] weight, scalar: float[]", shown)

    def test_a_plan(self) -> None:
        """Its sizes, and why an op library that was not built for it refuses it."""
        tensors = [PlanTensor("x", 0, 1, 2), PlanTensor("w", 1, 1, 1)]
        profiles = [(((1, 4, 8), (64, 64, 64)), ((5, 5, 5),)), (((9, 32, 32), (64, 64, 64)), ((5, 5, 5),))]
        section = PlanSection("tensorrt", 2, 1, tuple(tensors), (PlanTensor("y", 0, 1, 2),), tuple(profiles))
        file = dataclasses.replace(
            example.EXAMPLE,
            backend="tensorrt",
            sections={PLAN_SECTION: b"plan", PLAN_DATA_SECTION: write_plan(section)},
        )
        report = engine_file_report(write_engine(file))
        self.assertEqual(["x[1:4:8, 64]", "x[9:32, 64]"], report.profiles)
        shown = "\n".join(engine_op_lines(EngineOpReport("c", "f", "n", "b", 0, {}, [report])))
        self.assertIn("    profile  x[1:4:8, 64]\n    profile  x[9:32, 64]\n", shown)
        self.assertEqual(runtime.lacks_backend("tensorrt"), NOT_BUILT_FOR_TENSORRT in shown)
        self.assertTrue(runtime.lacks_backend("magic"))
        self.assertFalse(runtime.lacks_backend("disc"))


if __name__ == "__main__":
    absltest.main()
