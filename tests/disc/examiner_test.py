"""What is remembered of nodes is what a rule would say of each."""

from __future__ import annotations

from absl.testing import absltest

from tests.passes.harness import const, op
from tf_blade import symbolic
from tf_blade.backends.disc.examiner import Examiner
from tf_blade.backends.disc.lower import examine_node
from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported
from tf_blade.graph.graph import Graph, Tensor

S, T = symbolic.symbol("s"), symbolic.symbol("t")


class ExaminerTest(absltest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.graph = Graph("g")
        self.examiner = Examiner()

    def _input(self, *shape: symbolic.Dim, dtype: DType = DType.FLOAT) -> Tensor:
        return self.graph.add_input(f"x{len(self.graph.inputs)}", dtype, shape)

    def _same(self, *tensors: Tensor) -> None:
        for tensor in [*tensors, *tensors]:
            self.assertEqual(self.examiner(tensor.node), examine_node(tensor.node))

    def test_nodes_that_differ_in_anything(self) -> None:
        first, second = self._input(S, 4), self._input(T, 4)
        nodes = [
            op(self.graph, kind, f"{kind}{i}", x) for kind in ("Relu", "Tanh") for i, x in enumerate((first, second))
        ]
        for i, axis in enumerate((0, 1, -1)):
            place = const(self.graph, f"axis{i}", axis, DType.INT32)
            nodes.append(op(self.graph, "ExpandDims", f"expanded{i}", first, place, Tdim=DType.INT32))
        for i, flag in enumerate((False, True)):
            nodes.append(op(self.graph, "MatMul", f"product{i}", first, first, transpose_a=not flag, transpose_b=flag))
        nodes.append(op(self.graph, "MatMul", "product2", first, second, transpose_a=True, transpose_b=False))
        self._same(*nodes)

    def test_equal_nodes_ask_once(self) -> None:
        x = self._input(S, 4)
        first, second = op(self.graph, "Relu", "a", x), op(self.graph, "Relu", "b", x)
        self.assertIs(self.examiner(first.node), self.examiner(second.node))

    def test_sizes_found_at_run_time_are_a_nodes_own(self) -> None:
        x = self._input(S, dtype=DType.BOOL)
        first, second = (op(self.graph, "Where", name, x, dtype=DType.INT64) for name in ("a", "b"))
        self._same(first, second)
        self.assertNotEqual(self.examiner(first.node).types, self.examiner(second.node).types)

    def test_a_refusal_names_its_node(self) -> None:
        x = self._input(S, 4)
        for name in ("a", "b"):
            with self.assertRaises(Unsupported) as caught:
                self.examiner(op(self.graph, "NoSuchOp", name, x).node)
            self.assertEqual(caught.exception.node, name)


if __name__ == "__main__":
    absltest.main()
