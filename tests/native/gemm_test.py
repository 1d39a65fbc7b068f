"""The GEMM templates against NumPy in float64, for each instruction set level, with one thread and with two."""

import numpy as np
from absl.testing import absltest, parameterized

from tests.native.kernel_harness import CONFIGS, NO_MEMORY, OK, Array, Kernels, assert_close, normal, with_epilogue


class GemmTest(parameterized.TestCase):
    def _check(self, kernels: Kernels, random: np.random.Generator, case: dict[str, int]) -> None:
        batch, m, n, k = (case[name] for name in ("batch", "m", "n", "k"))
        a_shape = (k, m + case["pad"]) if case["a_t"] else (m, k + case["pad"])
        b_shape = (n, k + case["pad"]) if case["b_t"] else (k, n + case["pad"])
        a = kernels.guarded(normal(random, 1 if case["a_shared"] else batch, *a_shape))
        b = kernels.guarded(normal(random, 1 if case["b_shared"] else batch, *b_shape))
        bias, row = kernels.guarded(normal(random, n)), kernels.guarded(normal(random, batch * m))
        ldc = n if case["head"] > 0 else n + case["pad"]
        c = kernels.guarded(np.full((batch, m, ldc), np.nan, np.float32))
        strides = (a_shape[1], 0 if case["a_shared"] else a_shape[0] * a_shape[1], case["a_t"])
        b_strides = (b_shape[1], 0 if case["b_shared"] else b_shape[0] * b_shape[1], case["b_t"])
        sizes = (batch, m, n, k, *strides, *b_strides, ldc, m * ldc, case["packed"], case["head"], 0)
        self.assertEqual(kernels.call("run_gemm", sizes, a, b, bias, row, c), OK)
        left = a.swapaxes(1, 2)[:, :m] if case["a_t"] else a[:, :, :k]
        right = b.swapaxes(1, 2)[:, :k] if case["b_t"] else b[:, :, :n]
        product = np.matmul(left.astype(np.float64), right.astype(np.float64))
        flat = np.broadcast_to(product, (batch, m, n)).reshape(batch * m, n)
        expected: Array = with_epilogue(flat, bias, row).reshape(batch, m, n)
        if case["head"] > 0:
            heads = c.reshape(batch, n // case["head"], m, case["head"])
            assert_close(heads.swapaxes(1, 2).reshape(batch, m, n), expected, k)
            return
        assert_close(c[:, :, :n], expected, k)
        self.assertTrue(np.isnan(c[:, :, n:]).all(), "wrote between rows")

    def _case(self, **changes: int) -> dict[str, int]:
        names = ("a_t", "b_t", "pad", "a_shared", "b_shared", "packed", "head")
        return {"batch": 1, **dict.fromkeys(names, 0), **changes}

    @parameterized.parameters(*CONFIGS)
    def test_random_shapes(self, isa: str, threads: int) -> None:
        kernels = Kernels(isa, threads)
        random = np.random.default_rng(threads)
        tile, panel, depth = (getattr(kernels.library, name)() for name in ("tile_rows", "panel", "depth"))
        rows = (0, 1, 2, 3, 5, 7, tile - 1, tile, tile + 1, 2 * tile + 1, 48, 49, 100)
        columns = (0, 1, 3, panel // 2, panel - 1, panel, panel + 1, panel + panel // 2, 3 * panel, 401)
        inner = (0, 1, 2, 3, 5, 17, 64, depth - 1, depth, depth + 1, 2 * depth + 3)
        for _ in range(300):
            case = self._case(batch=int(random.choice([0, 1, 1, 2, 3])), pad=int(random.choice([0, 0, 3])))
            case |= {"m": int(random.choice(rows)), "n": int(random.choice(columns)), "k": int(random.choice(inner))}
            for name in ("a_t", "b_t", "a_shared", "b_shared"):
                case[name] = int(random.integers(2))
            case["packed"] = int(random.integers(2)) * case["b_shared"]
            with self.subTest(**case):
                self._check(kernels, random, case)

    @parameterized.parameters(*CONFIGS)
    def test_small_products(self, isa: str, threads: int) -> None:
        kernels = Kernels(isa, threads)
        random = np.random.default_rng(threads)
        for _ in range(200):
            case = self._case(batch=int(random.choice([0, 1, 2, 7])), pad=int(random.choice([0, 0, 3])), head=-1)
            case |= {name: int(random.choice([0, 1, 2, 5, 9, 16, 17, 27, 33, 64])) for name in ("m", "n", "k")}
            for name in ("a_t", "b_t", "a_shared", "b_shared"):
                case[name] = int(random.integers(2))
            with self.subTest(**case):
                self._check(kernels, random, case)

    @parameterized.parameters(*CONFIGS)
    def test_every_row_count_up_to_two_tiles(self, isa: str, threads: int) -> None:
        kernels = Kernels(isa, threads)
        for m in range(1, 26):
            self._check(kernels, np.random.default_rng(m), self._case(m=m, n=70, k=37, packed=1, b_shared=1))

    @parameterized.parameters(*CONFIGS)
    def test_large(self, isa: str, threads: int) -> None:
        kernels = Kernels(isa, threads)
        for m, n, k in ((300, 500, 700), (1, 3000, 512), (8, 1030, 1024), (1000, 40, 64)):
            case = self._case(m=m, n=n, k=k, packed=1, b_shared=1)
            self._check(kernels, np.random.default_rng(m), case)

    @parameterized.product(config=CONFIGS, width=(5, 32, 48, 64))
    def test_destination_splits_heads(self, config: tuple[str, int], width: int) -> None:
        kernels = Kernels(*config)
        case = self._case(batch=2, m=50, n=3 * width, k=300, head=width, packed=1, b_shared=1)
        self._check(kernels, np.random.default_rng(width), case)

    @parameterized.parameters(*CONFIGS)
    def test_infinity_and_nan_stay_in_their_rows(self, isa: str, threads: int) -> None:
        kernels = Kernels(isa, threads)
        a = np.ones((7, 9), np.float32)
        a[2, 3], a[5, 8] = np.inf, np.nan
        b, bias, row = np.ones((9, 33), np.float32), np.zeros(33, np.float32), np.zeros(7, np.float32)
        c = np.zeros((7, 33), np.float32)
        sizes = (1, 7, 33, 9, 9, 0, 0, 33, 0, 0, 33, 0, 1, 0, 0)
        self.assertEqual(kernels.call("run_gemm", sizes, a, b, bias, row, c), OK)
        np.testing.assert_array_equal(c, np.repeat(2 * a.sum(axis=1, keepdims=True), 33, axis=1))

    @parameterized.parameters(*CONFIGS)
    def test_out_of_memory_is_reported(self, isa: str, threads: int) -> None:
        kernels = Kernels(isa, threads)
        x = np.zeros((100, 100), np.float32)
        for m in (1, 100):
            sizes = (1, m, 100, 100, 100, 0, 0, 100, 0, 0, 100, 0, 0, 0, 1)
            self.assertEqual(kernels.call("run_gemm", sizes, x, x, x, x, x), NO_MEMORY)


class DotTest(parameterized.TestCase):
    @parameterized.product(config=CONFIGS, dtype=(np.float64, np.int32), a_t=(0, 1), b_t=(0, 1))
    def test_random_shapes(self, config: tuple[str, int], dtype: type, a_t: int, b_t: int) -> None:
        kernels = Kernels(*config)
        random = np.random.default_rng(7)
        for batch, m, n, k in ((1, 1, 1, 1), (2, 9, 65, 30), (3, 8, 64, 0), (1, 0, 3, 2), (2, 17, 130, 100)):
            # Integers are so large that sums wrap around.
            bound = 2**30
            a: Array = random.integers(-bound, bound, (batch, k, m) if a_t else (batch, m, k)).astype(dtype)
            b: Array = random.integers(-bound, bound, (n, k) if b_t else (k, n)).astype(dtype)
            c: Array = np.zeros((batch, m, n), dtype)
            sizes = (batch, m, n, k, a.shape[2], m * k, a_t, b.shape[1], 0, b_t, n, m * n)
            name = "run_dot_f64" if dtype is np.float64 else "run_dot_i32"
            arrays = (kernels.guarded(a), kernels.guarded(b), kernels.guarded(c))
            self.assertEqual(kernels.call(name, sizes, *arrays), OK)
            left, right = (a.swapaxes(1, 2) if a_t else a), (b.T if b_t else b)
            expected = np.matmul(left, right) + np.asarray(1, dtype)
            if dtype is np.float64:
                np.testing.assert_allclose(arrays[2], expected, rtol=1e-12, atol=1e-12 * float(bound) ** 2)
            else:
                np.testing.assert_array_equal(arrays[2], expected)


if __name__ == "__main__":
    absltest.main()
