"""Beam search: a loop that ends when the data say so, over a memory of any length, in one engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

import tf_blade
from tests.e2e import engines_only, kit
from tf_blade import runtime

BEAMS, WIDTH, VOCABULARY, LONGEST, END = 4, 24, 40, 30, 0
WORST = -1e9


class Decoder(tf.Module):
    """A recurrent decoder that attends to a memory; it ends when every beam has, or after `limit` tokens."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(2)
        shapes = {"table": (VOCABULARY, WIDTH), "recur": (3 * WIDTH, WIDTH), "words": (WIDTH, VOCABULARY)}
        self.weights = {
            name: tf.Variable(rng.normal(size=shape).astype(np.float32) * 1.5 * shape[0] ** -0.5, name=name)
            for name, shape in shapes.items()
        }

    def step(self, memory: tf.Tensor, state: tf.Tensor, token: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The next state and the log probability of each word, for each beam."""
        weights = tf.nn.softmax(tf.matmul(state, memory, transpose_b=True) * WIDTH**-0.5)
        read = tf.concat([tf.gather(self.weights["table"], token), state, weights @ memory], 1)
        state = tf.tanh(read @ self.weights["recur"])
        return state, tf.nn.log_softmax(4.0 * (state @ self.weights["words"]))

    def search(self, memory: tf.Tensor, limit: tf.Tensor, bonus: tf.Tensor) -> dict[str, tf.Tensor]:
        """`bonus` is added to the end's log probability: the larger, the fewer turns."""
        ends = tf.one_hot(END, VOCABULARY)
        only_end = (1 - ends) * WORST

        def more(step: tf.Tensor, ids: tf.Tensor, state: tf.Tensor, total: tf.Tensor, ended: tf.Tensor) -> tf.Tensor:
            del ids, state, total
            return tf.logical_and(step < limit, tf.logical_not(tf.reduce_all(ended)))

        def body(
            step: tf.Tensor, ids: tf.Tensor, state: tf.Tensor, total: tf.Tensor, ended: tf.Tensor
        ) -> list[tf.Tensor]:
            state, chances = self.step(memory, state, tf.gather(ids, step, axis=1))
            chances = tf.where(ended[:, None], only_end, chances + bonus * ends)
            total, places = tf.math.top_k(tf.reshape(total[:, None] + chances, [-1]), BEAMS)
            beams, tokens = places // VOCABULARY, places % VOCABULARY
            here = tf.one_hot(step + 1, LONGEST + 1, dtype=tf.int32)
            ids = tf.gather(ids, beams) * (1 - here) + here * tokens[:, None]
            ended = tf.logical_or(tf.gather(ended, beams), tokens == END)
            return [step + 1, ids, tf.gather(state, beams), total, ended]

        start = tf.concat([tf.ones([BEAMS, 1], tf.int32), tf.zeros([BEAMS, LONGEST], tf.int32)], 1)
        state = tf.tile(tf.tanh(tf.reduce_sum(memory, 0, keepdims=True)), [BEAMS, 1])
        total = tf.constant([0.0] + [WORST] * (BEAMS - 1))
        ended = tf.zeros([BEAMS], tf.bool)
        steps, ids, state, total, ended = tf.while_loop(more, body, [0, start, state, total, ended])
        return {"steps": steps, "ids": ids, "state": state, "total": total, "ended": ended}


class BeamSearchTest(parameterized.TestCase):
    report: tf_blade.Report
    models: list[Any]
    before: Any
    after: Any

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        folder = Path(kit.scratch().name) / "beams"
        specs = [
            tf.TensorSpec([None, WIDTH], tf.float32, "memory"),
            tf.TensorSpec([], tf.int32, "limit"),
            tf.TensorSpec([], tf.float32, "bonus"),
        ]
        model = Decoder()
        tf.saved_model.save(model, str(folder / "src"), signatures=tf.function(model.search, input_signature=specs))
        cls.report = tf_blade.optimize_saved_model(
            folder / "src", folder / "dst", verify=False, isas=kit.host_isas(), min_cluster_gain_us=0
        )
        cls.models = [tf.saved_model.load(str(folder / name)) for name in ("src", "dst")]
        cls.before, cls.after = (item.signatures["serving_default"] for item in cls.models)

    def test_all_of_it_is_in_an_engine(self) -> None:
        self.assertEqual(self.report.totals.engines, 1, self.report.to_text())
        self.assertGreaterEqual(engines_only.flops_inside(self.report), 0.95)
        self.assertNotEmpty(engines_only.control_outside(self.before))
        self.assertEmpty(engines_only.control_outside(self.after))

    @parameterized.parameters(0, 1, 2, 17, 128, 300)
    def test_like_tensorflow(self, length: int) -> None:
        runtime.reset_runtime_stats()
        memory = np.random.default_rng(length).normal(size=(length, WIDTH)).astype(np.float32)
        turns = set()
        calls = [(0, 0.0), (1, 0.0), (LONGEST, -100.0), (LONGEST, 4.0), (LONGEST, 6.0), (LONGEST, 100.0)]
        for limit, bonus in calls:
            feeds = {"memory": memory, "limit": limit, "bonus": np.float32(bonus)}
            feeds = {name: tf.constant(value) for name, value in feeds.items()}
            wanted, found = self.before(**feeds), self.after(**feeds)
            for name in ("steps", "ids", "ended"):
                np.testing.assert_array_equal(found[name], wanted[name], f"{name} {limit} {bonus}")
            self.assertLess(kit.largest_error(wanted, found), kit.TOLERANCE)
            turns.add(int(wanted["steps"]))
        self.assertContainsSubset({0, 1, LONGEST}, turns)
        self.assertGreater(len(turns), 3, "some ended between")
        served, fallbacks = kit.engine_counters()
        self.assertEqual(sum(served.values()), len(calls))
        self.assertEmpty(fallbacks)


if __name__ == "__main__":
    absltest.main()
