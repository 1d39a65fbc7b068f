"""Calls inlined: the same results, the same effects in the same order, and only where it is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized
from tensorflow.core.framework import function_pb2

from tf_blade.graph.graph import Graph
from tf_blade.graph.graphdef import OpCatalog, function_def_from_graph, graph_from_function_def
from tf_blade.passes import inline
from tf_blade.passes.effects import Effects
from tf_blade.passes.inline import InlineResult, inline_calls
from tf_blade.passes.relax_control import relax_control

X = np.array([[1.0, -2.0, 3.0], [0.5, 0.0, -1.0]], np.float32)


class Program:
    """A traced function with all that it calls, as graphs."""

    def __init__(self, function: Any, *specs: tf.TensorSpec) -> None:
        self.concrete = tf.function(function).get_concrete_function(*specs)
        self.name = self.concrete.function_def.signature.name
        self.library = function_pb2.FunctionDefLibrary()
        self.library.CopyFrom(self.concrete.graph.as_graph_def().library)
        if self.name not in {item.signature.name for item in self.library.function}:
            self.library.function.add().CopyFrom(self.concrete.function_def)
        self.catalog = OpCatalog(self.library)
        self.graphs = {f.signature.name: graph_from_function_def(f, self.catalog) for f in self.library.function}

    def callers(self) -> dict[str, frozenset[str]]:
        found: dict[str, set[str]] = {}
        for name, graph in self.graphs.items():
            for node in graph.nodes:
                for item in [*(f.name for f in node.functions()), node.op]:
                    if item in self.graphs:
                        found.setdefault(item, set()).add(name)
        return {name: frozenset(items) for name, items in found.items()}

    def inline(self, pinned: frozenset[str] = frozenset()) -> InlineResult:
        return inline_calls(
            self.graphs,
            pinned=pinned | {self.name},
            callers=self.callers(),
            is_stateful=self.catalog.is_stateful,
        )

    def calls(self, name: str | None = None) -> int:
        graph = self.graphs[name or self.name]
        return sum(node.op in ("PartitionedCall", "StatefulPartitionedCall") for node in graph.nodes)

    def run(self, removed: Mapping[str, str], *args: Any) -> list[np.ndarray]:
        """Runs the main function as it is now, with its captured variables, in another graph's library."""
        wrapped = tf.Graph()
        with wrapped.as_default():
            arguments = [tf.compat.v1.placeholder(item.dtype, item.shape) for item in self.concrete.inputs]
            message = tf.Graph().as_graph_def()
            for original in self.library.function:
                name = original.signature.name
                if name not in removed:
                    message.library.function.add().CopyFrom(
                        function_def_from_graph(self.graphs[name], original, self.catalog)
                    )
            tf.graph_util.import_graph_def(message, name="")
            function = wrapped._get_function(self.name)
            outputs = [int(item.tensor.dtype) for item in self.graphs[self.name].outputs]
            results = tf.raw_ops.StatefulPartitionedCall(args=arguments, Tout=outputs, f=function)
        callable_ = _function_of(wrapped, arguments, list(results))
        handles = [tensor for tensor, _ in self.concrete.graph.captures]
        return [np.asarray(item) for item in callable_(*args, *handles)]


def _function_of(graph: tf.Graph, inputs: list[Any], outputs: list[Any]) -> Any:
    """The graph from inputs to outputs as an eager function, so that it can take handles of eager variables."""
    graph_def = graph.as_graph_def()

    def call(*args: Any) -> Any:
        feeds = {item.op.name: value for item, value in zip(inputs, args, strict=True)}
        names = [item.name for item in outputs]
        return tf.graph_util.import_graph_def(graph_def, feeds, names, name="")

    return tf.function(call)


class InlineTest(parameterized.TestCase):
    def test_nested_calls_called_several_times(self) -> None:
        weight = tf.Variable(np.eye(3, dtype=np.float32) * 2.0)

        @tf.function
        def layer(x: Any) -> Any:
            return tf.nn.relu(tf.matmul(x, weight) + 1.0), x

        @tf.function
        def block(x: Any) -> Any:
            y, same = layer(x)
            return layer(y)[0] - same

        program = Program(lambda x: block(block(x)) * 3.0, tf.TensorSpec([None, 3]))
        expected = program.concrete(tf.constant(X)).numpy()
        result = program.inline()
        self.assertLen(result.removed, 2)
        self.assertEqual(program.calls(), 0)
        self.assertEqual(sum(node.op == "MatMul" for node in program.graphs[program.name].nodes), 4)
        np.testing.assert_array_equal(program.run(result.removed, tf.constant(X))[0], expected)

    def test_effects_keep_their_order(self) -> None:
        """Each call reads what the one before it wrote; the last read comes after all of them."""
        state = tf.Variable(1.0)

        @tf.function
        def double() -> Any:
            state.assign(state * 2.0)
            return state + 0.0

        @tf.function
        def add() -> None:
            state.assign_add(10.0)

        def main(x: Any) -> Any:
            first = double()
            add()
            second = double()
            add()
            return x + first, second, state + 0.0

        program = Program(main, tf.TensorSpec([]))
        expected = [item.numpy() for item in program.concrete(tf.constant(1.0))]
        self.assertEqual([float(item) for item in expected], [3.0, 24.0, 34.0])
        result = program.inline()
        self.assertEqual(program.calls(), 0)
        relax_control(program.graphs[program.name], Effects(program.graphs, program.catalog.is_stateful))
        for _ in range(5):
            state.assign(1.0)
            found = program.run(result.removed, tf.constant(1.0))
            self.assertEqual([float(item) for item in found], [3.0, 24.0, 34.0])
            self.assertEqual(float(state.numpy()), 34.0)

    def test_effect_without_results_still_happens(self) -> None:
        state = tf.Variable(1.0)

        @tf.function
        def add() -> None:
            state.assign_add(1.0)

        def main(x: Any) -> Any:
            add()
            add()
            return x * 2.0

        program = Program(main, tf.TensorSpec([]))
        result = program.inline()
        self.assertEqual(program.calls(), 0)
        relax_control(program.graphs[program.name], Effects(program.graphs, program.catalog.is_stateful))
        program.run(result.removed, tf.constant(1.0))
        self.assertEqual(float(state.numpy()), 3.0)

    def test_functions_of_several_bodies_and_pinned_ones_stay(self) -> None:
        @tf.function
        def shared(x: Any) -> Any:
            return x + 1.0

        @tf.function
        def other(x: Any) -> Any:
            return shared(x) * 2.0

        program = Program(lambda x: shared(x) + other(x), tf.TensorSpec([3]))
        (name,) = (name for name in program.graphs if "other" in name)
        result = program.inline(pinned=frozenset({name}))
        self.assertEmpty(result.removed)
        self.assertEqual(program.calls(), 2)
        result = program.inline()
        self.assertEqual(result.removed, {name: program.name})

    def test_bodies_of_loops_stay_and_calls_in_them_are_inlined(self) -> None:
        @tf.function
        def step(y: Any) -> Any:
            return y * 0.5 + 1.0

        def main(x: Any) -> Any:
            return tf.while_loop(lambda i, _: i < 4, lambda i, y: (i + 1, step(y)), [0, x])[1]

        program = Program(main, tf.TensorSpec([2, 3]))
        expected = program.concrete(tf.constant(X)).numpy()
        result = program.inline()
        self.assertLen(result.removed, 1)
        self.assertTrue(all("while_body" in body for body in result.removed.values()))
        np.testing.assert_array_equal(program.run(result.removed, tf.constant(X))[0], expected)

    def test_not_where_it_would_lose_something(self) -> None:
        @tf.function(experimental_attributes={"_noinline": True})
        def marked(x: Any) -> Any:
            return x + 1.0

        @tf.function
        def random(x: Any) -> Any:
            return x + tf.random.uniform([3], seed=5)

        @tf.function
        def heavy(x: Any) -> Any:
            return x + tf.reduce_sum(tf.constant(np.arange(40_000, dtype=np.float32)))

        def main(x: Any) -> Any:
            return random(random(x)) + heavy(heavy(x)) + marked(x)

        program = Program(main, tf.TensorSpec([3]))
        for node in program.graphs[program.name].nodes:
            if any("marked" in item.name for item in node.functions()):
                node.attrs["_noinline"] = True
        self.assertEmpty(program.inline().removed)
        self.assertEqual(program.calls(), 5)

    def test_budget(self) -> None:
        @tf.function
        def long(x: Any) -> Any:
            for _ in range(50):
                x = x + 1.0
            return x

        program = Program(lambda x: long(long(x)), tf.TensorSpec([3]))
        with mock.patch.object(inline, "MAX_NODES", 100):
            self.assertEmpty(program.inline().removed)
        self.assertLen(program.inline().removed, 1)


class RelaxControlTest(absltest.TestCase):
    def edges(self, function: Any, *specs: tf.TensorSpec) -> set[tuple[str, str]]:
        """Control edges that are left, by op."""
        program = Program(function, *specs)
        graph: Graph = program.graphs[program.name]
        relax_control(graph, Effects(program.graphs, program.catalog.is_stateful))
        return {(control.op, node.op) for node in graph.nodes for control in node.control_inputs}

    def test_reads_alone_order_nothing(self) -> None:
        a, b = tf.Variable(1.0), tf.Variable(2.0)
        self.assertEmpty(self.edges(lambda x: tf.identity(x * a) + b, tf.TensorSpec([])))

    def test_calls_that_only_read_order_nothing(self) -> None:
        a = tf.Variable(1.0)
        inner = tf.function(lambda x: x * a)
        self.assertEmpty(self.edges(lambda x: inner(inner(x)), tf.TensorSpec([])))

    def test_reads_and_writes_stay_in_order(self) -> None:
        a = tf.Variable(1.0)

        def main(x: Any) -> Any:
            before = a * x
            a.assign(x)
            return before, a * 3.0

        edges = self.edges(main, tf.TensorSpec([]))
        self.assertIn(("ReadVariableOp", "AssignVariableOp"), edges)
        self.assertIn(("AssignVariableOp", "ReadVariableOp"), edges)

    def test_calls_that_write_stay_in_order(self) -> None:
        a = tf.Variable(1.0)

        @tf.function
        def write() -> None:
            a.assign_add(1.0)

        def main(x: Any) -> Any:
            write()
            return a * x

        self.assertIn(("StatefulPartitionedCall", "ReadVariableOp"), self.edges(main, tf.TensorSpec([])))

    def test_checks_come_first(self) -> None:
        def main(x: Any) -> Any:
            with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(x > 0.0), [x])]):
                return tf.math.log(x)

        edges = self.edges(main, tf.TensorSpec([2]))
        self.assertTrue(any(after == "Log" for _, after in edges), edges)


if __name__ == "__main__":
    absltest.main()
