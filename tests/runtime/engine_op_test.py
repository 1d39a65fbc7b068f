"""BladeEngineOp against TensorFlow: served by the engine, by the fallback, through changes of weights and threads."""

from __future__ import annotations

import tempfile
import threading
import time
from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from tests.runtime import engine_kit as kit
from tf_blade import runtime

_MARK = 100.0  # what a marked engine adds to its result: shows that the engine computed it
_MARKED = "MARK=100.0f"


def _x(rows: int, first: float | None = None) -> tf.Tensor:
    values = np.random.default_rng(rows).standard_normal((rows, kit.K)).astype(np.float32)
    if first is not None:
        values[0, 0] = first
    return tf.constant(values)


class EngineOpTest(parameterized.TestCase):
    def assert_served(self, model: kit.Affine, x: Any, mark: float = _MARK) -> None:
        np.testing.assert_allclose(model.serve(x)["y"], model.expected(x) + mark, rtol=1e-5, atol=1e-5)

    @parameterized.parameters(0, 1, 2, 17, 64)
    def test_engine_gives_tensorflows_result(self, rows: int) -> None:
        model = kit.Affine([kit.affine_engine()], f"plain_{rows}")
        self.assert_served(model, _x(rows), mark=0)
        stats = kit.stats_of(f"plain_{rows}")
        self.assertEqual((stats["calls"], stats["engine_runs"], stats["fallbacks"]), (1, 1, {}))

    def test_weights_are_prepared_once_and_again_when_they_change(self) -> None:
        model = kit.Affine([kit.affine_engine(_MARKED)], "weights")
        for _ in range(3):
            self.assert_served(model, _x(4))
        self.assertEqual(kit.stats_of("weights")["engines"][0]["inits"], 1)
        model.w.assign(2 * model.w)
        self.assert_served(model, _x(4))
        model.b.assign_add(tf.ones([kit.N]))
        self.assert_served(model, _x(4))
        self.assertEqual(kit.stats_of("weights")["engines"][0]["inits"], 3)

    def test_sparse_writes_in_place_are_seen(self) -> None:
        model = kit.Affine([kit.affine_engine(_MARKED)], "sparse")
        self.assert_served(model, _x(4))
        for value in (1.0, 2.0, 3.0):
            model.w.scatter_update(tf.IndexedSlices(tf.fill([1, kit.N], value), tf.constant([2])))
            self.assert_served(model, _x(4))
        self.assertEqual(kit.stats_of("sparse")["fallbacks"], {})

    def test_engines_are_tried_in_order(self) -> None:
        model = kit.Affine([b"junk", kit.affine_engine(_MARKED), kit.affine_engine()], "order")
        self.assert_served(model, _x(4))
        stats = kit.stats_of("order")
        self.assertEqual([engine["runs"] for engine in stats["engines"]], [0, 1, 0])
        self.assertEqual(stats["engines"][0]["refused"], {"corrupt": 1})

    def test_concurrent_first_calls_prepare_the_weights_once(self) -> None:
        model = kit.Affine([kit.affine_engine(_MARKED, "INIT_SPIN=20000000")], "concurrent")
        concrete = model.serve.get_concrete_function()
        inputs = [_x(rows) for rows in range(1, 9)]
        results: list[Any] = [None] * len(inputs)
        barrier = threading.Barrier(len(inputs))

        def work(index: int) -> None:
            barrier.wait()
            results[index] = [concrete(inputs[index])["y"].numpy() for _ in range(50)]

        threads = [threading.Thread(target=work, args=(index,)) for index in range(len(inputs))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for x, outputs in zip(inputs, results, strict=True):
            for output in outputs:
                np.testing.assert_allclose(output, model.expected(x) + _MARK, rtol=1e-5, atol=1e-5)
        stats = kit.stats_of("concurrent")
        self.assertEqual((stats["calls"], stats["engine_runs"], stats["engines"][0]["inits"]), (400, 400, 1))

    def test_weights_change_under_running_requests(self) -> None:
        model = kit.Affine([kit.affine_engine()], "racing")
        concrete = model.serve.get_concrete_function()
        x = _x(8)
        model.w.assign(tf.zeros([kit.K, kit.N]))
        stop = threading.Event()
        seen: list[Any] = []

        def work() -> None:
            while not stop.is_set():
                seen.append(concrete(x)["y"].numpy())

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        valid = set()
        for step in range(40):
            valid.add(float(step))
            model.b.assign(tf.fill([kit.N], float(step)))
        stop.set()
        for thread in threads:
            thread.join()
        for output in seen[1:]:
            # Every result is of one set of weights, never of a mixture.
            self.assertEqual(np.unique(output).size, 1)
        np.testing.assert_array_equal(concrete(x)["y"], np.full((8, kit.N), 39.0))

    def test_saved_model_round_trip(self) -> None:
        model = kit.Affine([kit.affine_engine(_MARKED)], "saved")
        with tempfile.TemporaryDirectory() as folder:
            tf.saved_model.save(model, folder, signatures={"serving_default": model.serve})
            loaded = tf.saved_model.load(folder)
        x = _x(6)
        expected = model.expected(x) + _MARK
        np.testing.assert_allclose(loaded.signatures["serving_default"](x=x)["y"], expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(loaded.serve(x)["y"], expected, rtol=1e-5, atol=1e-5)

    def test_weights_that_are_plain_tensors(self) -> None:
        w, b = tf.random.normal([kit.K, kit.N]), tf.random.normal([kit.N])
        fallback, engine = kit.fallback_function(resources=False), kit.affine_engine(_MARKED)

        @tf.function
        def call(x: Any) -> Any:
            return kit.blade_engine([x, w, b], [tf.float32], fallback, [engine], "tensors")[0]

        for rows in (3, 4):
            expected = tf.nn.relu(_x(rows) @ w) + b + _MARK
            np.testing.assert_allclose(call(_x(rows)), expected, rtol=1e-5, atol=1e-5)
        self.assertEqual(kit.stats_of("tensors")["engines"][0]["runs"], 2)

    def test_cancellation_stops_an_engine_without_fallback(self) -> None:
        model = kit.Affine([kit.affine_engine()], "cancel")
        self.assert_served(model, _x(2), mark=0)
        from tensorflow.python.eager import cancellation

        manager = cancellation.CancellationManager()
        function = manager.get_cancelable_function(model.serve.get_concrete_function())
        timer = threading.Timer(0.2, manager.start_cancel)
        timer.start()
        begin = time.monotonic()
        with self.assertRaises(tf.errors.CancelledError):
            function(_x(2, first=1008.0))
        timer.join()
        self.assertLess(time.monotonic() - begin, 20)
        self.assertEqual(kit.stats_of("cancel")["fallbacks"], {})
        self.assert_served(model, _x(2), mark=0)

    def test_uninitialized_variable_gives_tensorflows_error(self) -> None:
        fallback = kit.fallback_function()
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            handles = [
                tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=shape, shared_name=f"v{len(shape)}")
                for shape in ([kit.K, kit.N], [kit.N])
            ]
            x = tf.ones([2, kit.K])
            y = kit.blade_engine([x, *handles], [tf.float32], fallback, [kit.affine_engine()], "uninitialized")[0]
            with self.assertRaisesRegex(tf.errors.FailedPreconditionError, "uninitialized"):
                session.run(y)
            assign = [
                tf.raw_ops.AssignVariableOp(resource=handles[0], value=tf.ones([kit.K, kit.N])),
                tf.raw_ops.AssignVariableOp(resource=handles[1], value=tf.ones([kit.N])),
            ]
            session.run(assign)
            np.testing.assert_array_equal(session.run(y), np.full((2, kit.N), kit.K + 1.0))
        stats = kit.stats_of("uninitialized")
        self.assertEqual((stats["fallbacks"], stats["engine_runs"]), ({"uninitialized": 1}, 1))

    def test_op_without_engines(self) -> None:
        fallback = kit.fallback_function(resources=False)
        x, w, b = _x(3), tf.random.normal([kit.K, kit.N]), tf.random.normal([kit.N])
        result = kit.blade_engine([x, w, b], [tf.float32], fallback, [], "no_engines")[0]
        np.testing.assert_allclose(result, tf.nn.relu(x @ w) + b, rtol=1e-5, atol=1e-5)
        self.assertEqual(kit.stats_of("no_engines")["fallbacks"], {"backend": 1})

    def test_counters_reset(self) -> None:
        model = kit.Affine([kit.affine_engine()], "reset")
        self.assert_served(model, _x(2), mark=0)
        runtime.reset_runtime_stats()
        self.assertEqual(kit.stats_of("reset")["calls"], 0)


class ShapeFunctionTest(parameterized.TestCase):
    def infer(self, x: list[int | None] | None, engine: bytes) -> list[int | None] | None:
        fallback = kit.fallback_function(resources=False)

        @tf.function(
            input_signature=[tf.TensorSpec(x, tf.float32), tf.TensorSpec(None, tf.float32), tf.TensorSpec(None)]
        )
        def call(x: Any, w: Any, b: Any) -> Any:
            return kit.blade_engine([x, w, b], [tf.float32], fallback, [b"junk", engine], "shapes")[0]

        shape = call.get_concrete_function().structured_outputs.shape
        return None if shape.rank is None else shape.as_list()

    @parameterized.parameters(
        ([4, kit.K], [4, kit.N]),
        ([None, kit.K], [None, kit.N]),
        ([None, None], [None, kit.N]),
        (None, [None, kit.N]),
        ([4, kit.K + 1], None),
        ([4, kit.K, 1], None),
    )
    def test_from_the_first_readable_signature(self, x: list[int | None] | None, expected: Any) -> None:
        self.assertEqual(self.infer(x, kit.affine_engine()), expected)

    def test_unknown_when_no_engine_is_readable(self) -> None:
        self.assertIsNone(self.infer([4, kit.K], kit.affine_engine()[:-1]))


if __name__ == "__main__":
    absltest.main()
