"""Each small zoo model builds, loads, and answers with numbers that depend on its inputs."""

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from tests import zoo
from tests.zoo.base import Array


class GridTest(parameterized.TestCase):
    @parameterized.named_parameters(
        *((f"small_{name}", model) for name, model in zoo.SMALL.items()),
        *((f"full_{name}", model) for name, model in zoo.FULL.items()),
    )
    def test_every_size_of_every_dimension_occurs(self, model: zoo.ZooModel) -> None:
        grid = model.grid()
        for dim, values in model.dims.items():
            self.assertGreaterEqual(len(set(values)), 5, dim)
            self.assertEqual({sizes[dim] for sizes in grid}, set(values), dim)

    def test_the_same_seed_gives_the_same_inputs(self) -> None:
        first, second, other = (zoo.get("chain").example(seed=s)[zoo.DEFAULT]["x"] for s in (1, 1, 2))
        np.testing.assert_array_equal(first, second)
        self.assertFalse(np.array_equal(first, other))


class BuildTest(parameterized.TestCase):
    @parameterized.named_parameters(*((name, model) for name, model in zoo.SMALL.items()))
    def test_builds_and_answers(self, model: zoo.ZooModel) -> None:
        loaded = tf.saved_model.load(str(zoo.saved(model.name)))
        first, second = model.example(seed=1), model.example(seed=2)
        self.assertLessEqual(set(first), set(loaded.signatures))
        for signature, feeds in first.items():
            run = loaded.signatures[signature]
            results = run(**{name: tf.constant(value) for name, value in feeds.items()})
            others = run(**{name: tf.constant(value) for name, value in second[signature].items()})
            self.assertTrue(any(not np.array_equal(results[n], others[n]) for n in results), signature)
            for name, value in results.items():
                self._check_spread(f"{signature}/{name}", value.numpy())

    def _check_spread(self, name: str, value: Array) -> None:
        if not np.issubdtype(value.dtype, np.floating):
            return
        self.assertTrue(np.all(np.isfinite(value)), name)
        self.assertGreater(np.ptp(value), 1e-3 * np.max(np.abs(value)), f"{name} is constant")
        self.assertLess(np.max(np.abs(value)), 1e4, f"{name} has exploded")


if __name__ == "__main__":
    absltest.main()
