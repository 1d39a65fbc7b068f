"""What becomes of engine ops in a process that sees a GPU: runs everything, prints the outcomes as JSON.

usage: simulated_gpu_main.py DEVICE ENGINES ORIGINAL OPTIMIZED PORTABLE
"""

from __future__ import annotations

import concurrent.futures
import ctypes
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import load_library

from tests.native import simulated_gpu_models as models
from tests.runtime import engine_kit as kit
from tf_blade import runtime
from tf_blade.engines.format import EngineFile, write_engine

v1 = tf.compat.v1
_THREADS, _CALLS = 4, 8


def stats(*clusters: str) -> dict[str, Any]:
    """Counters of clusters, or of all."""
    found = [item for item in runtime.runtime_stats()["clusters"] if not clusters or item["cluster"] in clusters]
    fallbacks: dict[str, int] = {}
    for item in found:
        for reason, count in item["fallbacks"].items():
            fallbacks[reason] = fallbacks.get(reason, 0) + count
    inits = sum(engine["inits"] for item in found for engine in item["engines"])
    return {"engine_runs": sum(item["engine_runs"] for item in found), "fallbacks": fallbacks, "inits": inits}


def off(found: Any, expected: Any) -> float:
    """The largest difference over all outputs, as a share of the largest magnitude where that is above 1."""
    worst = 0.0
    for name, value in expected.items():
        theirs, mine = np.asarray(value), np.asarray(found[name])
        assert mine.shape == theirs.shape and mine.dtype == theirs.dtype, (name, mine, theirs)
        difference = np.abs(mine.astype(np.float64) - theirs.astype(np.float64))
        worst = max(worst, float(np.max(difference, initial=0)) / max(1.0, float(np.max(np.abs(theirs), initial=0))))
    return worst


def serve(folder: str, original: str) -> dict[str, Any]:
    """A loaded model's calls, of several threads at once, against the original's beside it."""
    runtime.reset_runtime_stats()
    theirs, mine = (tf.saved_model.load(path).signatures["serving_default"] for path in (original, folder))
    feeds = [models.feeds(rows) for rows in (3, 1, 7, 2)]
    expected = [theirs(**{name: tf.constant(value) for name, value in feed.items()}) for feed in feeds]

    def call(number: int) -> float:
        feed = feeds[number % len(feeds)]
        found = mine(**{name: tf.constant(value) for name, value in feed.items()})
        return off(found, expected[number % len(feeds)])

    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        return {"off": max(pool.map(call, range(_THREADS * _CALLS))), **stats(), **portable_calls()}


def serve_session(folder: str, original: str) -> dict[str, Any]:
    """The same in a session."""
    results = []
    runtime.reset_runtime_stats()
    for path in (original, folder):
        with tf.Graph().as_default(), v1.Session() as session:
            signature = v1.saved_model.load(session, ["serve"], path).signature_def["serving_default"]
            feed = {signature.inputs[name].name: value for name, value in models.feeds(3).items()}
            results.append(session.run({key: item.name for key, item in signature.outputs.items()}, feed))
    return {"off": off(results[1], results[0]), **stats(), **portable_calls()}


def portable_calls() -> dict[str, Any]:
    return {"portable_calls": runtime.runtime_stats()["portable_calls"]}


def engine_file() -> bytes:
    return write_engine(EngineFile("on_device", "test", models.device_signature(), bytes(32), {"mark": b"x"}))


def op(cluster: str, inputs: Sequence[Any], fallback: Any, engines: Sequence[bytes], form: str = "op") -> Any:
    """The engine op by hand, or a portable call: y and m of x, w and c."""
    if form == "call":
        outputs = tf.raw_ops.StatefulPartitionedCall(args=inputs, Tout=[tf.float32, tf.int32], f=fallback)
        listed = v1.AttrValue(list=v1.AttrValue.ListValue(s=engines))
        outputs[0].op._set_attr("_blade_engines", listed)
        outputs[0].op._set_attr("_blade_cluster", v1.AttrValue(s=cluster.encode()))
        return outputs
    outputs = kit.blade_engine(inputs, [tf.float32, tf.int32], fallback, engines, cluster)
    if form != "unmarked":
        for name, place in (("_input_hostmem", 2), ("_output_hostmem", 1)):
            places = v1.AttrValue(list=v1.AttrValue.ListValue(i=[place]))
            outputs[0].op._set_attr(name, places)
    return outputs


class OnDevice(tf.Module):
    """The op of an engine that works on the device, once, or for each row in a loop."""

    def __init__(self, cluster: str, form: str = "op") -> None:
        super().__init__()
        self.w = tf.Variable(np.arange(1, 4, dtype=np.float32))
        fallback = models.device_fallback()
        files = [engine_file()]

        @tf.function(input_signature=[tf.TensorSpec([None, 3]), tf.TensorSpec([None], tf.int32)])
        def serve_once(x: Any, c: Any) -> Any:
            return op(cluster, [x, self.w.handle, c], fallback, files, form)

        @tf.function(input_signature=[tf.TensorSpec([None, 3]), tf.TensorSpec([None], tf.int32)])
        def serve_loop(x: Any, c: Any) -> Any:
            def body(i: Any, y: Any, m: Any) -> Any:
                return [i + 1, *op(cluster, [y, self.w.handle, m], fallback, files, form)]

            shapes = [tf.TensorShape([]), tf.TensorShape([None, 3]), tf.TensorShape([None])]
            return tf.while_loop(lambda i, *_: i < 3, body, [0, x, c], shapes)[1:]

        @tf.function
        def serve_hidden_loop(x: Any, c: Any) -> Any:
            y, m = serve_loop.python_function(x, c)
            for item in v1.get_default_graph().get_operations():
                if item.type in ("While", "StatelessWhile"):
                    item._set_attr("_lower_using_switch_merge", v1.AttrValue(b=False))
            return y, m

        self.once, self.loop, self.hidden_loop = serve_once, serve_loop, serve_hidden_loop

    def off(self, rows: int, call: Any, times: int = 1) -> float:
        x = np.random.default_rng(rows).standard_normal((rows, 3)).astype(np.float32)
        c = np.arange(rows + 1, dtype=np.int32)
        y, m = call(x, c)
        return off({"y": y, "m": m}, {"y": x * self.w.numpy() ** times, "m": c + times})


def runs_on_device() -> dict[str, Any]:
    model = OnDevice("on_device")
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        worst = max(pool.map(lambda i: model.off(i % 5, model.once), range(_THREADS * _CALLS)))
    model.w.assign(2 * model.w)
    worst = max(worst, model.off(2, model.once), model.off(3, model.loop, 3))
    return {"off": worst, "device": model.w.device, **stats("on_device")}


def portable_on_device() -> dict[str, Any]:
    runtime.reset_runtime_stats()
    model = OnDevice("portable", "call")
    return {"off": model.off(2, model.once), **stats("portable"), **portable_calls()}


def written_in_place() -> dict[str, Any]:
    """A variable that a sparse op has touched is written where it is from then on."""
    model = OnDevice("in_place")
    worst = model.off(2, model.once)
    tf.raw_ops.ResourceScatterUpdate(resource=model.w.handle, indices=[1], updates=[9.0])
    assert model.w.numpy()[1] == 9
    return {"off": max(worst, model.off(2, model.once)), **stats("in_place")}


def shadowed() -> dict[str, Any]:
    os.environ["TF_BLADE_SHADOW"] = "1/1"
    with kit.standard_error() as lines:
        model = OnDevice("shadowed")
        worst = model.off(2, model.once)
    del os.environ["TF_BLADE_SHADOW"]
    return {"off": worst, "log": [line for line in lines if "TF_BLADE_SHADOW" in line], **stats("shadowed")}


def unmarked() -> dict[str, Any]:
    """Nodes that do not say where their int32 is: in a graph, in a loop, and in one that stays closed."""
    model = OnDevice("unmarked", "unmarked")
    worst = max(model.off(2, model.once), model.off(3, model.loop, 3))
    result = {"off": worst, **stats("unmarked"), "error": ""}
    try:
        model.off(3, model.hidden_loop, 3)
    except tf.errors.FailedPreconditionError as error:
        result["error"] = str(error)
    return result


def at_once() -> dict[str, Any]:
    """Fallbacks in the same step, with variables on the device and temporary ones that are found by name."""
    w = tf.Variable(np.eye(models.SIDE, dtype=np.float32))
    fallback = models.summing_fallback()

    @tf.function(input_signature=[tf.TensorSpec([None, models.SIDE, models.SIDE])])
    def serve(x: Any) -> Any:
        def call(row: Any) -> Any:
            y = kit.blade_engine([row, w.handle], [tf.float32], fallback, [], "at_once")[0]
            return tf.ensure_shape(y, row.shape)

        return tf.map_fn(call, x, parallel_iterations=10)

    x = np.random.default_rng(2).standard_normal((20, models.SIDE, models.SIDE)).astype(np.float32)
    return {"off": off({"y": serve(x)}, {"y": 4 * x}), "device": w.device, **stats("at_once")}


def on_cpu() -> dict[str, Any]:
    """Variables on the CPU bring the op there; the same engine works in the machine's memory."""
    with tf.device("/CPU:0"):
        model = OnDevice("on_cpu")
        return {"off": model.off(2, model.once), "device": model.w.device, **stats("on_cpu")}


def several_devices() -> dict[str, Any]:
    """TensorFlow keeps int32 variables on CPUs, whatever it sees."""
    w, shift = tf.Variable([1.0, 2.0, 3.0]), tf.Variable([4, 5, 6])
    fallback = models.shifting_fallback()

    def call(x: Any) -> Any:
        y = kit.blade_engine([x, w.handle, shift.handle], [tf.float32], fallback, [], "several")[0]
        return tf.ensure_shape(y, [2, 3])

    @tf.function
    def serve(x: Any) -> Any:
        return call(x), tf.while_loop(lambda i, _: i < 2, lambda i, y: [i + 1, call(y)], [0, x])[1]

    with kit.standard_error() as lines:
        once, twice = serve(tf.ones([2, 3]))
    expected = [np.ones([2, 3], np.float32)]
    for _ in range(2):
        expected.append(expected[-1] * w.numpy() + shift.numpy().astype(np.float32))
    worst = off({"once": once, "twice": twice}, {"once": expected[1], "twice": expected[2]})
    log = [line for line in lines if "no engine serves it" in line]
    return {"off": worst, "devices": [w.device, shift.device], "log": log}


def main() -> None:
    device, engines, original, optimized, portable = sys.argv[1:]
    load_library.load_pluggable_device_library(device)
    runtime.load()
    ctypes.CDLL(engines)
    runs = ctypes.CDLL(device).simulated_gpu_kernel_runs
    runs.restype = ctypes.c_int64
    scenarios: dict[str, Callable[[], dict[str, Any]]] = {
        "loaded": lambda: serve(optimized, original),
        "loaded_portable": lambda: serve(portable, original),
        "session": lambda: serve_session(optimized, original),
        "session_portable": lambda: serve_session(portable, original),
        **{
            item.__name__: item
            for item in (
                runs_on_device,
                portable_on_device,
                written_in_place,
                shadowed,
                unmarked,
                at_once,
                on_cpu,
                several_devices,
            )
        },
    }
    results: dict[str, Any] = {"devices": [item.name for item in tf.config.list_logical_devices()]}
    for name, scenario in scenarios.items():
        before = runs()
        results[name] = {**scenario(), "kernel_runs": runs() - before}
    sys.stdout.write(json.dumps(results) + "\n")


if __name__ == "__main__":
    main()
