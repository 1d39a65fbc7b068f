"""Runs rows of the op tables: TensorFlow eagerly on one side, lowering and the IR's NumPy interpreter on the other.

A row (`OpCase`) is a function of tensors and what to feed it. Unknown dimensions are named ("n"); the same name is the
same size. Each row is run for several sizes of every name, 0 and 1 included. Where TensorFlow reports an error, the
module must refuse the call (a guard or an index error), so that the fallback reports TensorFlow's; where it does not,
the module may refuse only what the row's `may_guard` allows.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest

from tests.ops.importer import graph_of, variable_type
from tf_blade import symbolic
from tf_blade.backends.disc import lower
from tf_blade.backends.disc.ir import interpreter, legality
from tf_blade.backends.disc.ir.values import Module
from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported
from tf_blade.graph.graph import ARG_OP, Graph

Make = Callable[[np.random.Generator, "tuple[int, ...]", np.dtype], np.ndarray]
Sizes = Mapping[str, int]
DEFAULT_SIZES = (0, 1, 3, 6)
# What an executable answers a call with that it does not take.
REFUSALS = (interpreter.GuardError, IndexError, ZeroDivisionError)


def numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Normally distributed floats, integers in [-10, 10] ([0, 20] where unsigned), random bools."""
    if dtype == np.bool_:
        return np.asarray(rng.integers(0, 2, shape)).astype(dtype)
    if dtype.kind in "iu":
        return np.asarray(rng.integers(0 if dtype.kind == "u" else -10, 21 if dtype.kind == "u" else 11, shape)).astype(
            dtype
        )
    return np.asarray(rng.normal(size=shape)).astype(dtype)


def positive(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Floats in [0.1, 3), integers in [1, 8]."""
    if dtype.kind in "iu":
        return np.asarray(rng.integers(1, 9, shape)).astype(dtype)
    return np.asarray(rng.uniform(0.1, 3, shape)).astype(dtype)


def integers(low: int, high: int) -> Make:
    """Integers in [low, high)."""
    return lambda rng, shape, dtype: np.asarray(rng.integers(low, high, shape)).astype(dtype)


def uniform(low: float, high: float) -> Make:
    """Floats in [low, high)."""
    return lambda rng, shape, dtype: np.asarray(rng.uniform(low, high, shape)).astype(dtype)


def cycle(*values: float) -> Make:
    """The values, over and over: for special values in every position of a vector register."""

    def make(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        del rng
        count = int(np.prod(shape))
        return np.resize(np.array(values).astype(dtype), count).reshape(shape)

    return make


# NaN, infinities, zeros of both signs, tiny, huge and ordinary numbers.
special = cycle(float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3e-39, 1e30, -1e30, 88.0)


@dataclasses.dataclass(frozen=True)
class Arg:
    """An input of a row.

    Attributes:
        dtype: element type.
        shape: ints, and names of unknown dimensions.
        make: what to fill it with.
        known: its content is tracked symbolically, as that of a small integer input of a cluster is.
        weight: it enters as a weight.
    """

    dtype: tf.DType
    shape: tuple[int | str, ...]
    make: Make = numbers
    known: bool = False
    weight: bool = False

    def fill(self, rng: np.random.Generator, sizes: Sizes) -> np.ndarray:
        shape = tuple(sizes[dim] if isinstance(dim, str) else dim for dim in self.shape)
        return self.make(rng, shape, np.dtype(self.dtype.as_numpy_dtype))


def f32(*shape: int | str, make: Make = numbers, weight: bool = False) -> Arg:
    """A float32 input."""
    return Arg(tf.float32, shape, make, weight=weight)


def i32(*shape: int | str, make: Make = numbers, known: bool = False) -> Arg:
    """An int32 input."""
    return Arg(tf.int32, shape, make, known)


def i64(*shape: int | str, make: Make = numbers, known: bool = False) -> Arg:
    """An int64 input."""
    return Arg(tf.int64, shape, make, known)


@dataclasses.dataclass(frozen=True)
class OpCase:
    """A row of an op table.

    Attributes:
        name: unique in its table; starts with the op's name.
        fn: of tensors, gives a tensor or several; works eagerly and traced.
        inputs: what it takes.
        tolerance: largest error relative to the largest magnitude of the result (integers and bools are exact).
        refusal: a part of the reason when the row is to be refused while compiling.
        may_guard: sizes at which the executable may leave a call to TensorFlow although TensorFlow computes it.
        sizes: the sizes of the unknown dimensions to try; those of `DEFAULT_SIZES` when not given.
        traced: TensorFlow's side runs as a graph: for ops that cannot run eagerly.
        declared_empty: where the result is empty, its shape is the one TensorFlow's shape function gives: oneDNN's
            convolutions answer empty images with a tensor of the input's shape.
    """

    name: str
    fn: Callable[..., Any]
    inputs: tuple[Arg, ...]
    tolerance: float = 1e-5
    refusal: str = ""
    may_guard: Callable[[Sizes], bool] | None = None
    sizes: tuple[int, ...] = DEFAULT_SIZES
    traced: bool = False
    declared_empty: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The unknown dimensions."""
        return tuple(dict.fromkeys(dim for arg in self.inputs for dim in arg.shape if isinstance(dim, str)))

    def all_sizes(self) -> Iterator[dict[str, int]]:
        """Every combination for up to two names; for more, each name by itself, and all together."""
        names = self.names
        if len(names) <= 2:
            for values in itertools.product(self.sizes, repeat=len(names)):
                yield dict(zip(names, values, strict=True))
            return
        for size in self.sizes:
            yield dict.fromkeys(names, size)
            for name in names:
                yield {**dict.fromkeys(names, self.sizes[-1]), name: size}


@dataclasses.dataclass(frozen=True)
class Lowered:
    """A row, traced, imported and lowered."""

    case: OpCase
    traced: Any
    graph: Graph
    module: Module


def trace(case: OpCase) -> tuple[Callable[..., Any], Graph]:
    """The row as a concrete function, and its graph with symbolic shapes on every tensor.

    Raises:
        Unsupported: a node is refused.
    """
    concrete, graph = read(case)
    infer(graph)
    return concrete, graph


def read(case: OpCase) -> tuple[Callable[..., Any], Graph]:
    """The same with shapes on the arguments alone."""
    specs = [tf.TensorSpec([d if isinstance(d, int) else None for d in arg.shape], arg.dtype) for arg in case.inputs]
    concrete = tf.function(case.fn, autograph=False).get_concrete_function(*specs)
    return concrete, with_arguments(graph_of(concrete, case.name), case)


def with_arguments(graph: Graph, case: OpCase) -> Graph:
    """The row's graph with its arguments' shapes and known contents."""
    for position, (node, arg) in enumerate(zip(graph.inputs, case.inputs, strict=False)):
        tensor = node.outputs[0]
        tensor.shape = tuple(d if isinstance(d, int) else symbolic.symbol(d) for d in arg.shape)
        if arg.known:
            content = np.empty(tuple(int(d) for d in arg.shape), dtype=object)
            for flat, index in enumerate(np.ndindex(*content.shape)):
                content[index] = symbolic.value_symbol(f"v{position}_{flat}")
            tensor.value = content
    return graph


def infer(graph: Graph) -> None:
    """Shapes and symbolic contents of all tensors, node by node."""
    for node in graph.topological_order():
        if node.op == ARG_OP:
            continue
        facts = lower.examine_node(node)
        for tensor, type_, value in zip(node.outputs, facts.types, facts.values, strict=True):
            tensor.shape, tensor.value = type_.shape, value


def lower_case(case: OpCase) -> Lowered:
    """The row's module, checked for legality.

    Raises:
        Unsupported: it is refused.
    """
    traced, graph = trace(case)
    weights = frozenset(node.name for node, arg in zip(graph.inputs, case.inputs, strict=False) if arg.weight)
    module = lower.lower_graph(graph, name="case", weights=weights)
    legality.check(module)
    for output, value in zip(graph.outputs, module.results, strict=True):
        if output.tensor.dtype != value.dtype:
            raise AssertionError(f"{case.name}: {output.name} is {value.dtype}, TensorFlow says {output.tensor.dtype}")
    return Lowered(case, traced, graph, module)


def module_inputs(lowered: Lowered, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The arrays, followed by the variables' values that the row reads."""
    return [*arrays, *(_content(item) for item in lowered.traced.captured_inputs)]


def _content(captured: Any) -> np.ndarray:
    """A captured tensor, or the value of the variable that it is the handle of."""
    if captured.dtype != tf.resource:
        return np.asarray(captured)
    dtype, _ = variable_type(captured)
    return np.asarray(tf.raw_ops.ReadVariableOp(resource=captured, dtype=dtype))


def flatten(results: Any) -> list[np.ndarray]:
    """A row's results as arrays."""
    # numpy() first: a bfloat16 scalar does not convert by itself.
    return [np.asarray(item.numpy() if hasattr(item, "numpy") else item) for item in tf.nest.flatten(results)]


def expected(lowered: Lowered, arrays: Sequence[np.ndarray]) -> list[np.ndarray] | tf.errors.OpError:
    """TensorFlow's results, or its error."""
    case = lowered.case
    fn = lowered.traced if case.traced else case.fn
    if case.declared_empty:
        declared = _declared(case, arrays)
        if not any(item.size for item in declared):
            return declared
    try:
        return flatten(
            fn(*(tf.constant(array, dtype=arg.dtype) for array, arg in zip(arrays, case.inputs, strict=True)))
        )
    except (tf.errors.OpError, ValueError) as error:
        return error


def _declared(case: OpCase, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Zeros of the types and shapes that TensorFlow infers for the row's results; one element where it refuses."""
    specs = [tf.TensorSpec(array.shape, arg.dtype) for array, arg in zip(arrays, case.inputs, strict=True)]
    try:
        concrete = tf.function(case.fn, autograph=False).get_concrete_function(*specs)
    except ValueError:
        return [np.zeros(1)]
    return [np.zeros(item.shape, item.dtype.as_numpy_dtype) for item in concrete.outputs]


Run = Callable[[Lowered, "Sequence[np.ndarray]"], "list[np.ndarray]"]


def interpret(lowered: Lowered, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The row by the IR's reference."""
    return interpreter.run(lowered.module, module_inputs(lowered, arrays))


def check(test: absltest.TestCase, case: OpCase, run: Run = interpret) -> None:
    """The whole row: refusal, or equal results at all sizes."""
    if case.refusal:
        with test.assertRaisesRegex(Unsupported, case.refusal):
            lower_case(case)
        return
    lowered = lower_case(case)
    computed = 0
    for sizes in case.all_sizes():
        rng = np.random.default_rng(len(case.name) + sum(sizes.values()))
        arrays = [arg.fill(rng, sizes) for arg in case.inputs]
        with test.subTest(**sizes):
            computed += check_call(test, lowered, arrays, sizes, run)
    test.assertGreater(computed, 0, f"{case.name}: no call was computed")


def check_call(test: absltest.TestCase, lowered: Lowered, arrays: Sequence[np.ndarray], sizes: Sizes, run: Run) -> bool:
    """One call. Whether it was computed (and not refused by both sides)."""
    case = lowered.case
    wanted = expected(lowered, arrays)
    if isinstance(wanted, Exception):
        with test.assertRaises(REFUSALS, msg=f"{case.name} {sizes}: TensorFlow says {wanted}"):
            run(lowered, arrays)
        return False
    try:
        results = run(lowered, arrays)
    except REFUSALS as error:
        if case.may_guard is None or not case.may_guard(sizes):
            raise AssertionError(f"{case.name} {sizes}: refused a call that TensorFlow computes: {error}") from error
        return False
    test.assertLen(results, len(wanted))
    for index, (result, array) in enumerate(zip(results, wanted, strict=True)):
        assert_close(result, array, case.tolerance, f"{case.name} {sizes} result {index}")
    return True


def assert_close(result: np.ndarray, wanted: np.ndarray, tolerance: float, what: str) -> None:
    """Equal dtype, shape, NaNs and infinities, and everything else within tolerance of the largest magnitude."""
    if result.dtype != wanted.dtype or result.shape != wanted.shape:
        raise AssertionError(
            f"{what}: {result.dtype}{list(result.shape)}, TensorFlow gives {wanted.dtype}{list(wanted.shape)}"
        )
    if wanted.dtype.kind in "iub":
        np.testing.assert_array_equal(result, wanted, err_msg=what)
        return
    a, b = result.astype(np.float64), wanted.astype(np.float64)
    np.testing.assert_array_equal(np.isnan(a), np.isnan(b), err_msg=f"{what}: NaN")
    finite = np.isfinite(b)
    np.testing.assert_array_equal(a[~finite & ~np.isnan(b)], b[~finite & ~np.isnan(b)], err_msg=f"{what}: infinity")
    if finite.any():
        scale = max(float(np.abs(b[finite]).max()), 1e-30)
        error = np.abs(a[finite] - b[finite]).max() / scale
        if not error <= tolerance:
            raise AssertionError(f"{what}: relative error {error:.3g}\n{result}\nTensorFlow:\n{wanted}")


def constant(value: Any, dtype: tf.DType = tf.int32) -> tf.Tensor:
    """A constant for use inside a row's function."""
    return tf.constant(value, dtype)


def dtype_of(dtype: tf.DType) -> DType:
    """The DType of TensorFlow's."""
    return DType(dtype.as_datatype_enum)
