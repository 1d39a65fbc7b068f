"""verify finds what is wrong with a model, and nothing wrong with the same model."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from tests.cli import kit
from tests.folders import class_folder
from tests.isa import runnable_levels
from tests.saved_model import models, workshop
from tf_blade import api
from tf_blade.errors import InvalidInputError, UnknownSignatureError
from tf_blade.verify import Verification, verify_saved_model

workshop.register()
_X = tf.TensorSpec([None, 4], name="x")
_WEIGHT = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


def _outputs(x: Any) -> dict[str, Any]:
    y = tf.matmul(x, _WEIGHT)
    return {
        "y": y,
        "index": tf.argmax(y, 1),
        "word": tf.where(y[:, 0] > 0, "yes", "no"),
        "flag": y[:, 0] > 0,
        "odd": tf.math.log(y),  # NaN where y is negative
    }


def _replaced(name: str, change: Callable[[Any, Any], Any]) -> Callable[[Any], dict[str, Any]]:
    """The outputs with one of them changed: (output, x) -> output."""

    def serve(x: Any) -> dict[str, Any]:
        outputs = _outputs(x)
        return {**outputs, name: change(outputs[name], x)}

    return serve


def _lacks(name: str) -> Callable[[Any], dict[str, Any]]:
    return lambda x: {key: value for key, value in _outputs(x).items() if key != name}


def _raises_at(rows: int) -> Callable[[Any], dict[str, Any]]:
    def serve(x: Any) -> dict[str, Any]:
        with tf.control_dependencies([tf.debugging.assert_none_equal(tf.shape(x)[0], rows)]):
            return _outputs(tf.identity(x))

    return serve


def _at_rows(rows: int, change: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """A change at one size only."""
    return lambda y, x: tf.cond(tf.equal(tf.shape(x)[0], rows), lambda: change(y), lambda: y)


WRONG: dict[str, tuple[Callable[[Any], dict[str, Any]], str, str]] = {
    "slightly": (_replaced("y", lambda y, _: y * 1.001), "y", ""),
    "at one size": (_replaced("y", _at_rows(5, lambda y: y + 0.01)), "y", ""),
    "one element": (_replaced("y", lambda y, _: tf.concat([y[:, :2], y[:, 2:] * 0.9], 1)), "y", ""),
    "an integer": (_replaced("index", lambda y, x: y + tf.cast(x[:, 0] > 1.0, tf.int64)), "index", "values differ"),
    "a string": (_replaced("word", lambda y, _: tf.strings.regex_replace(y, "no", "No")), "word", "values differ"),
    "a bool": (_replaced("flag", lambda y, x: tf.logical_or(y, x[:, 0] > 0)), "flag", "values differ"),
    "NaN lost": (_replaced("odd", lambda y, _: tf.where(tf.math.is_nan(y), 0.0, y)), "odd", "other places"),
    "NaN added": (_replaced("y", _at_rows(3, lambda y: y / 0.0 * 0.0)), "y", "other places"),
    "element type": (_replaced("index", lambda y, _: tf.cast(y, tf.int32)), "index", "int32 instead of int64"),
    "shape": (_replaced("y", lambda y, _: y[:, :, tf.newaxis]), "y", "instead of"),
    "output lost": (_lacks("flag"), "flag", "lacks it"),
    "raises": (_raises_at(8), "y", "fails"),
}


def _noise(shape: Any) -> tf.Tensor:
    """Other numbers in each session, whatever seed other tests have set."""
    return tf.raw_ops.RandomStandardNormal(shape=shape, dtype=tf.float32, seed=0, seed2=0)


def _save(folder: Path, serve: Callable[..., Any], *specs: Any, name: str = "serving_default") -> Path:
    module = tf.Module()
    function = tf.function(serve, input_signature=specs)
    module.serve = function
    tf.saved_model.save(module, str(folder), signatures={name: function})
    return folder


class VerifyTest(parameterized.TestCase):
    original: Path

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.original = _save(class_folder(cls) / "original", _outputs, _X)

    def _folder(self) -> Path:
        return Path(self.create_tempdir().full_path) / "model"

    def _compare(self, serve: Callable[..., Any], *specs: Any) -> Verification:
        source, target = _save(self._folder(), serve, *specs), _save(self._folder(), serve, *specs)
        return verify_saved_model(source, target)

    def test_the_same_is_right(self) -> None:
        result = verify_saved_model(self.original, self.original)
        self.assertTrue(result.ok)
        self.assertEmpty(result.inconclusive)
        self.assertEqual(result.max_error, 0.0)
        self.assertEqual({item.output for item in result.errors}, {"y", "index", "word", "flag", "odd"})
        sizes = {item.sizes for item in result.errors}
        self.assertContainsSubset({f"x[{n}, 4]" for n in (0, 1, 2, 3, 5, 8)}, sizes)

    @parameterized.named_parameters((name, name) for name in WRONG)
    def test_wrong(self, name: str) -> None:
        serve, output, message = WRONG[name]
        result = verify_saved_model(self.original, _save(self._folder(), serve, _X))
        self.assertFalse(result.ok)
        wrong = [item for item in result.errors if not item.ok]
        self.assertIn(output, {item.output for item in wrong})
        if name != "raises":
            self.assertEqual({item.output for item in wrong}, {output})
        self.assertTrue(all(message in item.message for item in wrong), wrong[0].message)
        self.assertIn("WRONG", result.to_text())
        found = json.loads(result.to_json())
        self.assertFalse(found["ok"])
        self.assertLen([item for item in found["errors"] if not item["ok"]], len(wrong))

    def test_sizes_at_which_it_is_wrong_are_told(self) -> None:
        result = verify_saved_model(self.original, _save(self._folder(), WRONG["at one size"][0], _X))
        self.assertEqual({item.sizes for item in result.errors if not item.ok}, {"x[5, 4]"})
        self.assertRegex(result.to_text(), r"y +WRONG .* x\[5, 4\]")

    def test_tolerance(self) -> None:
        target = _save(self._folder(), _replaced("y", lambda y, _: y * 1.001), _X)
        self.assertTrue(verify_saved_model(self.original, target, rtol=1e-2).ok)
        error = verify_saved_model(self.original, target).max_error
        self.assertBetween(error, 0.9e-3, 1.1e-3)

    def test_half_floats_have_their_own_tolerance(self) -> None:
        def serve(scale: float) -> Callable[[Any], Any]:
            return lambda x: {"y": tf.cast(x * scale, tf.bfloat16)}

        source = _save(self._folder(), serve(1.0), _X)
        self.assertTrue(verify_saved_model(source, _save(self._folder(), serve(1.005), _X)).ok)
        self.assertFalse(verify_saved_model(source, _save(self._folder(), serve(1.2), _X)).ok)

    def test_a_signature_without_inputs(self) -> None:
        result = self._compare(lambda: {"y": tf.constant([1.0, 2.0]) * 2.0})
        self.assertTrue(result.ok)
        self.assertLen(result.errors, 1)
        source = _save(self._folder(), lambda: {"y": tf.constant(1.0)})
        target = _save(self._folder(), lambda: {"y": tf.constant(2.0)})
        self.assertFalse(verify_saved_model(source, target).ok)

    def test_unknown_rank(self) -> None:
        spec = tf.TensorSpec(None, name="x")
        result = self._compare(lambda x: {"y": tf.matmul(x, x, transpose_b=True)}, spec)
        self.assertTrue(result.ok)
        self.assertGreaterEqual(len(result.errors), 5)

    def test_small_vocabularies(self) -> None:
        table = tf.constant(np.arange(20.0, dtype=np.float32).reshape(10, 2))
        result = self._compare(lambda x: {"y": tf.gather(table, x)}, tf.TensorSpec([None, None], tf.int32, name="x"))
        self.assertTrue(result.ok)
        self.assertGreaterEqual(len(result.errors), 9)

    def test_what_takes_no_random_inputs_is_inconclusive(self) -> None:
        def serve(x: Any) -> Any:
            with tf.control_dependencies([tf.debugging.assert_equal(tf.reduce_sum(x), 12345.0)]):
                return {"y": x * 2.0}

        source = _save(self._folder(), serve, _X)
        result = verify_saved_model(source, source)
        self.assertEqual(list(result.inconclusive), ["serving_default"])
        self.assertIn("give sample inputs", result.to_text())
        sample = {"x": np.full((1, 4), 12345.0 / 4, np.float32)}
        result = verify_saved_model(source, source, sample_inputs={"serving_default": [sample]})
        self.assertTrue(result.ok)
        self.assertLen(result.errors, 1)

    def test_random_numbers_excuse_no_other_output(self) -> None:
        def serve(scale: float) -> Callable[[Any], Any]:
            return lambda x: {"noise": _noise(tf.shape(x)), "y": x * scale}

        source = _save(self._folder(), serve(1.0), _X)
        same = verify_saved_model(source, source)
        self.assertTrue(same.ok, same.to_text())
        self.assertEqual(list(same.inconclusive), ["serving_default/noise"])
        self.assertEqual({item.output for item in same.errors}, {"y"})
        other = verify_saved_model(source, _save(self._folder(), serve(1.1), _X))
        self.assertFalse(other.ok)

    def test_random_numbers_of_another_shape_are_wrong(self) -> None:
        source = _save(self._folder(), lambda x: {"noise": _noise(tf.shape(x))}, _X)
        target = _save(self._folder(), lambda x: {"noise": _noise([1 + tf.shape(x)[0], 4])}, _X)
        self.assertFalse(verify_saved_model(source, target).ok)

    def test_state_is_compared_call_by_call(self) -> None:
        folder = self._folder()
        models.counter(folder)
        self.assertTrue(verify_saved_model(folder, folder).ok)

    def test_signatures(self) -> None:
        source = _save(self._folder(), _outputs, _X, name="mine")
        with self.assertRaises(UnknownSignatureError):
            verify_saved_model(source, source, signatures=["other"])
        with self.assertRaises(UnknownSignatureError):
            verify_saved_model(source, self.original)  # it lacks one

    @parameterized.parameters(
        ({"x": np.ones((2, 5), np.float32)}, r"is float32\[\?, 4\]; given is float32\[2, 5\]"),
        ({"x": np.ones((2, 4), np.complex64)}, r"given is complex64"),
        (
            {"x": np.ones((2, 4))},
            r"input 'x' of signature 'serving_default' is float32\[\?, 4\]; given is float64\[2, 4\]",
        ),
        ({"x": np.ones((2, 4), np.int32)}, r"is float32\[\?, 4\]; given is int32\[2, 4\]"),
        ({"x": np.array([["a"] * 4])}, r"given is <U1"),
        ({"y": np.ones((2, 4), np.float32)}, r"takes the inputs x; given are y"),
        ({}, r"takes the inputs x; given are none"),
    )
    def test_inputs_that_do_not_fit(self, sample: dict[str, np.ndarray], message: str) -> None:
        with self.assertRaisesRegex(InvalidInputError, message):
            verify_saved_model(self.original, self.original, sample_inputs={"serving_default": [sample]})

    def test_lists_have_no_type(self) -> None:
        sample: Any = {"x": [[1.0, 2.0, 3.0, 4.0]]}
        self.assertTrue(
            verify_saved_model(self.original, self.original, sample_inputs={"serving_default": [sample]}).ok
        )

    def test_fallbacks_are_told(self) -> None:
        """Right results of engines that never ran are no proof of the engines."""
        folder = self._folder()
        models.dense(folder)
        target = folder.with_name("dst")
        report = api.optimize_saved_model(folder, target, backends=("no_engine",), **workshop.EAGER)
        result = verify_saved_model(folder, target)
        self.assertTrue(result.ok)
        self.assertEqual(result.engine_runs, 0)
        self.assertGreater(result.calls, 0)
        self.assertEqual(sum(result.fallbacks.values()), result.calls)
        self.assertIn(f"engines served 0 of {result.calls} calls", result.to_text())
        self.assertNotEmpty([note for note in report.notes if "fell back" in note])

        required = verify_saved_model(folder, target, require_engines=True)
        self.assertFalse(required.ok)
        self.assertLen(required.unserved, 2)  # the third is for Python's calls alone
        wrong = f"WRONG: engines are required, and engines served no call of {', '.join(required.unserved)}"
        self.assertEqual(wrong, required.to_text().splitlines()[-1])
        self.assertEqual(list(required.unserved), json.loads(result.to_json())["engine_ops"]["unserved"])
        plain = verify_saved_model(folder, folder, require_engines=True)
        self.assertEqual("WRONG: engines are required, and no engine op was called", plain.to_text().splitlines()[-1])
        found = kit.call("verify", folder, target, "--require-engines")
        self.assertEqual((found.status, found.err), (1, ""))
        self.assertIn(wrong, found.out)

    def test_engines_that_are_required_and_run(self) -> None:
        folder = self._folder()
        models.dense(folder)
        target = folder.with_name("run")
        options: dict[str, Any] = {"verify": False, "warmup": False, **workshop.EAGER}
        api.optimize_saved_model(folder, target, isas=runnable_levels()[-1:], **options)
        result = verify_saved_model(folder, target, require_engines=True)
        self.assertTrue(result.ok, result.to_text())
        self.assertEqual((), result.unserved)
        self.assertNotIn("WRONG", result.to_text())

    def test_infinite_errors_are_null_in_json(self) -> None:
        result = verify_saved_model(self.original, _save(self._folder(), _lacks("y"), _X))
        self.assertTrue(math.isinf(result.max_error))
        self.assertIsNone(json.loads(result.to_json())["max_error"])


if __name__ == "__main__":
    absltest.main()
