"""Whole models of the zoo as networks: what their layers compute is what the models do, in each precision."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tests import zoo
from tests.ops import harness
from tests.ops.importer import graph_of
from tests.tensorrt import kit
from tf_blade import symbolic
from tf_blade.backends.tensorrt.precision import PRECISIONS
from tf_blade.graph.graph import Graph

MODELS = ("encoder_module", "resnet50", "mobilenet_v3", "unet", "vit", "ranking")
# The larger ones take long in NumPy, and have no other kinds of layers.
HALF = ("encoder_module", "mobilenet_v3", "vit")
TOLERANCE = {"fp32": 1e-4, "fp16": 3e-2}


def _frozen(name: str, signature: str) -> tuple[Any, Graph]:
    """A signature's function with its weights as constants, and its graph with symbolic shapes."""
    loaded = tf.saved_model.load(str(zoo.saved(name)))
    frozen = convert_variables_to_constants_v2(loaded.signatures[signature])
    graph = graph_of(frozen, name)
    # The signature's own dimensions: the same name for all inputs' batches, others each their own.
    for node, argument in zip(graph.inputs, frozen.inputs, strict=True):
        node.outputs[0].shape = tuple(
            symbolic.symbol("batch" if axis == 0 else f"{_kind(name, argument.name)}{axis}") if size is None else size
            for axis, size in enumerate(argument.shape)
        )
    harness.infer(graph)
    return frozen, graph


def _kind(model: str, argument: str) -> str:
    return "length" if model.startswith("encoder") else argument.partition(":")[0]


class ModelsTest(parameterized.TestCase):
    @parameterized.parameters(*itertools.product(MODELS, ["fp32"]), *itertools.product(HALF, ["fp16"]))
    def test_results(self, name: str, precision: str) -> None:
        signature, feeds = next(iter(zoo.get(name).example(seed=1).items()))
        frozen, graph = _frozen(name, signature)
        converted = kit.converter().convert(graph, frozenset(), precision=PRECISIONS[precision])
        arrays = [np.asarray(feeds[argument.name.partition(":")[0]]) for argument in frozen.inputs]
        results = kit.Run(converted)(arrays)
        wanted = harness.flatten(frozen(*map(tf.constant, arrays)))
        self.assertLen(results, len(wanted))
        for index, (result, array) in enumerate(zip(results, wanted, strict=True)):
            harness.assert_close(result, array, TOLERANCE[precision], f"{name} {precision} result {index}")


if __name__ == "__main__":
    absltest.main()
