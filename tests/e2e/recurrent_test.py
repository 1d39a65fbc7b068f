"""Keras' recurrent layers, whole models: one engine, at any sequence length."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

import tf_blade
from tests.e2e import engines_only, kit
from tf_blade import runtime

LENGTHS = (1, 2, 17, 128, 300)
WIDTH = 6


def variants(x: Any, cell: Callable[..., keras.layers.Layer]) -> list[Any]:
    """A cell in all directions, with all kinds of results."""
    sequence = cell(9, return_sequences=True)(x)
    backwards = cell(9, go_backwards=True, return_sequences=True)(sequence)
    both = keras.layers.Bidirectional(cell(5, return_sequences=True))(x)
    last = keras.layers.Bidirectional(cell(4), merge_mode="sum")(both)
    with_state = cell(3, return_state=True)(backwards)
    return [sequence, backwards, both, last, *with_state]


def lstm() -> keras.Model:
    x = keras.Input((None, WIDTH), name="x")
    return keras.Model(x, variants(x, keras.layers.LSTM))


def gru() -> keras.Model:
    x = keras.Input((None, WIDTH), name="x")
    old = keras.layers.GRU(7, reset_after=False)(x)
    return keras.Model(x, [*variants(x, keras.layers.GRU), old, keras.layers.SimpleRNN(5)(x)])


def masked() -> keras.Model:
    x = keras.Input((None, WIDTH), name="x")
    y = keras.layers.Masking()(x)
    zeros = keras.layers.LSTM(4, return_sequences=True, zero_output_for_mask=True)(y)
    return keras.Model(x, [*variants(y, keras.layers.LSTM), zeros, keras.layers.GRU(4)(y)])


def sample(length: int, batch: int, *, padded: bool) -> np.ndarray:
    x = np.random.default_rng(length + batch).standard_normal((batch, length, WIDTH)).astype(np.float32)
    if padded:
        for row in range(batch):
            x[row, max(length - row * length // 2, 0) :] = 0  # the third row is masked altogether
    return x


class RecurrentTest(parameterized.TestCase):
    @parameterized.parameters(lstm, gru, masked)
    def test_one_engine(self, make: Callable[[], keras.Model]) -> None:
        keras.utils.set_random_seed(4)
        folder = Path(tempfile.mkdtemp())
        model = make()
        spec = [tf.TensorSpec((None, None, WIDTH), tf.float32, name="x")]
        run = tf.function(lambda x: dict(enumerate_names(model(x))), input_signature=spec)
        module = tf.Module()
        module.kept, module.run = model.variables, run
        tf.saved_model.save(module, str(folder / "src"), signatures=run)
        report = tf_blade.optimize_saved_model(folder / "src", folder / "dst", verify=False, isas=kit.host_isas())
        totals = report.totals
        self.assertEqual(totals.engines, 1, report.to_text())
        self.assertGreaterEqual(engines_only.flops_inside(report), 0.95)
        self.compare(folder, padded=make is masked)

    def compare(self, folder: Path, *, padded: bool) -> None:
        source, target = (tf.saved_model.load(str(folder / name)) for name in ("src", "dst"))
        before, after = (item.signatures["serving_default"] for item in (source, target))
        self.assertEmpty(engines_only.control_outside(after))
        self.assertNotEmpty(engines_only.control_outside(before))
        runtime.reset_runtime_stats()
        for length in LENGTHS:
            for batch in (1, 3):
                x = tf.constant(sample(length, batch, padded=padded))
                wanted, got = before(x=x), after(x=x)
                self.assertEqual(wanted.keys(), got.keys())
                for name, value in wanted.items():
                    np.testing.assert_allclose(got[name], value, rtol=0, atol=1e-4, err_msg=f"{name} {batch} {length}")
        served, fallbacks = kit.engine_counters()
        self.assertEqual(sum(served.values()), 2 * len(LENGTHS))
        self.assertEmpty(fallbacks)
        self.check_empty(before, after)

    def check_empty(self, before: Any, after: Any) -> None:
        """Without a step TensorFlow reports an error, or gives a result: so does the optimized model."""
        x = tf.zeros((2, 0, WIDTH))
        try:
            wanted = before(x=x)
        except tf.errors.OpError:
            with self.assertRaises(tf.errors.OpError):
                after(x=x)
            return
        got = after(x=x)
        for name, value in wanted.items():
            np.testing.assert_allclose(got[name], value, atol=1e-6)


def enumerate_names(results: Any) -> list[tuple[str, tf.Tensor]]:
    return [(f"result_{number}", value) for number, value in enumerate(tf.nest.flatten(results))]


if __name__ == "__main__":
    absltest.main()
