"""How each framework is called: a loaded model gives the ways to call it on given inputs.

Every framework has the same number of threads, inputs that lie in memory as it wants them, and its outputs left where
it puts them: what is timed is the call. Imports are local: a process has one framework.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Call = Callable[[], Any]
SIGNATURE = "serving_default"


class Model(Protocol):
    """A loaded model."""

    def calls(self, inputs: Mapping[str, Array]) -> dict[str, Call]:
        """Ways to call it on these inputs, by name."""

    def output(self, result: Any) -> Array:
        """The (only) output, of what a call returned."""


class SavedModel:
    """TensorFlow: through the Python signature, and through a session's callable, as a model server calls."""

    def __init__(self, path: pathlib.Path, threads: int, *, blade: bool = False) -> None:
        import tensorflow as tf

        _set_threads(threads)
        if blade:
            from tf_blade import runtime

            runtime.load()
        self._loaded = tf.saved_model.load(str(path))
        self._function = self._loaded.signatures[SIGNATURE]
        self._v1 = tf.compat.v1
        config = self._v1.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads)
        self._graph = tf.Graph()
        with self._graph.as_default():
            self._session = self._v1.Session(config=config)
            meta = self._v1.saved_model.loader.load(self._session, ["serve"], str(path))
        self._signature = meta.signature_def[SIGNATURE]

    def calls(self, inputs: Mapping[str, Array]) -> dict[str, Call]:
        import tensorflow as tf

        tensors = {name: tf.constant(value) for name, value in inputs.items()}
        names = [self._signature.inputs[name].name for name in inputs]
        (output,) = self._signature.outputs.values()
        with self._graph.as_default():
            run = self._session.make_callable(output.name, names)
        arrays = list(inputs.values())
        return {"python": lambda: self._function(**tensors), "session": lambda: run(*arrays)}

    def output(self, result: Any) -> Array:
        if isinstance(result, dict):
            (result,) = result.values()
        return np.asarray(result)


class Xla:
    """TensorFlow with `jit_compile`: XLA compiles the signature for each shape that it meets."""

    def __init__(self, path: pathlib.Path, threads: int) -> None:
        import tensorflow as tf

        _set_threads(threads)
        self._loaded = tf.saved_model.load(str(path))
        signature = self._loaded.signatures[SIGNATURE]
        self._function = tf.function(lambda **inputs: signature(**inputs), jit_compile=True, autograph=False)

    def calls(self, inputs: Mapping[str, Array]) -> dict[str, Call]:
        import tensorflow as tf

        tensors = {name: tf.constant(value) for name, value in inputs.items()}
        function = self._function.get_concrete_function(**tensors)
        return {"python": lambda: function(**tensors)}

    def output(self, result: Any) -> Array:
        (value,) = result.values()
        return np.asarray(value)


class OnnxRuntime:
    """ONNX Runtime's CPU provider, all graph optimizations; inputs and outputs are its own values."""

    def __init__(self, path: pathlib.Path, threads: int) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        self._session = ort.InferenceSession(str(path / "model.onnx"), options, providers=["CPUExecutionProvider"])
        self._value = ort.OrtValue.ortvalue_from_numpy

    def calls(self, inputs: Mapping[str, Array]) -> dict[str, Call]:
        names = {item.name.split(":")[0]: item.name for item in self._session.get_inputs()}
        feeds = {names[name]: self._value(value) for name, value in inputs.items()}
        outputs = [item.name for item in self._session.get_outputs()]
        return {"python": lambda: self._session.run_with_ort_values(outputs, feeds)}

    def output(self, result: Any) -> Array:
        return np.asarray(result[0].numpy())


class OpenVino:
    """OpenVINO's CPU plugin; its default precision may be bfloat16, so float32 is asked for."""

    def __init__(self, path: pathlib.Path, threads: int) -> None:
        import openvino as ov

        options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._compiled = ov.Core().compile_model(str(path / "model.xml"), "CPU", options)
        self._tensor = ov.Tensor

    def calls(self, inputs: Mapping[str, Array]) -> dict[str, Call]:
        request = self._compiled.create_infer_request()
        for port in self._compiled.inputs:
            (name,) = {name.split(":")[0] for name in port.get_names()} & set(inputs)
            request.set_tensor(port, self._tensor(inputs[name], shared_memory=True))

        def call() -> Any:
            request.start_async()
            request.wait()
            return request

        return {"python": call}

    def output(self, result: Any) -> Array:
        return np.asarray(result.get_output_tensor(0).data).copy()


def load(framework: str, path: pathlib.Path, threads: int) -> Model:
    """Loads a model in the framework's form."""
    if framework in ("tensorflow", "tf_blade"):
        return SavedModel(path, threads, blade=framework == "tf_blade")
    classes: dict[str, Callable[[pathlib.Path, int], Model]] = {
        "xla": Xla,
        "onnxruntime": OnnxRuntime,
        "openvino": OpenVino,
    }
    return classes[framework](path, threads)


def _set_threads(threads: int) -> None:
    import tensorflow as tf

    if tf.config.threading.get_intra_op_parallelism_threads() == threads:
        return
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def aligned(array: Array) -> Array:
    """A copy whose data starts at a multiple of 64 bytes, which every framework can use without a further copy."""
    memory = np.empty(array.nbytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    copy: Array = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
