"""Each pass: what it changes, what it leaves alone, and that TensorFlow computes the same after it."""

from __future__ import annotations

import numpy as np
from absl.testing import absltest, parameterized

from tests.passes.harness import CATALOG, EFFECTS, const, op, run
from tests.property.random_graphs import random_graph
from tf_blade.dtypes import DType
from tf_blade.graph import legality
from tf_blade.graph.attributes import Attr
from tf_blade.graph.graph import ARG_OP, Graph
from tf_blade.passes import PASSES, run_passes
from tf_blade.passes.common_subexpressions import share_common_subexpressions
from tf_blade.passes.effects import Effects
from tf_blade.passes.fold_constants import MAX_CONST_BYTES, fold_constants
from tf_blade.passes.remove_dead import remove_dead
from tf_blade.passes.remove_identities import remove_identities
from tf_blade.settings import Settings

X = np.linspace(-1, 1, 4).astype(np.float32)


def _ops(graph: Graph) -> list[str]:
    return sorted(node.op for node in graph.nodes if node.op != ARG_OP)


class Case(parameterized.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.graph = Graph("body")
        self.x = self.graph.add_input("x", DType.FLOAT, (4,))

    def apply(self, *passes: object) -> int:
        """Runs passes and compares TensorFlow's results before and after."""
        before = run(self.graph, {"x": X})
        count = 0
        for item in passes:
            count += item(self.graph, EFFECTS)  # type: ignore[operator]
            legality.check(self.graph)
        for expected, result in zip(before, run(self.graph, {"x": X}), strict=True):
            np.testing.assert_array_equal(result, expected)
        return count


class RemoveIdentitiesTest(Case):
    def test_chains_go(self) -> None:
        y = op(self.graph, "Relu", "y", op(self.graph, "Snapshot", "b", op(self.graph, "Identity", "a", self.x)))
        self.graph.add_output("y", op(self.graph, "StopGradient", "c", y))
        self.graph.add_output("x", op(self.graph, "Identity", "d", self.x))
        self.assertEqual(self.apply(remove_identities), 4)
        self.assertEqual(_ops(self.graph), ["Relu"])
        self.assertIs(self.graph.outputs[1].tensor, self.x)

    def test_what_waits_for_an_identity_waits_for_its_input(self) -> None:
        a = op(self.graph, "Relu", "a", self.x)
        i = op(self.graph, "Identity", "i", a)
        b = op(self.graph, "Neg", "b", self.x)
        self.graph.add_control_input(b.node, i.node)
        self.graph.add_output("b", b)
        self.apply(remove_identities)
        self.assertEqual(b.node.control_inputs, (a.node,))

    def test_an_identity_that_orders_stays(self) -> None:
        a = op(self.graph, "Relu", "a", self.x)
        i = op(self.graph, "Identity", "i", self.x)
        self.graph.add_control_input(i.node, a.node)
        self.graph.add_output("i", i)
        self.assertEqual(self.apply(remove_identities), 0)

    def test_kept_nodes_and_checks_stay(self) -> None:
        i = op(self.graph, "Identity", "i", op(self.graph, "CheckNumerics", "check", self.x, message=b"bad"))
        self.graph.keep.add("i")
        self.graph.add_output("i", i)
        self.assertEqual(self.apply(remove_identities), 0)

    def test_a_reference_is_read_where_it_was(self) -> None:
        variable = self.graph.add_node("VariableV2", "v", (), {"dtype": DType.FLOAT}, [DType.FLOAT_REF])
        self.graph.add_output("v", op(self.graph, "Identity", "read", variable.outputs[0]))
        self.assertEqual(remove_identities(self.graph, EFFECTS), 0)

    def test_pivots_of_branches_stay(self) -> None:
        predicate = self.graph.add_input("p", DType.BOOL, ())
        switch = self.graph.add_node("Switch", "s", [self.x, predicate], {"T": DType.FLOAT}, [DType.FLOAT] * 2)
        pivot = op(self.graph, "Identity", "pivot", switch.outputs[1])
        self.graph.add_control_input(const(self.graph, "c", 1.0).node, pivot.node)
        plain = op(self.graph, "Identity", "plain", switch.outputs[0])
        self.graph.add_output("y", op(self.graph, "Relu", "y", plain))
        self.assertEqual(remove_identities(self.graph, EFFECTS), 1)
        self.assertIn("pivot", [node.name for node in self.graph.nodes])


class FoldConstantsTest(Case):
    def test_what_depends_on_constants_alone_becomes_one(self) -> None:
        a, b = const(self.graph, "a", [1, 2, 3, 4]), const(self.graph, "b", 0.5)
        total = op(self.graph, "AddV2", "total", op(self.graph, "Mul", "product", a, b), b)
        self.graph.add_output("y", op(self.graph, "AddV2", "y", self.x, total))
        self.graph.add_output("total", total)
        self.assertEqual(self.apply(fold_constants, remove_dead), 1 + 4)
        self.assertEqual(_ops(self.graph), ["AddV2", "Const"])

    def test_several_outputs(self) -> None:
        attrs: dict[str, Attr] = {"T": DType.FLOAT, "num": 2, "axis": 0}
        parts = self.graph.add_node(
            "Unpack", "parts", [const(self.graph, "a", [[1, 2, 3, 4], [5, 6, 7, 8]])], attrs, [DType.FLOAT] * 2
        )
        self.graph.add_output("y", op(self.graph, "Mul", "y", self.x, parts.outputs[1]))
        self.graph.add_output("z", op(self.graph, "Mul", "z", self.x, parts.outputs[0]))
        self.assertEqual(self.apply(fold_constants, remove_dead), 2 + 2)

    def test_random_numbers_stay_random(self) -> None:
        shape = const(self.graph, "shape", [4], DType.INT32)
        noise = op(self.graph, "RandomStandardNormal", "noise", shape, seed=0, seed2=0)
        self.graph.add_output("noise", noise)
        self.assertEqual(fold_constants(self.graph, EFFECTS), 0)

    def test_large_results_and_weights_stay(self) -> None:
        shape, one = const(self.graph, "shape", [4096, 4], DType.INT32), const(self.graph, "one", 1.0)
        fill = op(self.graph, "Fill", "fill", shape, one, index_type=DType.INT32)
        fill.node.attrs["T"] = DType.FLOAT
        weight = const(self.graph, "weight", np.ones(MAX_CONST_BYTES // 4 + 1))
        self.graph.add_output("y", op(self.graph, "Mul", "y", fill, self.x))
        self.graph.add_output("z", op(self.graph, "Neg", "z", weight))
        self.assertEqual(self.apply(fold_constants), 0)

    def test_an_error_stays_an_error_of_the_call(self) -> None:
        zero, one = const(self.graph, "zero", 0, DType.INT32), const(self.graph, "one", 7, DType.INT32)
        bad = op(self.graph, "FloorDiv", "bad", one, zero, dtype=DType.INT32)
        good = op(self.graph, "FloorDiv", "good", zero, one, dtype=DType.INT32)
        self.graph.add_output("bad", bad)
        self.graph.add_output("good", good)
        self.assertEqual(fold_constants(self.graph, EFFECTS), 1)
        self.assertEqual([item.tensor.node.op for item in self.graph.outputs], ["FloorDiv", "Const"])

    def test_shapes_that_disagree_fold_nothing(self) -> None:
        bad = op(self.graph, "AddV2", "bad", const(self.graph, "a", [1, 2]), const(self.graph, "b", [1, 2, 3]))
        self.graph.add_output("bad", bad)
        self.assertEqual(fold_constants(self.graph, EFFECTS), 0)


class CommonSubexpressionsTest(Case):
    def test_equal_chains_are_computed_once(self) -> None:
        for side in "ab":
            y = op(
                self.graph,
                "Relu",
                f"relu_{side}",
                op(self.graph, "AddV2", f"add_{side}", self.x, const(self.graph, f"c_{side}", 2)),
            )
            self.graph.add_output(side, op(self.graph, "Neg" if side == "a" else "Exp", f"last_{side}", y))
        self.assertEqual(self.apply(share_common_subexpressions, remove_dead), 3 + 3)
        self.assertEqual(_ops(self.graph), ["AddV2", "Const", "Exp", "Neg", "Relu"])

    def test_differences_that_count(self) -> None:
        tensors = [
            op(self.graph, "LeakyRelu", "l1", self.x, alpha=0.1),
            op(self.graph, "LeakyRelu", "l2", self.x, alpha=0.2),
            op(self.graph, "Mul", "m1", self.x, const(self.graph, "f", 1.0)),
            op(self.graph, "Mul", "m2", self.x, const(self.graph, "g", -1.0)),
            op(self.graph, "Mul", "m3", self.x, const(self.graph, "z", 0.0)),
            op(self.graph, "Mul", "m4", self.x, const(self.graph, "n", -0.0)),
            op(self.graph, "Cast", "c1", const(self.graph, "i", 1, DType.INT32), SrcT=DType.INT32, DstT=DType.FLOAT),
            op(self.graph, "Cast", "c2", const(self.graph, "j", 1, DType.INT64), SrcT=DType.INT64, DstT=DType.FLOAT),
        ]
        for index, tensor in enumerate(tensors):
            tensor.node.attrs.pop("T") if tensor.node.op == "Cast" else None
            self.graph.add_output(f"y{index}", tensor)
        self.assertEqual(self.apply(share_common_subexpressions), 0)

    def test_devices_control_inputs_and_kept_nodes(self) -> None:
        a, b, c, d = (op(self.graph, "Relu", name, self.x) for name in "abcd")
        b.node.device = "/device:CPU:0"
        self.graph.add_control_input(c.node, op(self.graph, "Neg", "n", self.x).node)
        self.graph.keep.add("d")
        for tensor in (a, b, c, d):
            self.graph.add_output(tensor.node.name, tensor)
        self.assertEqual(self.apply(share_common_subexpressions), 0)

    def test_random_numbers_differ(self) -> None:
        shape = const(self.graph, "shape", [4], DType.INT32)
        for name in "ab":
            op(self.graph, "RandomStandardNormal", name, shape, dtype=DType.FLOAT, seed=0, seed2=0)
        self.assertEqual(share_common_subexpressions(self.graph, EFFECTS), 0)

    def test_reads_are_shared_where_nobody_writes(self) -> None:
        handle = self.graph.add_input("v", DType.RESOURCE)
        for name in "ab":
            self.graph.add_node("ReadVariableOp", name, [handle], {"dtype": DType.FLOAT}, [DType.FLOAT])
        self.assertEqual(share_common_subexpressions(self.graph, EFFECTS), 1)
        self.graph.add_node("AssignVariableOp", "w", [handle, self.x], {"dtype": DType.FLOAT}, [])
        self.assertEqual(share_common_subexpressions(self.graph, EFFECTS), 0)


class RemoveDeadTest(Case):
    def test_what_nobody_reads_goes(self) -> None:
        op(self.graph, "Neg", "b", op(self.graph, "Relu", "a", self.x))
        self.graph.add_output("y", op(self.graph, "Exp", "y", self.x))
        self.assertEqual(self.apply(remove_dead), 2)
        self.assertEqual(_ops(self.graph), ["Exp"])

    def test_changes_of_state_stay_with_all_they_need(self) -> None:
        handle = self.graph.add_input("v", DType.RESOURCE)
        y = op(self.graph, "Relu", "a", self.x)
        self.graph.add_node("AssignVariableOp", "w", [handle, y], {"dtype": DType.FLOAT}, [])
        kept = op(self.graph, "Neg", "kept", self.x)
        self.graph.keep.add(kept.node.name)
        self.assertEqual(remove_dead(self.graph, EFFECTS), 0)

    def test_reads_for_nobody_are_no_effect(self) -> None:
        handle = self.graph.add_input("v", DType.RESOURCE)
        read = self.graph.add_node("ReadVariableOp", "read", [handle], {"dtype": DType.FLOAT}, [DType.FLOAT])
        write = self.graph.add_node("AssignVariableOp", "w", [handle, self.x], {"dtype": DType.FLOAT}, [])
        after = self.graph.add_node("NoOp", "after", (), {}, [], control_inputs=[write])
        self.graph.control_outputs += [("read", read), ("after", after)]
        self.assertEqual(remove_dead(self.graph, EFFECTS), 1)
        self.assertEqual([name for name, _ in self.graph.control_outputs], ["after"])

    def test_dead_loops(self) -> None:
        merge = self.graph.add_node("Merge", "merge", [self.x], {}, [DType.FLOAT, DType.INT32])
        back = self.graph.add_node("NextIteration", "back", [merge.outputs[0]], {}, [DType.FLOAT])
        self.graph.append_input(merge, back.outputs[0])
        self.assertEqual(remove_dead(self.graph, EFFECTS), 2)
        legality.check(self.graph)


class AllPassesTest(parameterized.TestCase):
    @parameterized.parameters(range(20))
    def test_random_graphs_compute_the_same(self, seed: int) -> None:
        before, after = _as_function(seed), _as_function(seed)
        run_passes(after, Settings(debug=True), Effects({}, CATALOG.is_stateful))
        self.assertLessEqual(len(after), len(before))
        for expected, result in zip(run(before, {"x": X}), run(after, {"x": X}), strict=True):
            np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)

    def test_a_second_time_changes_nothing(self) -> None:
        for seed in range(20):
            graph = _as_function(seed)
            run_passes(graph, Settings(), EFFECTS)
            self.assertEqual(sum(item(graph, EFFECTS) for item in PASSES), 0, seed)


def _as_function(seed: int) -> Graph:
    graph, _ = random_graph(seed)
    graph.name = "body"
    x = graph.node("x")
    x.op, x.attrs = ARG_OP, {"T": DType.FLOAT, "index": 0}
    graph.inputs.append(x)
    for node in graph.nodes:
        node.device = ""
    for index, output in enumerate(graph.outputs):
        output.name = f"y{index}"
    return graph


if __name__ == "__main__":
    absltest.main()
