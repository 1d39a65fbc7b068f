"""What a built network computes, in NumPy: walks the layers of an INetworkDefinition through TensorRT's own API.

It knows nothing of how the network was made: types, attributes, weights and connections are read back from layers, and
their meaning is that of TensorRT's documentation. So a rule that adds a wrong layer, or a right one with a wrong
attribute, is found out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np

Layer = Callable[["Context"], "np.ndarray | tuple[np.ndarray, ...]"]
LAYERS: dict[str, Layer] = {}
# Python knows a network's layers by their common base only: the class for each type.
_CLASSES = {
    "ACTIVATION": "IActivationLayer", "CAST": "ICastLayer", "CONCATENATION": "IConcatenationLayer",
    "CONSTANT": "IConstantLayer", "CONVOLUTION": "IConvolutionLayer", "CUMULATIVE": "ICumulativeLayer",
    "DECONVOLUTION": "IDeconvolutionLayer", "DEQUANTIZE": "IDequantizeLayer", "EINSUM": "IEinsumLayer",
    "ELEMENTWISE": "IElementWiseLayer", "FILL": "IFillLayer", "GATHER": "IGatherLayer", "IDENTITY": "IIdentityLayer",
    "MATRIX_MULTIPLY": "IMatrixMultiplyLayer", "NMS": "INMSLayer", "NON_ZERO": "INonZeroLayer",
    "NORMALIZATION": "INormalizationLayer", "ONE_HOT": "IOneHotLayer", "POOLING": "IPoolingLayer",
    "QUANTIZE": "IQuantizeLayer", "REDUCE": "IReduceLayer", "RESIZE": "IResizeLayer", "SCALE": "IScaleLayer",
    "SCATTER": "IScatterLayer", "SELECT": "ISelectLayer", "SHAPE": "IShapeLayer", "SHUFFLE": "IShuffleLayer",
    "SLICE": "ISliceLayer", "SOFTMAX": "ISoftMaxLayer", "TOPK": "ITopKLayer", "UNARY": "IUnaryLayer",
}  # fmt: skip


class EvaluationError(Exception):
    """The network cannot run on these inputs: the runtime would refuse the call."""


class Context:
    """A layer and its operands.

    Attributes:
        trt: TensorRT's module.
        layer: the layer, as its own class.
        inputs: arrays by input position; None where a layer has no such input.
    """

    def __init__(self, trt: Any, layer: Any, inputs: list[np.ndarray | None]) -> None:
        self.trt = trt
        self.layer = layer
        self.inputs = inputs

    def __getitem__(self, index: int) -> np.ndarray:
        value = self.inputs[index]
        assert value is not None, f"input {index} of {self.layer.name} is missing"
        return value

    def given(self, index: int) -> np.ndarray | None:
        """An input that may be missing."""
        return self.inputs[index] if index < len(self.inputs) else None

    def sizes(self, index: int, static: Any) -> tuple[int, ...]:
        """Sizes that an input holds, or else an attribute."""
        given = self.given(index)
        return tuple(int(item) for item in (static if given is None else given))

    def name(self, value: Any) -> str:
        """The name of an enumerator."""
        return str(value).rpartition(".")[2]


def layer(name: str) -> Callable[[Layer], Layer]:
    """Registers what layers of a type compute."""

    def register(function: Layer) -> Layer:
        LAYERS[name] = function
        return function

    return register


def numpy_type(trt: Any, dtype: Any) -> np.dtype:
    """NumPy's type for TensorRT's."""
    return np.dtype(ml_dtypes.bfloat16) if dtype == trt.bfloat16 else np.dtype(trt.nptype(dtype))


@dataclasses.dataclass(frozen=True)
class _Step:
    """A layer as its own class, and the names, types and dimensions of what it is connected to."""

    kind: str
    item: Any
    operands: tuple[str | None, ...]
    results: tuple[tuple[str, np.dtype, tuple[int, ...]], ...]


class Walk:
    """A network, read once, to be computed for any number of feeds."""

    def __init__(self, trt: Any, network: Any) -> None:
        self._trt = trt
        self._inputs = [network.get_input(index) for index in range(network.num_inputs)]
        self._outputs = [network.get_output(index).name for index in range(network.num_outputs)]
        self._steps = [_step(trt, network.get_layer(index)) for index in _order(network)]

    def __call__(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The network's outputs by name.

        Raises:
            EvaluationError: a layer cannot take its operands' sizes.
        """
        values = {tensor.name: _fed(self._trt, tensor, feeds) for tensor in self._inputs}
        for step in self._steps:
            _evaluate_layer(self._trt, step, values)
        return {name: values[name] for name in self._outputs}


def _fed(trt: Any, tensor: Any, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
    array = feeds[tensor.name]
    shape = tuple(tensor.shape)
    if len(shape) != array.ndim or any(dim not in (-1, size) for dim, size in zip(shape, array.shape, strict=True)):
        raise AssertionError(f"{tensor.name} is {shape}, fed {array.shape}")
    if array.dtype != numpy_type(trt, tensor.dtype):
        raise AssertionError(f"{tensor.name} is {tensor.dtype}, fed {array.dtype}")
    return array


def _order(network: Any) -> list[int]:
    """The layers, producers first: a shape tensor's layers may come after the one that they are an input of."""
    producer = {}
    for index in range(network.num_layers):
        item = network.get_layer(index)
        producer.update({item.get_output(k).name: index for k in range(item.num_outputs)})
    order: dict[int, None] = {}

    def visit(index: int) -> None:
        stack = [(index, False)]
        while stack:
            current, done = stack.pop()
            if current in order:
                continue
            if done:
                order[current] = None
                continue
            stack.append((current, True))
            item = network.get_layer(current)
            for k in range(item.num_inputs):
                tensor = item.get_input(k)
                if tensor is not None and tensor.name in producer:
                    stack.append((producer[tensor.name], False))

    for index in range(network.num_layers):
        visit(index)
    return list(order)


def _step(trt: Any, item: Any) -> _Step:
    kind = str(item.type).rpartition(".")[2]
    tensors = [item.get_input(index) for index in range(item.num_inputs)]
    outputs = [item.get_output(index) for index in range(item.num_outputs)]
    item.__class__ = getattr(trt, _CLASSES[kind])
    return _Step(
        kind,
        item,
        tuple(None if tensor is None else tensor.name for tensor in tensors),
        tuple((tensor.name, numpy_type(trt, tensor.dtype), tuple(tensor.shape)) for tensor in outputs),
    )


def _evaluate_layer(trt: Any, step: _Step, values: dict[str, np.ndarray]) -> None:
    operands = [None if name is None else values[name] for name in step.operands]
    with np.errstate(all="ignore"):
        results = LAYERS[step.kind](Context(trt, step.item, operands))
    results = results if isinstance(results, tuple) else (results,)
    for (name, declared, shape), result in zip(step.results, results, strict=True):
        if result.dtype != declared:
            raise AssertionError(f"{step.item.name} ({step.kind}) gave {result.dtype}, TensorRT says {declared}")
        if len(shape) != result.ndim or any(d not in (-1, n) for d, n in zip(shape, result.shape, strict=True)):
            raise EvaluationError(f"{step.item.name} ({step.kind}) gave {result.shape}, TensorRT says {shape}")
        values[name] = result
