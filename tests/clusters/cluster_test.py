"""Which nodes share a cluster. `sketch.find` checks for every graph here that the contracted graph has no cycle."""

from __future__ import annotations

import time

import numpy as np
from absl import logging
from absl.testing import absltest, parameterized

from tests.clusters.sketch import EAGER, add, add_const, find, names, sketch, verdicts
from tf_blade.clusters import merge
from tf_blade.clusters.cluster import cluster_device, find_clusters, identifier
from tf_blade.dtypes import DType
from tf_blade.graph.graph import Graph
from tf_blade.settings import Settings
from tf_blade.stages import Cluster


class MergeTest(parameterized.TestCase):
    def test_two_clusters_never_wait_for_each_other(self) -> None:
        #   a1   b1
        #   │ ╲ ╱ │     X = f(b1) and Y = f(a1) stay TensorFlow
        #   │  ╳  │
        #   │ X Y │
        #   a2   b2
        graph = sketch("a1 -> a2; b1 -> b2; b1 -> X -> a2; a1 -> Y -> b2")
        clusters = find(graph).clusters
        self.assertLessEqual(len(clusters), 3)
        self.assertFalse(
            any({"a1", "a2"} <= {n.name for n in c.nodes} for c in clusters)
            and any({"b1", "b2"} <= {n.name for n in c.nodes} for c in clusters)
        )

    @parameterized.named_parameters(
        ("a_chain", "a -> b -> c", ["a b c"]),
        ("a_diamond", "a -> b -> d; a -> c -> d", ["a b c d"]),
        ("around_an_unsupported_node", "a -> b -> c; a -> X -> c", ["a b", "c"]),
        ("past_an_unsupported_source", "a -> b; X -> b -> c", ["a b c"]),
        ("before_and_after", "a -> b -> X -> c -> d", ["a b", "c d"]),
        ("a_late_side_input", "a -> b -> c -> d; S -> T -> c", ["a b c d"]),
        ("across_levels", "a -> X -> b -> c; y -> z -> c", ["a", "b c y z"]),
        ("siblings", "X -> a -> Y; X -> b -> Z; X -> c -> W", ["a b c"]),
        ("siblings_that_would_wait", "X -> a -> Y -> b; X -> b", ["a", "b"]),
        ("a_control_edge_inside", "a -> b -> c; a -^ c", ["a b c"]),
        ("a_control_path_outside", "a -> b -> c; a -^ X -^ c", ["a b", "c"]),
        ("control_alone_joins_nothing_across", "a -^ X -^ b", ["a", "b"]),
    )
    def test_clusters(self, text: str, expected: list[str]) -> None:
        self.assertEqual(names(find(sketch(text)).clusters), expected)

    def test_twenty_six_towers_that_meet_are_one(self) -> None:
        text = "; ".join(f"X -> g{i} -> r{i} -> meet" for i in range(26))
        self.assertEqual(len(find(sketch(text)).clusters), 1)

    def test_backends_do_not_mix(self) -> None:
        graph = sketch("a -> b -> c")
        found = [v if v.node.name != "b" else type(v)(v.node, "other", (), 8) for v in verdicts(graph)]
        clusters = find_clusters(graph, found, EAGER).clusters
        self.assertEqual(
            [(c.backend, *(n.name for n in c.nodes)) for c in clusters], [("disc", "a"), ("other", "b"), ("disc", "c")]
        )

    def test_devices(self) -> None:
        graph = sketch("a -> b -> c -> d -> e")
        for name, device in zip(
            "abcde", ["/device:CPU:0", "", "/job:worker/device:CPU:*", "/device:CPU:1", ""], strict=True
        ):
            graph.node(name).device = device
        clusters = find(graph).clusters
        self.assertEqual(names(clusters), ["a b c", "d e"])
        self.assertEqual([cluster_device(c) for c in clusters], ["/job:worker/device:CPU:0", "/device:CPU:1"])

    def test_the_same_graph_gives_the_same_clusters(self) -> None:
        text = "a -> b -> X -> c; d -> b; d -> X; X -> e -> f; c -> f; X -> Y -> f"
        first, second = (find(sketch(text)).clusters for _ in range(2))
        self.assertEqual([_describe(c) for c in first], [_describe(c) for c in second])


def _describe(cluster: Cluster) -> tuple[object, ...]:
    parts = (cluster.nodes, cluster.inputs, cluster.outputs)
    return cluster.name, *([item.name for item in part] for part in parts)


class BorderTest(absltest.TestCase):
    def test_a_tensor_read_inside_and_fetched_is_an_output(self) -> None:
        graph = sketch("a -> b -> c", outputs=["b"])
        (cluster,) = find(graph).clusters
        self.assertEqual([t.name for t in cluster.outputs], ["b:0", "c:0"])
        self.assertEqual([t.name for t in cluster.inputs], ["x:0"])

    def test_what_must_stay_addressable_is_an_output(self) -> None:
        graph = sketch("a -> b -> c")
        graph.keep.add("a")
        (cluster,) = find_clusters(graph, verdicts(graph), EAGER).clusters
        self.assertEqual([t.name for t in cluster.outputs], ["a:0", "c:0"])

    def test_what_no_call_runs_together_stays_apart(self) -> None:
        graph = sketch("a -> b -> c -> d; b -> e -> f; c -> f; X -> g -> f; a -> h", outputs=["b"])
        graph.demands = (frozenset({"d", "b"}), frozenset({"f"}), frozenset({"d"}))
        found = find(graph).clusters
        self.assertEqual([" ".join(node.name for node in item.nodes) for item in found], ["a b c", "h", "g e f", "d"])

        graph = sketch("a -> b -> X -> c")
        small, large = add_const(graph, "small", np.ones(4)), add_const(graph, "large", np.ones(400))
        for name in "bc":
            graph.append_input(graph.node(name), small.outputs[0])
            graph.append_input(graph.node(name), large.outputs[0])
        clusters = find(graph).clusters
        self.assertEqual(names(clusters), ["a b small", "c small"])
        self.assertEqual([[t.name for t in c.inputs] for c in clusters], [["x:0", "large:0"], ["X:0", "large:0"]])

    def test_reads_of_variables_are_copied(self) -> None:
        graph = sketch("a -> b -> X -> c")
        handle = graph.add_input("v", DType.RESOURCE)
        read = graph.add_node("ReadVariableOp", "read", [handle], {"dtype": DType.FLOAT}, [DType.FLOAT])
        for name in "bc":
            graph.append_input(graph.node(name), read.outputs[0])
        clusters = find(graph).clusters
        self.assertEqual(names(clusters), ["a b read", "c read"])
        self.assertIn(handle, clusters[0].inputs)
        self.assertIn(handle, clusters[1].inputs)

    def test_constants_alone_join_nothing(self) -> None:
        graph = sketch("X -> a -> Y; Z -> b -> W")
        small = add_const(graph, "small", 1.0)
        for name in "ab":
            graph.append_input(graph.node(name), small.outputs[0])
        self.assertEqual(names(find(graph).clusters), ["a small", "b small"])

    def test_what_only_passes_through_at_the_border_stays_outside(self) -> None:
        graph = sketch("a -> b; a -> X")
        add(graph, "shape_in", "Reshape", ["b"])
        add(graph, "lone", "Identity", ["x"])
        add(graph, "lone_next", "Identity", ["lone"])
        entry = add(graph, "entry", "Reshape", ["lone"])
        graph.append_input(graph.node("a"), entry.outputs[0])
        for name in ("shape_in", "lone_next"):
            graph.add_output(name, graph.node(name).outputs[0])
        (cluster,) = find(graph).clusters
        self.assertEqual({n.name for n in cluster.nodes}, {"a", "b", "shape_in", "lone", "entry"})


class CostTest(absltest.TestCase):
    def test_a_few_scalar_ops_stay_tensorflow(self) -> None:
        result = find(sketch("a -> b -> X; X -> " + " -> ".join(f"n{i}" for i in range(12))), Settings())
        self.assertEqual(names(result.clusters), [" ".join(sorted(f"n{i}" for i in range(12)))])
        (refusal,) = result.refusals
        self.assertEqual([n.name for n in refusal.nodes], ["a", "b"])
        self.assertIn("us", refusal.reason)

    def test_nodes_that_pass_through_do_not_count(self) -> None:
        graph = sketch("a")
        for before, name in zip(["a", *(f"i{k}" for k in range(50))], (f"i{k}" for k in range(51)), strict=False):
            add(graph, name, "Identity", [before])
        result = find(graph, Settings())
        self.assertEqual(result.clusters, ())
        self.assertIn("1 computing nodes are fewer than 2", result.refusals[0].reason)


class ControlFlowTest(absltest.TestCase):
    def test_branches_of_a_conditional_stay_apart(self) -> None:
        #          ┌─:1─ t1 ─ t2 ─┐
        #  a ─ Switch             Merge ─ m ─ n
        #          └─:0─ f1 ─ f2 ─┘
        graph = sketch("a -> b")
        pred = graph.add_input("p", DType.BOOL, ())
        switch = graph.add_node("Switch", "switch", [graph.node("b").outputs[0], pred], {}, [DType.FLOAT] * 2)
        other = graph.add_node("Switch", "other", [graph.node("a").outputs[0], pred], {}, [DType.FLOAT] * 2)
        for index, name in enumerate("ft"):
            first = add(graph, f"{name}1", "Relu")
            graph.append_input(first, switch.outputs[index])
            second = add(graph, f"{name}2", "AddV2", [f"{name}1"])
            graph.append_input(second, other.outputs[index])
            constant = add_const(graph, f"{name}c", 2.0)
            graph.add_control_input(constant, first)
            graph.append_input(second, constant.outputs[0])
        merge = graph.add_node(
            "Merge", "merge", [graph.node(n).outputs[0] for n in ("f2", "t2")], {}, [DType.FLOAT, DType.INT32]
        )
        last = add(graph, "m", "AddV2", ["b"])
        graph.append_input(last, merge.outputs[0])
        add(graph, "n", "Relu", ["m"])
        graph.add_output("n", graph.node("n").outputs[0])
        self.assertEqual(names(find(graph).clusters), ["a b", "f1 f2 fc", "m n", "t1 t2 tc"])

    def test_loops_stay_in_their_frames(self) -> None:
        #  a ─ Enter ─ Merge ─ Switch ─:0─ Exit ─ c ─ d
        #                ▲       └─:1─ p ─ q ─ NextIteration
        #                └────────────────────────┘
        graph = sketch("a -> b")
        enter = add(graph, "enter", "Enter", ["b"], frame_name=b"loop")
        loop_merge = graph.add_node("Merge", "merge", [enter.outputs[0]], {}, [DType.FLOAT, DType.INT32])
        add(graph, "cond", "Less", ["merge"])
        loop_cond = add(graph, "loop_cond", "LoopCond", ["cond"])
        switch = graph.add_node(
            "Switch", "switch", [loop_merge.outputs[0], loop_cond.outputs[0]], {}, [DType.FLOAT] * 2
        )
        p = add(graph, "p", "Relu")
        graph.append_input(p, switch.outputs[1])
        invariant = add(graph, "invariant", "Enter", ["a"], frame_name=b"loop", is_constant=True)
        q = add(graph, "q", "AddV2", ["p"])
        graph.append_input(q, invariant.outputs[0])
        back = add(graph, "back", "NextIteration", ["q"])
        graph.append_input(loop_merge, back.outputs[0])
        leave = add(graph, "exit", "Exit")
        graph.append_input(leave, switch.outputs[0])
        add(graph, "c", "Relu", ["exit"])
        add(graph, "d", "Relu", ["c"])
        graph.add_output("d", graph.node("d").outputs[0])
        self.assertEqual(names(find(graph).clusters), ["a b", "c d", "cond", "p q"])

    def test_an_engine_does_not_run_when_its_branch_is_dead(self) -> None:
        # c's only tie to the branch is the constant's control edge, which a copy of the constant does not have.
        graph = sketch("a -> b")
        pred = graph.add_input("p", DType.BOOL, ())
        switch = graph.add_node("Switch", "switch", [graph.node("b").outputs[0], pred], {}, [DType.FLOAT] * 2)
        pivot = add(graph, "Pivot", "Magic")
        graph.append_input(pivot, switch.outputs[1])
        constant = add_const(graph, "k", 2.0)
        graph.add_control_input(constant, pivot)
        add(graph, "c", "AddV2", ["x", "k"])
        graph.add_output("c", graph.node("c").outputs[0])
        result = find(graph)
        self.assertEqual(names(result.clusters), ["a b"])
        self.assertIn("only constants", result.refusals[0].reason)


class NameTest(parameterized.TestCase):
    @parameterized.parameters(("f", "f"), ("a.b", "a_x2e_b"), ("1x", "_1x"), ("_ok_2", "_ok_2"))
    def test_identifiers(self, text: str, expected: str) -> None:
        self.assertEqual(identifier(text), expected)


class SizeTest(absltest.TestCase):
    def test_a_hundred_thousand_nodes(self) -> None:
        rng = np.random.default_rng(7)
        for density in (0.02, 0.5):
            graph = _random_graph(rng, 100_000, density)
            found = verdicts(graph)
            start = time.process_time()
            result = find_clusters(graph, found, Settings())
            seconds = time.process_time() - start
            num_edges = sum(len(node.inputs) for node in graph.nodes)
            logging.info(
                "%d%% unsupported: %.1f s, %d clusters, %d visits",
                100 * density, seconds, len(result.clusters), result.visits,
            )  # fmt: skip
            self.assertLess(result.visits, merge.SEARCH_BUDGET * (len(graph) + num_edges) + merge.SEARCH_LIMITS[-1])
            self.assertLess(seconds, 60)  # under 10 s on an idle core


def _random_graph(rng: np.random.Generator, n: int, unsupported: float) -> Graph:
    graph = Graph("large")
    tensors = [graph.add_input("x", DType.FLOAT, (8,))]
    far = rng.random(n) < 0.3
    is_magic = rng.random(n) < unsupported
    for i in range(n - 1):
        near = tensors[int(rng.integers(max(0, i - 20), i + 1))]
        other = tensors[int(rng.integers(0, i + 1))] if far[i] else tensors[i]
        node = graph.add_node("Magic" if is_magic[i] else "AddV2", f"n{i}", [near, other], {}, [DType.FLOAT])
        node.outputs[0].shape = (8,)
        tensors.append(node.outputs[0])
    graph.add_output("y", tensors[-1])
    return graph


if __name__ == "__main__":
    absltest.main()
