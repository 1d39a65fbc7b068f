"""IR passes: each keeps the numbers (by the NumPy interpreter) and finds what it is there to find."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from absl.testing import absltest, parameterized

from tf_blade import symbolic
from tf_blade.backends.disc import passes
from tf_blade.backends.disc.ir import interpreter
from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Module, Value
from tf_blade.dtypes import DType
from tf_blade.symbolic import symbol

F = DType.FLOAT
ROWS, SIZE = symbol("s0"), 16


def kinds(module: Module) -> list[str]:
    """Kinds of the ops, elementwise ones as their function."""
    return [str(op.attrs["fn"]) if op.kind == "elementwise" else op.kind for op in module.ops()]


def run_and_compare(test: absltest.TestCase, module: Module, *, rows: int = 5, tolerance: float = 2e-6) -> Module:
    """Runs all passes in debug and checks that the results stay."""
    optimized = passes.run(module, debug=True)
    rng = np.random.default_rng(7)
    inputs = []
    for value in module.parameters:
        shape = tuple(d if isinstance(d, int) else rows for d in value.shape)
        inputs.append(rng.standard_normal(shape).astype(value.dtype.numpy))
    for before, after in zip(interpreter.run(module, inputs), interpreter.run(optimized, inputs), strict=True):
        scale = max(1.0, float(np.max(np.abs(before), initial=0)))
        test.assertLess(float(np.max(np.abs(before - after), initial=0)), tolerance * scale)
    return optimized


def number(b: Builder, value: float, like: Value) -> Value:
    return b.full(value, F, like.shape)


def row_mean(b: Builder, x: Value) -> Value:
    total = b.reduce("sum", x, [x.rank - 1], keepdims=True)
    return b.elementwise("mul", total, b.full(1.0 / SIZE, F, total.shape))


def over_rows(b: Builder, row: Value, like: Value) -> Value:
    return b.broadcast_to(row, like.shape)


def layer_norm_two_pass(b: Builder, x: Value, gamma: Value, beta: Value) -> Value:
    centered = b.binary("sub", x, over_rows(b, row_mean(b, x), x))
    variance = row_mean(b, b.elementwise("square", centered))
    inverse = b.elementwise("rsqrt", b.binary("add", variance, b.full(1e-3, F, variance.shape)))
    normal = b.elementwise("mul", centered, over_rows(b, inverse, x))
    return b.binary("add", b.binary("mul", normal, gamma), beta)


def layer_norm_moments(b: Builder, x: Value, gamma: Value, beta: Value) -> Value:
    """x * (gamma * inverse) + (beta - mean * (gamma * inverse)), variance E[x^2] - E[x]^2."""
    mean = row_mean(b, x)
    variance = b.binary("sub", row_mean(b, b.elementwise("square", x)), b.elementwise("square", mean))
    inverse = b.elementwise("rsqrt", b.binary("add", variance, b.full(1e-3, F, variance.shape)))
    scale = b.binary("mul", inverse, gamma)
    return b.binary("add", b.binary("mul", x, scale), b.binary("sub", beta, b.binary("mul", mean, scale)))


def layer_norm_sqrt(b: Builder, x: Value, gamma: Value, beta: Value) -> Value:
    mean = over_rows(b, row_mean(b, x), x)
    variance = row_mean(b, b.elementwise("squared_difference", x, mean))
    deviation = b.elementwise("sqrt", b.binary("add", variance, b.full(1e-3, F, variance.shape)))
    normal = b.binary("div", b.binary("sub", x, mean), deviation)
    return b.binary("add", b.binary("mul", gamma, normal), beta)


def layer_norm_wrong(b: Builder, x: Value, gamma: Value, beta: Value) -> Value:
    """epsilon outside of the square root: something else."""
    centered = b.binary("sub", x, over_rows(b, row_mean(b, x), x))
    deviation = b.elementwise("sqrt", row_mean(b, b.elementwise("square", centered)))
    normal = b.binary("div", centered, b.binary("add", deviation, b.full(1e-3, F, deviation.shape)))
    return b.binary("add", b.binary("mul", normal, gamma), beta)


def layer_norm_std_plus(b: Builder, x: Value, gamma: Value, beta: Value) -> Value:
    """A tiny epsilon beside the square root, which decides about rows of equal numbers alone."""
    centered = b.binary("sub", x, over_rows(b, row_mean(b, x), x))
    deviation = b.elementwise("sqrt", row_mean(b, b.elementwise("square", centered)))
    normal = b.binary("div", centered, b.binary("add", deviation, b.full(1e-9, F, deviation.shape)))
    return b.binary("add", b.binary("mul", normal, gamma), beta)


def layer_norm_bounded(b: Builder, x: Value, gamma: Value, beta: Value) -> Value:
    """A lower bound of the variance in place of epsilon."""
    centered = b.binary("sub", x, over_rows(b, row_mean(b, x), x))
    variance = row_mean(b, b.elementwise("square", centered))
    bounded = b.elementwise("maximum", variance, b.full(1e-12, F, variance.shape))
    normal = b.binary("mul", centered, over_rows(b, b.elementwise("rsqrt", bounded), x))
    return b.binary("add", b.binary("mul", normal, gamma), beta)


def gelu_erf(b: Builder, x: Value) -> Value:
    inner = b.elementwise("erf", b.elementwise("mul", x, number(b, 1 / math.sqrt(2), x)))
    return b.elementwise(
        "mul", b.elementwise("mul", number(b, 0.5, x), x), b.elementwise("add", inner, number(b, 1, x))
    )


def gelu_erfc(b: Builder, x: Value) -> Value:
    """As TensorFlow writes it: 0.5 * x * erfc(-x / sqrt(2))."""
    inner = b.elementwise("erfc", b.elementwise("mul", b.elementwise("neg", x), number(b, math.sqrt(0.5), x)))
    return b.elementwise("mul", b.elementwise("mul", number(b, 0.5, x), x), inner)


def gelu_tanh(b: Builder, x: Value) -> Value:
    cube = b.elementwise("mul", x, b.elementwise("mul", x, x))
    inner = b.elementwise("add", x, b.elementwise("mul", number(b, 0.044715, x), cube))
    tanh = b.elementwise("tanh", b.elementwise("mul", number(b, math.sqrt(2 / math.pi), x), inner))
    return b.elementwise("mul", x, b.elementwise("mul", number(b, 0.5, x), b.elementwise("add", tanh, number(b, 1, x))))


def swish(b: Builder, x: Value) -> Value:
    return b.elementwise("mul", x, b.elementwise("sigmoid", x))


def hard_swish(b: Builder, x: Value) -> Value:
    inner = b.elementwise("relu6", b.elementwise("add", x, number(b, 3.0, x)))
    return b.elementwise("mul", x, b.elementwise("mul", inner, number(b, 1 / 6, x)))


def almost_gelu(b: Builder, x: Value) -> Value:
    inner = b.elementwise("erf", b.elementwise("mul", x, number(b, 0.7070, x)))
    return b.elementwise(
        "mul", b.elementwise("mul", number(b, 0.5, x), x), b.elementwise("add", inner, number(b, 1, x))
    )


def clipped_swish(b: Builder, x: Value) -> Value:
    return b.elementwise("mul", b.elementwise("minimum", x, number(b, 20.0, x)), b.elementwise("sigmoid", x))


def naive_swish(b: Builder, x: Value) -> Value:
    """NaN where the exponential overflows, as in TensorFlow."""
    exponential = b.elementwise("exp", x)
    share = b.elementwise("div", exponential, b.elementwise("add", exponential, number(b, 1.0, x)))
    return b.elementwise("mul", x, share)


class PassesTest(parameterized.TestCase):
    @parameterized.parameters(
        (gelu_erf, "gelu_erf"),
        (gelu_erfc, "gelu_erf"),
        (gelu_tanh, "gelu_tanh"),
        (swish, "swish"),
        (hard_swish, "hard_swish"),
    )
    def test_pointwise_functions(self, write: Callable[[Builder, Value], Value], expected: str) -> None:
        b = Builder()
        x = b.parameter(F, (ROWS, SIZE))
        module = run_and_compare(self, b.module("m", [write(b, x)]))
        self.assertEqual(kinds(module), ["parameter", expected])

    def test_another_constant_is_another_function(self) -> None:
        b = Builder()
        x = b.parameter(F, (ROWS, SIZE))
        self.assertNotIn("gelu_erf", kinds(run_and_compare(self, b.module("m", [almost_gelu(b, x)]))))

    @parameterized.parameters(layer_norm_two_pass, layer_norm_moments, layer_norm_sqrt)
    def test_layer_norm(self, write: Callable[[Builder, Value, Value, Value], Value]) -> None:
        b = Builder()
        x, gamma, beta = b.parameter(F, (ROWS, 3, SIZE)), b.parameter(F, (SIZE,)), b.parameter(F, (SIZE,))
        module = run_and_compare(self, b.module("m", [write(b, x, gamma, beta)]))
        self.assertEqual(kinds(module), ["parameter"] * 3 + ["layer_norm"])
        (op,) = (op for op in module.ops() if op.kind == "layer_norm")
        self.assertAlmostEqual(op.attrs["epsilon"], 1e-3, places=9)
        self.assertEqual([v.op.attrs["index"] for v in op.operands], [0, 1, 2])

    @parameterized.parameters(layer_norm_wrong, layer_norm_std_plus, layer_norm_bounded)
    def test_epsilon_elsewhere_is_no_layer_norm(self, write: Callable[[Builder, Value, Value, Value], Value]) -> None:
        b = Builder()
        x, gamma, beta = b.parameter(F, (ROWS, SIZE)), b.parameter(F, (SIZE,)), b.parameter(F, (SIZE,))
        module = run_and_compare(self, b.module("m", [write(b, x, gamma, beta)]))
        self.assertNotIn("layer_norm", kinds(module))

    @parameterized.parameters(clipped_swish, naive_swish)
    def test_another_function_far_out_is_another_function(self, write: Callable[[Builder, Value], Value]) -> None:
        b = Builder()
        x = b.parameter(F, (ROWS, SIZE))
        self.assertNotIn("swish", kinds(run_and_compare(self, b.module("m", [write(b, x)]))))

    def test_layer_norm_without_epsilon(self) -> None:
        b = Builder()
        x = b.parameter(F, (ROWS, SIZE))
        centered = b.binary("sub", x, over_rows(b, row_mean(b, x), x))
        deviation = b.elementwise("sqrt", row_mean(b, b.elementwise("square", centered)))
        module = run_and_compare(self, b.module("m", [b.binary("div", centered, deviation)]))
        self.assertEqual(kinds(module), ["parameter", "layer_norm"])
        self.assertEqual(module.results[0].op.attrs["epsilon"], 0.0)

    @parameterized.parameters(False, True)
    def test_softmax(self, log: bool) -> None:
        b = Builder()
        x = b.parameter(F, (ROWS, SIZE))
        shifted = b.binary("sub", x, b.reduce("max", x, [1], keepdims=True))
        exponential = b.elementwise("exp", shifted)
        total = b.reduce("sum", exponential, [1], keepdims=True)
        result = b.binary("sub", shifted, b.elementwise("log", total)) if log else b.binary("div", exponential, total)
        module = run_and_compare(self, b.module("m", [result]))
        self.assertEqual(kinds(module), ["parameter", "softmax"])

    @parameterized.parameters("before", "after", "none")
    def test_attention(self, scale: str) -> None:
        b = Builder()
        shape = (2, 4, ROWS, 8)
        q, k, v = (b.parameter(F, shape) for _ in range(3))
        mask = b.parameter(F, (2, 1, 1, ROWS))
        query = b.elementwise("mul", q, number(b, 0.25, q)) if scale == "before" else q
        scores = b.dot(query, b.transpose(k, (0, 1, 3, 2)))
        if scale == "after":
            scores = b.elementwise("div", scores, number(b, 4.0, scores))
        probabilities = b.softmax(b.binary("add", scores, mask))
        module = run_and_compare(self, b.module("m", [b.dot(probabilities, v)]))
        self.assertEqual(kinds(module), ["parameter"] * 4 + ["attention"])

    def test_attention_takes_the_transposes_of_heads(self) -> None:
        b = Builder()
        q, k, v = (b.transpose(b.parameter(F, (2, ROWS, 4, 8)), (0, 2, 1, 3)) for _ in range(3))
        probabilities = b.softmax(b.dot(q, b.transpose(k, (0, 1, 3, 2))))
        result = b.transpose(b.dot(probabilities, v), (0, 2, 1, 3))
        module = run_and_compare(self, b.module("m", [result]))
        self.assertEqual(kinds(module), ["parameter"] * 3 + ["attention"])

    @parameterized.product(
        layout=("unstacked", "indexed", "split"), product=("straight", "transposed"), others=(True, False)
    )
    def test_attention_reads_projections_where_they_lie(self, layout: str, product: str, others: bool) -> None:
        b = Builder()
        heads, depth = 4, 8
        joined = b.parameter(F, (2, ROWS, 3 * heads * depth))
        parts = []
        for i in range(3):
            if layout == "unstacked":
                x = b.transpose(b.reshape(joined, (2, ROWS, 3, heads, depth)), (2, 0, 3, 1, 4))
                cut = b.slice(x, (i, 0, 0, 0, 0), (1, *x.shape[1:]))
                parts.append(b.reshape(cut, x.shape[1:]))
            elif layout == "indexed":
                x = b.reshape(joined, (2, ROWS, heads, 3, depth))
                cut = b.slice(x, (0, 0, 0, i, 0), (2, ROWS, heads, 1, depth))
                parts.append(b.transpose(b.reshape(cut, (2, ROWS, heads, depth)), (0, 2, 1, 3)))
            else:
                cut = b.slice(joined, (0, 0, i * heads * depth), (2, ROWS, heads * depth))
                parts.append(b.transpose(b.reshape(cut, (2, ROWS, heads, depth)), (0, 2, 1, 3)))
        q, k, v = parts
        if product == "straight":
            scores = b.dot(q, k, transpose_b=True)
        else:
            scores = b.dot(q, b.transpose(k, (0, 1, 3, 2)))
        result = b.dot(b.softmax(scores), v)
        module = run_and_compare(self, b.module("m", [result, k] if others else [result]))
        (op,) = (op for op in module.ops() if op.kind == "attention")
        self.assertEqual([axis for axis, _ in op.attrs["parts"]], [3 if layout == "indexed" else 2] * 3)
        self.assertEqual([index for _, index in op.attrs["parts"]], [0, 1, 2])
        if not others:
            self.assertTrue(set(kinds(module)) <= {"parameter", "reshape", "attention"}, kinds(module))

    @parameterized.parameters("reversed", "columns", "depth")
    def test_other_parts_of_a_value_are_no_projections(self, kind: str) -> None:
        b = Builder()
        shape = (2, ROWS, 4, 8)
        if kind == "reversed":
            x = b.parameter(F, (2, ROWS, 3, 4, 8))
            cut = b.slice(x, (0, 0, 1, 3, 0), (2, ROWS, 1, 4, 8), (1, 1, 1, -1, 1))
        elif kind == "columns":
            x = b.parameter(F, (2, ROWS, 80))
            cut = b.slice(x, (0, 0, 16), (2, ROWS, 32))
        else:
            x = b.parameter(F, (2, ROWS, 4, 8, 3))
            cut = b.slice(x, (0, 0, 0, 0, 1), (2, ROWS, 4, 8, 1))
        q = b.transpose(b.reshape(cut, shape), (0, 2, 1, 3))
        result = b.dot(b.softmax(b.dot(q, q, transpose_b=True)), q)
        module = run_and_compare(self, b.module("m", [result]))
        (op,) = (op for op in module.ops() if op.kind == "attention")
        self.assertEqual(op.attrs["parts"], (None, None, None))

    @parameterized.product(inverted=(True, False), causal=(True, False), number=(-1e9, -float("inf")))
    def test_attention_with_a_mask_that_selects(self, inverted: bool, causal: bool, number: float) -> None:
        b = Builder()
        shape = (2, 4, ROWS, 8)
        q, k, v = (b.parameter(F, shape) for _ in range(3))
        scores = b.dot(q, k, transpose_b=True)
        scores = b.elementwise("mul", scores, b.full(0.25, F, scores.shape))
        if causal:
            row, column = (b.iota((ROWS, ROWS), axis, DType.INT32) for axis in (0, 1))
            keep = b.broadcast_to(b.elementwise("less_equal", column, row), scores.shape)
        else:
            always = b.broadcast(b.constant(np.array(True)), scores.shape, ())
            mask = b.broadcast(b.parameter(F, (2, ROWS)), scores.shape, (0, 3))
            keep = b.elementwise("logical_and", always, b.elementwise("greater", mask, b.full(-2.5, F, scores.shape)))
        other = b.full(number, F, scores.shape)
        if inverted:
            chosen = b.elementwise("select", b.elementwise("logical_not", keep), other, scores)
        else:
            chosen = b.elementwise("select", keep, scores, other)
        module = run_and_compare(self, b.module("m", [b.dot(b.softmax(chosen), v)]))
        (op,) = (op for op in module.ops() if op.kind == "attention")
        self.assertTrue(op.attrs["fill"])
        batch, heads, rows, _ = op.operands[3].shape
        self.assertEqual((batch, heads, rows), (1, 1, ROWS) if causal else (2, 1, 1))

    @parameterized.parameters(0.0, float("nan"))
    def test_selections_of_other_numbers_are_no_masks(self, number: float) -> None:
        b = Builder()
        q, k, v = (b.parameter(F, (2, 4, ROWS, 8)) for _ in range(3))
        scores = b.dot(q, k, transpose_b=True)
        keep = b.elementwise("less", scores, b.full(100.0, F, scores.shape))
        chosen = b.elementwise("select", keep, scores, b.full(number, F, scores.shape))
        module = run_and_compare(self, b.module("m", [b.dot(b.softmax(chosen), v)]))
        self.assertNotIn("attention", kinds(module))

    def test_batch_norm_goes_into_the_weights(self) -> None:
        b = Builder()
        x = b.parameter(F, (ROWS, 6, 6, 3))
        w, gamma, beta = (
            b.parameter(F, (3, 3, 3, 8), weight=True),
            *(b.parameter(F, (8,), weight=True) for _ in range(2)),
        )
        y = b.conv2d(x, w, strides=(1, 1), dilations=(1, 1), low=(1, 1), high=(1, 1))
        module = run_and_compare(self, b.module("m", [b.binary("add", b.binary("mul", y, gamma), beta)]))
        (conv,) = (op for op in module.ops() if op.kind == "conv2d")
        self.assertEqual(conv.operands[1].kind, "elementwise")
        self.assertEqual([op.attrs["fn"] for op in module.ops() if op.kind == "elementwise"], ["mul", "add"])

    @parameterized.parameters("conv", "max", "avg")
    def test_zero_padding_goes_into_the_windows(self, kind: str) -> None:
        b = Builder()
        x = b.parameter(F, (ROWS, 6, 5, 3))
        padded = b.pad(x, (0, 1, 0, 0), (0, 1, 2, 0))
        if kind == "conv":
            w = b.parameter(F, (3, 3, 3, 8), weight=True)
            y = b.conv2d(padded, w, strides=(2, 2), dilations=(1, 1), low=(0, 1), high=(1, 0))
        else:
            y = b.pool2d(kind, padded, window=(3, 3), strides=(2, 2), low=(0, 0), high=(0, 0))
        self.assertNotIn("pad", kinds(run_and_compare(self, b.module("m", [y]))))

    @parameterized.parameters("value", "channels", "pads")
    def test_other_padding_stays(self, other: str) -> None:
        b = Builder()
        x = b.parameter(F, (ROWS, 6, 5, 3))
        fill = b.scalar(1.5, F) if other == "value" else None
        padded = b.pad(x, (0, 1, 1, 0), (0, 1, 1, 1 if other == "channels" else 0), value=fill)
        low = (1, 1) if other == "pads" else (0, 0)
        y = b.pool2d("max", padded, window=(3, 3), strides=(1, 1), low=low, high=low)
        self.assertIn("pad", kinds(run_and_compare(self, b.module("m", [y]))))

    @parameterized.parameters(2, 3)
    def test_blocks_around_a_convolution_are_a_dilation(self, block: int) -> None:
        b = Builder()
        x, w = b.parameter(F, (ROWS, symbol("s1"), 6)), b.parameter(F, (1, 3, 6, 8), weight=True)
        extra = symbolic.mod(block - symbolic.mod(symbol("s1") + 2 * block, block), block)
        padded = b.pad(b.pad(x, (0, 2 * block, 0), (0, 0, 0)), (0, 0, 0), (0, extra, 0))
        length = symbolic.floordiv(padded.shape[1], block)
        b.require_equal(symbolic.mul(length, block), padded.shape[1])
        split = b.reshape(padded, (ROWS, length, block, 6))
        images = b.reshape(b.transpose(split, (2, 0, 1, 3)), (block * ROWS, 1, length, 6))
        y = b.conv2d(images, w, strides=(1, 1), dilations=(1, 1), low=(0, 0), high=(0, 0))
        back = b.transpose(b.reshape(y, (block, ROWS, length - 2, 8)), (1, 2, 0, 3))
        whole = b.reshape(back, (ROWS, block * (length - 2), 8))
        result = b.slice(whole, (0, 0, 0), (ROWS, block * (length - 2) - extra, 8))
        for rows in (4, 5, 6):
            found = run_and_compare(self, b.module("m", [result]), rows=rows)
            self.assertLessEqual(set(kinds(found)), {"parameter", "reshape", "conv2d"})

    @parameterized.parameters("none", "perm", "used", "order")
    def test_blocks_of_height_and_width(self, other: str) -> None:
        b = Builder()
        x, w = b.parameter(F, (ROWS, 8, 9, 4)), b.parameter(F, (3, 2, 4, 5), weight=True)
        split = b.reshape(b.pad(x, (0, 1, 0, 0), (0, 1, 0, 0)), (ROWS, 5, 2, 3, 3, 4))
        perm = (4, 2, 0, 1, 3, 5) if other == "perm" else (2, 4, 0, 1, 3, 5)
        images = b.reshape(b.transpose(split, perm), (6 * ROWS, 5, 3, 4))
        y = b.conv2d(images, w, strides=(1, 1), dilations=(1, 1), low=(0, 0), high=(0, 0))
        blocks = (3, 2) if other == "order" else (2, 3)
        moved = b.transpose(b.reshape(y, (*blocks, ROWS, 3, 2, 5)), (2, 3, 0, 4, 1, 5))
        result = b.reshape(moved, (ROWS, 3 * blocks[0], 2 * blocks[1], 5))
        module = b.module("m", [result, y] if other == "used" else [result])
        self.assertEqual("transpose" in kinds(run_and_compare(self, module)), other != "none")

    def test_narrow_convolutions_of_one_image_become_one(self) -> None:
        b = Builder()
        x = b.parameter(F, (ROWS, 6, 6, 3))
        first, second, third = (b.parameter(F, (3, 3, 3, n), weight=True) for n in (5, 2, 4))
        geometry: dict[str, Any] = {"strides": (1, 1), "dilations": (1, 1), "low": (1, 1), "high": (1, 1)}
        results = [b.conv2d(x, w, **geometry) for w in (first, second)]
        results.append(b.conv2d(x, third, **{**geometry, "strides": (2, 2)}))
        module = run_and_compare(self, b.module("m", results))
        joined, alone = sorted((op for op in module.ops() if op.kind == "conv2d"), key=lambda op: op.attrs["strides"])
        self.assertEqual([int(op.operands[1].shape[3]) for op in (joined, alone)], [7, 4])

    def test_weights_of_different_company_stay_apart(self) -> None:
        b = Builder()
        x, y = (b.parameter(F, (ROWS, 4, 4, 3)) for _ in range(2))
        first, second = (b.parameter(F, (1, 1, 3, 4), weight=True) for _ in range(2))
        geometry: dict[str, Any] = {"strides": (1, 1), "dilations": (1, 1), "low": (0, 0), "high": (0, 0)}
        results = [b.conv2d(image, w, **geometry) for image, w in ((x, first), (x, second), (y, second))]
        module = run_and_compare(self, b.module("m", results))
        self.assertEqual(kinds(module).count("conv2d"), 3)

    def test_a_product_used_elsewhere_is_not_scaled(self) -> None:
        b = Builder()
        x, w = b.parameter(F, (ROWS, 8)), b.parameter(F, (8, 4), weight=True)
        s = b.parameter(F, (4,), weight=True)
        y = b.dot(x, w)
        module = run_and_compare(self, b.module("m", [y, b.binary("mul", y, s)]))
        self.assertEqual(kinds(module).count("dot"), 1)

    def test_transposes_go_into_dot(self) -> None:
        b = Builder()
        x, y = b.parameter(F, (2, 5, 4)), b.parameter(F, (2, 6, 5))
        result = b.transpose(b.dot(b.transpose(x, (0, 2, 1)), b.transpose(y, (0, 2, 1))), (0, 2, 1))
        module = run_and_compare(self, b.module("m", [result]))
        self.assertEqual(kinds(module), ["parameter", "parameter", "dot"])

    @parameterized.parameters(0, 1, 5)
    def test_products_with_one_column_become_sums(self, rows: int) -> None:
        b = Builder()
        x, y = b.parameter(F, (ROWS, 7)), b.parameter(F, (2, ROWS, 7))
        w, turned, each = (b.parameter(F, shape, weight=True) for shape in ((7, 1), (1, 7), (2, 7, 1)))
        results = [b.dot(x, w), b.dot(y, turned, transpose_b=True), b.dot(y, each)]
        module = run_and_compare(self, b.module("m", results), rows=rows)
        self.assertNotIn("dot", kinds(module))

    def test_common_subexpressions(self) -> None:
        b = Builder()
        x = b.parameter(F, (ROWS, 4))
        first, second = (b.elementwise("exp", b.elementwise("neg", x)) for _ in range(2))
        module = run_and_compare(self, b.module("m", [b.elementwise("add", first, second)]))
        self.assertEqual(kinds(module), ["parameter", "neg", "exp", "add"])


if __name__ == "__main__":
    absltest.main()
