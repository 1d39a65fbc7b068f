"""Batching parameters of TensorFlow Serving, read as a server reads them."""

from __future__ import annotations

from pathlib import Path

from absl.testing import absltest, parameterized

from tf_blade.errors import TfBladeError
from tf_blade.saved_model.serving_config import Batching, batching_params, read_batching

_ALL = """
# All fields.
max_batch_size { value: 16 }  # enable_large_batch_splitting { value: true }
batch_timeout_micros: { value: 1000 }
max_enqueued_batches <value: 100>
num_batch_threads { value: 4 } thread_pool_name { value: "# enable_large_batch_splitting" }
allowed_batch_sizes: 8, allowed_batch_sizes: [12, 16];
pad_variable_length_inputs: true
"""
_SPLIT = "enable_large_batch_splitting { value: true }"
GOOD = {
    "all fields": (_ALL, Batching(16, (8, 12, 16))),
    "a largest batch": ("max_batch_size { value: 6 }", Batching(6, ())),
    "what this writes": (batching_params([1, 9]), Batching(9, ())),
    "the usual largest": ("allowed_batch_sizes: [10, 1000]", Batching(1000, (10, 1000))),
    # Requests of 64 rows are cut in batches of 8, which are padded.
    "split": (
        f"{_SPLIT} max_batch_size {{ value: 64 }} max_execution_batch_size {{ value: 8 }} allowed_batch_sizes: [4, 64]",
        Batching(64, (4, 64)),
    ),
    "split, and further sizes are of no use": (
        f"{_SPLIT} max_batch_size {{ value: 64 }} max_execution_batch_size {{ value: 6 }}"
        " allowed_batch_sizes: [4, 8, 16, 64]",
        Batching(8, (4, 8)),
    ),
    "split, as basic sessions do it": (
        f"{_SPLIT} max_batch_size {{ value: 64 }} max_execution_batch_size {{ value: 8 }} allowed_batch_sizes: [4, 8]",
        Batching(8, (4, 8)),
    ),
    "split without padding": (
        f"{_SPLIT} max_batch_size {{ value: 64 }} max_execution_batch_size {{ value: 8 }}",
        Batching(8, ()),
    ),
    "split without a limit": (f"{_SPLIT} max_batch_size {{ value: 64 }}", Batching(64, ())),
    "not split after all": (
        "max_batch_size { value: 8 } max_execution_batch_size { value: 2 }"
        " enable_large_batch_splitting { value: false }",
        Batching(8, ()),
    ),
}
BAD = {
    # Words in comments and strings are no settings.
    "splitting in a comment": (
        "max_batch_size { value: 8 } allowed_batch_sizes: 4 # enable_large_batch_splitting { value: true }",
        "the last of allowed_batch_sizes is 4 and max_batch_size is 8: they must be equal",
    ),
    "splitting switched off": (
        "max_batch_size { value: 8 } allowed_batch_sizes: 4 enable_large_batch_splitting { value: false }",
        "the last of allowed_batch_sizes is 4 and max_batch_size is 8: they must be equal",
    ),
    "an unknown field": (
        "max_batch_size { value: 8 }\n\nbatch_size: 3\n",
        r'line 3, column 1: .*no field named "batch_size"',
    ),
    "a field of another type": ("max_batch_size: 8\n", "line 1, column 17: "),
    "a value of another type": ("# sizes\nallowed_batch_sizes: 4.5", "line 2, column 22: "),
    "a field twice": (
        "max_batch_size { value: 8 }\nmax_batch_size { value: 9 }",
        "line 2, column 16: .*max_batch_size",
    ),
    "an open brace": ("max_batch_size {\n value: 8\n", "line 2, column 9: Expected"),
    "no largest": ("allowed_batch_sizes: [2, 6]", "is 6 and max_batch_size is 1000, since it is not given: they must"),
    "nothing": ("num_batch_threads { value: 2 }", "they have neither allowed_batch_sizes nor max_batch_size"),
    "zero": ("max_batch_size { }", "max_batch_size is 0"),
    "zero to execute": (
        f"{_SPLIT} max_batch_size {{ value: 8 }} max_execution_batch_size {{ value: 0 }}",
        "max_execution_batch_size is 0",
    ),
    "more to execute than there are": (
        f"{_SPLIT} max_batch_size {{ value: 8 }} max_execution_batch_size {{ value: 9 }}",
        "max_execution_batch_size is 9, which is more than max_batch_size: 8",
    ),
    "sizes that shrink": ("max_batch_size { value: 2 } allowed_batch_sizes: [4, 2]", "must be above zero and grow"),
    "a size of zero": ("max_batch_size { value: 4 } allowed_batch_sizes: [0, 4]", "must be above zero and grow"),
}


class BatchingTest(parameterized.TestCase):
    @parameterized.named_parameters((name, *case) for name, case in GOOD.items())
    def test_sizes(self, content: str, expected: Batching) -> None:
        self.assertEqual(read_batching(self.file(content)), expected)

    def file(self, content: str) -> Path:
        return Path(self.create_tempfile(content=content).full_path)

    @parameterized.named_parameters((name, *case) for name, case in BAD.items())
    def test_what_a_server_refuses(self, content: str, message: str) -> None:
        file = self.file(content)
        with self.assertRaisesRegex(TfBladeError, message) as caught:
            read_batching(file)
        self.assertIn(str(file), str(caught.exception))
        self.assertLen(str(caught.exception).splitlines(), 1)

    def test_files_that_are_no_text(self) -> None:
        file = self.file("")
        file.write_bytes(b"\xff\xfe")
        with self.assertRaisesRegex(TfBladeError, "holds no batching parameters: 'utf-8' codec"):
            read_batching(file)
        with self.assertRaisesRegex(TfBladeError, "cannot be read: Is a directory"):
            read_batching(file.parent)


if __name__ == "__main__":
    absltest.main()
