"""Products, convolutions, pooling and attention with what is fused to them, compiled, against the NumPy references."""

from __future__ import annotations

import numpy as np
from absl.testing import absltest, parameterized

from tf_blade.backends.disc import passes
from tf_blade.backends.disc.compile import compile_module
from tf_blade.backends.disc.harness import GuardRefused, LoadedExecutable
from tf_blade.backends.disc.ir import interpreter
from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Module, Value
from tf_blade.dtypes import DType
from tf_blade.symbolic import symbol

F = DType.FLOAT
N, H, W = symbol("n"), symbol("h"), symbol("w")
SIZES = ({"n": 2, "h": 9, "w": 7}, {"n": 1, "h": 12, "w": 16}, {"n": 0, "h": 8, "w": 8}, {"n": 3, "h": 8, "w": 33})


def activate(b: Builder, y: Value, bias: Value) -> Value:
    """bias, then relu, then a residual of the same shape: what an epilogue is made of."""
    return b.elementwise("add", b.elementwise("relu", b.binary("add", y, bias)), y)


def conv_module(groups: int, multiplier: int, strides: tuple[int, int], dilations: tuple[int, int]) -> Module:
    b = Builder()
    channels = 8
    outputs = channels * multiplier if groups == channels else 12
    x = b.parameter(F, (N, H, W, channels))
    w = b.parameter(F, (3, 2, channels // groups, outputs), weight=True)
    bias = b.parameter(F, (outputs,), weight=True)
    y = b.conv2d(x, w, strides=strides, dilations=dilations, low=(1, 0), high=(1, 1), groups=groups)
    return b.module("conv", [activate(b, y, bias)])


def transpose_module(weight: bool) -> Module:
    b = Builder()
    x, w = b.parameter(F, (N, H, W, 6)), b.parameter(F, (3, 3, 5, 6), weight=weight)
    size = (H * 2, W * 2)
    y = b.conv2d_transpose(x, w, strides=(2, 2), dilations=(1, 1), low=(0, 0), high=(1, 1), size=size)
    return b.module("conv_transpose", [b.elementwise("relu", y)])


def pool_module(kind: str) -> Module:
    b = Builder()
    x = b.parameter(F, (N, H, W, 19))
    y = b.pool2d(kind, x, window=(3, 2), strides=(2, 1), low=(1, 0), high=(1, 1))
    return b.module("pool", [b.elementwise("tanh", y)])


def attention_module(mask: bool, swapped: bool) -> Module:
    b = Builder()
    shapes = [(N, t, 3, 16) if swapped else (N, 3, t, 16) for t in (H, W, W)]
    q, k, v = (b.parameter(F, shape) for shape in shapes)
    if swapped:
        q, k, v = (b.transpose(item, (0, 2, 1, 3)) for item in (q, k, v))
    extra = b.parameter(F, (N, 1, 1, W)) if mask else None
    y = b.attention(q, k, v, extra, 0.25)
    return b.module("attention", [b.transpose(y, (0, 2, 1, 3)) if swapped else y])


def projected_attention_module(layout: str) -> Module:
    """Queries, keys and values of one product, with a mask that selects."""
    b = Builder()
    joined, mask = b.parameter(F, (N, W, 3 * 3 * 16)), b.parameter(F, (N, W))
    parts = []
    for i in range(3):
        if layout == "unstacked":
            x = b.transpose(b.reshape(joined, (N, W, 3, 3, 16)), (2, 0, 3, 1, 4))
            parts.append(b.reshape(b.slice(x, (i, 0, 0, 0, 0), (1, *x.shape[1:])), x.shape[1:]))
        else:
            cut = b.slice(joined, (0, 0, i * 48), (N, W, 48))
            parts.append(b.transpose(b.reshape(cut, (N, W, 3, 16)), (0, 2, 1, 3)))
    q, k, v = parts
    scores = b.dot(q, k, transpose_b=True)
    keep = b.broadcast(b.elementwise("less", mask, b.full(0.5, F, mask.shape)), scores.shape, (0, 3))
    chosen = b.elementwise("select", keep, scores, b.full(-1e9, F, scores.shape))
    y = b.dot(b.softmax(chosen), v)
    return b.module("attention", [b.transpose(y, (0, 2, 1, 3))])


def dot_module(transpose_b: bool, weight: bool) -> Module:
    b = Builder()
    x, w = b.parameter(F, (N, H, 24)), b.parameter(F, (40, 24) if transpose_b else (24, 40), weight=weight)
    bias = b.parameter(F, (40,))
    return b.module("dot", [activate(b, b.dot(x, w, transpose_b=transpose_b), bias)])


class LibraryTest(parameterized.TestCase):
    def check(self, module: Module, *, steps: int) -> None:
        module = passes.run(module, debug=True)
        compiled = compile_module(module)
        self.assertLen(compiled.kernels, steps, compiled.kernels)
        executable = LoadedExecutable(compiled.image, parameters=module.parameters, results=module.results)
        rng = np.random.default_rng(3)
        weights = {
            value: rng.standard_normal(_shape(value, {})).astype(np.float32)
            for value in module.parameters
            if value.op.attrs["weight"]
        }
        for sizes in SIZES:
            arrays = [
                weights[value] if value in weights else rng.standard_normal(_shape(value, sizes)).astype(np.float32)
                for value in module.parameters
            ]
            for expected, found in zip(interpreter.run(module, arrays), executable.run(arrays), strict=True):
                np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)

    @parameterized.parameters(
        (1, 1, (1, 1), (1, 1)),
        (1, 1, (2, 1), (1, 2)),
        (2, 1, (1, 2), (1, 1)),
        (8, 1, (1, 1), (1, 1)),
        (8, 2, (2, 2), (1, 1)),
    )
    def test_conv2d(self, groups: int, multiplier: int, strides: tuple[int, int], dilations: tuple[int, int]) -> None:
        self.check(conv_module(groups, multiplier, strides, dilations), steps=1)

    @parameterized.parameters(True, False)
    def test_conv2d_transpose(self, weight: bool) -> None:
        self.check(transpose_module(weight), steps=1)

    @parameterized.parameters("max", "avg")
    def test_pool2d(self, kind: str) -> None:
        self.check(pool_module(kind), steps=1)

    @parameterized.parameters("max", "avg")
    def test_pool2d_of_zero_padding(self, kind: str) -> None:
        b = Builder()
        padded = b.pad(b.parameter(F, (N, H, W, 19)), (0, 2, 0, 0), (0, 1, 1, 0))
        y = b.pool2d(kind, padded, window=(2, 2), strides=(1, 2), low=(0, 0), high=(0, 0))
        self.check(b.module("pool", [y]), steps=1)

    @parameterized.product(mask=(True, False), swapped=(True, False))
    def test_attention(self, mask: bool, swapped: bool) -> None:
        self.check(attention_module(mask, swapped), steps=1)

    @parameterized.parameters("unstacked", "split")
    def test_attention_of_joined_projections(self, layout: str) -> None:
        self.check(projected_attention_module(layout), steps=2)

    @parameterized.product(transpose_b=(True, False), weight=(True, False))
    def test_dot(self, transpose_b: bool, weight: bool) -> None:
        self.check(dot_module(transpose_b, weight), steps=1)


class WithheldWeightsTest(absltest.TestCase):
    def test_init_refuses_what_it_was_not_given(self) -> None:
        """A host that does not know an input for a weight gives init no data: a refusal, not a crash."""
        module = dot_module(transpose_b=False, weight=True)
        compiled = compile_module(module)
        self.assertEqual({1}, compiled.bound)
        executable = LoadedExecutable(compiled.image, parameters=module.parameters, results=module.results)
        arrays = [np.ones(_shape(value, SIZES[0]), np.float32) for value in module.parameters]
        with self.assertRaises(GuardRefused):
            executable.init(arrays, withhold=True)
        np.testing.assert_allclose(executable.run(arrays)[0], interpreter.run(module, arrays)[0])


def _shape(value: Value, sizes: dict[str, int]) -> tuple[int, ...]:
    return tuple(dim if isinstance(dim, int) else sizes[str(dim)] for dim in value.shape)


if __name__ == "__main__":
    absltest.main()
