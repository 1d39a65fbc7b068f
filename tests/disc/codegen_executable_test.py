"""Executables as the host sees them: guards, result codes, symbols, determinism, failing compilers."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from tests.disc import codegen_kit
from tf_blade.backends.disc import toolchain
from tf_blade.backends.disc.compile import compile_module, generate
from tf_blade.backends.disc.harness import Cancelled, GuardRefused, LoadedExecutable, OutOfMemory
from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Constraint, Module
from tf_blade.dtypes import DType
from tf_blade.errors import BuildFailure
from tf_blade.symbolic import floordiv, mul, symbol, value_symbol

B, S, N = symbol("b"), symbol("s"), symbol("n")


def guarded_module() -> Module:
    """Dimensions that repeat, follow from others, and come from an integer input's content."""
    b = Builder()
    x = b.parameter(DType.FLOAT, (B, S))
    y = b.parameter(DType.FLOAT, (S, 2 * B))
    n = b.parameter(DType.INT32, (2,), value=np.array([value_symbol("n"), S], dtype=object))
    wide = b.broadcast(b.reduce("sum", y, [0, 1]), (value_symbol("n"),), ())
    w = b.parameter(DType.FLOAT, (S, 3), weight=False)
    module = b.module("guarded", [b.elementwise("exp", x), wide, b.dot(x, w), n])
    module.constraints.append(Constraint("at_least", value_symbol("n"), 1))
    return module


def guarded_inputs(b: int = 2, s: int = 3, n: int = 4) -> list[np.ndarray]:
    return [
        np.ones((b, s), np.float32),
        np.ones((s, 2 * b), np.float32),
        np.array([n, s], np.int32),
        np.ones((s, 3), np.float32),
    ]


class GuardTest(absltest.TestCase):
    runner: LoadedExecutable

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        module = guarded_module()
        cls.runner = LoadedExecutable(codegen_kit.build(module), parameters=module.parameters, results=module.results)

    def test_takes_what_it_was_compiled_for(self) -> None:
        for b, s, n in ((2, 3, 4), (1, 1, 1), (0, 5, 2), (7, 0, 3)):
            exp, wide, product, copied = self.runner.run(guarded_inputs(b, s, n))
            np.testing.assert_allclose(exp, np.full((b, s), np.e, np.float32), rtol=1e-6)
            np.testing.assert_array_equal(wide, np.full(n, s * 2 * b, np.float32))
            np.testing.assert_array_equal(product, np.full((b, 3), s, np.float32))
            np.testing.assert_array_equal(copied, [n, s])

    def test_refuses_other_ranks_types_and_dimensions(self) -> None:
        good = guarded_inputs()
        changes: dict[str, tuple[int, np.ndarray]] = {
            "rank": (0, np.ones((2, 3, 1), np.float32)),
            "type": (0, np.ones((2, 3), np.float64)),
            "repeated dimension": (1, np.ones((4, 4), np.float32)),
            "following dimension": (1, np.ones((3, 5), np.float32)),
            "fixed dimension": (3, np.ones((3, 4), np.float32)),
            "content": (2, np.array([4, 2], np.int32)),
            "constraint": (2, np.array([0, 3], np.int32)),
            "negative size": (2, np.array([-1, 3], np.int32)),
        }
        for name, (place, array) in changes.items():
            inputs = list(good)
            inputs[place] = array
            with self.subTest(name), self.assertRaisesRegex(GuardRefused, "."):
                self.runner.run(inputs)

    def test_cancellation(self) -> None:
        with self.assertRaises(Cancelled):
            self.runner.run(guarded_inputs(), cancel=True)

    def test_out_of_memory(self) -> None:
        b = Builder()
        x = b.parameter(DType.FLOAT, (B, S))
        module = b.module("memory", [b.dot(b.elementwise("exp", x), b.elementwise("tanh", x), transpose_b=True)])
        runner = LoadedExecutable(codegen_kit.build(module), parameters=module.parameters, results=module.results)
        with self.assertRaises(OutOfMemory):
            runner.run([np.ones((2, 3), np.float32)], fail_alloc=True)


class MemoryTest(absltest.TestCase):
    def test_what_is_copied_at_the_end_is_alive_until_then(self) -> None:
        """A result that is a view of a size found at run time has no output to be computed into."""
        b = Builder()
        x = b.parameter(DType.FLOAT, (B, 8))
        w = b.parameter(DType.FLOAT, (8, 8))
        y = b.elementwise("exp", x)
        count = b.late_dim("count")
        (found,) = b.find("where", (b.binary("greater", x, b.elementwise("neg", x)),), (count,))
        view = b.reshape(y, (count, floordiv(mul(8, B), count)))
        module = b.module("view", [view, b.dot(b.dot(b.dot(x, w), w), w), found])
        image = codegen_kit.build(module)
        rows = np.abs(np.random.default_rng(0).normal(size=(4, 8))).astype(np.float32) * [1, -1, 1, -1, 1, -1, 1, -1]
        rows = rows.astype(np.float32)
        runner = LoadedExecutable(image, parameters=module.parameters, results=module.results)
        got, *_ = runner.run([rows, np.eye(8, dtype=np.float32)])
        np.testing.assert_allclose(got, np.exp(rows).reshape(16, 2), rtol=1e-6)

    def test_sizes_beyond_memory_are_refused_where_no_input_has_elements(self) -> None:
        b = Builder()
        x, y = b.parameter(DType.FLOAT, (B, N)), b.parameter(DType.FLOAT, (S, N))
        module = b.module("empty", [b.elementwise("exp", b.dot(x, y, transpose_b=True))])
        runner = LoadedExecutable(codegen_kit.build(module), parameters=module.parameters, results=module.results)
        (small,) = runner.run([np.zeros((2, 0), np.float32), np.zeros((3, 0), np.float32)])
        np.testing.assert_array_equal(small, np.ones((2, 3), np.float32))
        for rows, columns in ((2**31, 2**30), (2**31, 2**31), (2**60, 1), (2**60, 16)):
            with self.subTest(rows=rows, columns=columns), self.assertRaisesRegex(GuardRefused, "beyond memory"):
                runner.run([np.zeros((rows, 0), np.float32), np.zeros((columns, 0), np.float32)])


class WeightsTest(absltest.TestCase):
    def test_results_that_init_computes_and_weights_themselves(self) -> None:
        b = Builder()
        x = b.parameter(DType.FLOAT, (B, 4))
        w, v = b.parameter(DType.FLOAT, (4, 4), weight=True), b.parameter(DType.FLOAT, (4,), weight=True)
        folded = b.binary("mul", w, b.elementwise("rsqrt", b.elementwise("square", v)))
        product = b.dot(x, b.reshape(b.elementwise("neg", folded), (4, 4)))
        tall = b.reshape(folded, (16,))
        results = [folded, tall, w, product, b.binary("add", x, b.reduce("sum", folded, [0])), folded]
        codegen_kit.check(b.module("weights", results), ({"b": 3}, {"b": 0}, {"b": 1}))

    def test_joined_weights_are_packed_when_all_parts_are_there(self) -> None:
        b = Builder()
        x = b.parameter(DType.FLOAT, (B, 4))
        parts = [b.parameter(DType.FLOAT, (4, size), weight=True) for size in (3, 2, 5)]
        codegen_kit.check(b.module("joined", [b.dot(x, b.concat(parts, 1))]), ({"b": 3}, {"b": 1}))

    def test_other_weights_need_another_init(self) -> None:
        b = Builder()
        x, w = b.parameter(DType.FLOAT, (B, 2)), b.parameter(DType.FLOAT, (2, 2), weight=True)
        module = b.module("init", [b.dot(x, w)])
        runner = LoadedExecutable(codegen_kit.build(module), parameters=module.parameters, results=module.results)
        ones = np.ones((1, 2), np.float32)
        for factor in (1.0, 3.0):
            weights = np.full((2, 2), factor, np.float32)
            runner.init([ones, weights])
            np.testing.assert_array_equal(runner.run([ones, weights])[0], ones @ weights)

    def test_a_dimension_that_no_input_has_is_a_failure(self) -> None:
        b = Builder()
        x = b.parameter(DType.FLOAT, ())
        with self.assertRaisesRegex(BuildFailure, "does not follow"):
            generate(b.module("unbound", [b.broadcast(x, (S,), ())]))


class SymbolsTest(parameterized.TestCase):
    def test_needs_memory_functions_at_most(self) -> None:
        executable = compile_module(guarded_module())
        self.assertLessEqual(toolchain.undefined_symbols(executable.image), toolchain.ALLOWED_SYMBOLS)

    def test_a_forbidden_symbol_is_a_failure(self) -> None:
        text = generate(guarded_module()).text.replace(
            "int32_t error = 0;", 'int32_t error = 0; extern "C" double lgamma(double); error = lgamma(3) < 0;', 1
        )
        text = text.replace("namespace blade {", 'extern "C" double lgamma(double);\nnamespace blade {', 1)
        text = text.replace('int32_t error = 0; extern "C" double lgamma(double);', "int32_t error = 0;")
        with self.assertRaisesRegex(BuildFailure, "lgamma"):
            toolchain.build(text.replace("lgamma(3)", "lgamma(double(d.b))"), ("x86-64-v3",))

    def test_the_same_module_gives_the_same_bytes_in_another_process(self) -> None:
        script = (
            "import sys, hashlib\n"
            "from tests.disc.codegen_executable_test import guarded_module\n"
            "from tf_blade.backends.disc.compile import compile_module\n"
            "sys.stdout.write(hashlib.sha256(compile_module(guarded_module()).image).hexdigest())\n"
        )
        hashes = set()
        for seed in ("1", "2"):
            root = pathlib.Path(__file__).resolve().parents[2]
            environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
            done = subprocess.run(
                [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment, cwd=root
            )
            hashes.add(done.stdout)
        self.assertEqual(len(hashes), 1)


class ToolchainTest(absltest.TestCase):
    def test_missing_compiler(self) -> None:
        with (
            mock.patch.dict(os.environ, {"TF_BLADE_CXX": "no-such-compiler"}),
            self.assertRaisesRegex(BuildFailure, "no-such-compiler"),
        ):
            toolchain.build("", ("x86-64-v3",))

    def test_failing_compiler_gives_its_first_error(self) -> None:
        with self.assertRaisesRegex(BuildFailure, "error: .*nonsense"):
            toolchain.build("// inputs 0 outputs 0\nnonsense;\n", ("x86-64-v3",))

    def test_unknown_level(self) -> None:
        with self.assertRaisesRegex(BuildFailure, "level"):
            toolchain.build("", ("x86-64-v9",))


if __name__ == "__main__":
    absltest.main()
