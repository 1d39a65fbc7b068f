"""Runs rows of the op tables on TensorRT: networks are built from them, evaluated in NumPy, and made plans of."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest
from tensorflow.python.framework import func_graph

from tests.ops import harness
from tests.ops.harness import OpCase
from tests.ops.importer import graph_of
from tests.tensorrt import evaluator, evaluator_images, evaluator_layers
from tf_blade import symbolic
from tf_blade.backends.tensorrt import library
from tf_blade.backends.tensorrt.builder import PlanOptions, make_plan
from tf_blade.backends.tensorrt.convert import Converted, Converter, PlanInput
from tf_blade.backends.tensorrt.profiles import Range
from tf_blade.backends.tensorrt.weights import WeightStore
from tf_blade.errors import Unsupported
from tf_blade.graph.graph import Graph

del evaluator_images, evaluator_layers  # imported for their layers

# Types that TensorRT does not compute with; and what it says nothing of, NaNs and infinities in the middle of a layer.
_NOT_HERE = frozenset({"float64", "int8", "int16", "uint8", "uint16", "uint32", "uint64", "bfloat16"})
_NO_LAYERS = ("_special", "_nan", "_inf")


@functools.cache
def converter() -> Converter:
    """The converter of all tests."""
    return Converter(library.load())


def suits(case: OpCase) -> bool:
    """Whether a row can concern TensorRT at all."""
    plain = all(arg.dtype.name not in _NOT_HERE for arg in case.inputs)
    return plain and not case.refusal and not any(part in case.name for part in _NO_LAYERS)


def weights_of(graph: Graph, case: OpCase) -> frozenset[str]:
    """The inputs that a row declares to be weights."""
    return frozenset(node.name for node, arg in zip(graph.inputs, case.inputs, strict=False) if arg.weight)


def feeds_of(converted: Converted, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """What the network's inputs are bound to."""
    return {item.name: arrays[item.index] for item in converted.inputs}


class Run:
    """A network that is called by position."""

    def __init__(self, converted: Converted) -> None:
        self._converted = converted
        self._walk = evaluator.Walk(converter().library.trt, converted.definition)

    def __call__(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The network's outputs in order.

        Raises:
            EvaluationError: the network does not take these sizes.
        """
        results = self._walk(feeds_of(self._converted, arrays))
        return [results[name] for name, _ in self._converted.outputs]


@dataclasses.dataclass(frozen=True)
class _Body:
    """What a graph is read from."""

    graph: Any
    inputs: list[Any]
    outputs: list[Any]
    captured_inputs: tuple[Any, ...]


def trace(case: OpCase) -> tuple[Any, Graph]:
    """What the row's graph is read from, and the graph, with shapes as far as DISC's rules know them."""
    traced, graph = _read(case)
    with contextlib.suppress(Unsupported):
        harness.infer(graph)
    return traced, graph


def _read(case: OpCase) -> tuple[Any, Graph]:
    """A graph by itself takes a third of the time of a function."""
    if case.traced:
        return harness.read(case)
    with func_graph.FuncGraph(case.name).as_default() as body:
        shapes = [[dim if isinstance(dim, int) else None for dim in arg.shape] for arg in case.inputs]
        inputs = [tf.compat.v1.placeholder(arg.dtype, shape) for arg, shape in zip(case.inputs, shapes, strict=True)]
        outputs = [tf.convert_to_tensor(item) for item in tf.nest.flatten(case.fn(*inputs))]
    read = _Body(body, [*inputs, *body.internal_captures], outputs, tuple(body.external_captures))
    return read, harness.with_arguments(graph_of(read, case.name), case)


@dataclasses.dataclass(frozen=True)
class Checked:
    """A row whose network computes what TensorFlow does.

    Attributes:
        graph: the row's graph.
        sizes: the symbols' values in each call that was computed.
    """

    case: OpCase
    graph: Graph
    sizes: tuple[dict[str, int], ...]


def check(case: OpCase) -> Checked | None:
    """The row at all sizes, against TensorFlow. None where a rule refuses it, or TensorFlow computes none of them."""
    traced, graph = trace(case)
    try:
        converted = converter().convert(graph, weights_of(graph, case))
    except Unsupported:
        return None
    lowered: Any = harness.Lowered(case, traced, graph, None)  # type: ignore[arg-type]
    run = Run(converted)
    computed = []
    for sizes in _sizes(case):
        rng = np.random.default_rng(len(case.name) + sum(sizes.values()))
        arrays = [arg.fill(rng, sizes) for arg in case.inputs]
        wanted = _wanted(lowered, arrays)
        if isinstance(wanted, Exception):
            continue
        try:
            results = run(harness.module_inputs(lowered, arrays))
        except evaluator.EvaluationError as error:
            if case.may_guard is not None and case.may_guard(sizes):
                continue
            raise AssertionError(f"{case.name} {sizes}: {error}") from error
        for index, (result, array) in enumerate(zip(results, wanted, strict=True)):
            harness.assert_close(result, array, max(case.tolerance, 1e-6), f"{case.name} {sizes} result {index}")
        computed.append({**sizes, **_contents(case, arrays)})
    return Checked(case, graph, tuple(computed)) if computed else None


def _wanted(lowered: harness.Lowered, arrays: Sequence[np.ndarray]) -> list[np.ndarray] | tf.errors.OpError:
    """TensorFlow's results or its error; where the row asks for it, the shapes of empty ones as they are inferred."""
    case = lowered.case
    plain = dataclasses.replace(lowered, case=dataclasses.replace(case, declared_empty=False))
    wanted = harness.expected(plain, arrays)
    is_full = not isinstance(wanted, Exception) and any(item.size for item in wanted)
    return wanted if is_full or not case.declared_empty else harness.expected(lowered, arrays)


def _contents(case: OpCase, arrays: Sequence[np.ndarray]) -> dict[str, int]:
    """The values of the symbols that stand for elements of inputs."""
    return {
        f"v{position}_{flat}": int(item)
        for position, (arg, array) in enumerate(zip(case.inputs, arrays, strict=True))
        if arg.known
        for flat, item in enumerate(array.reshape(-1))
    }


def _sizes(case: OpCase) -> list[dict[str, int]]:
    """Sizes to call with: all the same, and each name with another one than the rest."""
    tried = sorted({size for size in (*case.sizes[-2:], 1) if size})
    same = [dict.fromkeys(case.names, size) for size in tried]
    if len(case.names) < 2:
        return same if case.names else [{}]
    return same + [{**dict.fromkeys(case.names, tried[-1]), name: size} for name in case.names for size in tried[:-1]]


def check_plan(test: absltest.TestCase, rows: Sequence[Checked]) -> None:
    """The builder makes one plan of all the rows' networks. Where it does not, the row that it refuses is named."""
    try:
        plan(rows)
    except Unsupported as error:
        for row in rows:
            try:
                plan([row])
            except Unsupported as alone:
                test.fail(f"{row.case.name}: {alone.reason}")
        test.fail(f"each row by itself has a plan, all together have none: {error.reason}")


def plan(rows: Sequence[Checked]) -> bytes:
    """A plan of the rows' networks side by side."""
    made = converter()
    network = made.network(WeightStore())
    inputs: list[PlanInput] = []
    profile: dict[str, Range] = {}
    for number, row in enumerate(rows):
        network.part(f"r{number}.")
        converted = made.convert_into(network, row.graph, weights_of(row.graph, row.case))
        names = {str(item.name): symbolic.symbol(f"r{number}.{item.name}") for item in _symbols(converted)}
        profile.update({str(names[name].name): size for name, size in _ranges(row).items() if name in names})
        inputs += [_renamed(item, names) for item in converted.inputs]
    whole = Converted(network.definition, tuple(inputs), (), (), (), network)
    return make_plan(made, whole, [profile], PlanOptions(compute_capabilities=(89,)))


def _symbols(converted: Converted) -> list[Any]:
    dims = [dim for item in converted.inputs for dim in item.shape]
    dims += [dim for item in converted.inputs if item.content is not None for dim in item.content.reshape(-1)]
    return list(symbolic.free_symbols(dims))


def _renamed(item: PlanInput, names: dict[str, Any]) -> PlanInput:
    """The input with symbols of its row's own."""

    def renamed(dim: Any) -> Any:
        return symbolic.substitute(dim, {symbol: names[str(symbol.name)] for symbol in symbolic.free_symbols([dim])})

    content = item.content
    if content is not None:
        fresh = np.empty(content.shape, dtype=object)
        for index in np.ndindex(*content.shape):
            fresh[index] = renamed(content[index])
        content = fresh
    return dataclasses.replace(item, shape=tuple(renamed(dim) for dim in item.shape), content=content)


def _ranges(row: Checked) -> dict[str, Range]:
    """From the first call that was computed to the last where all dimensions grow between them; else the last."""
    first, last = row.sizes[0], row.sizes[-1]
    if any(name.startswith("v") for name in last) or any(first[name] > last[name] for name in last):
        first = last
    return {name: Range(first[name], last[name], last[name]) for name in last}
