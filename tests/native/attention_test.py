"""The attention template against NumPy in float64, for each instruction set level, with one thread and with two."""

import numpy as np
from absl.testing import absltest, parameterized

from tests.native.kernel_harness import CONFIGS, NO_MEMORY, OK, Array, Kernels, normal


def _reference(q: Array, k: Array, v: Array, scale: float, mask: Array | None, fill: bool = False) -> Array:
    scores = scale * np.matmul(q.astype(np.float64), k.astype(np.float64).swapaxes(-1, -2))
    if mask is not None:
        scores = np.where(mask == 0, scores, mask) if fill else scores + mask
    with np.errstate(invalid="ignore"):
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True, initial=-np.inf))
        weights /= weights.sum(axis=-1, keepdims=True)
    result: Array = np.matmul(weights, v.astype(np.float64))
    return result


def _strides(x: Array, broadcast: tuple[int, ...] = ()) -> list[int]:
    """Strides in elements of the first three dimensions, 0 where the dimension is broadcast."""
    return [0 if axis in broadcast else x.strides[axis] // x.itemsize for axis in range(3)]


class AttentionTest(parameterized.TestCase):
    def _run(
        self,
        kernels: Kernels,
        q: Array,
        k: Array,
        v: Array,
        scale: float,
        mask: Array | None,
        merged: bool,
        fill: bool = False,
    ) -> Array:
        """Runs the kernel on [batch, heads, rows, inner] views; the output is stored with heads merged or apart."""
        batch, heads, q_len, depth = q.shape
        kv_len, value_depth = v.shape[2:]
        stored = (batch, q_len, heads, value_depth) if merged else (batch, heads, q_len, value_depth)
        out = kernels.guarded(np.full(stored, np.nan, np.float32))
        view = out.swapaxes(1, 2) if merged else out
        broadcast = () if mask is None else tuple(axis for axis in range(4) if mask.shape[axis] == 1)
        mask_strides = [0, 0, 0] if mask is None else _strides(mask, broadcast)
        column = 0 if mask is None or 3 in broadcast else mask.strides[3] // mask.itemsize
        tensors = [*_strides(q), *_strides(k), *_strides(v), *mask_strides, *_strides(view)]
        sizes = (batch, heads, q_len, kv_len, depth, value_depth, *tensors, column, 0, int(fill))
        arrays = (np.asarray([scale], np.float32), q, k, v, mask, out)
        self.assertEqual(kernels.call("run_attention", sizes, *arrays), OK)
        result: Array = view
        return result

    def _operand(self, kernels: Kernels, random: np.random.Generator, shape: list[int], merged: bool) -> Array:
        """A [batch, heads, rows, inner] array, stored as [batch, rows, heads, inner] when merged."""
        batch, heads, rows, inner = shape
        stored = (batch, rows, heads, inner) if merged else (batch, heads, rows, inner)
        array = kernels.guarded(normal(random, *stored))
        return array.swapaxes(1, 2) if merged else array

    @parameterized.parameters(*CONFIGS)
    def test_random_shapes(self, isa: str, threads: int) -> None:
        kernels, random = Kernels(isa, threads), np.random.default_rng(threads)
        lengths = (1, 2, 4, 5, 11, 12, 13, 31, 33, 48, 49, 100, 130, 260)
        for index in range(120):
            batch, heads = int(random.choice([0, 1, 2, 3])), int(random.choice([1, 2, 5]))
            q_len, kv_len = (int(random.choice((0, *lengths))) for _ in range(2))
            depth, value_depth = (int(random.choice([0, 1, 8, 15, 16, 32, 40, 64])) for _ in range(2))
            merged = bool(index % 2)
            q, k, v = (
                self._operand(kernels, random, [batch, heads, rows, inner], merged)
                for rows, inner in ((q_len, depth), (kv_len, depth), (kv_len, value_depth))
            )
            mask = None
            if random.integers(3):
                shape = [int(random.choice([1, size])) for size in (batch, heads, q_len, kv_len)]
                mask = kernels.guarded(normal(random, *shape))
            with self.subTest(q=q.shape, v=v.shape, mask=None if mask is None else mask.shape, merged=merged):
                out = self._run(kernels, q, k, v, 0.3, mask, merged)
                np.testing.assert_allclose(out, _reference(q, k, v, 0.3, mask), rtol=1e-5, atol=1e-5)

    @parameterized.parameters(*CONFIGS)
    def test_masks_that_take_the_place_of_scores(self, isa: str, threads: int) -> None:
        kernels, random = Kernels(isa, threads), np.random.default_rng(threads)
        for q_len, kv_len, columns in ((1, 1, 1), (3, 37, 1), (20, 37, 1), (15, 100, 1), (20, 50, 2)):
            q, k, v = (self._operand(kernels, random, [2, 3, rows, 16], True) for rows in (q_len, kv_len, kv_len))
            for shape in ((2, 1, 1, kv_len), (1, 1, q_len, kv_len), (2, 3, q_len, 1)):
                stored = kernels.guarded(normal(random, *shape[:3], shape[3] * columns))
                stored[stored > 0] = 0
                mask = stored[..., ::columns]
                with self.subTest(q_len=q_len, kv_len=kv_len, columns=columns, mask=shape):
                    out = self._run(kernels, q, k, v, 0.3, mask, True, fill=True)
                    np.testing.assert_allclose(out, _reference(q, k, v, 0.3, mask, True), rtol=1e-5, atol=1e-5)

    @parameterized.product(config=CONFIGS, q_len=(2, 20))
    def test_rows_without_a_score_of_their_own_are_even(self, config: tuple[str, int], q_len: int) -> None:
        kernels, random = Kernels(*config), np.random.default_rng(5)
        q, k, v = (self._operand(kernels, random, [1, 2, rows, 16], False) for rows in (q_len, 37, 37))
        mask = np.full((1, 1, q_len, 37), -1e9, np.float32)
        out = self._run(kernels, q * 1e6, k, v, 1.0, mask, False, fill=True)
        expected = np.broadcast_to(v.mean(2, keepdims=True), out.shape)
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)

    @parameterized.product(config=CONFIGS, q_len=(3, 20))
    def test_long_rows_and_large_scores(self, config: tuple[str, int], q_len: int) -> None:
        kernels, random = Kernels(*config), np.random.default_rng(q_len)
        q, k, v = (self._operand(kernels, random, [1, 2, rows, 64], True) for rows in (q_len, 3001, 3001))
        out = self._run(kernels, q, k, v, 20.0, None, True)
        # Scores are near 500, so their own rounding moves weights by a relative 1e-4.
        np.testing.assert_allclose(out, _reference(q, k, v, 20.0, None), rtol=1e-3, atol=2e-3)

    @parameterized.product(config=CONFIGS, q_len=(2, 20))
    def test_masked_out(self, config: tuple[str, int], q_len: int) -> None:
        kernels, random = Kernels(*config), np.random.default_rng(1)
        q, k, v = (self._operand(kernels, random, [1, 1, rows, 16], False) for rows in (q_len, 37, 37))
        mask = np.zeros((1, 1, q_len, 37), np.float32)
        mask[0, 0, 0, 5:] = -np.inf
        mask[0, 0, 1] = -np.inf
        out = self._run(kernels, q, k, v, 1.0, mask, False)
        expected = _reference(q, k, v, 1.0, mask)
        self.assertTrue(np.isnan(expected[0, 0, 1]).all())
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)

    @parameterized.product(config=CONFIGS, q_len=(2, 20))
    def test_nan_and_infinite_queries_spoil_their_own_row(self, config: tuple[str, int], q_len: int) -> None:
        kernels, random = Kernels(*config), np.random.default_rng(2)
        q, k, v = (self._operand(kernels, random, [1, 1, rows, 16], False) for rows in (q_len, 37, 37))
        q[0, 0, 0, 3] = np.nan
        q[0, 0, 1, 3] = np.inf
        out = self._run(kernels, q, k, v, 1.0, None, False)
        self.assertTrue(np.isnan(out[0, 0, :2]).all())
        rest = (np.ascontiguousarray(q[:, :, 2:]), k, v)
        np.testing.assert_allclose(out[:, :, 2:], _reference(*rest, 1.0, None), rtol=1e-5, atol=1e-5)

    @parameterized.parameters(*CONFIGS)
    def test_out_of_memory_is_reported(self, isa: str, threads: int) -> None:
        kernels = Kernels(isa, threads)
        x = np.zeros((1, 1, 8, 8), np.float32)
        sizes = (1, 1, 8, 8, 8, 8, *([64, 64, 8] * 5), 0, 1)
        self.assertEqual(kernels.call("run_attention", sizes, np.ones(1, np.float32), x, x, x, None, x), NO_MEMORY)


if __name__ == "__main__":
    absltest.main()
