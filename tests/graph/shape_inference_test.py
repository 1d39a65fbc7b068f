"""Symbolic shapes: those of rules, those of TensorFlow, and symbols that turn out to be equal."""

from __future__ import annotations

import numpy as np
import sympy
import tensorflow as tf
from absl.testing import absltest

from tests.passes.harness import CATALOG, const, op
from tf_blade import symbolic
from tf_blade.backends.disc.lower import examine_node
from tf_blade.dtypes import DType
from tf_blade.graph import legality
from tf_blade.graph.attributes import ShapeAttr
from tf_blade.graph.graph import Graph, Tensor
from tf_blade.graph.shape_inference import infer_shapes, resolve
from tf_blade.graph.tf_shapes import TfShapes

S, T = symbolic.symbol("s"), symbolic.symbol("t")


def _infer(graph: Graph) -> None:
    infer_shapes(graph, examine_node, TfShapes(CATALOG))
    legality.check(graph)


class RulesTest(absltest.TestCase):
    def test_dimensions_that_must_be_equal_share_a_symbol(self) -> None:
        graph = Graph("g")
        x, y = graph.add_input("x", DType.FLOAT, (S, 4)), graph.add_input("y", DType.FLOAT, (T, 4))
        before = op(graph, "Relu", "before", y)
        total = op(graph, "AddV2", "total", x, before)
        _infer(graph)
        self.assertEqual(total.shape, x.shape)
        self.assertEqual(y.shape, x.shape, "the argument has the symbol too")
        self.assertEqual(before.shape, x.shape, "and so has what was inferred before")

    def test_a_symbol_that_must_be_a_number_becomes_it(self) -> None:
        graph = Graph("g")
        x = graph.add_input("x", DType.FLOAT, (S, T))
        w = const(graph, "w", np.ones((8, 2)))
        y = op(graph, "MatMul", "y", x, w, transpose_a=False, transpose_b=False)
        _infer(graph)
        self.assertEqual(x.shape, (S, 8))
        self.assertEqual(y.shape, (S, 2))

    def test_shape_arithmetic_is_followed(self) -> None:
        #  x[s, t, 12] ─► Shape ─► StridedSlice[0] ─► Pack([s, -1…]) ─► Reshape
        graph = Graph("g")
        x = graph.add_input("x", DType.FLOAT, (S, T, 12))
        shape = op(graph, "Shape", "shape", x, dtype=DType.INT32, out_type=DType.INT32)
        first = _slice(graph, "first", shape, 0)
        second = _slice(graph, "second", shape, 1)
        target = op(
            graph,
            "Pack",
            "target",
            first,
            second,
            _int(graph, "heads", 3),
            _int(graph, "size", 4),
            dtype=DType.INT32,
            N=4,
            axis=0,
        )
        y = op(graph, "Reshape", "y", x, target, Tshape=DType.INT32)
        _infer(graph)
        self.assertEqual(y.shape, (S, T, 3, 4))

    def test_unknown_content_of_a_shape_gets_symbols(self) -> None:
        graph = Graph("g")
        x, shape = graph.add_input("x", DType.FLOAT, ()), graph.add_input("shape", DType.INT32, (2,))
        y = op(graph, "Fill", "y", shape, x, index_type=DType.INT32)
        y.node.attrs["T"] = DType.FLOAT
        _infer(graph)
        assert shape.value is not None and y.shape is not None
        self.assertEqual(list(y.shape), list(shape.value))
        self.assertFalse(any(item.is_nonnegative for item in shape.value), "nobody has said that it is a size")

    def test_inferring_again_gives_the_same(self) -> None:
        graph = Graph("g")
        x, y = graph.add_input("x", DType.FLOAT, (S, 4)), graph.add_input("y", DType.FLOAT, (T, 4))
        total = op(graph, "AddV2", "total", x, op(graph, "Betainc", "unruled", x, y, y))
        _infer(graph)
        first = total.shape
        _infer(graph)
        self.assertEqual(total.shape, first)


class TensorFlowTest(absltest.TestCase):
    def test_symbols_pass_through_ops_without_rules(self) -> None:
        graph = Graph("g")
        x = graph.add_input("x", DType.FLOAT, (S, 7, T))
        y = op(graph, "Betainc", "y", x, x, x)
        z = op(graph, "Relu", "z", y)
        _infer(graph)
        self.assertEqual(z.shape, (S, 7, T))

    def test_what_nobody_knows_is_a_symbol_of_its_own(self) -> None:
        graph = Graph("g")
        x = graph.add_input("x", DType.BOOL, (S,))
        where = op(graph, "Where", "where", x, dtype=DType.INT64)
        where.node.attrs["T"] = DType.BOOL
        _infer(graph)
        assert where.shape is not None
        count, rank = where.shape
        self.assertEqual(rank, 1)
        self.assertIsInstance(count, sympy.Symbol)
        self.assertNotEqual(count, S)

    def test_equal_symbols_help_tensorflow(self) -> None:
        # Only after x + y has made s and t one can the sizes of y be tried without breaking the addition.
        graph = Graph("g")
        x, y = graph.add_input("x", DType.FLOAT, (S, 4)), graph.add_input("y", DType.FLOAT, (T, 4))
        total = op(graph, "AddV2", "total", x, y)
        z = op(graph, "Betainc", "z", total, total, total)
        _infer(graph)
        self.assertEqual(z.shape, total.shape)

    def test_a_lookup_has_its_keys_shape(self) -> None:
        graph = Graph("g")
        table, keys = graph.add_input("table", DType.RESOURCE, ()), graph.add_input("keys", DType.STRING, (S, 3))
        default = const(graph, "default", -1, DType.INT64)
        found = graph.add_node(
            "LookupTableFindV2",
            "find",
            [table, keys, default],
            {"Tin": DType.STRING, "Tout": DType.INT64},
            [DType.INT64],
        )
        _infer(graph)
        self.assertEqual(found.outputs[0].shape, (S, 3))

    def test_loops_state_their_shapes(self) -> None:
        graph = Graph("g")
        x = graph.add_input("x", DType.FLOAT, (S, 3))
        from tf_blade.graph.attributes import FunctionAttr

        attrs = {
            "T": [DType.FLOAT],
            "cond": FunctionAttr("c"),
            "body": FunctionAttr("b"),
            "output_shapes": [ShapeAttr((-1, 3))],
        }
        loop = graph.add_node("While", "loop", [x], attrs, [DType.FLOAT])  # type: ignore[arg-type]
        _infer(graph)
        assert loop.outputs[0].shape is not None
        self.assertEqual(loop.outputs[0].shape[1], 3)

    def test_references_have_their_variables_shape(self) -> None:
        graph = Graph("g")
        attrs = {"dtype": DType.FLOAT, "shape": ShapeAttr((3, 5)), "container": b"", "shared_name": b""}
        variable = graph.add_node("VariableV2", "v", (), attrs, [DType.FLOAT_REF])  # type: ignore[arg-type]
        read = graph.add_node("Identity", "read", variable.outputs, {"T": DType.FLOAT}, [DType.FLOAT])
        read.outputs[0].handle = None
        y = op(graph, "Erfinv", "y", read.outputs[0])
        _infer(graph)
        self.assertEqual(y.shape, (3, 5))

    def test_rules_agree_with_tensorflow(self) -> None:
        """Sizes put into the inferred expressions give the shapes that TensorFlow computes."""
        graph = Graph("g")
        x = graph.add_input("x", DType.FLOAT, (S, T, 6))
        y = op(graph, "Reshape", "y", x, const(graph, "to", [-1, 3], DType.INT32), Tshape=DType.INT32)
        z = op(graph, "Transpose", "z", y, const(graph, "perm", [1, 0], DType.INT32), Tperm=DType.INT32)
        _infer(graph)
        data = tf.transpose(tf.reshape(tf.zeros((5, 7, 6)), [-1, 3]))
        assert z.shape is not None
        sizes = [symbolic.evaluate(dim, {"s": 5, "t": 7}) for dim in z.shape]
        self.assertEqual(sizes, list(data.shape))


class ResolveTest(absltest.TestCase):
    def test_substitutions(self) -> None:
        a, b, c = (symbolic.symbol(name) for name in "abc")
        self.assertEqual(resolve([(a, b), (b, c)]), {a: c, b: c})
        self.assertEqual(resolve([(a, b), (b, 4)]), {a: 4, b: 4})
        self.assertEqual(resolve([(a, 2 * a)]), {}, "no symbol can stand for what holds it")
        self.assertEqual(resolve([(a, 4), (a, 5)]), {a: 4}, "the second cannot hold; the guard will say so")
        self.assertEqual(resolve([(a, b + 1), (b, a - 1)]), {a: b + 1})


def _int(graph: Graph, name: str, value: object) -> Tensor:
    return const(graph, name, value, DType.INT32)


def _slice(graph: Graph, name: str, x: Tensor, index: int) -> Tensor:
    """x[index]"""
    bounds = [_int(graph, f"{name}_{k}", [v]) for k, v in (("begin", index), ("end", index + 1), ("strides", 1))]
    masks = {"begin_mask": 0, "end_mask": 0, "ellipsis_mask": 0, "new_axis_mask": 0, "shrink_axis_mask": 1}
    return op(graph, "StridedSlice", name, x, *bounds, dtype=DType.INT32, Index=DType.INT32, **masks)


if __name__ == "__main__":
    absltest.main()
