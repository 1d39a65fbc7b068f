"""What fusion puts together, by the kernels that come out."""

from __future__ import annotations

from absl.testing import absltest

from tf_blade.backends.disc import passes
from tf_blade.backends.disc.compile import generate
from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Value
from tf_blade.dtypes import DType
from tf_blade.symbolic import symbol

B, S = symbol("b"), symbol("s")


def kernels(b: Builder, *results: Value) -> list[str]:
    return list(generate(b.module("fusion", list(results))).kernels)


class PlanTest(absltest.TestCase):
    def test_the_memory_bound_chain_is_one_kernel(self) -> None:
        b = Builder()
        x, r = (b.parameter(DType.FLOAT, (B, 128, 1024)) for _ in range(2))
        gamma, beta = (b.parameter(DType.FLOAT, (1024,), weight=True) for _ in range(2))
        y = b.elementwise("gelu_erf", b.layer_norm(x, gamma, beta, 1e-5))
        y = b.binary("mul", b.softmax(b.binary("add", y, r)), b.scalar(3.0, DType.FLOAT))
        self.assertEqual(kernels(b, y), ["rows"])

    def test_bias_activation_and_residual_are_the_products_epilogue(self) -> None:
        b = Builder()
        x = b.parameter(DType.FLOAT, (B, S, 64))
        w, bias = b.parameter(DType.FLOAT, (64, 64), weight=True), b.parameter(DType.FLOAT, (64,), weight=True)
        y = b.elementwise("gelu_erf", b.binary("add", b.dot(x, w), bias))
        self.assertEqual(kernels(b, b.binary("add", y, x)), ["dot"])

    def test_an_encoder_block_has_a_kernel_for_each_product_and_each_norm(self) -> None:
        b = Builder()
        x = b.parameter(DType.FLOAT, (B, S, 64))
        for _ in range(2):
            w1, w2 = (b.parameter(DType.FLOAT, s, weight=True) for s in ((64, 256), (256, 64)))
            gamma, beta = (b.parameter(DType.FLOAT, (64,), weight=True) for _ in range(2))
            hidden = b.elementwise("gelu_erf", b.dot(x, w1))
            x = b.layer_norm(b.binary("add", b.dot(hidden, w2), x), gamma, beta, 1e-5)
        self.assertEqual(kernels(b, x), ["dot", "dot", "rows"] * 2)

    def test_a_value_that_a_norm_and_a_residual_need_is_computed_once(self) -> None:
        b = Builder()
        x, y = (b.parameter(DType.FLOAT, (B, S, 64)) for _ in range(2))
        w = b.parameter(DType.FLOAT, (64, 64), weight=True)
        total = b.binary("add", x, y)
        result = b.binary("add", b.dot(b.layer_norm(total, None, None, 1e-5), w), total)
        self.assertEqual(kernels(b, result), ["rows", "dot"])

    def test_loops_side_by_side_are_one(self) -> None:
        b = Builder()
        ids = b.parameter(DType.INT64, (B, 8))
        columns = [b.reshape(b.slice(ids, (0, i), (B, 1)), (B,)) for i in range(8)]
        numbers = [b.binary("floor_mod", item, b.scalar(10 + i, DType.INT64)) for i, item in enumerate(columns)]
        self.assertEqual(kernels(b, *numbers), ["loop"])

    def test_loops_in_a_row_are_not_side_by_side(self) -> None:
        # y = sums of x's columns under x * 2; the second loop reads x too, but needs what comes after the first.
        b = Builder()
        x = b.parameter(DType.FLOAT, (B, 64))
        first = b.binary("mul", x, b.reshape(b.reduce("sum", x, [0]), (1, 64)))
        second = b.binary("mul", x, b.reshape(b.reduce("sum", b.elementwise("exp", first), [0]), (1, 64)))
        self.assertEqual(kernels(b, first, second).count("loop"), 2)

    def test_a_product_with_one_column_is_a_reduction(self) -> None:
        b = Builder()
        x, w = b.parameter(DType.FLOAT, (B, 64)), b.parameter(DType.FLOAT, (64, 1), weight=True)
        y = b.elementwise("sigmoid", b.dot(b.elementwise("relu", x), w))
        module = passes.run(b.module("narrow", [y]))
        self.assertEqual(list(generate(module).kernels), ["rows"])

    def test_merging_outputs_never_closes_a_cycle(self) -> None:
        # x -> a -> reduce over columns -> c, and a + c: `a` cannot be an output of the kernel of a + c.
        #
        #   x ── a ─────────── add
        #        └─ columns ── c ┘
        b = Builder()
        x = b.parameter(DType.FLOAT, (B, S))
        a = b.binary("add", b.elementwise("exp", x), b.elementwise("tanh", x))
        column = b.reduce("sum", a, [0], keepdims=True)
        self.assertEqual(kernels(b, b.binary("add", a, b.elementwise("exp", column)))[0], "loop")

    def test_rows_of_many_tables_are_gathered_into_their_concatenation(self) -> None:
        b = Builder()
        ids = b.parameter(DType.INT64, (B, 26))
        columns = [b.reshape(b.slice(ids, (0, i), (B, 1)), (B,)) for i in range(26)]
        columns = [b.binary("floor_mod", column, b.scalar(7 + i, DType.INT64)) for i, column in enumerate(columns)]
        tables = [b.parameter(DType.FLOAT, (7 + i, 16), weight=True) for i in range(26)]
        rows = [b.gather(table, column, 0) for table, column in zip(tables, columns, strict=True)]
        stack = b.concat([b.reshape(row, (B, 1, 16)) for row in rows], 1)
        module = passes.run(b.module("fusion", [b.concat(rows, 1), b.reduce("sum", stack, [1])]))
        self.assertEqual(list(generate(module).kernels), ["concat", "columns"])

    def test_reshapes_at_the_border_are_views(self) -> None:
        b = Builder()
        x = b.parameter(DType.FLOAT, (B, S, 64))
        w = b.parameter(DType.FLOAT, (64, 32), weight=True)
        y = b.reshape(b.dot(b.reshape(x, (B * S, 64)), w), (B, S, 4, 8))
        self.assertEqual(kernels(b, y), ["dot"])

    def test_weights_alone_are_no_work_of_a_call(self) -> None:
        b = Builder()
        x = b.parameter(DType.FLOAT, (B, 64))
        w = b.parameter(DType.FLOAT, (64, 64), weight=True)
        folded = b.elementwise("exp", b.binary("mul", w, b.reduce("sum", w, [1], keepdims=True)))
        self.assertEqual(
            kernels(b, b.dot(x, folded), b.binary("add", x, b.reduce("max", folded, [0]))), ["dot", "loop"]
        )


if __name__ == "__main__":
    absltest.main()
