"""The convolution and pooling templates against NumPy in float64, for each instruction set level and thread count."""

import dataclasses

import numpy as np
from absl.testing import absltest, parameterized

from tests.native.kernel_harness import CONFIGS, OK, Array, Kernels, assert_close, normal, with_epilogue


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Sizes of a convolution or pooling, in the order the C entry points take them."""

    batch: int
    in_h: int
    in_w: int
    in_c: int
    out_h: int
    out_w: int
    out_c: int
    kernel_h: int
    kernel_w: int
    stride_h: int = 1
    stride_w: int = 1
    dilation_h: int = 1
    dilation_w: int = 1
    pad_top: int = 0
    pad_left: int = 0
    groups: int = 1

    @property
    def numbers(self) -> tuple[int, ...]:
        return dataclasses.astuple(self)

    @property
    def pixels(self) -> int:
        return self.batch * self.out_h * self.out_w


def _forward(random: np.random.Generator, channels: tuple[int, ...]) -> Geometry:
    """A random geometry whose output size follows from random pads, as in a forward convolution."""
    kernel, stride = random.integers(1, 5, 2), random.integers(1, 4, 2)
    dilation = random.integers(1, 3, 2) if random.integers(3) == 0 else np.ones(2, np.int64)
    low, high = random.integers(0, 4, 2), random.integers(0, 4, 2)
    size = random.integers(1, 14, 2)
    out = np.maximum((size + low + high - (kernel - 1) * dilation - 1) // stride + 1, 0)
    groups = int(random.choice([1, 1, 2, 3]))
    in_c, out_c = (int(random.choice(channels)) for _ in range(2))
    shape = (int(random.integers(0, 4)), *size, in_c * groups, *out, out_c * groups)
    return Geometry(*(int(v) for v in (*shape, *kernel, *stride, *dilation, *low, groups)))


def _tap(g: Geometry, image: Array, ky: int, kx: int, fill: float) -> Array:
    """What each output pixel reads at one kernel position: [batch, out_h, out_w, in_c] in float64."""
    rows = np.arange(g.out_h) * g.stride_h - g.pad_top + ky * g.dilation_h
    columns = np.arange(g.out_w) * g.stride_w - g.pad_left + kx * g.dilation_w
    inside = ((rows >= 0) & (rows < g.in_h))[:, None] & ((columns >= 0) & (columns < g.in_w))[None, :]
    taken = image[:, np.clip(rows, 0, g.in_h - 1)][:, :, np.clip(columns, 0, g.in_w - 1)].astype(np.float64)
    result: Array = np.where(inside[None, :, :, None], taken, fill)
    return result


def _conv(g: Geometry, image: Array, weights: Array) -> Array:
    result = np.zeros((g.batch, g.out_h, g.out_w, g.groups, g.out_c // g.groups))
    grouped = weights.reshape(*weights.shape[:3], g.groups, g.out_c // g.groups).astype(np.float64)
    for ky, kx in np.ndindex(g.kernel_h, g.kernel_w):
        tap = _tap(g, image, ky, kx, 0.0).reshape(g.batch, g.out_h, g.out_w, g.groups, g.in_c // g.groups)
        result += np.einsum("byxgc,cgo->byxgo", tap, grouped[ky, kx])
    return result.reshape(g.pixels, g.out_c)


def _conv_transpose(g: Geometry, image: Array, weights: Array) -> Array:
    """Scatters each input pixel; weights [kernel_h, kernel_w, out_c, in_c]."""
    result = np.zeros((g.batch, g.out_h, g.out_w, g.out_c))
    for iy, ix, ky, kx in np.ndindex(g.in_h, g.in_w, g.kernel_h, g.kernel_w):
        y = iy * g.stride_h + ky * g.dilation_h - g.pad_top
        x = ix * g.stride_w + kx * g.dilation_w - g.pad_left
        if 0 <= y < g.out_h and 0 <= x < g.out_w:
            result[:, y, x] += image[:, iy, ix].astype(np.float64) @ weights[ky, kx].T.astype(np.float64)
    return result.reshape(g.pixels, g.out_c)


def _depthwise(g: Geometry, image: Array, weights: Array) -> Array:
    result = np.zeros((g.batch, g.out_h, g.out_w, g.in_c, weights.shape[3]))
    for ky, kx in np.ndindex(g.kernel_h, g.kernel_w):
        result += _tap(g, image, ky, kx, 0.0)[..., None] * weights[ky, kx].astype(np.float64)
    return result.reshape(g.pixels, g.out_c)


def _max_pool(g: Geometry, image: Array) -> Array:
    taps = [_tap(g, image, ky, kx, -np.inf) for ky, kx in np.ndindex(g.kernel_h, g.kernel_w)]
    return np.maximum(np.max(taps, axis=0), -np.finfo(np.float32).max).reshape(g.pixels, g.in_c)


def _avg_pool(g: Geometry, image: Array) -> Array:
    taps = [_tap(g, image, ky, kx, np.nan) for ky, kx in np.ndindex(g.kernel_h, g.kernel_w)]
    count = np.sum([~np.isnan(tap) for tap in taps], axis=0)
    with np.errstate(invalid="ignore"):
        return (np.nansum(taps, axis=0) / count).reshape(g.pixels, g.in_c)


class ConvTest(parameterized.TestCase):
    def _check(self, kernels: Kernels, name: str, g: Geometry, image: Array, weights: Array, expected: Array) -> None:
        random = np.random.default_rng(5)
        bias, row = kernels.guarded(normal(random, g.out_c)), kernels.guarded(normal(random, g.pixels))
        output = kernels.guarded(np.full((g.pixels, g.out_c), np.nan, np.float32))
        arrays = (kernels.guarded(image), kernels.guarded(weights), bias, row, output)
        with self.subTest(**dataclasses.asdict(g)):
            self.assertEqual(kernels.call(name, g.numbers, *arrays), OK)
            terms = g.kernel_h * g.kernel_w * g.in_c
            assert_close(output, with_epilogue(expected, bias, row), terms)

    def _conv2d(self, kernels: Kernels, random: np.random.Generator, g: Geometry) -> None:
        image = normal(random, g.batch, g.in_h, g.in_w, g.in_c)
        weights = normal(random, g.kernel_h, g.kernel_w, g.in_c // g.groups, g.out_c)
        self._check(kernels, "run_conv", g, image, weights, _conv(g, image, weights))

    @parameterized.parameters(*CONFIGS)
    def test_conv2d(self, isa: str, threads: int) -> None:
        kernels, random = Kernels(isa, threads), np.random.default_rng(threads)
        for _ in range(120):
            self._conv2d(kernels, random, _forward(random, channels=(0, 1, 2, 3, 8, 16, 33, 70)))

    @parameterized.parameters(*CONFIGS)
    def test_conv2d_of_real_models(self, isa: str, threads: int) -> None:
        kernels, random = Kernels(isa, threads), np.random.default_rng(threads)
        first_layer = Geometry(2, 45, 45, 3, 23, 23, 64, 7, 7, 2, 2, pad_top=2, pad_left=2)
        same = Geometry(1, 14, 14, 64, 14, 14, 64, 3, 3, pad_top=1, pad_left=1)
        pointwise = Geometry(2, 14, 14, 130, 14, 14, 96, 1, 1)
        downsample = Geometry(1, 14, 14, 64, 7, 7, 128, 1, 1, 2, 2)
        grouped = Geometry(1, 14, 14, 128, 14, 14, 128, 3, 3, pad_top=1, pad_left=1, groups=32)
        atrous = Geometry(1, 20, 20, 40, 20, 20, 40, 3, 3, 1, 1, 6, 6, 6, 6)
        deep = Geometry(2, 7, 7, 520, 7, 7, 40, 1, 3, pad_left=1)
        wide = Geometry(1, 3, 250, 3, 3, 250, 16, 3, 3, pad_top=1, pad_left=1)
        two_rows = Geometry(1, 9, 4, 20, 9, 4, 70, 3, 3, pad_top=1, pad_left=1)
        strided = Geometry(1, 29, 29, 24, 15, 15, 33, 5, 3, 2, 2, pad_top=2, pad_left=1)
        for g in (first_layer, same, pointwise, downsample, grouped, atrous, deep, wide, two_rows, strided):
            self._conv2d(kernels, random, g)

    @parameterized.parameters(*CONFIGS)
    def test_winograd(self, isa: str, threads: int) -> None:
        kernels, random = Kernels(isa, threads), np.random.default_rng(threads)
        for _ in range(60):
            low, high, size = random.integers(0, 4, 2), random.integers(0, 4, 2), random.integers(1, 14, 2)
            out = np.maximum(size + low + high - 2, 0)
            in_c, out_c = (int(random.choice((1, 3, 16, 33, 70))) for _ in range(2))
            shape = (int(random.integers(0, 4)), *size, in_c, *out, out_c, 3, 3, 1, 1, 1, 1, *low)
            self._winograd(kernels, random, Geometry(*(int(v) for v in shape)))

    @parameterized.parameters(*CONFIGS)
    def test_winograd_of_several_blocks(self, isa: str, threads: int) -> None:
        kernels, random = Kernels(isa, threads), np.random.default_rng(threads)
        many_tiles = Geometry(2, 21, 30, 64, 21, 30, 40, 3, 3, pad_top=1, pad_left=1)
        many_channels = Geometry(1, 13, 9, 300, 13, 9, 70, 3, 3, pad_top=1, pad_left=1)
        for g in (many_tiles, many_channels):
            self._winograd(kernels, random, g)

    def _winograd(self, kernels: Kernels, random: np.random.Generator, g: Geometry) -> None:
        image = normal(random, g.batch, g.in_h, g.in_w, g.in_c)
        weights = normal(random, 3, 3, g.in_c, g.out_c)
        self._check(kernels, "run_conv_winograd", g, image, weights, _conv(g, image, weights))

    @parameterized.parameters(*CONFIGS)
    def test_winograd_of_infinities_as_the_direct_form(self, isa: str, threads: int) -> None:
        kernels, random = Kernels(isa, threads), np.random.default_rng(threads)
        g = Geometry(1, 9, 8, 20, 9, 8, 35, 3, 3, pad_top=1, pad_left=1)
        image, weights = normal(random, 1, 9, 8, 20), normal(random, 3, 3, 20, 35)
        image[0, 2, 3, 7], image[0, 6, 6, 19], image[0, 8, 0, 2] = np.inf, -np.inf, np.nan
        image[0, 4, 1, 0] = 3e38  # the sum of two inputs overflows
        image[0, 4, 3, 0], weights[:, :, 0] = 3e38, weights[:, :, 0] * 1e-30
        with np.errstate(invalid="ignore"):
            expected = _conv(g, image, weights)
        self.assertGreater(np.isfinite(expected).mean(), 0.5)
        output = kernels.guarded(np.zeros((g.pixels, g.out_c), np.float32))
        none = np.zeros(g.out_c, np.float32), np.zeros(g.pixels, np.float32)
        arrays = (kernels.guarded(image), kernels.guarded(weights), *none, output)
        self.assertEqual(kernels.call("run_conv_winograd", g.numbers, *arrays), OK)
        # Weights that come back from transformed ones have their neighbours' roundings.
        np.testing.assert_allclose(output, 2 * expected, rtol=1e-4, atol=2e-4)

    @parameterized.parameters(*CONFIGS)
    def test_conv2d_transpose(self, isa: str, threads: int) -> None:
        kernels, random = Kernels(isa, threads), np.random.default_rng(threads)
        for _ in range(80):
            # The operands of a gradient: the forward geometry with input and output exchanged.
            f = dataclasses.replace(_forward(random, channels=(0, 1, 3, 16, 35)), groups=1)
            g = dataclasses.replace(f, in_h=f.out_h, in_w=f.out_w, out_h=f.in_h, out_w=f.in_w)
            image = normal(random, g.batch, g.in_h, g.in_w, g.in_c)
            weights = normal(random, g.kernel_h, g.kernel_w, g.out_c, g.in_c)
            self._check(kernels, "run_conv_transpose", g, image, weights, _conv_transpose(g, image, weights))

    @parameterized.parameters(*CONFIGS)
    def test_depthwise(self, isa: str, threads: int) -> None:
        kernels, random = Kernels(isa, threads), np.random.default_rng(threads)
        for _ in range(120):
            f = _forward(random, channels=(0, 1, 3, 8, 15, 16, 17, 24, 32, 40))
            multiplier = int(random.choice([1, 1, 1, 2, 3]))
            g = dataclasses.replace(f, out_c=f.in_c * multiplier, groups=1)
            image = normal(random, g.batch, g.in_h, g.in_w, g.in_c)
            weights = normal(random, g.kernel_h, g.kernel_w, g.in_c, multiplier)
            self._check(kernels, "run_depthwise", g, image, weights, _depthwise(g, image, weights))

    @parameterized.product(config=CONFIGS, is_max=(0, 1))
    def test_pool(self, config: tuple[str, int], is_max: int) -> None:
        kernels, random = Kernels(*config), np.random.default_rng(is_max)
        for _ in range(80):
            f = _forward(random, channels=(0, 1, 3, 16, 17, 40))
            g = dataclasses.replace(f, out_c=f.in_c, dilation_h=1, dilation_w=1, groups=1)
            image = normal(random, g.batch, g.in_h, g.in_w, g.in_c)
            bias, row = normal(random, g.out_c), normal(random, g.pixels)
            output = kernels.guarded(np.zeros((g.pixels, g.out_c), np.float32))
            expected = _max_pool(g, image) if is_max else _avg_pool(g, image)
            with self.subTest(**dataclasses.asdict(g)):
                arrays = (kernels.guarded(image), bias, row, output)
                self.assertEqual(kernels.call("run_pool", g.numbers, is_max, *arrays), OK)
                with np.errstate(over="ignore"):
                    assert_close(output, with_epilogue(expected, bias, row).astype(np.float32), 16)

    @parameterized.parameters(*CONFIGS)
    def test_max_pool_passes_over_nan_as_tensorflow_does(self, isa: str, threads: int) -> None:
        kernels, channels = Kernels(isa, threads), 35
        image = np.ones((1, 2, 4, channels), np.float32)
        image[0, 0, 0] = image[0, 1, 1] = np.nan
        image[0, :, 2:] = -np.inf
        g = Geometry(1, 2, 4, channels, 1, 2, channels, 2, 2, 2, 2)
        output = np.zeros((2, channels), np.float32)
        self.assertEqual(kernels.call("run_plain_max_pool", g.numbers, image, output), OK)
        np.testing.assert_array_equal(output[0], np.ones(channels))
        np.testing.assert_array_equal(output[1], np.full(channels, np.finfo(np.float32).min))


if __name__ == "__main__":
    absltest.main()
