"""Runs rows as compiled code: a host of executables in ctypes, and rows joined into batches for speed."""

from __future__ import annotations

import ctypes
import dataclasses
import itertools
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl.testing import absltest

from tests.ops import harness
from tests.ops.harness import OpCase, Sizes
from tf_blade import dtypes
from tf_blade.backends.disc import compile as disc_compile
from tf_blade.backends.disc import toolchain
from tf_blade.backends.disc.ir import interpreter
from tf_blade.backends.disc.ir.values import Module
from tf_blade.engines.format import RAL_VERSION

_OK, _GUARD, _ERROR = 0, 1, 2
_VOID = ctypes.c_void_p
_LOOP = ctypes.CFUNCTYPE(None, _VOID, ctypes.c_int64, ctypes.c_int64)
_ALLOC = ctypes.CFUNCTYPE(_VOID, _VOID, ctypes.c_size_t)
_ALLOC_OUTPUT = ctypes.CFUNCTYPE(_VOID, _VOID, ctypes.c_int32, ctypes.c_int32, ctypes.POINTER(ctypes.c_int64))
_PARALLEL_FOR = ctypes.CFUNCTYPE(None, _VOID, ctypes.c_int64, ctypes.c_int64, _LOOP, _VOID)
_CANCELLED = ctypes.CFUNCTYPE(ctypes.c_int, _VOID)
_SET_ERROR = ctypes.CFUNCTYPE(None, _VOID, ctypes.c_char_p)
_RELEASE = ctypes.CFUNCTYPE(None, _VOID, _VOID)


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", _VOID),
        ("dims", ctypes.POINTER(ctypes.c_int64)),
        ("rank", ctypes.c_int32),
        ("dtype", ctypes.c_int32),
    )


class _Ral(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_uint32),
        ("num_threads", ctypes.c_int32),
        ("context", _VOID),
        ("alloc", _ALLOC),
        ("alloc_persistent", _ALLOC),
        ("alloc_output", _ALLOC_OUTPUT),
        ("parallel_for", _PARALLEL_FOR),
        ("cancelled", _CANCELLED),
        ("set_error", _SET_ERROR),
        ("release", _RELEASE),
    )


_INIT = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.POINTER(_Ral), ctypes.POINTER(_Tensor), ctypes.POINTER(_VOID))
_RUN = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.POINTER(_Ral), _VOID, ctypes.POINTER(_Tensor))


class _Variant(ctypes.Structure):
    _fields_ = (("isa", ctypes.c_int32), ("init", _INIT), ("run", _RUN))


class _Executable(ctypes.Structure):
    _fields_ = (
        ("ral_version", ctypes.c_uint32),
        ("num_inputs", ctypes.c_int32),
        ("num_outputs", ctypes.c_int32),
        ("num_variants", ctypes.c_int32),
        ("variants", ctypes.POINTER(_Variant)),
    )


class _Call:
    """What one call of an executable allocates, and says."""

    def __init__(self) -> None:
        self.buffers: list[np.ndarray] = []
        self.outputs: dict[int, tuple[int, tuple[int, ...]]] = {}
        self.message = ""
        self.ral = _Ral(
            RAL_VERSION,
            3,
            None,
            _ALLOC(self._alloc),
            _ALLOC(self._alloc),
            _ALLOC_OUTPUT(self._alloc_output),
            _PARALLEL_FOR(self._parallel_for),
            _CANCELLED(lambda context: 0),
            _SET_ERROR(self._set_error),
            _RELEASE(self._release),
        )

    def _alloc(self, context: Any, count: int) -> int:
        """Aligned memory full of bytes that no result should hold, with a margin that is checked after the call."""
        del context
        buffer = np.full(count + 192, 0xAB, np.uint8)
        self.buffers.append(buffer)
        return int((buffer.ctypes.data + 64 + 63) // 64 * 64)

    def _release(self, context: Any, memory: int) -> None:
        """Scratch memory comes from `_alloc` alone, outputs before it: all since is overwritten, to show its use."""
        del context
        inside = [i for i, item in enumerate(self.buffers) if 0 <= memory - item.ctypes.data < 128]
        for item in self.buffers[inside[-1] :]:
            if not any(0 <= address - item.ctypes.data < 128 for address, _ in self.outputs.values()):
                item[64:-64] = 0xAB

    def _alloc_output(self, context: Any, index: int, rank: int, dims: Any) -> int:
        shape = tuple(dims[i] for i in range(rank))
        address = self._alloc(context, int(np.prod(shape, dtype=np.int64)) * 8)
        self.outputs[index] = (address, shape)
        return address

    def _parallel_for(self, context: Any, total: int, cost: int, fn: Any, argument: Any) -> None:
        """Three ranges, the last first."""
        del context, cost
        bounds = [total * i // 3 for i in range(4)]
        for begin, end in reversed(list(itertools.pairwise(bounds))):
            if begin < end:
                fn(argument, begin, end)

    def _set_error(self, context: Any, message: bytes) -> None:
        del context
        self.message = message.decode()


class Host:
    """A compiled module.

    Args:
        module: what to compile.
        isa: the instruction set level to compile for, e.g. "x86-64-v3".
    """

    def __init__(self, module: Module, isa: str = "x86-64-v3") -> None:
        self.module = module
        image = toolchain.build(disc_compile.generate(module).text, [isa])
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "cluster.so")
            with open(path, "wb") as file:
                file.write(image)
            self._library = ctypes.CDLL(path)
        entry = self._library.tf_blade_executable
        entry.restype = ctypes.POINTER(_Executable)
        self._variant: _Variant = entry().contents.variants[0]

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The results for one array a parameter.

        Raises:
            GuardError: the executable, or the check of its signature before the call, refuses the inputs.
            IndexError: the executable reports an error.
        """
        env = interpreter.bind(self.module, arrays)
        interpreter.check_known(self.module.constraints, env)
        arrays = [np.ascontiguousarray(item).reshape(item.shape) for item in arrays]
        dims = [(ctypes.c_int64 * max(item.ndim, 1))(*item.shape) for item in arrays]
        tensors = (_Tensor * max(len(arrays), 1))(
            *(_Tensor(a.ctypes.data, d, a.ndim, dtypes.from_numpy(a.dtype)) for a, d in zip(arrays, dims, strict=True))
        )
        first, call = _Call(), _Call()
        state = _VOID()
        _raise(self._variant.init(ctypes.byref(first.ral), tensors, ctypes.byref(state)), first)
        _raise(self._variant.run(ctypes.byref(call.ral), state, tensors), call)
        return [self._output(call, index) for index in range(len(self.module.results))]

    def _output(self, call: _Call, index: int) -> np.ndarray:
        address, shape = call.outputs[index]
        dtype = self.module.results[index].dtype.numpy
        count = int(np.prod(shape, dtype=np.int64))
        raw = (ctypes.c_uint8 * (count * dtype.itemsize)).from_address(address)
        return np.frombuffer(bytes(raw), dtype).reshape(shape)


def _raise(code: int, call: _Call) -> None:
    if code == _GUARD:
        raise interpreter.GuardError(call.message)
    if code == _ERROR:
        raise IndexError(call.message)
    if code != _OK:
        raise AssertionError(f"the executable answers {code}: {call.message}")


@dataclasses.dataclass(frozen=True)
class Batch:
    """Rows compiled together."""

    name: str
    cases: tuple[OpCase, ...]

    def joined(self) -> OpCase:
        """One row that computes all rows' results; unknown dimensions of one name have one size."""

        def fn(*tensors: tf.Tensor) -> list[tf.Tensor]:
            rest, results = list(tensors), []
            for case in self.cases:
                results += tf.nest.flatten(case.fn(*rest[: len(case.inputs)]))
                del rest[: len(case.inputs)]
            return results

        return OpCase(self.name, fn, tuple(arg for case in self.cases for arg in case.inputs))


def batches(cases: Iterable[OpCase], size: int, *, alone: Collection[str] = ()) -> Iterator[Batch]:
    """Batches of the rows that always compute: no refusals, guards, errors, or inputs with symbolic content.

    Args:
        cases: a table.
        size: rows of a batch.
        alone: names of rows that do not compute at all sizes.
    """
    plain = [
        case
        for case in cases
        if not (case.refusal or case.may_guard or case.traced or any(arg.known or arg.weight for arg in case.inputs))
        and case.name not in alone
    ]
    for start in range(0, len(plain), size):
        yield Batch(f"batch_{start // size}", tuple(plain[start : start + size]))


def check_alone(test: absltest.TestCase, case: OpCase) -> None:
    """One row at all its sizes, errors and guards included."""
    host = Host(harness.lower_case(case).module)

    def run(lowered: harness.Lowered, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        return host.run(harness.module_inputs(lowered, arrays))

    harness.check(test, case, run)


def check_batch(test: absltest.TestCase, batch: Batch, sizes: Sequence[Sizes]) -> None:
    """All rows of a batch at all sizes, against TensorFlow. Dimensions that `sizes` does not name are 4."""
    joined = batch.joined()
    lowered = harness.lower_case(joined)
    host = Host(lowered.module)
    for given_size in sizes:
        size = {**dict.fromkeys(joined.names, 4), **given_size}
        rng = np.random.default_rng(sum(size.values()))
        arrays = [[arg.fill(rng, size) for arg in case.inputs] for case in batch.cases]
        results = host.run(harness.module_inputs(lowered, [item for group in arrays for item in group]))
        position = 0
        for case, given in zip(batch.cases, arrays, strict=True):
            tensors = [tf.constant(a, arg.dtype) for a, arg in zip(given, case.inputs, strict=True)]
            wanted = harness.flatten(case.fn(*tensors))
            for array in wanted:
                with test.subTest(case.name, **size):
                    harness.assert_close(results[position], array, case.tolerance, f"{case.name} {size} compiled")
                position += 1
