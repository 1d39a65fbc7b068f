"""From a traced tf.function that calls functions (loops, branches) to a Graph with their bodies and symbolic shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tests.ops.importer import graph_of
from tf_blade import passes, symbolic
from tf_blade.backends.disc import lower, toolchain
from tf_blade.backends.disc import passes as ir_passes
from tf_blade.backends.disc.compile import generate
from tf_blade.backends.disc.harness import LoadedExecutable
from tf_blade.backends.disc.ir import interpreter, legality
from tf_blade.backends.disc.ir.values import Module
from tf_blade.graph.graph import Graph, attach_bodies
from tf_blade.graph.graphdef import graph_from_function_def
from tf_blade.graph.graphdef_attrs import OpCatalog
from tf_blade.graph.shape_inference import infer_shapes
from tf_blade.passes.effects import Effects
from tf_blade.settings import Settings


class Lowered:
    """A tf.function as a module.

    Attributes:
        concrete: the traced function.
        module: what it was lowered to.
    """

    def __init__(self, fn: Callable[..., Any], specs: Sequence[tf.TensorSpec]) -> None:
        self.concrete = tf.function(fn, input_signature=specs, autograph=False).get_concrete_function()
        self.graph = _graph(self.concrete)
        self.module: Module = lower.lower_graph(self.graph, name="case")
        legality.check(self.module)

    def expected(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """TensorFlow's results."""
        return [np.asarray(item) for item in tf.nest.flatten(self.concrete(*map(tf.constant, arrays)))]

    def inputs(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """The module's inputs: the arrays, and the values of captured variables."""
        captured = zip(self.concrete.captured_inputs, self.module.parameters[len(arrays) :], strict=True)
        return [*arrays, *(np.asarray(_read(item, value.dtype.numpy)) for item, value in captured)]

    def interpret(self, *arrays: np.ndarray) -> list[np.ndarray]:
        return interpreter.run(self.module, self.inputs(*arrays))

    def compile(self, *, isa: int | None = None) -> Callable[..., list[np.ndarray]]:
        """The module compiled, as a function of the arrays."""
        module = ir_passes.run(self.module, debug=True)
        image = toolchain.build(generate(module).text, Settings().isas)
        runner = LoadedExecutable(
            image, parameters=self.module.parameters, results=self.module.results, isa=isa, threads=2
        )
        return lambda *arrays: runner.run(self.inputs(*arrays))


def _read(captured: Any, dtype: np.dtype) -> Any:
    if captured.dtype != tf.resource:
        return captured
    return tf.raw_ops.ReadVariableOp(resource=captured, dtype=tf.as_dtype(dtype))


def _graph(concrete: Any) -> Graph:
    """The body with those of the functions that it calls, passes run and shapes inferred."""
    library = concrete.graph.as_graph_def().library
    catalog = OpCatalog(library)
    graphs = {item.signature.name: graph_from_function_def(item, catalog) for item in library.function}
    graphs["case"] = graph_of(concrete, "case")
    for node, spec in zip(graphs["case"].inputs, concrete.inputs, strict=True):
        tensor = node.outputs[0]
        if tensor.handle is None:
            names = (f"{node.name}_{axis}" for axis in range(len(spec.shape)))
            tensor.shape = tuple(
                symbolic.symbol(name) if dim is None else int(dim) for name, dim in zip(names, spec.shape, strict=True)
            )
    effects = Effects(graphs, catalog.is_stateful)
    for graph in graphs.values():
        passes.run_passes(graph, Settings(), effects)
    attach_bodies(graphs)
    infer_shapes(graphs["case"], lower.examine_node, lambda graph, tensors: {})
    return graphs["case"]
