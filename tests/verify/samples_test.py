"""Sample inputs of every kind become arrays of the signature's types, or errors that name the input."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from tf_blade.errors import InvalidInputError, UnknownSignatureError
from tf_blade.inputs import InputSpec
from tf_blade.samples import all_as_arrays, as_array, as_arrays


def _array(given: Any, dtype: Any, shape: tuple[int | None, ...] | None = (None,)) -> np.ndarray:
    return as_array(given, InputSpec("x", np.dtype(dtype), shape), "serve")


class SamplesTest(parameterized.TestCase):
    @parameterized.parameters(np.int8, np.uint16, np.int64, np.float32, np.bool_, object, np.float16)
    def test_an_empty_list_is_of_any_type(self, dtype: Any) -> None:
        found = _array([], dtype)
        self.assertEqual((found.dtype, found.shape), (np.dtype(dtype), (0,)))
        self.assertEqual(_array([[], []], dtype, (None, None)).shape, (2, 0))
        with self.assertRaisesRegex(InvalidInputError, r"given is \w+\[0\]"):
            _array([], dtype, (None, 4))

    @parameterized.parameters(
        (np.uint8, [0, 255]),
        (np.int8, [-128, 127]),
        (np.uint64, [0, 2**64 - 1]),
        (np.int64, [-(2**63), 2**63 - 1]),
        (np.int32, [True, False]),
        (np.float32, [1, 2]),
        (np.float16, [1.5, 2.5]),
        (ml_dtypes.bfloat16, [1.0, 0.5]),
    )
    def test_numbers_without_a_type(self, dtype: Any, given: list[Any]) -> None:
        found = _array(given, dtype)
        self.assertEqual(found.dtype, np.dtype(dtype))
        self.assertEqual([item.item() for item in found], given)

    @parameterized.parameters(
        (np.int8, [1, 128], "int8\\[\\?\\], which holds numbers from -128 to 127; given is 128: give one that fits"),
        (np.int32, [2**40], "given is 1099511627776: "),
        (np.uint8, [-1, 5], "from 0 to 255; given is -1: "),
        (np.int64, [2**63], "given is 9223372036854775808: "),
        (np.int64, [0, -(2**70)], f"given is -{2**70}: "),
        (np.int32, [1.5], "int32.*; given is float64"),
        (np.int32, ["1"], "int32.*; given is <U1"),
        (np.int32, [None], "int32.*; given is object"),
        (np.float32, [[1.0], [1.0, 2.0]], "given is no array"),
        (np.bool_, [1, 0], "bool.*; given is int64"),
        (object, [1, 2], "string.*; given is int64"),
        (object, [["a"], ["b", "c"]], "string.*; given is object"),
    )
    def test_lists_that_do_not_fit(self, dtype: Any, given: list[Any], message: str) -> None:
        with self.assertRaisesRegex(InvalidInputError, f"input 'x' of signature 'serve' is .*{message}"):
            _array(given, dtype, None)

    def test_types_that_files_do_not_know_are_given_as_others(self) -> None:
        np.testing.assert_array_equal(
            _array(np.ones(3, np.float32), ml_dtypes.bfloat16), np.ones(3, ml_dtypes.bfloat16)
        )

    @parameterized.parameters(
        (np.float16, np.int64), (np.float32, np.float64), (np.int32, np.int64), (np.int64, np.int8)
    )
    def test_arrays_keep_their_types(self, wanted: Any, given: Any) -> None:
        name, other = np.dtype(wanted).name, np.dtype(given).name
        with self.assertRaisesRegex(InvalidInputError, f"is {name}.*given is {other}"):
            _array(np.ones(3, given), wanted)

    @parameterized.parameters(
        ([b"a\0", b"\0b\0\0"],), (np.array([b"a\0", b"\0b\0\0"], object),), (tf.constant([b"a\0", b"\0b\0\0"]),)
    )
    def test_strings_keep_zeros_at_their_ends(self, given: Any) -> None:
        self.assertEqual(list(_array(given, object)), [b"a\0", b"\0b\0\0"])

    def test_tensors_and_scalars(self) -> None:
        np.testing.assert_array_equal(_array(tf.constant([1.0, 2.0]), np.float32), np.array([1.0, 2.0], np.float32))
        self.assertEqual(_array(3, np.int32, ()).item(), 3)
        self.assertEqual(_array("word", object, ()).item(), "word")

    def test_names_and_forms(self) -> None:
        specs = [InputSpec("x", np.dtype(np.int32), (None,))]
        self.assertEqual(as_arrays({"x": [1]}, specs, "serve")["x"].dtype, np.int32)
        with self.assertRaisesRegex(InvalidInputError, "takes the inputs x; given are y"):
            as_arrays({"y": [1]}, specs, "serve")
        wrong: Any = {"serve": {"x": np.ones(2, np.int32)}}
        with self.assertRaisesRegex(InvalidInputError, "'serve' are a list of mappings name -> array, not of str"):
            all_as_arrays(wrong, ["serve"], lambda name: specs, "model")
        with self.assertRaisesRegex(
            UnknownSignatureError, "model has no signature 'sreve' .*; there are: embed, serve"
        ):
            all_as_arrays({"sreve": []}, ["embed", "serve"], lambda name: specs, "model")


if __name__ == "__main__":
    absltest.main()
