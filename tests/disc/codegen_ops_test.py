"""Each op kind's code against the interpreter, for sizes 0 and 1 too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from absl.testing import absltest, parameterized

from tests.disc import codegen_kit
from tf_blade import dtypes
from tf_blade.backends.disc import passes
from tf_blade.backends.disc.compile import generate
from tf_blade.backends.disc.harness import ExecutionError, LoadedExecutable
from tf_blade.backends.disc.ir import interpreter
from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.scalar import FNS
from tf_blade.backends.disc.ir.values import Value
from tf_blade.dtypes import DType
from tf_blade.symbolic import floordiv, symbol

B, S = symbol("b"), symbol("s")
SIZES = ({"b": 2, "s": 7}, {"b": 1, "s": 1}, {"b": 0, "s": 3}, {"b": 3, "s": 0}, {"b": 5, "s": 33})


def lookups(b: Builder) -> list[Value]:
    """Rows of tables beyond the first level cache, which kernels announce ahead; and loops that lie side by side."""
    ids = b.parameter(DType.INT64, (B, S))
    tables = [b.parameter(DType.FLOAT, (300 + i, width), weight=True) for i, width in enumerate((16, 21, 80))]
    mixed = [b.binary("mul", ids, b.full(97 + 11 * i, DType.INT64, (B, S))) for i in range(3)]
    rows = [b.gather(table, numbers, 0) for table, numbers in zip(tables, mixed, strict=True)]
    pairs = b.parameter(DType.INT64, (B, 2))
    column = b.reshape(b.slice(pairs, (0, 1), (B, 1)), (B,))
    late = b.gather(tables[0], b.reshape(ids, (B * S,)), 0)
    padded = b.pad(late, (1, 0), (2, 0), value=b.scalar(2.0, DType.FLOAT))
    return [
        *mixed,
        b.concat(rows, 2),
        padded,
        b.reduce("sum", rows[2], [2]),
        b.reduce("sum", b.gather(tables[2], ids, 0), [1]),
        b.layer_norm(b.gather(tables[2], ids, 0), None, None, 1e-3),
        b.elementwise("exp", b.gather(tables[1], ids, 0)),
        b.concat([late, late], 1),
        b.reshape(b.elementwise("neg", column), (B, 1)),
    ]


def narrow(b: Builder) -> list[Value]:
    """Products with one column."""
    x = b.parameter(DType.FLOAT, (B, S, 37))
    w, bias = (b.parameter(DType.FLOAT, shape, weight=True) for shape in ((37, 1), (1,)))
    turned = b.parameter(DType.FLOAT, (1, 37))
    each = b.parameter(DType.FLOAT, (B, 37, 1))
    logits = b.binary("add", b.dot(x, w), bias)
    flat = b.reshape(x, (B * S, 37))
    return [
        b.elementwise("sigmoid", logits),
        b.dot(b.elementwise("relu", x), turned, transpose_b=True),
        b.dot(x, each),
        b.dot(flat, w),
        b.dot(b.dot(flat, flat, transpose_a=True), w),
        b.dot(b.slice(flat, (0, 0), (B * S, 1)), b.slice(turned, (0, 0), (1, 1))),
    ]


def movement(b: Builder) -> list[Value]:
    x = b.parameter(DType.FLOAT, (B, S, 24))
    split = b.reshape(x, (B, S, 4, 6))
    heads = b.transpose(split, (0, 2, 1, 3))
    reverse = b.reverse(b.transpose(x, (2, 1, 0)), [0, 2])
    return [
        heads,
        b.reshape(heads, (4 * B, 6 * S)),
        b.reshape(b.elementwise("neg", heads), (B * S * 24,)),
        reverse,
        b.slice(x, (0, 0, 3), (B, S, 5), (1, 1, 4)),
        b.pad(x, (1, 0, 2), (0, 2, 3), value=b.scalar(7.5, DType.FLOAT)),
        b.concat([x, b.elementwise("abs", x), b.reverse(x, [1])], 1),
        b.concat([b.slice(x, (0, 0, 0), (B, S, 1)), x], 2),
        b.broadcast(b.slice(x, (0, 0, 4), (B, S, 1)), (B, S, 3), (0, 1, 2)),
        b.transpose(x, (2, 0, 1)),
        x,
        b.reshape(x, (S, B, 24)),
        b.reshape(b.elementwise("add", b.reshape(x, (B, 24, S)), b.transpose(x, (0, 2, 1))), (B * 24, S)),
    ]


def joined(b: Builder) -> list[Value]:
    x = b.parameter(DType.FLOAT, (B, S, 4))
    ids = b.parameter(DType.INT32, (B, 3))
    tables = [b.parameter(DType.FLOAT, (3 + i, 5 + i), weight=True) for i in range(3)]
    columns = [b.reshape(b.slice(ids, (0, i), (B, 1)), (B,)) for i in range(3)]
    rows = [b.gather(table, column, 0) for table, column in zip(tables, columns, strict=True)]
    narrow = b.reshape(b.convert(columns[0], DType.FLOAT), (B, 1))
    square = b.reshape(b.concat([rows[1], b.elementwise("abs", rows[1])], 1), (B, 2, 3, 2))
    return [
        b.concat([narrow, *rows, narrow], 1),
        b.concat([square, b.elementwise("neg", square)], 2),
        b.concat([b.reshape(x, (B, S, 1, 4)), b.reshape(b.elementwise("exp", x), (B, S, 1, 4))], 2),
        b.concat([x, b.transpose(x, (0, 1, 2)), b.slice(x, (0, 0, 1), (B, S, 2))], 2),
    ]


def sources(b: Builder) -> list[Value]:
    x = b.parameter(DType.FLOAT, (B, S))
    table = b.constant(np.arange(20, dtype=np.int32).reshape(4, 5) * 3)
    steps = b.iota((B, S), 1, DType.INT32)
    return [
        steps,
        b.dims(np.array([B, S, 3, B * S], object), DType.INT64),
        b.binary("add", table, b.scalar(2, DType.INT32)),
        b.binary("add", x, b.convert(steps, DType.FLOAT)),
        b.full(3.5, DType.DOUBLE, (S, B)),
        b.constant(np.zeros((0, 3), np.float32)),
        b.elementwise("select", b.binary("less", steps, b.scalar(2, DType.INT32)), x, b.elementwise("neg", x)),
        b.reshape(b.dims(np.array([floordiv(B + S, 2)], object), DType.INT32), ()),
    ]


def gathers(b: Builder) -> list[Value]:
    table = b.parameter(DType.FLOAT, (3, 4, 9), weight=True)
    ids = b.parameter(DType.INT32, (B, S))
    pairs = b.parameter(DType.INT64, (S, 2))
    x = b.parameter(DType.FLOAT, (B, 4, 5))
    rows = b.gather(table, ids, 0)
    return [
        rows,
        b.gather(table, ids, 1),
        b.gather(b.elementwise("exp", table), ids, 2),
        b.gather(x, ids, 1, batch_dims=1),
        b.gather_nd(table, pairs),
        b.binary("add", b.reduce("sum", rows, [2]), b.full(1, DType.FLOAT, (B, S, 9))),
        b.gather_nd(x, b.reshape(ids, (B, S, 1)), batch_dims=1),
    ]


def reductions(b: Builder) -> list[Value]:
    x = b.parameter(DType.FLOAT, (B, S, 40))
    n = b.parameter(DType.INT32, (B, S, 3))
    results = [
        b.reduce(kind, x, axes) for kind in ("sum", "max", "min") for axes in ([2], [1], [0], [0, 1], [1, 2], [0, 2])
    ]
    results += [b.reduce(kind, n, axes) for kind in ("sum", "prod", "max", "min") for axes in ([2], [0], [0, 1, 2])]
    mask = b.binary("less", n, b.scalar(2, DType.INT32))
    results += [b.reduce("and", mask, [1, 2]), b.reduce("or", mask, [0])]
    mean = b.binary("mul", b.reduce("sum", x, [1], keepdims=True), b.scalar(0.25, DType.FLOAT))
    results += [b.binary("sub", x, mean), b.reduce("sum", b.elementwise("square", x), [0, 1, 2])]
    return results


def stitches(b: Builder) -> list[Value]:
    x = b.parameter(DType.FLOAT, (B, S, 40))
    gamma = b.parameter(DType.FLOAT, (40,), weight=True)
    beta = b.parameter(DType.FLOAT, (40,), weight=True)
    residual = b.binary("add", x, b.elementwise("tanh", x))
    norm = b.layer_norm(residual, gamma, beta, 1e-5)
    wide = b.parameter(DType.FLOAT, (B, 20000))
    long = b.parameter(DType.FLOAT, (B, 6, S))
    return [
        norm,
        b.binary("mul", residual, b.scalar(2, DType.FLOAT)),
        b.softmax(norm),
        b.softmax(x, log=True),
        b.softmax(b.elementwise("add", wide, b.elementwise("exp", wide))),
        b.softmax(long),
        b.layer_norm(x, None, None, 1e-3),
        b.transpose(b.softmax(long), (0, 2, 1)),
    ]


def special(b: Builder) -> list[Value]:
    x = b.parameter(DType.FLOAT, (B, S, 11))
    n = b.parameter(DType.INT32, (B, 6))
    ids = b.parameter(DType.INT32, (S, 1))
    rows = b.parameter(DType.FLOAT, (3, 5))
    updates = b.parameter(DType.FLOAT, (S, 5))
    results = []
    for kind in ("sum", "prod"):
        for exclusive in (False, True):
            for reverse in (False, True):
                results.append(b.cumulative(kind, x, 1, exclusive=exclusive, reverse=reverse))
    results += [b.cumulative("sum", n, 1), b.cumulative("sum", x, 2)]
    results += [b.arg_reduce("max", x, 2, DType.INT32), b.arg_reduce("min", n, 1, DType.INT64)]
    results += [*b.topk(x, 4, DType.INT32), *b.topk(n, 6, DType.INT32)]
    results += [b.scatter(rows, ids, updates, "add"), b.scatter(rows, ids, updates, "update")]
    return results


def dots(b: Builder) -> list[Value]:
    x = b.parameter(DType.FLOAT, (B, S, 24))
    w = b.parameter(DType.FLOAT, (24, 17), weight=True)
    wt = b.parameter(DType.FLOAT, (9, 24), weight=True)
    bias = b.parameter(DType.FLOAT, (17,), weight=True)
    n = b.parameter(DType.INT32, (S, 3))
    y = b.dot(x, w)
    biased = b.binary("add", y, bias)
    wide = b.convert(x, DType.DOUBLE)
    return [
        b.elementwise("gelu_erf", biased),
        b.binary("add", b.dot(x, wt, transpose_b=True), b.reduce("sum", x, [2], keepdims=True)),
        b.dot(x, x, transpose_b=True),
        b.dot(x, x, transpose_a=True),
        b.softmax(b.dot(x, x, transpose_b=True)),
        b.dot(n, n, transpose_a=True),
        b.dot(wide, wide, transpose_b=True),
        b.binary("mul", b.reshape(b.dot(x, w), (B * S, 17)), b.elementwise("exp", bias)),
        b.dot(x, b.elementwise("square", w)),
    ]


def epilogues(b: Builder) -> list[Value]:
    x = b.parameter(DType.FLOAT, (B, S, 24))
    w = b.parameter(DType.FLOAT, (24, 9), weight=True)
    table = b.parameter(DType.FLOAT, (3, 9), weight=True)
    ids = b.parameter(DType.INT32, (B, S))
    steps = b.parameter(DType.INT32, (9,))
    half = b.binary("floor_div", steps, b.scalar(2, DType.INT32))
    gathered = b.binary("add", b.dot(x, w), b.gather(table, ids, 0))
    y = b.dot(x, b.elementwise("neg", w))
    return [
        b.binary("mul", gathered, b.convert(half, DType.FLOAT)),
        b.binary("mul", y, b.elementwise("sigmoid", y)),
        b.transpose(b.reshape(b.dot(x, w), (B, S, 3, 3)), (0, 2, 1, 3)),
        b.binary("add", b.transpose(b.dot(x, w), (0, 2, 1)), b.scalar(1, DType.FLOAT)),
    ]


def pads(b: Builder) -> list[Value]:
    x = b.parameter(DType.FLOAT, (4, 5, 3))
    n = b.parameter(DType.INT32, (B, 6))
    return [
        b.pad(x, (3, 1, 0), (2, 4, 0), mode="reflect"),
        b.pad(x, (4, 1, 3), (2, 5, 1), mode="symmetric"),
        b.pad(n, (B, 2), (0, 1), value=b.scalar(9, DType.INT32)),
        b.pad(b.elementwise("exp", x), (0, 0, 1), (0, 0, 1)),
    ]


def resizes(b: Builder) -> list[Value]:
    x = b.parameter(DType.FLOAT, (2, 5, 6, 3))
    results = []
    for kind in ("bilinear", "nearest"):
        for align, half in ((False, False), (True, False), (False, True)):
            for size in ((9, 13), (3, 4), (1, 1)):
                results.append(b.resize(kind, x, size, align_corners=align, half_pixel_centers=half))
    return results


MODULES: dict[str, Callable[[Builder], list[Value]]] = {
    fn.__name__: fn
    for fn in (
        lookups,
        movement,
        joined,
        sources,
        gathers,
        reductions,
        stitches,
        special,
        dots,
        epilogues,
        pads,
        resizes,
    )
}


class LongTest(absltest.TestCase):
    def test_whole_tensor_reductions_in_parts(self) -> None:
        b = Builder()
        x, y = b.parameter(DType.FLOAT, (B, S)), b.parameter(DType.FLOAT, (B, 1))
        n = b.parameter(DType.INT32, (B, S))
        scaled = b.binary("mul", x, y)
        mean = b.binary("mul", b.reduce("sum", scaled, [0, 1]), b.scalar(0.5, DType.FLOAT))
        results = [mean, b.reduce("max", x, [0, 1]), b.reduce("sum", n, [0, 1]), b.reduce("min", scaled, [0, 1])]
        results.append(b.reduce("and", b.binary("less", n, b.scalar(3, DType.INT32)), [0, 1]))
        sizes = ({"b": 131, "s": 1009}, {"b": 1, "s": 40000}, {"b": 40000, "s": 1}, {"b": 0, "s": 5})
        codegen_kit.check(b.module("long", results), sizes, scale=20.0)

    def test_pooling_over_images_in_blocks_of_channels(self) -> None:
        # Two reduced axes before the kept one, which is longer than the accumulators on a kernel's stack.
        b = Builder()
        results = []
        for channels in (24, 512, 1100):
            x = b.parameter(DType.FLOAT, (B, S, 3, channels))
            activated = b.elementwise("relu", x)
            total = b.reduce("sum", activated, [1, 2], keepdims=True)
            results += [b.binary("mul", activated, b.elementwise("sigmoid", total)), b.reduce("max", x, [0, 1, 2])]
        codegen_kit.check(b.module("pooled", results), SIZES, scale=5.0)

    def test_a_nan_wins_wherever_it_is(self) -> None:
        b = Builder()
        x = b.parameter(DType.FLOAT, (B, S))
        results = [b.reduce(kind, x, axes) for kind in ("max", "min", "sum") for axes in ([0], [1], [0, 1])]
        module = b.module("nan", results)
        runner = LoadedExecutable(codegen_kit.build(module), parameters=module.parameters, results=module.results)
        for place in (0, 31, 32, 70):
            array = np.random.default_rng(place).standard_normal((2, 71)).astype(np.float32)
            array[1, place], array[0, 5] = np.nan, np.inf
            for got, want in zip(runner.run([array]), interpreter.run(module, [array]), strict=True):
                codegen_kit.compare(got, want, f"NaN at {place}")


class OpsTest(parameterized.TestCase):
    @parameterized.parameters(*MODULES)
    def test_module(self, name: str) -> None:
        builder = Builder()
        results = MODULES[name](builder)
        codegen_kit.check(builder.module(name, results), SIZES, scale=5.0)

    def test_products_with_one_column(self) -> None:
        b = Builder()
        module = passes.run(b.module("narrow", narrow(b)))
        self.assertNotIn(1, [op.result.shape[-1] for op in module.ops() if op.kind == "dot"])
        codegen_kit.check(module, SIZES, scale=5.0)

    @parameterized.parameters(*(dtype.name for dtype in sorted(dtypes.ALL)))
    def test_elementwise(self, dtype_name: str) -> None:
        dtype, builder = DType[dtype_name], Builder()
        x, y = (builder.parameter(dtype, (B, S)) for _ in range(2))
        mask = builder.parameter(DType.BOOL, (B, S))
        results = []
        for fn in FNS.values():
            if dtype not in fn.dtypes or fn.may_fail or fn.result == "attr":
                continue
            operands = [mask, x, y] if fn.name == "select" else [x, y, x][: fn.arity]
            results.append(builder.elementwise(fn.name, *operands))
        results += [builder.convert(x, target) for target in sorted(dtypes.ALL - {dtype})]
        module = builder.module("elementwise", results)
        codegen_kit.check(module, SIZES[:3], scale=2.0 if dtype != DType.HALF else 1.0)

    @parameterized.parameters("HALF", "BFLOAT16", "DOUBLE")
    def test_float_types(self, dtype_name: str) -> None:
        dtype, b = DType[dtype_name], Builder()
        x = b.parameter(dtype, (B, S, 12))
        w = b.parameter(dtype, (12, 5), weight=True)
        results = [
            b.softmax(x),
            b.reduce("sum", x, [2]),
            b.reduce("max", x, [0]),
            b.dot(x, w),
            b.layer_norm(x, None, None, 1e-3),
            b.cumulative("sum", x, 1),
            b.binary("add", x, b.scalar(1.5, dtype)),
            *b.topk(x, 3, DType.INT32),
        ]
        codegen_kit.check(b.module("floats", results), SIZES, scale=4.0)


class NotNumbersTest(parameterized.TestCase):
    @parameterized.parameters(1, 5, 16, 33, 100)
    def test_nan_and_infinity_spoil_a_row_of_softmax_and_no_other(self, width: int) -> None:
        b = Builder()
        x = b.parameter(DType.FLOAT, (B, width))
        module = b.module("softmax", [b.softmax(x), b.softmax(x, log=True)])
        # Row i has a NaN, or an infinity, at i; the last rows have none, and nothing but NaN.
        rows = np.random.default_rng(0).normal(size=(2 * width + 2, width)).astype(np.float32)
        rows[np.arange(width), np.arange(width)] = np.nan
        rows[np.arange(width) + width, np.arange(width)] = np.inf
        rows[-1] = np.nan
        with np.errstate(invalid="ignore"):
            codegen_kit.check(module, inputs=[rows], scale=8)


class ErrorsTest(absltest.TestCase):
    def test_index_out_of_range_is_an_error(self) -> None:
        b = Builder()
        table, ids = b.parameter(DType.FLOAT, (B, 4)), b.parameter(DType.INT32, (S,))
        module = b.module("range", [b.gather(table, ids, 0)])
        runner = LoadedExecutable(codegen_kit.build(module), parameters=module.parameters, results=module.results)
        rows = np.ones((3, 4), np.float32)
        for bad in (-1, 3, 2**31 - 1, -(2**31)):
            with self.assertRaises(ExecutionError):
                runner.run([rows, np.array([0, bad], np.int32)])
        with self.assertRaises(ExecutionError):
            runner.run([rows[:0], np.array([0], np.int32)])
        np.testing.assert_array_equal(runner.run([rows, np.array([2], np.int32)])[0], rows[:1])

    def test_integer_division_by_zero_is_an_error(self) -> None:
        b = Builder()
        x, y = b.parameter(DType.INT32, (S,)), b.parameter(DType.INT32, (S,))
        module = b.module("division", [b.binary("floor_div", x, y), b.binary("floor_mod", x, y)])
        runner = LoadedExecutable(codegen_kit.build(module), parameters=module.parameters, results=module.results)
        one, zero = np.array([7, -7], np.int32), np.array([2, 0], np.int32)
        with self.assertRaises(ExecutionError):
            runner.run([one, zero])
        quotient, rest = runner.run([one, np.array([2, 2], np.int32)])
        np.testing.assert_array_equal(quotient, [3, -4])
        np.testing.assert_array_equal(rest, [1, 1])


class NestedOutputsTest(parameterized.TestCase):
    """Parts of an output that are used before are computed within it."""

    def _caches(self, b: Builder) -> tuple[list[Value], list[Value]]:
        past = [b.parameter(DType.FLOAT, (B, S, 20)) for _ in range(2)]
        new = [b.parameter(DType.FLOAT, (B, 1, 20)) for _ in range(2)]
        return past, [b.concat([x, b.elementwise("exp", y)], 1) for x, y in zip(past, new, strict=True)]

    @parameterized.parameters(0, 1)
    def test_caches_of_layers(self, axis: int) -> None:
        b = Builder()
        _, caches = self._caches(b)
        shape = (*[1] * (axis + 1), B, S + 1, 20)
        joined = b.concat([b.reshape(item, shape) for item in caches], axis)
        sums = [b.reduce("sum", item, [1, 2]) for item in caches]
        module = b.module("caches", [joined, *sums])
        text = generate(module).text
        self.assertIn("(output0 + ", text)
        self.assertEqual(text.count("part of concat: float[1,"), 0)
        codegen_kit.check(module, SIZES)

    def test_what_has_another_place_is_copied(self) -> None:
        b = Builder()
        past, caches = self._caches(b)
        longer = b.concat([past[0], b.parameter(DType.FLOAT, (B, 1, 20))], 1)
        joined = b.concat([caches[0], caches[0], longer, caches[1]], 0)
        twice = b.concat([caches[0], caches[1]], 0)
        sums = [b.reduce("sum", item, [1, 2]) for item in (*caches, longer)]
        codegen_kit.check(b.module("caches", [joined, twice, caches[1], *sums]), SIZES[1:])


if __name__ == "__main__":
    absltest.main()
