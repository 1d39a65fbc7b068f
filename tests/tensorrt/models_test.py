"""Whole models of the zoo as networks: what their layers compute is what the models do, in each precision."""

from __future__ import annotations

import dataclasses
import functools
import itertools

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


@dataclasses.dataclass(frozen=True)
class _Model:
    """A signature's graph with symbolic shapes and its weights as constants, and a call of it."""

    graph: Graph
    arrays: list[np.ndarray]
    wanted: list[np.ndarray]


@functools.cache
def _model(name: str) -> _Model:
    signature, feeds = next(iter(zoo.get(name).example(seed=1).items()))
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
    arrays = [np.asarray(feeds[argument.name.partition(":")[0]]) for argument in frozen.inputs]
    return _Model(graph, arrays, harness.flatten(frozen(*map(tf.constant, arrays))))


def _kind(model: str, argument: str) -> str:
    return "length" if model.startswith("encoder") else argument.partition(":")[0]


class ModelsTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        # What TensorFlow makes of a graph before its one call takes longer than the call.
        options = tf.config.optimizer.get_experimental_options()
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
        cls.addClassCleanup(tf.config.optimizer.set_experimental_options, {"disable_meta_optimizer": False, **options})
        cls.addClassCleanup(_model.cache_clear)

    @parameterized.parameters(*itertools.product(MODELS, ["fp32"]), *itertools.product(HALF, ["fp16"]))
    def test_results(self, name: str, precision: str) -> None:
        model = _model(name)
        converted = kit.converter().convert(model.graph, frozenset(), precision=PRECISIONS[precision])
        results = kit.Run(converted)(model.arrays)
        self.assertLen(results, len(model.wanted))
        for index, (result, array) in enumerate(zip(results, model.wanted, strict=True)):
            harness.assert_close(result, array, TOLERANCE[precision], f"{name} {precision} result {index}")


if __name__ == "__main__":
    absltest.main()
