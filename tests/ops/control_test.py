"""Loops, branches and lists against TensorFlow: lowered, interpreted, compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from tests.ops.functions import Lowered
from tests.ops.harness import assert_close
from tf_blade.backends.disc.harness import ExecutionError, GuardRefused
from tf_blade.backends.disc.ir.spec import CallRefusedError
from tf_blade.backends.disc.ops import control, lists
from tf_blade.backends.disc.ops.base import RULES
from tf_blade.errors import Unsupported

Shapes = Sequence[tuple[int, ...]]


def floats(*dims: int | None) -> tf.TensorSpec:
    return tf.TensorSpec(dims, tf.float32)


NUMBER = tf.TensorSpec((), tf.int32)


def counted(x: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
    """Any number of turns, none included; a matrix and a vector are carried, a scale is captured."""
    scale = tf.reduce_mean(x) * 0.1 + 1.0

    def body(i: Any, y: Any, total: Any) -> Any:
        return i + 1, tf.tanh(y * scale + 0.1), total + tf.reduce_sum(y, 1)

    return tf.while_loop(lambda i, y, total: i < n, body, [0, x, tf.zeros_like(x[:, 0])])


def until(x: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
    """How many turns there are depends on the data."""
    limit = tf.cast(n, tf.float32) * 0.1 + 0.01

    def more(y: Any, turns: Any) -> Any:
        return tf.logical_and(tf.reduce_sum(y * y) > limit, turns < 1000)

    return tf.while_loop(more, lambda y, turns: (y * 0.9, turns + 1), [x, 0])


def nested(x: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
    """A loop in a loop, and branches that read what is outside."""

    def outer(i: Any, y: Any) -> Any:
        _, z = tf.while_loop(lambda j, z: j < i, lambda j, z: (j + 1, z + x), [0, y])
        z = tf.cond(i % 2 == 0, lambda: z * 0.5, lambda: z - y)
        z = tf.switch_case(i, [lambda: z + 1.0, lambda: x, lambda: z - x * y])
        return i + 1, z

    return tf.while_loop(lambda i, y: i < n, outer, [0, x])


def branches(x: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
    """If and Case outside of loops; an index out of range takes the last branch."""
    y = tf.cond(n > 1, lambda: tf.linalg.matmul(x, x, transpose_b=True), lambda: tf.zeros([tf.shape(x)[0]] * 2))
    first, second = tf.switch_case(n, [lambda: (x, n), lambda: (x * 2.0, n + 1), lambda: (x - 1.0, n * n)])
    return y, first, second, tf.cond(n > 2, lambda: n, lambda: tf.reduce_sum(tf.cast(x > 0, tf.int32)))


def arrays(x: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
    """TensorArrays: read, written, stacked, gathered, with elements whose shape only the loop tells."""
    rows = tf.TensorArray(tf.float32, size=tf.shape(x)[0]).unstack(x)
    made = tf.TensorArray(tf.float32, size=tf.shape(x)[0] + 2)
    flags = tf.TensorArray(tf.int32, size=tf.shape(x)[0], element_shape=())

    def body(i: Any, made: Any, flags: Any) -> Any:
        row = rows.read(tf.shape(x)[0] - 1 - i)
        return i + 1, made.write(i + 1, row * 2.0), flags.write(i, tf.cast(row[0] > 0, tf.int32))

    _, made, flags = tf.while_loop(lambda i, *_: i < tf.shape(x)[0], body, [0, made, flags])
    return made.stack(), flags.stack(), made.read(n), made.gather([1, 0]), flags.size()


def rewritten(x: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
    """A list that each turn reads and writes at the same place, as beam search keeps its hypotheses."""
    kept = tf.TensorArray(tf.float32, size=4, clear_after_read=False, element_shape=x.shape[1:])
    for place in range(4):
        kept = kept.write(place, x[0] * float(place))

    def body(i: Any, kept: Any) -> Any:
        row = kept.read(i % 4)
        kept = kept.write(i % 4, row + kept.read((i + 1) % 4))
        return i + 1, kept

    return tf.while_loop(lambda i, _: i < n, body, [0, kept])[1].stack()


def beam_search(scores: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
    """Four beams over a vocabulary of eight, until all have ended or n tokens are out."""
    table = tf.constant(np.random.default_rng(5).standard_normal((8, 8)).astype(np.float32))
    width = 4

    def more(step: Any, ids: Any, total: Any, ended: Any) -> Any:
        return tf.logical_and(step < n, tf.logical_not(tf.reduce_all(ended)))

    def body(step: Any, ids: Any, total: Any, ended: Any) -> Any:
        last = tf.gather(ids, step, axis=1)
        logits = tf.gather(table, last) + scores
        chances = tf.where(
            ended[:, None], tf.one_hot(0, 8) * 0.0 - 1e3 * (1 - tf.one_hot(0, 8)), tf.nn.log_softmax(logits)
        )
        best, places = tf.math.top_k(tf.reshape(total[:, None] + chances, [-1]), width)
        beams, tokens = places // 8, places % 8
        ids = tf.gather(ids, beams)
        here = tf.one_hot(step + 1, 33, dtype=tf.int32)
        ids = ids * (1 - here) + here * tokens[:, None]
        return step + 1, ids, best, tf.logical_or(tf.gather(ended, beams), tf.equal(tokens, 0))

    start = tf.concat([tf.ones([width, 1], tf.int32), tf.zeros([width, 32], tf.int32)], 1)
    first = tf.constant([0.0, -1e9, -1e9, -1e9])
    return tf.while_loop(more, body, [0, start, first, tf.zeros([width], tf.bool)])


def stack_of_items(x: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
    """A list that grows and shrinks outside of loops; functions called from a branch and from a function."""
    items = tf.raw_ops.EmptyTensorList(element_shape=tf.constant([-1]), max_num_elements=-1, element_dtype=tf.float32)
    for scale in (1.0, 2.0, 3.0):
        items = tf.raw_ops.TensorListPushBack(input_handle=items, tensor=x * scale)
    items, last = tf.raw_ops.TensorListPopBack(input_handle=items, element_shape=[-1], element_dtype=tf.float32)
    twice = tf.function(lambda y: y + y, autograph=False)
    result = tf.raw_ops.TensorListStack(input_handle=items, element_shape=tf.constant([-1]), element_dtype=tf.float32)
    length = tf.raw_ops.TensorListLength(input_handle=items)
    return result, last, length, tf.cond(n > 1, lambda: twice(twice(x)), lambda: x)


Case = tuple[Callable[..., Any], tf.TensorSpec, Shapes]
CASES: tuple[Case, ...] = (
    (counted, floats(None, None), [(0, 3), (1, 1), (5, 4)]),
    (until, floats(None), [(0,), (1,), (40,)]),
    (nested, floats(None, 3), [(0, 3), (2, 3)]),
    (branches, floats(None, None), [(0, 2), (3, 5)]),
    (arrays, floats(None, 3), [(1, 3), (6, 3)]),
    (rewritten, floats(None, 5), [(2, 5)]),
    (beam_search, floats(8), [(8,)]),
    (stack_of_items, floats(None), [(0,), (3,)]),
)


# The same as the ops without the prefix, for functions that have an effect or read a variable.
STATEFUL = {
    "Case": "StatelessCase",
    "If": "StatelessIf",
    "While": "StatelessWhile",
    "StatefulPartitionedCall": "PartitionedCall",
}


class ControlTest(parameterized.TestCase):
    def test_every_rule_is_in_a_case(self) -> None:
        seen: set[str] = set()
        for fn, spec, _ in CASES:
            graph_def = tf.function(fn, input_signature=[spec, NUMBER]).get_concrete_function().graph.as_graph_def()
            nodes = [*graph_def.node, *(node for function in graph_def.library.function for node in function.node_def)]
            seen.update(node.op for node in nodes)
        rules = [name for name, rule in RULES.items() if rule.lower.__module__ in (control.__name__, lists.__name__)]
        self.assertNotEmpty(rules)
        self.assertContainsSubset(
            {STATEFUL.get(name, name) for name in rules}, seen | {STATEFUL.get(n, n) for n in seen}
        )

    @parameterized.named_parameters((case[0].__name__, *case) for case in CASES)
    def test_like_tensorflow(self, fn: Callable[..., Any], spec: tf.TensorSpec, shapes: Shapes) -> None:
        lowered = Lowered(fn, [spec, NUMBER])
        compiled = lowered.compile()
        for shape in shapes:
            for number in (0, 1, 2, 7, 32):
                x = np.random.default_rng(number).standard_normal(shape).astype(np.float32)
                n = np.array(min(number, shape[0]) if fn is arrays else number, np.int32)
                wanted = lowered.expected(x, n)
                for run in (lowered.interpret, compiled):
                    for got, want in zip(run(x, n), wanted, strict=True):
                        assert_close(got, want, 1e-5, f"{fn.__name__} {shape} {number}")

    def test_errors_are_left_to_tensorflow(self) -> None:
        """An index out of range, and the stack of a list that nobody wrote to: TensorFlow reports both."""

        def fn(x: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
            made = tf.TensorArray(tf.float32, size=3)
            return tf.while_loop(lambda i, _: i < n, lambda i, a: (i + 1, a.write(i, x)), [0, made])[1].stack()

        lowered = Lowered(fn, [floats(None), NUMBER])
        compiled = lowered.compile()
        x = np.arange(3, dtype=np.float32)
        for number, errors in ((0, (CallRefusedError, GuardRefused)), (4, (IndexError, ExecutionError))):
            n = np.array(number, np.int32)
            with self.assertRaises(tf.errors.OpError):
                lowered.expected(x, n)
            for run in (lowered.interpret, compiled):
                with self.assertRaises(errors):
                    run(x, n)
        n = np.array(2, np.int32)
        np.testing.assert_array_equal(compiled(x, n)[0], lowered.expected(x, n)[0])

    def test_branches_whose_sizes_differ_are_refused(self) -> None:
        """What one branch assumes of dimensions does not hold around it: other results' shapes would be wrong."""

        def fixed(x: tf.Tensor, n: tf.Tensor) -> Any:
            return x * 2.0, tf.cond(n > 0, lambda: tf.reduce_sum(tf.reshape(x, [2, 2])), lambda: 0.0)

        def joined(x: tf.Tensor, n: tf.Tensor, y: tf.Tensor) -> Any:
            return y * 2.0, tf.cond(n > 0, lambda: tf.reduce_sum(x + y), lambda: 0.0)

        def either(x: tf.Tensor, n: tf.Tensor, y: tf.Tensor) -> Any:
            return tf.cond(n > 0, lambda: x, lambda: y)

        for fn, specs, reason in (
            (fixed, [], "only one branch"),
            (joined, [floats(None)], "only one branch"),
            (either, [floats(None)], "different shapes"),
            (either, [floats(3)], "different shapes"),
        ):
            with self.subTest(fn.__name__), self.assertRaisesRegex(Unsupported, reason):
                Lowered(fn, [floats(None), NUMBER, *specs])

        def both(x: tf.Tensor, n: tf.Tensor, y: tf.Tensor) -> Any:
            return tf.cond(n > 0, lambda: x + y, lambda: x + y * 2.0)

        lowered = Lowered(both, [floats(None), NUMBER, floats(3)])
        x, n = np.ones(3, np.float32), np.array(1, np.int32)
        np.testing.assert_array_equal(lowered.interpret(x, n, x)[0], lowered.expected(x, n, x)[0])

    def test_refusals(self) -> None:
        """What changes its shape from turn to turn stays TensorFlow, with a reason."""

        def grows(x: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
            shapes = [tf.TensorShape([]), tf.TensorShape([None])]
            return tf.while_loop(
                lambda i, y: i < n, lambda i, y: (i + 1, tf.concat([y, y], 0)), [0, x], shape_invariants=shapes
            )

        def resized(x: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
            made = tf.TensorArray(tf.float32, size=0, dynamic_size=True)
            return tf.while_loop(lambda i, _: i < n, lambda i, a: (i + 1, a.write(i, x)), [0, made])[1].stack()

        def fixed(x: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
            shapes = [tf.TensorShape([]), tf.TensorShape([None])]
            four = tf.ones([4])
            return x * 2.0, tf.while_loop(
                lambda i, y: i < n, lambda i, y: (i + 1, tf.reduce_sum(y) * four), [0, x], shape_invariants=shapes
            )

        for fn, size, reason in ((grows, 5, "never equal|equal"), (resized, 5, "grows"), (fixed, None, "fixes")):
            with self.subTest(fn.__name__), self.assertRaisesRegex(Unsupported, reason):
                Lowered(fn, [floats(size), NUMBER])


if __name__ == "__main__":
    absltest.main()
