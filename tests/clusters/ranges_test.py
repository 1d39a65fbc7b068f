"""Ranges that are given for inputs' sizes: whose they are, and what follows from them inside of clusters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from absl.testing import absltest, parameterized

from tf_blade import symbolic
from tf_blade.clusters.observed import observed
from tf_blade.clusters.ranges import GivenRanges, parse_ranges
from tf_blade.dtypes import DType
from tf_blade.errors import InvalidInputError
from tf_blade.graph.graph import Graph
from tf_blade.inputs import InputSpec
from tf_blade.stages import Cluster, ClusterGraph
from tf_blade.symbolic import Dim

N, L = symbolic.symbol("n"), symbolic.symbol("l")
_NUMPY = {DType.FLOAT: np.dtype(np.float32), DType.INT32: np.dtype(np.int32), DType.STRING: np.dtype(object)}


@dataclasses.dataclass(frozen=True)
class _Argument:
    """Of a function: a vector."""

    name: str
    size: Dim
    dtype: DType = DType.FLOAT


def _body(arguments: Sequence[_Argument], *sizes: Dim, name: str = "serve") -> tuple[Graph, ClusterGraph]:
    """A function, and a cluster of it that reads a vector of each size: s0, s1, … there."""
    graph, inner = Graph(name), Graph("cluster")
    for item in arguments:
        graph.add_input(item.name, item.dtype, (item.size,) if item.dtype != DType.RESOURCE else ())
    read = []
    for index, size in enumerate(sizes):
        made = graph.add_node("Make", f"made_{index}", [], {}, [DType.FLOAT])
        made.outputs[0].shape = (size,)
        read.append(made.outputs[0])
        inner.add_input(f"input_{index}", DType.FLOAT, (symbolic.symbol(f"s{index}"),))
    return graph, ClusterGraph(Cluster("c", "tensorrt", (), tuple(read), (), 0), inner, frozenset())


def _specs(**types: DType) -> list[InputSpec]:
    return [InputSpec(name, _NUMPY[dtype], (None,)) for name, dtype in sorted(types.items())]


class WhoseRangesTest(parameterized.TestCase):
    """Arguments get the ranges of the inputs that they are."""

    @parameterized.named_parameters(
        ("own_names", "x", "n", {}),
        ("others", "args_0", "args_1", {"serve": {"args_0": frozenset({"x"}), "args_1": frozenset({"n"})}}),
        ("each_others", "n", "x", {"serve": {"n": frozenset({"x"}), "x": frozenset({"n"})}}),
        ("one_computed", "a", "n", {"serve": {"a": frozenset({"x"}), "n": frozenset()}}),
        ("its_name_is_taken", "a", "x", {"serve": {"a": frozenset({"x"}), "x": frozenset()}}),
    )
    def test_names(self, first: str, second: str, arguments: Mapping[str, Mapping[str, frozenset[str]]]) -> None:
        given = GivenRanges(parse_ranges(["x[0]=2:4:6"]), {"serve": _specs(n=DType.FLOAT, x=DType.FLOAT)}, arguments)
        graph, piece = _body([_Argument(first, N), _Argument(second, L)], symbolic.add(symbolic.mul(2, N), 1), L)
        self.assertEqual(["x[0]"], given.unused())
        self.assertEqual({"s0": (5, 9, 13)}, given.of(graph, piece))
        self.assertEqual([], given.unused())

    def test_an_argument_that_is_several_inputs(self) -> None:
        """Signatures name it differently: engines are for the sizes of both."""
        names = {"serve": {"a": frozenset({"x", "y"})}}
        signatures = {"one": _specs(x=DType.FLOAT), "two": _specs(y=DType.FLOAT)}
        given = GivenRanges(parse_ranges(["x[0]=2:4:6", "y[0]=5:8:9"]), signatures, names)
        self.assertEqual({"s0": (2, 8, 9)}, given.of(*_body([_Argument("a", N)], N)))
        self.assertEqual([], given.unused())

    def test_arguments_of_one_size(self) -> None:
        given = GivenRanges(parse_ranges(["x[0]=2", "y[0]=3"]), {"serve": _specs(x=DType.FLOAT, y=DType.FLOAT)})
        with self.assertRaisesRegex(InvalidInputError, r"^x\[0\] and y\[0\] are always equal"):
            given.of(*_body([_Argument("x", N), _Argument("y", N)], N))

    def test_arguments_of_one_size_in_calls_of_two_signatures(self) -> None:
        """Only inputs of one call are equal: the other call's may have other ranges, or none."""
        names = {"serve": {"a": frozenset({"ids", "tokens"}), "b": frozenset({"mask", "mask2"})}}
        signatures = {
            "one": _specs(ids=DType.FLOAT, mask=DType.FLOAT),
            "two": _specs(mask2=DType.FLOAT, tokens=DType.FLOAT),
        }
        ranges = parse_ranges(["ids[0]=1:8:64", "mask[0]=1:8:64", "tokens[0]=1:8:128"])
        given = GivenRanges(ranges, signatures, names)
        self.assertEqual({"s0": (1, 8, 128)}, given.of(*_body([_Argument("a", N), _Argument("b", N)], N)))
        self.assertEqual([], given.unused())

    @parameterized.named_parameters(
        ("kinds", {"x": DType.FLOAT, "n": DType.INT32}, ["x[0]=2:4:6", "n[0]=3"], {"s0": (2, 4, 6), "s1": (3, 3, 3)}),
        ("strings", {"x": DType.FLOAT, "n": DType.STRING}, ["x[0]=2"], {"s0": (2, 2, 2)}),
        ("one_kind", {"x": DType.FLOAT, "n": DType.FLOAT}, ["x[0]=2", "n[0]=2"], {"s0": (2, 2, 2), "s1": (2, 2, 2)}),
        ("one_kind_with_several_ranges", {"x": DType.FLOAT, "n": DType.FLOAT}, ["x[0]=2", "n[0]=3"], {}),
        ("one_kind_of_which_one_has_a_range", {"x": DType.FLOAT, "n": DType.FLOAT}, ["x[0]=2"], {}),
        ("other_kinds", {"x": DType.FLOAT, "n": DType.INT32, "m": DType.INT32}, ["x[0]=2"], {}),
    )  # fmt: skip
    def test_a_function_that_no_signature_calls(
        self, inputs: dict[str, DType], ranges: list[str], wanted: dict[str, tuple[int, int, int]]
    ) -> None:
        """Nobody knows the order of its arguments; so that only what holds in any order does."""
        arguments = [
            _Argument("args_0", N, inputs["x"]),
            _Argument("weights", 0, DType.RESOURCE),
            _Argument("args_1", L, inputs["n"]),
        ]
        given = GivenRanges(parse_ranges(ranges), {"serve": _specs(**inputs)})
        self.assertEqual(wanted, given.of(*_body(arguments, N, L)))


class WhatFollowsTest(parameterized.TestCase):
    """Sizes that are computed from those which have ranges."""

    @parameterized.named_parameters(
        ("quotient", symbolic.floordiv(N, 4), (1, 2, 5)),
        ("difference", symbolic.sub(L, N), (1, 2, 27)),
        ("product", symbolic.mul(N, L), (24, 120, 600)),
        ("window", symbolic.sub(N, 5), (1, 5, 15)),
        ("remainder", symbolic.mod(N, 8), None),
        ("padding", symbolic.sub(8, symbolic.mod(N, 8)), None),
        ("quotient_of_what_may_be_nothing", symbolic.floordiv(L, symbolic.sub(N, 3)), None),
        ("of_what_has_no_range", symbolic.add(N, symbolic.symbol("other")), None),
    )
    def test_bounds(self, size: Dim, bounds: tuple[int, int, int] | None) -> None:
        given = GivenRanges(
            parse_ranges(["x[0]=3:10:20", "y[0]=8:12:30"]), {"serve": _specs(x=DType.FLOAT, y=DType.FLOAT)}
        )
        graph, piece = _body([_Argument("x", N), _Argument("y", L)], size)
        self.assertEqual({} if bounds is None else {"s0": bounds}, given.of(graph, piece))
        self.assertEqual(bounds is None, "x[0]" in given.unused())


class ObservedTest(absltest.TestCase):
    """Sizes of samples, through the arguments that inputs are."""

    def sizes(self, inputs: Mapping[str, frozenset[str]], size: Dim, **sample: int) -> tuple[dict[str, int], ...]:
        graph, piece = _body([_Argument("a", N), _Argument("b", L)], size)
        return observed(graph, piece, [{name: np.zeros(count) for name, count in sample.items()}], inputs)

    def test_each_of_several_calls(self) -> None:
        inputs = {"a": frozenset({"x", "y"}), "b": frozenset({"x", "y"})}
        self.assertEqual(({"s0": 4}, {"s0": 100}), self.sizes(inputs, symbolic.add(N, L), x=2, y=50))

    def test_a_computed_argument_with_an_inputs_name(self) -> None:
        inputs = {"a": frozenset({"b"}), "b": frozenset[str]()}
        self.assertEqual(({"s0": 7},), self.sizes(inputs, N, b=7))
        self.assertEqual((), self.sizes(inputs, L, b=7))

    def test_a_quotient_by_nothing(self) -> None:
        size = symbolic.floordiv(N, L)
        self.assertEqual(({"s0": 3},), self.sizes({}, size, a=7, b=2))
        self.assertEqual((), self.sizes({}, size, a=7, b=0))


if __name__ == "__main__":
    absltest.main()
