"""Whatever is wrong with an engine: TensorFlow's result, a counted reason, and a living process."""

from __future__ import annotations

import dataclasses
import os
import random
import threading
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from tests.runtime import engine_kit as kit
from tf_blade import runtime
from tf_blade.engines.format import read_engine, seal, write_engine
from tf_blade.engines.signature import EngineInput
from tf_blade.errors import EngineFormatError

v1 = tf.compat.v1
_MARKED = "MARK=100.0f"  # a result of the engine would differ from TensorFlow's


def _x(first: float | None = None, rows: int = 4, columns: int = kit.K) -> tf.Tensor:
    values = np.random.default_rng(rows).standard_normal((rows, columns)).astype(np.float32)
    if first is not None:
        values[0, 0] = first
    return tf.constant(values)


def _with_input(index: int, **changes: Any) -> bytes:
    """The engine with an input of its signature changed."""
    signature = kit.affine_signature()
    inputs = list(signature.inputs)
    inputs[index] = dataclasses.replace(inputs[index], **changes)
    return kit.affine_engine(_MARKED, signature=dataclasses.replace(signature, inputs=tuple(inputs)))


def _wrong_section_hash() -> bytes:
    """A section altered, with a content hash that fits again: only the section's own hash tells."""
    data = bytearray(kit.affine_engine(_MARKED))
    elf = kit.executable(_MARKED)
    data[data.index(elf) + len(elf) // 2] ^= 1
    return seal(bytes(data[:-32]))


def _wrong_content_hash() -> bytes:
    data = bytearray(kit.affine_engine(_MARKED))
    data[-5] ^= 0x10
    return bytes(data)


def _wrong_header(offset: int, value: int) -> bytes:
    data = bytearray(kit.affine_engine(_MARKED))
    data[offset] = value
    return seal(bytes(data[:-32]))


_BAD_FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "corrupt"),
    "junk": (lambda: b"junk" * 100, "corrupt"),
    "format_version": (lambda: kit.affine_engine(_MARKED, format_version=2), "version"),
    "ral_version_of_file": (lambda: kit.affine_engine(_MARKED, ral_version=99), "version"),
    "ral_version_of_code": (lambda: kit.affine_engine("EXECUTABLE_RAL_VERSION=99"), "version"),
    "content_hash": (_wrong_content_hash, "hash"),
    "section_hash": (_wrong_section_hash, "hash"),
    "flags": (lambda: _wrong_header(12, 1), "corrupt"),
    "metadata_size": (lambda: _wrong_header(27, 0x7F), "corrupt"),
    "isa_of_file": (lambda: kit.affine_engine(_MARKED, isa_levels=(99,)), "isa"),
    "isa_of_code": (lambda: kit.affine_engine("ISA=99"), "isa"),
    "no_isa": (lambda: kit.affine_engine(_MARKED, isa_levels=()), "isa"),
    "backend": (lambda: kit.affine_engine(_MARKED, backend="nobody"), "backend"),
    "no_executable": (lambda: kit.affine_engine(_MARKED, sections={}), "corrupt"),
    "executable_is_no_elf": (lambda: kit.affine_engine(sections={"elf": b"\x7fELF" + bytes(200)}), "load"),
    "executable_is_cut": (lambda: kit.affine_engine(sections={"elf": kit.executable(_MARKED)[:5000]}), "load"),
    "number_of_inputs": (lambda: kit.affine_engine("NUM_INPUTS=2"), "signature"),
    "dtype": (lambda: _with_input(0, dtype=2), "dtype"),
    "dtype_of_variable": (lambda: _with_input(1, dtype=2), "dtype"),
    "rank": (lambda: _with_input(0, dims=(kit.BATCH,)), "rank"),
    "rank_of_variable": (lambda: _with_input(2, dims=(kit.const(1), kit.const(kit.N))), "rank"),
    "fixed_dimension": (lambda: _with_input(0, dims=(kit.BATCH, kit.const(kit.K + 1))), "shape"),
    "equality": (lambda: _with_input(0, dims=(kit.BATCH, kit.BATCH)), "constraint"),
    "expression": (lambda: _with_input(1, dims=((("sym", 0), ("const", 2), ("mul", 0)), kit.const(3))), "constraint"),
    "overflow": (lambda: _with_input(1, dims=((("sym", 0), ("const", 2**62), ("mul", 0)), kit.const(3))), "constraint"),
    "division_by_zero": (
        lambda: _with_input(1, dims=((("sym", 0), ("const", 0), ("mod", 0)), kit.const(3))),
        "constraint",
    ),
    "init_error": (lambda: kit.affine_engine("INIT_RESULT=BLADE_ERROR"), "init_error"),
    "init_no_memory": (lambda: kit.affine_engine("INIT_RESULT=BLADE_NO_MEMORY"), "no_memory"),
    "init_garbage": (lambda: kit.affine_engine("INIT_RESULT=42"), "init_error"),
}
_BAD_RUNS = {
    "error": (1001.0, "engine_error"),
    "guard": (1002.0, "guard"),
    "no_memory": (1003.0, "no_memory"),
    "garbage": (1004.0, "run_error"),
    "no_output": (1005.0, "run_error"),
    "wrong_shape": (1006.0, "run_error"),
    "output_twice": (1007.0, "run_error"),
    "error_after_output": (1009.0, "engine_error"),
}


class FallbackTest(parameterized.TestCase):
    def assert_falls_back(self, model: kit.Affine, cluster: str, reason: str, x: tf.Tensor) -> None:
        np.testing.assert_allclose(model.serve(x)["y"], model.expected(x), rtol=1e-5, atol=1e-5)
        stats = kit.stats_of(cluster)
        self.assertEqual((stats["calls"], stats["engine_runs"], stats["fallbacks"]), (1, 0, {reason: 1}))
        self.assertEqual(stats["engines"][0]["refused"], {reason: 1})

    @parameterized.named_parameters((name, name) for name in _BAD_FILES)
    def test_bad_engine(self, name: str) -> None:
        make, reason = _BAD_FILES[name]
        self.assert_falls_back(kit.Affine([make()], f"bad_{name}"), f"bad_{name}", reason, _x())

    def test_engines_of_the_first_interface_version_run(self) -> None:
        engine = kit.affine_engine(_MARKED, "EXECUTABLE_RAL_VERSION=1", ral_version=1)
        model = kit.Affine([engine], "first_version")
        np.testing.assert_allclose(model.serve(_x())["y"], model.expected(_x()) + 100, rtol=1e-5, atol=1e-4)
        self.assertEqual(kit.stats_of("first_version")["engine_runs"], 1)

    @parameterized.named_parameters((name, name) for name in _BAD_RUNS)
    def test_bad_run(self, name: str) -> None:
        first, reason = _BAD_RUNS[name]
        model = kit.Affine([kit.affine_engine(_MARKED)], f"run_{name}")
        self.assert_falls_back(model, f"run_{name}", reason, _x(first))
        # The next call is the engine's again.
        np.testing.assert_allclose(model.serve(_x())["y"], model.expected(_x()) + 100, rtol=1e-5, atol=1e-4)

    def test_out_of_range_dimension(self) -> None:
        self.assert_falls_back(kit.Affine([kit.affine_engine(_MARKED)], "range"), "range", "constraint", _x(rows=65))

    def test_fallbacks_at_once_in_one_step_keep_apart_what_is_theirs(self) -> None:
        """Temporary variables, which TensorFlow finds by name, in four turns of a loop that wait for each other."""
        meeting = threading.Barrier(4)

        def meet(value: Any) -> Any:
            meeting.wait(timeout=20)
            return value

        @tf.function(input_signature=[tf.TensorSpec([3])])
        def twice(x: Any) -> Any:
            total = tf.raw_ops.TemporaryVariable(shape=[3], dtype=tf.float32, var_name="total")
            total = tf.raw_ops.Assign(ref=total, value=x)
            total = tf.raw_ops.AssignAdd(ref=total, value=tf.numpy_function(meet, [total], tf.float32))
            return tf.raw_ops.DestroyTemporaryVariable(ref=total, var_name="total")

        def call(row: Any) -> Any:
            return kit.blade_engine([row], [tf.float32], twice.get_concrete_function(), [], "fallbacks_at_once")[0]

        x = np.arange(12, dtype=np.float32).reshape(4, 3)
        config = v1.ConfigProto(use_per_session_threads=True, inter_op_parallelism_threads=8)
        with tf.Graph().as_default(), v1.Session(config=config) as session:
            y = tf.map_fn(call, tf.constant(x), parallel_iterations=10)
            np.testing.assert_array_equal(session.run(y), 2 * x)
        self.assertEqual(kit.stats_of("fallbacks_at_once")["fallbacks"], {"backend": 4})

    def test_inputs_that_tensorflow_refuses_too_give_its_error(self) -> None:
        model = kit.Affine([kit.affine_engine(_MARKED)], "tf_error", unknown_rank=True)
        with self.assertRaises(tf.errors.InvalidArgumentError):
            model.serve(_x(columns=kit.K + 1))
        self.assertEqual(kit.stats_of("tf_error")["fallbacks"], {"shape": 1})

    def test_disabled_by_environment(self) -> None:
        with mock.patch.dict(os.environ, {"TF_BLADE_DISABLE": "1"}):
            model = kit.Affine([kit.affine_engine(_MARKED)], "disabled")
            np.testing.assert_allclose(model.serve(_x())["y"], model.expected(_x()), rtol=1e-5, atol=1e-5)
        self.assertEqual(kit.stats_of("disabled")["fallbacks"], {"disabled": 1})

    def test_isa_lowered_by_environment(self) -> None:
        with mock.patch.dict(os.environ, {"TF_BLADE_MAX_ISA": "2"}):
            engine = kit.affine_engine(_MARKED, backend_version="isa")
            self.assert_falls_back(kit.Affine([engine], "max_isa"), "max_isa", "isa", _x())

    def test_breaker_opens_after_repeated_failures(self) -> None:
        model = kit.Affine([kit.affine_engine(_MARKED)], "breaker")
        bad = _x(1004.0)
        for _ in range(9):
            np.testing.assert_allclose(model.serve(bad)["y"], model.expected(bad), rtol=1e-5, atol=1e-3)
        self.assertEqual(kit.stats_of("breaker")["fallbacks"], {"run_error": 5, "breaker_open": 4})

    def test_breaker_counts_errors_that_tensorflow_does_not_have(self) -> None:
        model = kit.Affine([kit.affine_engine(_MARKED)], "breaker_error")
        bad = _x(1001.0)
        for _ in range(7):
            np.testing.assert_allclose(model.serve(bad)["y"], model.expected(bad), rtol=1e-5, atol=1e-3)
        self.assertEqual(kit.stats_of("breaker_error")["fallbacks"], {"engine_error": 5, "breaker_open": 2})

    def test_breaker_stays_closed_for_errors_that_tensorflow_has_too(self) -> None:
        w, b = tf.ones([kit.K, kit.N]), tf.ones([kit.N])
        spec = tf.TensorSpec(None, tf.float32)

        @tf.function(input_signature=[spec, spec, spec])
        def fails(x: Any, w: Any, b: Any) -> Any:
            with tf.control_dependencies([tf.raw_ops.Assert(condition=False, data=["no such row"])]):
                return tf.matmul(x, w) + b

        fallback, engine = fails.get_concrete_function(), kit.affine_engine(_MARKED)
        for _ in range(7):
            with self.assertRaisesRegex(tf.errors.InvalidArgumentError, "no such row"):
                kit.blade_engine([_x(1001.0), w, b], [tf.float32], fallback, [engine], "tf_fails_too")
        self.assertEqual(kit.stats_of("tf_fails_too")["fallbacks"], {"engine_error": 7})
        y = kit.blade_engine([_x(), w, b], [tf.float32], fallback, [engine], "tf_fails_too")[0]
        np.testing.assert_allclose(y, tf.nn.relu(_x() @ w) + b + 100, rtol=1e-5, atol=1e-4)

    def test_every_flipped_bit_is_found_before_the_code_is_loaded(self) -> None:
        good = kit.affine_engine(_MARKED)
        self.assertIsNone(runtime.check_engine(good))
        generator = random.Random(3)
        for _ in range(200):
            data = bytearray(good)
            data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
            refusal = runtime.check_engine(bytes(data))
            self.assertIsNotNone(refusal)
            self.assertIn(str(refusal).split(":")[0], ("corrupt", "hash", "version"))
            with self.assertRaises(EngineFormatError):
                read_engine(bytes(data))

    def test_byte_flips_and_truncations_in_an_op(self) -> None:
        good = kit.affine_engine(_MARKED)
        generator = random.Random(5)
        w, b, x = tf.random.normal([kit.K, kit.N]), tf.random.normal([kit.N]), _x()
        fallback = kit.fallback_function(resources=False)
        expected = tf.nn.relu(x @ w) + b
        broken: list[bytes] = [good[: generator.randrange(len(good))] for _ in range(20)]
        for _ in range(200):
            data = bytearray(good)
            data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
            broken.append(bytes(data))
        for index in range(0, len(broken), 10):
            engines = broken[index : index + 10]
            result = kit.blade_engine([x, w, b], [tf.float32], fallback, engines, f"flips_{index}")[0]
            np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)
            for engine in kit.stats_of(f"flips_{index}")["engines"]:
                self.assertEqual(engine["runs"], 0)
                self.assertEqual(sum(engine["refused"].values()), 1)
                self.assertLessEqual(set(engine["refused"]), {"corrupt", "hash", "version"})

    def test_every_truncation_is_refused(self) -> None:
        good = write_engine(dataclasses.replace(kit.affine_file(_MARKED), sections={"elf": b"123"}))
        for size in range(len(good)):
            self.assertIsNotNone(runtime.check_engine(good[:size]))
            self.assertIsNotNone(runtime.check_engine(seal(good[:size])))

    def test_more_inputs_than_the_op_has(self) -> None:
        signature = kit.affine_signature()
        more = dataclasses.replace(signature, inputs=(*signature.inputs, EngineInput("z", 1, ())))
        engine = kit.affine_engine("NUM_INPUTS=4", signature=more)
        self.assert_falls_back(kit.Affine([engine], "more"), "more", "signature", _x())


if __name__ == "__main__":
    absltest.main()
