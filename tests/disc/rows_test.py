"""Kernels of several passes over rows: what is computed a row ahead, in two stages, or in one rounding."""

from __future__ import annotations

import re

import numpy as np
from absl.testing import absltest, parameterized

from tests.disc import codegen_kit
from tf_blade import symbolic
from tf_blade.backends.disc.codegen.body import Line, first_stage
from tf_blade.backends.disc.compile import generate
from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Module, Value
from tf_blade.dtypes import DType

ROWS, LENGTH = symbolic.symbol("r"), symbolic.symbol("n")
# Rows of no, one and some elements, less and more than a vector, a step of two, and what loops leave over.
SIZES = [{"r": rows, "n": 37} for rows in (0, 1, 2, 7)] + [
    {"r": 5, "n": length} for length in (0, 1, 8, 15, 16, 31, 32, 33, 48, 64, 100, 9000)
]


def chain(b: Builder, x: Value, gamma: Value, beta: Value) -> Value:
    """Layer norm in single steps, GELU, residual sum, softmax, scale."""
    size = b.convert(b.dims(np.array(x.shape[-1:], object), DType.INT64), DType.FLOAT)
    size = b.reshape(size, ())

    def mean(value: Value) -> Value:
        return b.binary("div", b.reduce("sum", value, [1], keepdims=True), size)

    center = mean(x)
    variance = mean(b.binary("squared_difference", x, center))
    scale = b.elementwise("rsqrt", b.binary("add", variance, b.scalar(1e-6, DType.FLOAT)))
    normal = b.binary("mul", b.binary("sub", x, center), scale)
    y = b.elementwise("gelu_erf", b.binary("add", b.binary("mul", normal, gamma), beta))
    return b.binary("mul", b.softmax(b.binary("add", y, x)), gamma)


def chain_module(length: symbolic.Dim) -> Module:
    b = Builder()
    x = b.parameter(DType.FLOAT, (ROWS, length))
    return b.module("chain", [chain(b, x, *(b.parameter(DType.FLOAT, (length,)) for _ in range(2)))])


class RowsTest(parameterized.TestCase):
    @parameterized.parameters(LENGTH, 37, 64)
    def test_chain(self, length: symbolic.Dim) -> None:
        """Whatever the number of rows and their length; the same bits however rows are dealt out to threads."""
        module = chain_module(length)
        sizes = [item for item in SIZES if length is LENGTH or item["n"] == 37]
        with np.errstate(all="ignore"):
            codegen_kit.check(module, sizes, scale=2)

    def test_how_the_chain_is_computed(self) -> None:
        text = generate(chain_module(1024)).text
        kernel = text[text.index("kernel0") : text.index("step0")]
        before, row = kernel.split("for (int64_t unit")
        self.assertEqual(before.count("for_lanes<"), 2)  # mean and variance of the first row
        self.assertEqual(len(re.findall(r"for_lanes\w*<", row)), 3)  # and of all others beside other passes
        self.assertEqual(row.count("for_lanes_staged<"), 2)
        reader, writer, _ = re.split(r"for_lanes\w*<", row)[1:]
        self.assertIn("expect_read", reader)
        self.assertNotIn("expect_write", reader)
        self.assertIn("expect_write", writer)
        self.assertLen(re.findall(r"alignas\(64\) float", kernel), 1)  # a buffer serves the one value, then the other

    def test_softmax_alone_looks_ahead(self) -> None:
        b = Builder()
        x = b.parameter(DType.FLOAT, (ROWS, LENGTH))
        module = b.module("softmax", [b.softmax(b.binary("mul", x, b.scalar(3.0, DType.FLOAT)))])
        self.assertIn("ahead_", generate(module).text)
        codegen_kit.check(module, SIZES)

    def test_rows_that_are_looked_up(self) -> None:
        """The number of the next row's row is known where it is read."""
        b = Builder()
        table, ids = b.parameter(DType.FLOAT, (3, 40)), b.parameter(DType.INT32, (ROWS,))
        x = b.gather(table, ids, 0)
        codegen_kit.check(b.module("looked_up", [b.softmax(b.binary("mul", x, x))]), [{"r": 7}])

    def test_a_row_of_the_lowest_numbers(self) -> None:
        """Masks add them: a row of nothing else has equal weights, others none where it is."""
        b = Builder()
        x = b.parameter(DType.FLOAT, (ROWS, 40))
        module = b.module("masked", [b.softmax(x)])
        rows = np.zeros((4, 40), np.float32)
        rows[0] = rows[1, :20] = np.finfo(np.float32).min
        rows[2] = np.finfo(np.float32).max
        rows[3, 3:] = -np.inf
        codegen_kit.check(module, inputs=[rows])

    def test_products_that_cancel(self) -> None:
        """What a model multiplies and adds is rounded twice: a product that is taken from itself leaves nothing."""
        b = Builder()
        x, y = b.parameter(DType.FLOAT, (ROWS, 64)), b.parameter(DType.FLOAT, (64,))
        product = b.binary("mul", x, y)
        negative = b.elementwise("relu", b.elementwise("neg", product))
        results = []
        for other in (b.binary("mul", b.elementwise("neg", x), y), b.elementwise("neg", product), negative):
            rest = b.elementwise(
                "sqrt", b.binary("minimum", b.binary("add", product, other), b.scalar(0.0, DType.FLOAT))
            )
            results.append(b.reduce("max", rest, [1]))
        module = b.module("cancel", results)
        rows = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)
        with np.errstate(all="ignore"):
            codegen_kit.check(module, inputs=[rows, rows[0] + 1])

    def test_the_same_sum_in_two_kernels(self) -> None:
        """A product and a sum have the same bits beside a reduction and apart from it."""
        b = Builder()
        x, y = b.parameter(DType.FLOAT, (ROWS, 64)), b.parameter(DType.FLOAT, (64,))
        value = b.binary("add", b.binary("mul", x, b.scalar(1.7, DType.FLOAT)), y)
        largest = b.reduce("max", value, [1], keepdims=True)
        first = b.slice(b.transpose(largest, [1, 0]), [0, 0], [1, 1], [1, 1])
        reached = b.convert(b.binary("greater_equal", value, first), DType.INT32)
        module = b.module("top", [b.slice(reached, [0, 0], [1, 64], [1, 1])])
        rows = np.random.default_rng(0).standard_normal((8, 64)).astype(np.float32)
        codegen_kit.check(module, inputs=[rows, rows[0] + 1])

    def test_layer_norm_scales_and_moves_in_one_rounding(self) -> None:
        b = Builder()
        x, gamma, beta = (b.parameter(DType.FLOAT, shape) for shape in ((ROWS, 64), (64,), (64,)))
        normal = b.layer_norm(x, gamma, beta, epsilon=1e-5)
        module = b.module("norm", [b.reduce("sum", b.elementwise("exp", normal), [1]), normal])
        self.assertIn("fn_fma(", generate(module).text)
        codegen_kit.check(module, [{"r": rows} for rows in (0, 1, 3)])

    def test_first_stage(self) -> None:
        lines = [Line((), (f"const auto v{i} = f(v{i - 1});",), f"v{i}") for i in range(1, 6)]
        function = Line((), ("const auto v6 = fn_erf(v5);",), "v6", 0.6)
        store = Line((), ("at.store(p, fn_add(v6, v2));",))
        self.assertEqual(first_stage([*lines, function, store]), (5, ["v2", "v5"]))
        self.assertEqual(first_stage([*lines[4:], function, store]), (0, []))  # too little to compute ahead
        self.assertEqual(first_stage([store, *lines, function]), (0, []))  # a store stays where it is
        many = Line((), ("at.store(p, v1 + v2 + v3 + v4);",))
        self.assertEqual(first_stage([*lines, function, many]), (0, []))  # too many registers


if __name__ == "__main__":
    absltest.main()
