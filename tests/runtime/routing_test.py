"""Several engines in one op: each call goes to the first that takes it; what is wrong with one is its own affair."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from tests.runtime import engine_kit as kit
from tf_blade.engines.signature import EngineInput
from tf_blade.errors import EngineFormatError

# Results of the engines differ from TensorFlow's, and from each other's, by these.
_FIRST, _SECOND = 100.0, 200.0
_NARROW = (2, 8)  # batches that the first one takes


def _first(*defines: str, **changes: Any) -> bytes:
    """An engine for a few batches."""
    signature = kit.affine_signature().restricted({"batch": _NARROW})
    return kit.affine_engine(f"MARK={_FIRST}f", *defines, **{"signature": signature, **changes})


def _second() -> bytes:
    """An engine for batches of up to 64, which no input makes misbehave."""
    return kit.affine_engine(f"MARK={_SECOND}f", "TAME=1")


def _x(rows: int = 4, first: float | None = None) -> tf.Tensor:
    values = np.random.default_rng(rows).standard_normal((rows, kit.K)).astype(np.float32)
    if first is not None:
        values[0, 0] = first
    return tf.constant(values)


def _cut() -> bytes:
    return _first()[:-1]


def _more_inputs() -> bytes:
    signature = kit.affine_signature()
    more = dataclasses.replace(signature, inputs=(*signature.inputs, EngineInput("z", 1, ())))
    return _first("NUM_INPUTS=4", signature=more)


# Engines that cannot be loaded, and the reason.
_REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "junk": (lambda: b"junk", "corrupt"),
    "cut": (_cut, "corrupt"),
    "backend": (lambda: _first(backend="nobody"), "backend"),
    "isa": (lambda: _first(isa_levels=(99,)), "isa"),
    "load": (lambda: _first(sections={"elf": b"\x7fELF" + bytes(200)}), "load"),
    "signature": (_more_inputs, "signature"),
}
# First elements of x that make the first engine misbehave, and the reason.
_BAD_RUNS = {
    "guard": (1002.0, "guard"),
    "error": (1001.0, "engine_error"),
    "no_memory": (1003.0, "no_memory"),
    "garbage": (1004.0, "run_error"),
    "no_output": (1005.0, "run_error"),
    "output_twice": (1007.0, "run_error"),
    "error_after_output": (1009.0, "engine_error"),
}


class RoutingTest(parameterized.TestCase):
    def assert_served(self, model: kit.Affine, x: tf.Tensor, mark: float) -> None:
        np.testing.assert_allclose(model.serve(x)["y"], model.expected(x) + mark, rtol=1e-5, atol=1e-3)

    def assert_counted(self, cluster: str, runs: list[int], fallbacks: dict[str, int]) -> list[dict[str, Any]]:
        """Gives the engines' counters."""
        stats = kit.stats_of(cluster)
        self.assertEqual([engine["runs"] for engine in stats["engines"]], runs)
        self.assertEqual(stats["fallbacks"], fallbacks)
        self.assertEqual((stats["engine_runs"], stats["calls"]), (sum(runs), sum(runs) + sum(fallbacks.values())))
        return list(stats["engines"])

    def test_each_call_goes_to_the_first_engine_that_takes_it(self) -> None:
        model = kit.Affine([_first(), _second()], "ranges")
        for rows, mark in ((4, _FIRST), (9, _SECOND), (1, _SECOND), (8, _FIRST), (64, _SECOND), (65, 0), (2, _FIRST)):
            self.assert_served(model, _x(rows), mark)
        first, second = self.assert_counted("ranges", [3, 3], {"constraint": 1})
        self.assertEqual((first["refused"], second["refused"]), ({"constraint": 4}, {"constraint": 1}))
        self.assertEqual([engine["inits"] for engine in (first, second)], [1, 1])
        self.assertEqual(sum(bucket["calls"] for bucket in second["shapes"]), 3)

    def test_weights_are_prepared_for_each_engine_when_it_serves(self) -> None:
        model = kit.Affine([_first(), _second()], "weights_of_two")
        inits = []
        for step, (rows, mark) in enumerate(((4, _FIRST), (4, _FIRST), (20, _SECOND), (4, _FIRST), (20, _SECOND))):
            if step == 3:
                model.w.assign(2 * model.w)
            self.assert_served(model, _x(rows), mark)
            inits.append([engine["inits"] for engine in kit.stats_of("weights_of_two")["engines"]])
        self.assertEqual(inits, [[1, 0], [1, 0], [1, 1], [2, 1], [2, 2]])

    @parameterized.named_parameters((name, name) for name in _REFUSED)
    def test_an_engine_that_cannot_be_loaded_counts_once_and_costs_calls_nothing(self, name: str) -> None:
        make, reason = _REFUSED[name]
        cluster, calls = f"refused_{name}", 100
        with kit.standard_error() as lines:
            model = kit.Affine([make(), _second()], cluster)
            for _ in range(calls):
                self.assert_served(model, _x(4), _SECOND)
        first, _ = self.assert_counted(cluster, [0, calls], {})
        self.assertEqual(first["refused"], {reason: 1})
        self.assertStartsWith(first["load_refusal"], f"{reason}: ")
        if int(os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0")) <= 1:
            self.assertLen([line for line in lines if cluster in line], 1, lines)
            self.assertLen([line for line in lines if f"is not used: {first['load_refusal']}" in line], 1, lines)

    def test_ten_thousand_calls_behind_an_engine_that_cannot_be_loaded(self) -> None:
        with kit.standard_error() as lines:
            model = kit.Affine([_first(backend="elsewhere"), _second()], "many")
            call, x = model.serve.get_concrete_function(), _x(4)
            for _ in range(10_000):
                y = call(x)["y"]
        np.testing.assert_allclose(y, model.expected(x) + _SECOND, rtol=1e-5, atol=1e-3)
        first, second = self.assert_counted("many", [0, 10_000], {})
        self.assertEqual((first["backend"], first["refused"]), ("elsewhere", {"backend": 1}))
        self.assertEqual((second["refused"], second["load_refusal"], second["inits"]), ({}, "", 1))
        self.assertLessEqual(len([line for line in lines if "many: " in line]), 1)

    @parameterized.named_parameters((name, name) for name in _BAD_RUNS)
    def test_a_run_that_fails_is_the_next_engines(self, name: str) -> None:
        value, reason = _BAD_RUNS[name]
        model = kit.Affine([_first(), _second()], f"bad_run_{name}")
        self.assert_served(model, _x(first=value), _SECOND)
        self.assert_served(model, _x(), _FIRST)
        first, _ = self.assert_counted(f"bad_run_{name}", [1, 1], {})
        self.assertEqual(first["refused"], {reason: 1})

    @parameterized.parameters(("BLADE_ERROR", "init_error"), ("BLADE_NO_MEMORY", "no_memory"), ("42", "init_error"))
    def test_an_init_that_fails_is_the_next_engines(self, result: str, reason: str) -> None:
        cluster = f"bad_init_{result}"
        model = kit.Affine([_first(f"INIT_RESULT={result}"), _second()], cluster)
        for _ in range(7):
            self.assert_served(model, _x(), _SECOND)
        first, second = self.assert_counted(cluster, [0, 7], {})
        # It is not tried for ever.
        self.assertEqual((first["refused"], first["breaker"]), ({reason: 5, "breaker_open": 2}, "open"))
        self.assertEqual((second["refused"], second["breaker"]), ({}, "closed"))

    @parameterized.parameters((1004.0, "run_error"), (1001.0, "engine_error"))
    def test_the_next_engine_serves_while_the_breaker_of_the_first_is_open(self, value: float, reason: str) -> None:
        cluster = f"breaker_{reason}"
        model = kit.Affine([_first(), _second()], cluster)
        for _ in range(5):
            self.assert_served(model, _x(first=value), _SECOND)
        for _ in range(4):
            self.assert_served(model, _x(), _SECOND)
        time.sleep(1.1)
        # The probe: the first one is well again.
        self.assert_served(model, _x(), _FIRST)
        self.assert_served(model, _x(), _FIRST)
        first, second = self.assert_counted(cluster, [2, 9], {})
        self.assertEqual((first["refused"], first["openings"]), ({reason: 5, "breaker_open": 4}, 1))
        self.assertEqual((first["breaker"], second["breaker"], second["openings"]), ("closed", "closed", 0))

    def test_a_probe_that_meets_an_error_opens_the_breaker_again(self) -> None:
        model = kit.Affine([_first(), _second()], "probe")
        for _ in range(5):
            self.assert_served(model, _x(first=1001.0), _SECOND)
        time.sleep(1.1)
        self.assert_served(model, _x(first=1001.0), _SECOND)
        self.assert_served(model, _x(), _SECOND)
        first, _ = self.assert_counted("probe", [0, 7], {})
        self.assertEqual((first["refused"], first["openings"]), ({"engine_error": 6, "breaker_open": 1}, 2))

    def test_errors_that_tensorflow_has_too_are_nobodys_fault(self) -> None:
        spec = tf.TensorSpec(None, tf.float32)

        @tf.function(input_signature=[spec, spec, spec])
        def fails(x: Any, w: Any, b: Any) -> Any:
            with tf.control_dependencies([tf.raw_ops.Assert(condition=False, data=["no such row"])]):
                return tf.matmul(x, w) + b

        inputs = [_x(first=1001.0), tf.ones([kit.K, kit.N]), tf.ones([kit.N])]
        engines = [_first(), kit.affine_engine(f"MARK={_SECOND}f")]
        for _ in range(7):
            with self.assertRaisesRegex(tf.errors.InvalidArgumentError, "no such row"):
                kit.blade_engine(inputs, [tf.float32], fails.get_concrete_function(), engines, "both_fail")
        for engine in self.assert_counted("both_fail", [0, 0], {"engine_error": 7}):
            self.assertEqual((engine["refused"], engine["breaker"]), ({"engine_error": 7}, "closed"))

    def test_tensorflow_serves_for_the_reason_of_an_engine_that_could_be_loaded(self) -> None:
        model = kit.Affine([b"junk", _first(), _second(), b"more junk"], "whose_reason")
        self.assert_served(model, _x(65), 0)
        self.assert_counted("whose_reason", [0, 0, 0, 0], {"constraint": 1})
        model = kit.Affine([b"junk", _first(backend="nobody")], "no_reason")
        self.assert_served(model, _x(65), 0)
        self.assert_counted("no_reason", [0, 0], {"corrupt": 1})

    def test_shadowing_compares_the_engine_that_would_serve(self) -> None:
        with mock.patch.dict(os.environ, {"TF_BLADE_SHADOW": "1/1"}):
            # The first one is wrong, the second one is not.
            model = kit.Affine([_first(), kit.affine_engine("TAME=1")], "shadowed")
            for _ in range(5):
                self.assert_served(model, _x(), 0)
        stats = kit.stats_of("shadowed")
        first, second = stats["engines"]
        self.assertEqual((stats["shadowed"], first["breaker"], second["breaker"]), (5, "open", "closed"))
        self.assertEqual((first["shadow"]["drifts"], second["shadow"]["drifts"], second["shadow"]["runs"]), (3, 0, 2))

    def test_calls_of_all_sizes_at_once(self) -> None:
        model = kit.Affine([_first(), _second()], "at_once")
        call = model.serve.get_concrete_function()
        wrong: list[int] = []

        def calls(thread: int) -> None:
            for number in range(60):
                rows = 1 + (number * 7 + thread) % 16
                mark = _FIRST if _NARROW[0] <= rows <= _NARROW[1] else _SECOND
                x = _x(rows)
                if not np.allclose(call(x)["y"], model.expected(x) + mark, rtol=1e-5, atol=1e-3):
                    wrong.append(rows)

        threads = [threading.Thread(target=calls, args=[thread]) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEmpty(wrong)
        stats = kit.stats_of("at_once")
        self.assertEqual((stats["engine_runs"], stats["fallbacks"]), (240, {}))

    @parameterized.parameters(
        ((kit.const(8), kit.const(kit.N)), [None, kit.N]),  # the first says what holds for its calls alone
        ((kit.BATCH, ()), [None, None]),  # what one does not know
        ((kit.BATCH,), None),  # another rank: one of them is wrong
        ((kit.BATCH, kit.const(kit.N)), [None, kit.N]),
    )
    def test_shapes_are_what_all_engines_agree_on(self, dims: Any, expected: list[int | None] | None) -> None:
        signature = kit.affine_signature()
        output = dataclasses.replace(signature.outputs[0], dims=dims)
        narrow = _first(signature=dataclasses.replace(signature, outputs=(output,)))
        concrete = kit.Affine([narrow, _second()], "shapes").serve.get_concrete_function()
        shape = concrete.structured_outputs["y"].shape
        self.assertEqual(None if shape.rank is None else shape.as_list(), expected)


class RestrictedSignatureTest(absltest.TestCase):
    def test_ranges_get_narrower_only(self) -> None:
        whole = kit.affine_signature()
        for wanted, found in (((2, 8), (2, 8)), ((0, 100), (0, 64)), ((3, None), (3, 64)), ((5, 5), (5, 5))):
            symbol = whole.restricted({"batch": wanted}).symbols[0]
            self.assertEqual((symbol.min, symbol.max), found)
        self.assertEqual(whole.restricted({}), whole)
        with self.assertRaisesRegex(EngineFormatError, "no symbol 'length'"):
            whole.restricted({"length": (1, 2)})
        with self.assertRaisesRegex(EngineFormatError, "nothing is left of the range of symbol 'batch'"):
            whole.restricted({"batch": (65, 100)})

    def test_differences(self) -> None:
        whole = kit.affine_signature()
        self.assertEqual(whole.difference(whole.restricted({"batch": (1, 2)})), "")
        self.assertEqual(whole.difference(dataclasses.replace(whole, inputs=whole.inputs[:2])), "3 inputs against 2")
        flat = dataclasses.replace(whole.outputs[0], dims=(kit.BATCH,))
        other = whole.difference(dataclasses.replace(whole, outputs=(flat,)))
        self.assertEqual(other, "output 0 has dtype 1 and rank 2 against dtype 1 and rank 1")


if __name__ == "__main__":
    absltest.main()
