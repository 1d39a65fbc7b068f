"""Loops and branches of the IR: passes keep what they compute, compiled code computes what the interpreter does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from absl.testing import absltest, parameterized

from tests.disc import codegen_kit
from tf_blade.backends.disc import passes, toolchain
from tf_blade.backends.disc.compile import generate
from tf_blade.backends.disc.harness import Cancelled, LoadedExecutable
from tf_blade.backends.disc.ir import interpreter
from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Module, Value
from tf_blade.dtypes import DType
from tf_blade.symbolic import Dim, symbol

F, INT = DType.FLOAT, DType.INT32
N = symbol("n")
Step = Callable[[Builder, Sequence[Value]], list[Value]]


def loop(b: Builder, limit: Value, carried: Sequence[Value], captured: Sequence[Value], step: Step) -> list[Value]:
    """`carried` after `limit` steps of `step(b, [index, *carried, *captured])`, which gives the carried values."""
    start = [b.scalar(0, INT), *carried]
    operands = [*start, limit, *captured]

    def parameters(region: Builder) -> list[Value]:
        return [
            region.parameter(v.dtype, v.shape, weight=v.kind == "parameter" and v.op.attrs["weight"]) for v in operands
        ]

    test = b.region()
    values = parameters(test)
    cond = b.finish_region(test, "cond", [test.elementwise("less", values[0], values[len(start)])])
    inner = b.region()
    values = parameters(inner)
    rest = step(inner, [*values[: len(start)], *values[len(start) + 1 :]])
    following = inner.elementwise("add", values[0], inner.scalar(1, INT))
    body = b.finish_region(inner, "body", [following, *rest])
    trips = None if limit.sym is None else limit.sym.reshape(-1)[0]
    return list(b.while_loop(cond, body, start, [limit, *captured], trips=trips)[1:])


def limit_of(b: Builder, dim: Dim = N) -> Value:
    return b.dims(np.array(dim, dtype=object), INT)


def rnn() -> Module:
    """h = tanh(x[i] W + h U + b), each written to a list."""
    b = Builder()
    x = b.parameter(F, (N, 2, 8))
    w, u, bias = (b.parameter(F, shape, weight=True) for shape in ((8, 40), (40, 40), (1, 40)))
    zeros = b.full(0, F, (2, 40))

    def step(r: Builder, values: Sequence[Value]) -> list[Value]:
        index, h, items, x, w, u, bias = values
        now = r.dot(r.gather(x, index, 0), w)
        added = r.binary("add", r.elementwise("add", now, r.dot(h, u)), r.reshape(bias, (40,)))
        h = r.elementwise("tanh", added)
        return [h, r.update_row(items, index, h)]

    return b.module("rnn", loop(b, limit_of(b), [zeros, b.full(0, F, (N, 2, 40))], [x, w, u, bias], step))


def swapped() -> Module:
    """Carried values change places; one stays what a captured value is."""
    b = Builder()
    x, y = b.parameter(F, (N, 5)), b.parameter(F, (N, 5))

    def step(r: Builder, values: Sequence[Value]) -> list[Value]:
        _, x, y, _, _, z = values
        return [y, r.elementwise("add", x, z), z, r.constant(np.full((3,), 2, np.float32))]

    third = b.constant(np.zeros((3,), np.float32))
    return b.module("swapped", loop(b, limit_of(b), [x, y, x, third], [y], step))


def read_after_write() -> Module:
    """A list that is read after it was written, and one that is read before: neither may show the other's time."""
    b = Builder()
    x = b.parameter(F, (N, 4))

    def step(r: Builder, values: Sequence[Value]) -> list[Value]:
        index, first, second, total = values
        zero = r.scalar(0, INT)
        before = r.gather(first, zero, 0)
        first = r.update_row(first, zero, r.elementwise("add", before, r.full(1, F, (4,))))
        written = r.update_row(second, index, r.gather(first, index, 0))
        both = r.elementwise("add", r.gather(second, index, 0), r.gather(written, index, 0))
        return [first, written, r.elementwise("add", total, both)]

    return b.module("lists", loop(b, limit_of(b), [x, b.full(3, F, (N, 4)), b.full(0, F, (4,))], [], step))


def nested() -> Module:
    """A loop and a branch inside a loop."""
    b = Builder()
    x = b.parameter(F, (2, N))

    def inner(r: Builder, values: Sequence[Value]) -> list[Value]:
        _, y, scale = values
        return [r.elementwise("mul", r.elementwise("add", y, y), scale)]

    def step(r: Builder, values: Sequence[Value]) -> list[Value]:
        index, y, x = values
        (y,) = loop(r, index, [y], [r.full(0.5, F, (2, N))], inner)
        branches = []
        for number in range(3):
            branch = r.region()
            left, right = (branch.parameter(F, (2, N)) for _ in range(2))
            result = branch.elementwise("sub", left, right) if number else left
            branches.append(r.finish_region(branch, f"b{number}", [result, branch.elementwise("neg", right)]))
        first, second = r.switch(index, branches, [y, x])
        return [r.elementwise("add", first, second)]

    return b.module("nested", loop(b, limit_of(b, 5), [x], [x], step))


class ControlTest(parameterized.TestCase):
    @parameterized.parameters(rnn, swapped, read_after_write, nested)
    def test_passes_and_code(self, make: Callable[[], Module]) -> None:
        module = make()
        optimized = passes.run(module, debug=True)
        sizes = [{"n": n} for n in (0, 1, 2, 7)]
        for item in sizes:
            inputs = codegen_kit.random_inputs(module, item)
            for got, want in zip(interpreter.run(optimized, inputs), interpreter.run(module, inputs), strict=True):
                codegen_kit.compare(got, want, f"{item}")
        codegen_kit.check(optimized, sizes)

    def test_plain_code(self) -> None:
        codegen_kit.check(rnn(), [{"n": 3}])

    def test_weights_are_packed_once(self) -> None:
        """The product with rows is one product before the loop, the other stays; the weights of both are packed."""
        optimized = passes.run(rnn(), debug=True)
        (turns,) = [op for op in optimized.ops() if op.kind == "while"]
        self.assertLen([op for op in optimized.ops() if op.kind == "dot"], 1)
        self.assertLen([op for op in turns.attrs["body"].ops() if op.kind == "dot"], 1)
        text = generate(optimized).text
        self.assertEqual(text.count("pack_b(ral"), 2)
        self.assertNotIn("args.b = ", text)

    def test_what_may_fail_stays_in_the_loop(self) -> None:
        """A loop of no turns reads no row, so a bad index is no error; what cannot fail is computed before."""
        b = Builder()
        x, index, divisor = b.parameter(F, (N, 3)), b.parameter(INT, ()), b.parameter(INT, ())
        limit = limit_of(b)

        def step(r: Builder, values: Sequence[Value]) -> list[Value]:
            _, total, count, x, index, divisor = values
            row = r.elementwise("tanh", r.gather(r.elementwise("exp", x), index, 0))
            count = r.elementwise("add", count, r.elementwise("floor_div", r.scalar(7, INT), divisor))
            return [r.elementwise("add", total, row), count]

        start = [b.full(0, F, (3,)), b.scalar(1, INT)]
        module = b.module("rare", loop(b, limit, start, [x, index, divisor], step))
        optimized = passes.run(module, debug=True)
        (turns,) = [op for op in optimized.ops() if op.kind == "while"]
        inside = [str(op.attrs.get("fn", op.kind)) for op in turns.attrs["body"].ops()]
        self.assertContainsSubset(["gather", "tanh", "floor_div"], inside)
        self.assertNotIn("exp", inside)
        image = toolchain.build(generate(optimized).text, ("x86-64-v3",))
        runner = LoadedExecutable(image, parameters=module.parameters, results=module.results)
        for rows, place, number in ((0, 5, 0), (2, 1, 3)):
            given = (np.full((rows, 3), 0.5, np.float32), np.array(place, np.int32), np.array(number, np.int32))
            for got, want in zip(runner.run(list(given)), interpreter.run(module, list(given)), strict=True):
                codegen_kit.compare(got, want, f"{rows}")

    def test_endless_loop_is_cancelled(self) -> None:
        b = Builder()
        x = b.parameter(F, (3,))
        test = b.region()
        test.parameter(F, (3,))
        cond = b.finish_region(test, "cond", [test.scalar(True, DType.BOOL)])
        inner = b.region()
        body = b.finish_region(inner, "body", [inner.elementwise("neg", inner.parameter(F, (3,)))])
        module = b.module("endless", b.while_loop(cond, body, [x], []))
        image = toolchain.build(generate(module).text, codegen_kit.ISAS)
        runner = LoadedExecutable(image, parameters=module.parameters, results=module.results)
        with self.assertRaises(Cancelled):
            runner.run([np.zeros(3, np.float32)], cancel=True)


if __name__ == "__main__":
    absltest.main()
