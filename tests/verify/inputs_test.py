"""Generated inputs, and inputs from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from absl.testing import absltest, parameterized

from tf_blade import inputs
from tf_blade.errors import InvalidInputError
from tf_blade.inputs import InputSpec

_FLOAT, _INT, _STRING = np.dtype(np.float32), np.dtype(np.int32), np.dtype(object)


class SizesTest(absltest.TestCase):
    def test_every_unknown_axis_takes_at_least_five_sizes(self) -> None:
        grid = inputs.size_grid([InputSpec("image", _FLOAT, (None, None, None, 3))])
        for axis in (0, 1, 2):
            self.assertGreaterEqual(len({sizes[axis] for sizes in grid}), 5)
        self.assertTrue(all(set(sizes) == {0, 1, 2} for sizes in grid))

    def test_axes_go_together_and_apart(self) -> None:
        grid = inputs.size_grid([InputSpec("image", _FLOAT, (None, None, None, 3))])
        self.assertGreaterEqual(sum(sizes[1] == sizes[2] for sizes in grid), 5)
        self.assertGreaterEqual(sum(sizes[1] != sizes[2] for sizes in grid), 4)

    def test_empty_and_single(self) -> None:
        grid = inputs.size_grid([InputSpec("ids", _INT, (None, None))])
        self.assertEqual(grid[-1][0], 0)
        self.assertIn(1, {sizes[0] for sizes in grid})
        self.assertIn(1, {sizes[1] for sizes in grid})

    def test_known_shapes_are_called_once(self) -> None:
        self.assertEqual(inputs.size_grid([InputSpec("x", _FLOAT, (2, 3))]), [{}])
        self.assertEqual(inputs.size_grid([]), [{}])

    def test_unknown_ranks(self) -> None:
        known, unknown = InputSpec("x", _FLOAT, (None, 3)), InputSpec("y", _FLOAT, None)
        self.assertEqual(inputs.with_ranks([known]), [(known,)])
        shapes = [tuple(spec.shape for spec in specs) for specs in inputs.with_ranks([known, unknown])]
        self.assertIn(((None, 3), ()), shapes)
        self.assertIn(((None, 3), (None, None)), shapes)


class RandomTest(parameterized.TestCase):
    @parameterized.parameters(
        (np.dtype(np.float32),), (np.dtype(np.int64),), (np.dtype(np.uint8),), (np.dtype(np.bool_),), (_STRING,)
    )
    def test_shapes_and_types(self, dtype: np.dtype) -> None:
        specs = [InputSpec("x", dtype, (None, 2, None)), InputSpec("s", dtype, ())]
        (first, *rest) = inputs.candidates(specs, {0: 3, 2: 5}, 0)
        self.assertEqual((first["x"].shape, first["x"].dtype), ((3, 2, 5), dtype))
        self.assertEqual(first["s"].shape, ())
        (again, *_) = inputs.candidates(specs, {0: 3, 2: 5}, 0)
        np.testing.assert_array_equal(first["x"], again["x"])
        self.assertLen(rest, len(inputs.INTEGER_BOUNDS) - 1 if dtype.kind in "iu" else 0)

    def test_integers_become_smaller(self) -> None:
        spec = InputSpec("ids", _INT, (1000,))
        highest = [int(sample["ids"].max()) for sample in inputs.candidates([spec], {}, 0)]
        self.assertEqual(highest, [99, 7, 1, 0])


class FileTest(absltest.TestCase):
    def _file(self, **arrays: Any) -> Path:
        path = Path(self.create_tempdir().full_path) / "inputs.npz"
        np.savez(path, **arrays)
        return path

    def test_names(self) -> None:
        path = self._file(**{"x": np.ones(2), "score/x": np.zeros(3), "y": np.ones(1)})
        found = inputs.read_samples(path, {"embed": ["x"], "score": ["x", "y"], "other": ["z"], "none": []})
        self.assertEqual(set(found), {"embed", "score"})
        self.assertEqual(found["embed"][0]["x"].shape, (2,))
        self.assertEqual(found["score"][0]["x"].shape, (3,))

    def test_strings(self) -> None:
        found = inputs.read_samples(self._file(text=np.array(["a", "bc"])), {"serve": ["text"]})
        self.assertEqual(found["serve"][0]["text"].tolist(), ["a", "bc"])

    def test_what_is_wrong_is_said(self) -> None:
        signatures = {"serve": ["x", "y"]}
        with self.assertRaisesRegex(InvalidInputError, "there is no file"):
            inputs.read_samples(Path("/nonexistent.npz"), signatures)
        with self.assertRaisesRegex(InvalidInputError, "has q, which is no input.*serve: x, y"):
            inputs.read_samples(self._file(x=np.ones(1), y=np.ones(1), q=np.ones(1)), signatures)
        with self.assertRaisesRegex(InvalidInputError, "all inputs of no signature.*serve: x, y"):
            inputs.read_samples(self._file(x=np.ones(1)), signatures)
        text = Path(self.create_tempfile("inputs.npz", content="no archive").full_path)
        with self.assertRaisesRegex(InvalidInputError, "no .npz of plain arrays"):
            inputs.read_samples(text, signatures)

    def test_pickled_objects_are_refused(self) -> None:
        path = self._file(x=np.array([b"a", {"b": 1}], object))
        with self.assertRaisesRegex(InvalidInputError, "no .npz of plain arrays"):
            inputs.read_samples(path, {"serve": ["x"]})


if __name__ == "__main__":
    absltest.main()
