"""The warmup file: requests that TensorFlow Serving runs on a model before it calls the model available.

Kernels are made at the first request of a signature, and engines prepare their weights then: a server with a warmup
file has done both before real requests come. A server without the op library refuses the model when it loads it,
instead of failing request after request.
"""

from __future__ import annotations

import errno
import importlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import node_def_pb2
from tensorflow.python.framework import op_def_registry

from tf_blade.dtypes import DType
from tf_blade.errors import EnvironmentError_
from tf_blade.inputs import InputSpec
from tf_blade.passes.effects import READERS
from tf_blade.saved_model.model import SavedModel
from tf_blade.saved_model.selection import references, signature_nodes

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
# The server refuses a file with more.
MAX_RECORDS = 1000
MISSING = (
    "tensorflow-serving-api is not installed; install it with `pip install --no-deps 'tensorflow-serving-api==2.21.*'` "
    "(without --no-deps it would put the tensorflow package over tensorflow-cpu)"
)
# Signatures that a Predict request may name.
_METHODS = frozenset(f"tensorflow/serving/{name}" for name in ("predict", "classify", "regress"))
_MANY = 64
_UNFIT = frozenset({DType.INVALID, DType.RESOURCE, DType.VARIANT})
# They take resources too, but those of one call.
_OF_ONE_CALL = ("Stack", "TensorArray")


def prediction_logs() -> Any | None:
    """The module of tensorflow-serving-api that defines PredictionLog; None where the package is not installed.

    Raises:
        EnvironmentError_: it is installed and does not load.
    """
    name = "tensorflow_serving.apis.prediction_log_pb2"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "tensorflow_serving":
            return None
        raise EnvironmentError_(f"tensorflow-serving-api cannot be loaded: {error}") from error
    except (ImportError, TypeError, RuntimeError) as error:
        raise EnvironmentError_(f"tensorflow-serving-api cannot be loaded: {error}") from error


def input_specs(model: SavedModel, signature: str) -> tuple[InputSpec, ...]:
    """A signature's inputs, by name."""
    infos = model.meta_graph.signature_def[signature].inputs
    return tuple(
        InputSpec(name, np.dtype(tf.dtypes.as_dtype(info.dtype).as_numpy_dtype), _dims(info.tensor_shape))
        for name, info in sorted(infos.items())
    )


def output_ranks(model: SavedModel, signature: str) -> tuple[int | None, ...]:
    """The ranks of a signature's outputs; None where unknown."""
    infos = model.meta_graph.signature_def[signature].outputs.values()
    shapes = [_dims(info.tensor_shape) for info in infos]
    return tuple(None if shape is None else len(shape) for shape in shapes)


def why_not_served(model: SavedModel, signature: str) -> str:
    """Why no request for a signature must be written; empty when it may be.

    The server refuses requests of some kinds, and requests that change state would change later results.
    """
    definition = model.meta_graph.signature_def[signature]
    if definition.method_name not in _METHODS:
        return f"its method is {definition.method_name or 'empty'!r}, which no Predict request may call"
    for name, info in (*definition.inputs.items(), *definition.outputs.items()):
        if not info.name:
            return f"{name!r} is no single tensor"
        if DType(info.dtype) in _UNFIT:
            return f"{name!r} is of type {DType(info.dtype).name.lower()}"
    writers = sorted({node.op for node in signature_nodes(model, signature) if _changes_state(node)})
    return f"it changes state ({', '.join(writers)})" if writers else ""


def _changes_state(node: node_def_pb2.NodeDef) -> bool:
    """Whether a node may change what outlives a call."""
    definition = op_def_registry.get(node.op)
    if node.op in READERS or node.op.startswith(_OF_ONE_CALL) or definition is None or references(node):
        return False
    return any(item.is_ref or item.type == DType.RESOURCE for item in definition.input_arg)


def encode(logs: Any, signature: str, inputs: Mapping[str, np.ndarray], specs: Sequence[InputSpec]) -> bytes:
    """A PredictionLog with a Predict request. The same inputs give the same bytes."""
    dtypes = {spec.name: spec.dtype for spec in specs}
    record = logs.PredictionLog()
    request = record.predict_log.request
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        array = np.asarray(value)
        dtype = tf.string if dtypes[name].kind == "O" else tf.dtypes.as_dtype(dtypes[name])
        # A single value stands for as many as the shape says.
        content = array.reshape(-1)[0] if _is_one_value(array) else array
        request.inputs[name].CopyFrom(tf.make_tensor_proto(content, dtype=dtype, shape=array.shape))
    result: bytes = record.SerializeToString(deterministic=True)
    return result


def _is_one_value(array: np.ndarray) -> bool:
    """Whether all elements are the same bits, and so many that it is worth a shorter record."""
    if array.dtype.kind not in "fiub" or array.size < _MANY:
        return False
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(array.size, -1)
    return bool((data == data[0]).all())


def write_warmup(folder: Path, records: Iterable[bytes]) -> None:
    """Writes the TFRecord file into a SavedModel's folder.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    try:
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records:
                writer.write(record)
    except tf.errors.OpError as error:
        # TensorFlow's errors have lost the system's number but for this one.
        code = errno.ENOSPC if isinstance(error, tf.errors.ResourceExhaustedError) else errno.EIO
        raise OSError(code, os.strerror(code) if code == errno.ENOSPC else error.message, str(path)) from error


def _dims(shape: Any) -> tuple[int | None, ...] | None:
    if shape.unknown_rank:
        return None
    return tuple(dim.size if dim.size >= 0 else None for dim in shape.dim)
