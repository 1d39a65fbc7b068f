"""Nearest neighbours between unknown sizes: computed indices are TensorFlow's, at all sizes that a plan takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

import tf_blade
from tests.ops.harness import OpCase, f32
from tests.tensorrt import cases_images, kit
from tf_blade import symbolic
from tf_blade.backends.tensorrt.builder import within
from tf_blade.backends.tensorrt.ops import nearest
from tf_blade.backends.tensorrt.profiles import Range
from tf_blade.errors import Unsupported
from tf_blade.symbolic import Dim

N = symbolic.symbol("n")
FLAGS = {nearest.PLAIN: {}, nearest.CENTERS: {"half_pixel_centers": True}, nearest.CORNERS: {"align_corners": True}}
_ROUNDED = {case.name: case for case in cases_images.CASES}["ResizeNearestNeighbor_unknown_centers"]


def _tensorflow(old: int, new: int, mode: str) -> np.ndarray:
    image = np.arange(old, dtype=np.float32).reshape(1, old, 1, 1)
    resized: Any = tf.raw_ops.ResizeNearestNeighbor(images=image, size=[new, 1], **FLAGS[mode])
    return np.asarray(resized).reshape(-1).astype(int)


def _exact(old: int, new: int, mode: str) -> np.ndarray:
    """The neighbours, were nothing rounded."""
    i = np.arange(new)
    if mode == nearest.CENTERS:
        return (2 * i + 1) * old // (2 * new)
    if mode == nearest.PLAIN:
        return i * old // new
    return (2 * i * (old - 1) + new - 1) // max(2 * (new - 1), 1)


class NearestTest(parameterized.TestCase):
    @parameterized.parameters(
        (symbolic.ceildiv(N, 2), N, nearest.CENTERS, 99),
        (N + 1, N, nearest.CENTERS, 29),
        (2 * N, N, nearest.CORNERS, 27),
        (N + 1, N, nearest.CORNERS, 53),
    )
    def test_corrections(self, old: Dim, new: Dim, mode: str, first: int) -> None:
        """At sizes that need some, and at those around them."""
        largest, rows = nearest.corrections(old, new, mode)
        self.assertGreater(largest, 2000)
        self.assertEqual(first, rows[0, 0])
        for size in sorted({size + step for size in rows[:, 0].tolist() for step in (0, 1) if size < 700}):
            before, after = (symbolic.evaluate(dim, {"n": size}) for dim in (old, new))
            computed = _exact(before, after, mode)
            for _, pixel, added in rows[rows[:, 0] == size]:
                computed[pixel] += added
            np.testing.assert_array_equal(_tensorflow(before, after, mode), computed, f"{before} to {after}")

    @parameterized.parameters(*FLAGS)
    def test_choices_are_tensorflows(self, mode: str) -> None:
        """Also where a float32 is just below a half, as for one pixel of 2 that become 83."""
        for old in (1, 2, 3, 5, 8, 13, 40):
            for new in range(1, 130):
                computed = nearest.chosen(old, new, np.arange(new), mode)
                np.testing.assert_array_equal(_tensorflow(old, new, mode), computed, f"{old} to {new}")

    def test_a_network_without_corrections_is_wrong(self) -> None:
        none = (nearest.LARGEST, np.zeros((0, 3), np.int32))
        with mock.patch.object(nearest, "corrections", return_value=none), self.assertRaises(AssertionError):
            kit.check(_ROUNDED)

    def test_plans_end_where_the_network_does(self) -> None:
        _, graph = kit.trace(_ROUNDED)
        limits = kit.converter().convert(graph, frozenset()).network.limits
        self.assertEqual({"h": nearest.LARGEST // 2}, limits)
        wide, beyond = {"h": Range(1, 3000, 5000), "n": Range(1, 1, 9)}, {"h": Range(2049, 3000, 5000)}
        self.assertEqual(({"h": Range(1, 2048, 2048), "n": Range(1, 1, 9)},), within([wide, beyond], limits))
        with self.assertRaisesRegex(Unsupported, "sizes beyond"):
            within([beyond], limits)

    def test_a_range_that_is_given_ends_there_too(self) -> None:
        """And the report tells it."""
        folder = Path(self.create_tempdir().full_path)
        model = tf.Module()
        model.serve = tf.function(
            lambda image: _ROUNDED.fn(image), input_signature=[tf.TensorSpec([2, None, 3, 1], name="image")]
        )
        tf.saved_model.save(model, str(folder / "original"), signatures=model.serve)
        report = tf_blade.optimize_saved_model(
            folder / "original",
            folder / "optimized",
            backends=("tensorrt",),
            tensorrt_ranges=("image[1]=1000:3000:5000",),
            tensorrt_targets=("8.9",),
            min_cluster_gain_us=-1e9,
            verify=False,
            warmup=False,
        )
        (cluster,) = report.clusters
        self.assertIn("[2, 1000:2048, 3, 1]", cluster.details["profiles"])
        self.assertIn(
            f"the range of image[1] ends earlier in {cluster.name}: tensorrt computes what TensorFlow does for sizes up"
            " to 2048 there",
            report.notes,
        )

    def test_two_unknown_sizes(self) -> None:
        def fn(x: Any, y: Any) -> Any:
            return tf.raw_ops.ResizeNearestNeighbor(images=x, size=tf.shape(y)[:2])

        _, graph = kit.trace(OpCase("ResizeNearestNeighbor", fn, (f32(1, "h", 3, 1), f32("m", 3))))
        with self.assertRaisesRegex(Unsupported, "several unknown dimensions"):
            kit.converter().convert(graph, frozenset())


if __name__ == "__main__":
    absltest.main()
