"""Verdicts: every refusal has a reason and a node."""

from __future__ import annotations

from absl.testing import absltest, parameterized

from tests.passes.harness import CATALOG, EFFECTS, op
from tf_blade.backends.disc.lower import examine_node
from tf_blade.dtypes import DType
from tf_blade.errors import BuildFailure, Unsupported
from tf_blade.graph.attributes import FunctionAttr
from tf_blade.graph.graph import Graph, Node, Tensor
from tf_blade.passes.effects import Effects
from tf_blade.settings import Settings
from tf_blade.stages import BuiltEngine, ClusterGraph, Verdict
from tf_blade.support.examine import examine
from tf_blade.symbolic import Dim


class _Fake:
    """Takes the ops it was told."""

    def __init__(self, name: str, ops: set[str]) -> None:
        self.name = name
        self._ops = ops

    def examine(self, node: Node) -> Dim:
        if node.op not in self._ops:
            raise Unsupported(f"{self.name} has no {node.op}")
        return 7

    def build(self, cluster: ClusterGraph, settings: Settings) -> BuiltEngine:
        raise BuildFailure("never", self.name, cluster.cluster.name)


class _Disc(_Fake):
    def examine(self, node: Node) -> Dim:
        return examine_node(node).flops


ANY = _Fake(
    "any",
    {"Relu", "ReadVariableOp", "ResourceGather", "AssignVariableOp", "StringLower", "PartitionedCall", "Identity"},
)


def _verdict(graph: Graph, name: str, *backends: _Fake, effects: Effects = EFFECTS) -> Verdict:
    return {item.node.name: item for item in examine(graph, backends or (ANY,), effects)}[name]


class PreferenceTest(absltest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.graph = Graph("g")
        self.x = self.graph.add_input("x", DType.FLOAT, (4,))
        op(self.graph, "Relu", "r", op(self.graph, "Tanh", "t", self.x))

    def test_the_first_that_can_takes_it(self) -> None:
        first, second = _Fake("first", {"Tanh"}), _Fake("second", {"Tanh", "Relu"})
        self.assertEqual(_verdict(self.graph, "t", first, second), Verdict(self.graph.node("t"), "first", (), 7))
        other = _verdict(self.graph, "r", first, second)
        self.assertEqual((other.backend, other.flops), ("second", 7))
        ((name, reason),) = other.refusals
        self.assertEqual((name, reason.reason, reason.node), ("first", "first has no Relu", "r"))

    def test_every_refusal_has_a_reason_and_a_node(self) -> None:
        verdicts = examine(self.graph, (_Fake("first", set()), _Fake("second", set())), EFFECTS)
        self.assertEqual(len(verdicts), len(self.graph))
        for verdict in verdicts:
            self.assertEqual((verdict.backend, verdict.flops), ("", 0))
            self.assertEqual([name for name, _ in verdict.refusals], ["first", "second"])
            for _, reason in verdict.refusals:
                self.assertTrue(reason.reason)
                self.assertEqual(reason.node, verdict.node.name)

    def test_rules_are_asked(self) -> None:
        disc = _Disc("disc", set())
        self.assertEqual(_verdict(self.graph, "t", disc).backend, "disc")
        self.graph.node("x").outputs[0].shape = None
        self.assertIn("rank", _verdict(self.graph, "t", disc).refusals[0][1].reason)


class NeverTest(parameterized.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.graph = Graph("g")
        self.x = self.graph.add_input("x", DType.FLOAT, (4,))

    def _reason(self, name: str, effects: Effects = EFFECTS) -> str:
        verdict = _verdict(self.graph, name, effects=effects)
        self.assertEqual(verdict.backend, "", name)
        return verdict.refusals[0][1].reason

    def test_arguments(self) -> None:
        self.assertIn("argument", self._reason("x"))

    def test_strings(self) -> None:
        words = self.graph.add_input("words", DType.STRING, (4,))
        self.graph.add_node("StringLower", "lower", [words], {}, [DType.STRING])
        self.assertIn("words:0 is of type string", self._reason("lower"))

    def test_calls(self) -> None:
        self.graph.add_node("PartitionedCall", "call", [self.x], {"f": FunctionAttr("f")}, [DType.FLOAT])
        self.assertIn("calls functions", self._reason("call"))

    def test_references(self) -> None:
        variable = self.graph.add_node("VariableV2", "v", (), {}, [DType.FLOAT_REF])
        self.graph.add_node("Identity", "read", variable.outputs, {"T": DType.FLOAT}, [DType.FLOAT])
        self.assertIn("references", self._reason("read"))

    def test_writes(self) -> None:
        handle = self.graph.add_input("v", DType.RESOURCE, ())
        self.graph.add_node("AssignVariableOp", "w", [handle, self.x], {"dtype": DType.FLOAT}, [])
        self.assertIn("changes state", self._reason("w"))

    def test_devices(self) -> None:
        for name, device in (("a", "/device:GPU:0"), ("b", "/gpu:1")):
            op(self.graph, "Relu", name, self.x).node.device = device
            self.assertIn(device, self._reason(name))
        for name, device in (("c", "/device:CPU:0"), ("d", "/job:localhost/task:0")):
            op(self.graph, "Relu", name, self.x).node.device = device
            self.assertEqual(_verdict(self.graph, name).backend, "any")


class ReadsTest(parameterized.TestCase):
    """Reads of variables that somebody may write stay where they are."""

    def setUp(self) -> None:
        super().setUp()
        self.graph = Graph("g")
        self.x = self.graph.add_input("x", DType.FLOAT, (4,))

    def _variable(self, name: str, *dims: int, dtype: DType = DType.FLOAT) -> Tensor:
        handle = self.graph.add_input(name, DType.RESOURCE, ())
        handle.handle = (dtype, dims)
        self.graph.add_node("ReadVariableOp", f"read_{name}", [handle], {"dtype": dtype}, [dtype])
        return handle

    def _taken(self, name: str, effects: Effects = EFFECTS) -> bool:
        return _verdict(self.graph, f"read_{name}", effects=effects).backend == "any"

    def _write(self, handle: Tensor) -> None:
        self.graph.add_node("AssignVariableOp", "write", [handle, self.x], {"dtype": DType.FLOAT}, [])

    def test_nobody_writes(self) -> None:
        self._variable("v", 4)
        self.assertTrue(self._taken("v"))

    def test_the_written_variable_and_what_may_be_it(self) -> None:
        handle = self._variable("v", 4)
        for name, dims, dtype in (
            ("same", (4,), DType.FLOAT),
            ("other", (5,), DType.FLOAT),
            ("type", (4,), DType.INT32),
        ):
            self._variable(name, *dims, dtype=dtype)
        self._variable("rank", 4, 1)
        unknown = self._variable("unknown", 4)
        unknown.handle = None
        self._write(handle)
        taken = {name: self._taken(name) for name in ("v", "same", "other", "type", "rank", "unknown")}
        self.assertEqual(
            taken, {"v": False, "same": False, "other": True, "type": True, "rank": True, "unknown": False}
        )
        self.assertIn("write may write", _verdict(self.graph, "read_v").refusals[0][1].reason)

    def test_a_handle_by_another_name(self) -> None:
        handle = self._variable("v", 4)
        self._write(op(self.graph, "Identity", "i", handle, dtype=DType.RESOURCE))
        self.assertFalse(self._taken("v"))

    def test_variables_by_name(self) -> None:
        handles = [
            self.graph.add_node(
                "VarHandleOp", name, (), {"shared_name": name.encode(), "container": b""}, [DType.RESOURCE]
            ).outputs[0]
            for name in ("a", "b")
        ]
        for handle in handles:
            read = self.graph.add_node(
                "ReadVariableOp", f"read_{handle.node.name}", [handle], {"dtype": DType.FLOAT}, [DType.FLOAT]
            )
            self.assertEqual(read.inputs, (handle,))
        self._write(handles[0])
        self.assertEqual([self._taken("a"), self._taken("b")], [False, True])

    def test_calls(self) -> None:
        handle = self._variable("v", 4)
        body = Graph("f")
        inner = body.add_input("v", DType.RESOURCE, ())
        body.add_node("ReadVariableOp", "read", [inner], {"dtype": DType.FLOAT}, [DType.FLOAT])
        self.graph.add_node("StatefulPartitionedCall", "call", [handle], {"f": FunctionAttr("f")}, [DType.FLOAT])
        self.assertTrue(self._taken("v", Effects({"f": body}, CATALOG.is_stateful)), "the function only reads")
        self.assertFalse(self._taken("v"), "nobody knows the function")
        value = body.add_input("value", DType.FLOAT, (4,))
        body.add_node("AssignVariableOp", "w", [inner, value], {"dtype": DType.FLOAT}, [])
        self.assertFalse(self._taken("v", Effects({"f": body}, CATALOG.is_stateful)))

    def test_effects_that_write_no_variable(self) -> None:
        handle = self._variable("v", 4)
        body = Graph("f")
        inner, condition = body.add_input("v", DType.RESOURCE, ()), body.add_input("c", DType.BOOL, ())
        body.add_node("Assert", "assert", [condition], {"T": []}, [])
        self.graph.add_node("StatefulPartitionedCall", "call", [handle], {"f": FunctionAttr("f")}, [DType.FLOAT])
        effects = Effects({"f": body}, CATALOG.is_stateful)
        self.assertTrue(self._taken("v", effects), "an assertion is an effect, but writes nothing")
        self.graph.add_node("Assert", "outer", [self.x], {"T": []}, [])
        self.assertTrue(self._taken("v", effects))
        self.assertIsNotNone(inner)

    def test_a_function_that_names_its_variable_itself(self) -> None:
        self._variable("v", 4)
        body = Graph("f")
        made = body.add_node("VarHandleOp", "made", (), {"shared_name": b"v", "container": b""}, [DType.RESOURCE])
        value = body.add_input("value", DType.FLOAT, (4,))
        outer = Graph("g")
        outer.add_node("StatefulPartitionedCall", "inner_call", [], {"f": FunctionAttr("f")}, [])
        self.graph.add_node("StatefulPartitionedCall", "call", [], {"f": FunctionAttr("g")}, [])
        effects = Effects({"f": body, "g": outer}, CATALOG.is_stateful)
        self.assertTrue(self._taken("v", effects))
        body.add_node("AssignVariableOp", "w", [made.outputs[0], value], {"dtype": DType.FLOAT}, [])
        self.assertFalse(self._taken("v", Effects({"f": body, "g": outer}, CATALOG.is_stateful)))

    def test_tables_are_no_variables(self) -> None:
        self._variable("v", 4)
        table = self.graph.add_input("table", DType.RESOURCE, ())
        self.graph.add_node("LookupTableImportV2", "fill", [table, self.x, self.x], {}, [])
        self.assertTrue(self._taken("v"))


if __name__ == "__main__":
    absltest.main()
