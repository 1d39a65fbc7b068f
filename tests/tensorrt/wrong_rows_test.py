"""Wrong networks of images, quantization and composed ops are found out: layers of rows with a wrong attribute."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from tests.tensorrt import kit, rules_test
from tf_blade.backends.tensorrt import library
from tf_blade.backends.tensorrt.convert import Converted, Converter

ROWS = {case.name: case for family in rules_test.FAMILIES for case in rules_test.cases_of(family)}
TRT: Any = library.load().trt


@dataclasses.dataclass(frozen=True)
class Damage:
    """A change of the first layer of a kind in the network of a row."""

    row: str
    kind: str
    change: Callable[[Any], None]


def _set(name: str, value: Any) -> Callable[[Any], None]:
    return lambda layer: setattr(layer, name, value)


_kept: list[np.ndarray] = []


def _scaled(layer: Any) -> None:
    """Another constant."""
    weights = layer.weights
    array = np.array(weights if isinstance(weights, np.ndarray) else weights.numpy()) * np.float32(1.3)
    _kept.append(array)
    layer.weights = TRT.Weights(array)


def _stuck(layer: Any) -> None:
    """Steps of a slice that are its starts."""
    layer.set_input(3, layer.get_input(1))


DAMAGES = (
    Damage("Conv2D_SAME_3x3_2", "CONVOLUTION", _set("padding_mode", TRT.PaddingMode.EXPLICIT_ROUND_DOWN)),
    Damage("Conv2D_dilated_1_3_SAME_1", "CONVOLUTION", _set("dilation_nd", (3, 1))),
    Damage("Conv2D_groups", "SHUFFLE", _set("first_transpose", (0, 3, 2, 1))),
    Damage("Conv2DBackpropInput_SAME_2", "DECONVOLUTION", _set("pre_padding", (1, 1))),
    Damage("MaxPool_SAME_3x3_2", "POOLING", _set("type", TRT.PoolingType.AVERAGE)),
    Damage("LRN_0.5", "POOLING", _set("average_count_excludes_padding", True)),
    Damage("FusedBatchNormV3_epsilon", "CONSTANT", _scaled),
    Damage("FusedBatchNormV3_first", "ELEMENTWISE", _set("op", TRT.ElementWiseOperation.SUB)),
    Damage("ResizeNearestNeighbor_plain_double", "RESIZE", _set("resize_mode", TRT.InterpolationMode.LINEAR)),
    Damage("ResizeNearestNeighbor_picked", "GATHER", _set("axis", 2)),
    Damage("SpaceToDepth_first", "SHUFFLE", _set("first_transpose", (0, 1, 3, 2))),
    Damage("QuantizeAndDequantizeV2_False_True_8", "CONSTANT", _scaled),
    Damage("FakeQuantWithMinMaxVarsPerChannel_True", "DEQUANTIZE", _set("axis", 0)),
    Damage("FakeQuantWithMinMaxArgs_0.5_3.0_4", "UNARY", _set("op", TRT.UnaryOperation.CEIL)),
    Damage("Atan2_corners", "UNARY", _set("op", TRT.UnaryOperation.ISNAN)),
    Damage("Atan2_float32", "SELECT", lambda layer: layer.set_input(2, layer.get_input(1))),
    Damage("AdjustContrastv2", "REDUCE", _set("axes", 2)),
    Damage("Bucketize_float32", "ELEMENTWISE", _set("op", TRT.ElementWiseOperation.GREATER)),
    Damage("Conv2DBackpropInput_dilated", "DECONVOLUTION", _set("dilation_nd", (1, 1))),
    Damage("Conv2DBackpropInput_groups", "SHUFFLE", _set("first_transpose", (3, 2, 1, 0))),
    Damage("Cumprod_1_False_True", "ELEMENTWISE", _set("op", TRT.ElementWiseOperation.SUM)),
    Damage("DenseBincount_2_count", "REDUCE", _set("op", TRT.ReduceOperation.MAX)),
    Damage("ExtractImagePatches_2_1_3_VALID", "SLICE", _stuck),
    Damage("MatrixBandPart_2_1", "ELEMENTWISE", _set("op", TRT.ElementWiseOperation.SUM)),
    Damage("MatrixDiagPart_float32", "SLICE", _stuck),
    Damage("MatrixDiag_float32", "ELEMENTWISE", _set("op", TRT.ElementWiseOperation.SUM)),
    Damage("MatrixSetDiag_float32", "SELECT", lambda layer: layer.set_input(1, layer.get_input(2))),
    Damage("Mean_last_int32", "REDUCE", _set("op", TRT.ReduceOperation.MAX)),
    Damage("MirrorPad_SYMMETRIC_float32", "SLICE", _set("stride", (1, 1))),
    Damage("Pow_int32", "ELEMENTWISE", _set("op", TRT.ElementWiseOperation.SUM)),
    Damage("ReverseSequence_int32", "SELECT", lambda layer: layer.set_input(1, layer.get_input(2))),
    Damage("Roll_two", "SLICE", _set("mode", TRT.SampleMode.CLAMP)),
)  # fmt: skip
_CLASSES = {
    "CONSTANT": "IConstantLayer", "CONVOLUTION": "IConvolutionLayer", "DECONVOLUTION": "IDeconvolutionLayer",
    "DEQUANTIZE": "IDequantizeLayer", "ELEMENTWISE": "IElementWiseLayer", "GATHER": "IGatherLayer",
    "POOLING": "IPoolingLayer", "REDUCE": "IReduceLayer", "RESIZE": "IResizeLayer", "SELECT": "ISelectLayer",
    "SHUFFLE": "IShuffleLayer", "SLICE": "ISliceLayer", "UNARY": "IUnaryLayer",
}  # fmt: skip


class WrongRowsTest(parameterized.TestCase):
    @parameterized.named_parameters((f"{item.row}_{item.kind}", item) for item in DAMAGES)
    def test_a_wrong_network_is_found(self, damage: Damage) -> None:
        convert = Converter.convert
        changed: list[str] = []

        def wrong(*args: Any, **kwargs: Any) -> Converted:
            converted = convert(*args, **kwargs)
            for index in range(converted.definition.num_layers):
                layer = converted.definition.get_layer(index)
                if str(layer.type).rpartition(".")[2] == damage.kind and not changed:
                    layer.__class__ = getattr(TRT, _CLASSES[damage.kind])
                    damage.change(layer)
                    changed.append(layer.name)
            return converted

        self.assertIsNotNone(kit.check(ROWS[damage.row]))
        with mock.patch.object(Converter, "convert", wrong), self.assertRaises((AssertionError, ValueError)):
            kit.check(ROWS[damage.row])
        self.assertLen(changed, 1)


if __name__ == "__main__":
    absltest.main()
