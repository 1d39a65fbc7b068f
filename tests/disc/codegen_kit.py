"""Compiles modules and compares what they compute with the interpreter, for both instruction sets."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from tests import isa as host
from tf_blade import symbolic
from tf_blade.backends.disc import toolchain
from tf_blade.backends.disc.compile import generate
from tf_blade.backends.disc.harness import LoadedExecutable
from tf_blade.backends.disc.ir import interpreter, legality
from tf_blade.backends.disc.ir.values import Module, Value
from tf_blade.dtypes import DType

ISAS = ("x86-64-v3", "x86-64-v4")
# Relative to the largest magnitude of a result. Half types round after each op, in an order that fusion may change.
TOLERANCES = {DType.FLOAT: 2e-5, DType.DOUBLE: 1e-11, DType.HALF: 4e-3, DType.BFLOAT16: 3e-2}


@functools.cache
def runnable_levels() -> tuple[int, ...]:
    """The instruction set levels that this machine has."""
    return tuple(int(level[-1]) for level in host.runnable_levels())


def random_array(value: Value, sizes: Mapping[str, int], random: np.random.Generator) -> np.ndarray:
    """Random content for a parameter; integers are small, so that they can be indices."""
    shape = tuple(symbolic.evaluate(dim, sizes) for dim in value.shape)
    if value.sym is not None:
        content = [symbolic.evaluate(dim, sizes) for dim in value.sym.reshape(-1)]
        return np.array(content, value.dtype.numpy).reshape(shape)
    if value.dtype == DType.BOOL:
        return random.integers(0, 2, shape).astype(np.bool_)
    if value.dtype.is_integer:
        return random.integers(0, 3, shape).astype(value.dtype.numpy)
    return random.standard_normal(shape).astype(value.dtype.numpy)


def random_inputs(module: Module, sizes: Mapping[str, int], seed: int = 0) -> list[np.ndarray]:
    """Random inputs; the weights depend on the seed alone."""
    arrays = []
    for number, value in enumerate(module.parameters):
        salt = (seed, number) if value.op.attrs["weight"] else (seed, number, *sizes.values())
        arrays.append(random_array(value, sizes, np.random.default_rng(salt)))
    return arrays


def compare(got: np.ndarray, want: np.ndarray, what: str, scale: float = 1.0, floor: float = 0.0) -> None:
    """AssertionError unless both are the same within the type's tolerance, NaN and infinities included."""
    assert got.shape == want.shape and got.dtype == want.dtype, (
        f"{what}: {got.dtype}{got.shape}, not {want.dtype}{want.shape}"
    )
    if want.dtype.kind not in "fV" and want.dtype.name != "bfloat16":
        np.testing.assert_array_equal(got, want, what)
        return
    from tf_blade.dtypes import from_numpy

    tolerance = TOLERANCES[from_numpy(want.dtype)] * scale
    a, b = got.astype(np.float64), want.astype(np.float64)
    finite = np.isfinite(b)
    # A result that is all rounding error, like x - x computed in two ways, is compared with the inputs' magnitude, 1.
    largest = max(float(np.max(np.abs(b[finite]), initial=0.0)), floor)
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * largest, err_msg=what)


def build(module: Module) -> bytes:
    """The executable of a module, without the passes before code generation."""
    legality.check(module)
    return toolchain.build(generate(module).text, ISAS)


def check(
    module: Module,
    sizes: Sequence[Mapping[str, int]] = ({},),
    *,
    inputs: Sequence[np.ndarray] | None = None,
    seed: int = 0,
    scale: float = 1.0,
    floor: float = 0.0,
) -> bytes:
    """Compiles a module and compares it with the interpreter for each set of sizes, level and number of threads.

    Serial and threaded runs must agree bit for bit.
    """
    image = build(module)
    for isa in runnable_levels():
        runners = [
            LoadedExecutable(image, parameters=module.parameters, results=module.results, isa=isa, threads=threads)
            for threads in (1, 3)
        ]
        for item in sizes:
            arrays = list(inputs) if inputs is not None else random_inputs(module, item, seed)
            want = interpreter.run(module, arrays)
            serial, threaded = (runner.run(arrays) for runner in runners)
            for number, expected in enumerate(want):
                what = f"result {number}, level {isa}, {dict(item)}\n{module.text()}"
                compare(serial[number], expected, what, scale, floor)
                assert serial[number].tobytes() == threaded[number].tobytes(), f"threads change {what}"
    return image
