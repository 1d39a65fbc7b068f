"""Runs executables without TensorFlow: NumPy in, NumPy out. For tests, benchmarks and the replay of dumped clusters."""

from __future__ import annotations

import ctypes
import itertools
import pathlib
import tempfile
import threading
from collections.abc import Sequence

import numpy as np

from tf_blade.backends.disc.ir.values import Value
from tf_blade.dtypes import DType
from tf_blade.engines.format import RAL_VERSION

_POINTER = ctypes.c_void_p
_DIMS = ctypes.POINTER(ctypes.c_int64)
_WORK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


class _Tensor(ctypes.Structure):
    _fields_ = [("data", _POINTER), ("dims", _DIMS), ("rank", ctypes.c_int32), ("dtype", ctypes.c_int32)]


_ALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_ALLOC_OUTPUT = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32, _DIMS)
_PARALLEL_FOR = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, _WORK, ctypes.c_void_p)
_CANCELLED = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
_SET_ERROR = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)
_RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


class _Ral(ctypes.Structure):
    _fields_ = [
        ("version", ctypes.c_uint32),
        ("num_threads", ctypes.c_int32),
        ("context", _POINTER),
        ("alloc", _ALLOC),
        ("alloc_persistent", _ALLOC),
        ("alloc_output", _ALLOC_OUTPUT),
        ("parallel_for", _PARALLEL_FOR),
        ("cancelled", _CANCELLED),
        ("set_error", _SET_ERROR),
        ("release", _RELEASE),
    ]


_INIT = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.POINTER(_Ral), ctypes.POINTER(_Tensor), ctypes.POINTER(_POINTER))
_RUN = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.POINTER(_Ral), _POINTER, ctypes.POINTER(_Tensor))


class _Variant(ctypes.Structure):
    _fields_ = [("isa", ctypes.c_int32), ("init", _INIT), ("run", _RUN)]


class _Executable(ctypes.Structure):
    _fields_ = [
        ("ral_version", ctypes.c_uint32),
        ("num_inputs", ctypes.c_int32),
        ("num_outputs", ctypes.c_int32),
        ("num_variants", ctypes.c_int32),
        ("variants", ctypes.POINTER(_Variant)),
    ]


class RunError(Exception):
    """init or run returned something other than BLADE_OK.

    Attributes:
        code: the result code, see ral.h.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{type(self).__name__} {code}: {message}")
        self.code = code


class GuardRefused(RunError):
    """BLADE_GUARD."""


class ExecutionError(RunError):
    """BLADE_ERROR."""


class Cancelled(RunError):
    """BLADE_CANCELLED."""


class OutOfMemory(RunError):
    """BLADE_NO_MEMORY."""


_ERRORS = {1: GuardRefused, 2: ExecutionError, 3: Cancelled, 4: OutOfMemory}


def _aligned(bytes_: int) -> np.ndarray:
    """64-byte aligned memory, filled so that reading what was not written shows."""
    raw = np.full(bytes_ + 128, 0xAB, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + bytes_]


class _Host:
    """The callbacks of one call."""

    def __init__(self, threads: int, outputs: Sequence[DType], *, fail_alloc: bool, cancel: bool) -> None:
        self.error = ""
        self.outputs: dict[int, np.ndarray] = {}
        self.kept: list[np.ndarray] = []
        self._alive: list[np.ndarray] = []
        self._scratch: list[np.ndarray] = []
        self._types = outputs
        self._threads = threads
        self._fail, self._cancel = fail_alloc, cancel
        self.ral = _Ral(
            RAL_VERSION,
            threads,
            None,
            _ALLOC(self._alloc),
            _ALLOC(self._alloc_persistent),
            _ALLOC_OUTPUT(self._alloc_output),
            _PARALLEL_FOR(self._parallel_for),
            _CANCELLED(lambda _: int(self._cancel)),
            _SET_ERROR(self._set_error),
            _RELEASE(self._release),
        )

    def _alloc(self, _: int, bytes_: int) -> int | None:
        if self._fail:
            return None
        self._scratch.append(_aligned(bytes_))
        return int(self._scratch[-1].ctypes.data)

    def _release(self, _: int, memory: int) -> None:
        """Overwrites what is released, so that reading it afterwards shows."""
        first = next(i for i, item in enumerate(self._scratch) if item.ctypes.data == memory)
        for item in self._scratch[first:]:
            item.fill(0xAB)
        self._alive += self._scratch[first:]
        del self._scratch[first:]

    def _alloc_persistent(self, _: int, bytes_: int) -> int:
        self.kept.append(_aligned(bytes_))
        return int(self.kept[-1].ctypes.data)

    def _alloc_output(self, _: int, index: int, rank: int, dims: _DIMS) -> int:  # type: ignore[valid-type]
        shape = tuple(dims[i] for i in range(rank))  # type: ignore[index]
        dtype = self._types[index].numpy
        memory = _aligned(max(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize, 1))
        self._alive.append(memory)
        self.outputs[index] = memory[: int(np.prod(shape, dtype=np.int64)) * dtype.itemsize].view(dtype).reshape(shape)
        return int(memory.ctypes.data)

    def _parallel_for(self, _: int, total: int, cost: int, work: object, arg: int) -> None:
        """Uneven parts, so that code which relies on how work is cut shows."""
        del cost
        cuts = sorted({0, total, *(total * (2 * i + 1) // (2 * self._threads) for i in range(self._threads))})
        parts = list(itertools.pairwise(cuts))
        if self._threads == 1:
            work(arg, 0, total)  # type: ignore[operator]
            return
        threads = [threading.Thread(target=work, args=(arg, *part)) for part in parts]  # type: ignore[arg-type]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _set_error(self, _: int, message: bytes) -> None:
        self.error = message.decode()


class LoadedExecutable:
    """An executable in this process, for one instruction set level.

    Args:
        image: the shared object.
        isa: 3 or 4, see ral.h; the highest that it has when not given.
        threads: threads of its parallel loops.
    """

    def __init__(
        self,
        image: bytes,
        *,
        parameters: Sequence[Value],
        results: Sequence[Value],
        isa: int | None = None,
        threads: int = 1,
    ) -> None:
        self._parameters, self._results = list(parameters), list(results)
        self._threads = threads
        # A path of its own: the dynamic linker takes a path it knows for the same library.
        with tempfile.TemporaryDirectory(prefix="tf_blade_") as folder:
            path = pathlib.Path(folder) / "executable.so"
            path.write_bytes(image)
            self._library = ctypes.CDLL(str(path))
        entry = self._library.tf_blade_executable
        entry.restype = ctypes.POINTER(_Executable)
        table = entry().contents
        expected = RAL_VERSION, len(self._parameters), len(self._results)
        if (table.ral_version, table.num_inputs, table.num_outputs) != expected:
            raise ValueError("the executable is of another version or signature")
        variants = [table.variants[i] for i in range(table.num_variants)]
        wanted = isa if isa is not None else variants[-1].isa
        self._variant = next(item for item in variants if item.isa == wanted)
        self._state: ctypes.c_void_p | None = None
        self._kept: list[np.ndarray] = []

    def init(self, inputs: Sequence[np.ndarray], *, withhold: bool = False) -> None:
        """Runs init on the weights among the inputs; on nothing but their shapes with `withhold`.

        Raises:
            RunError: it returned an error.
        """
        host = self._host()
        state = ctypes.c_void_p()
        tensors = self._tensors(inputs, weights_only=True)
        if withhold:
            for tensor in tensors:
                tensor.data = None
        self._check(self._variant.init(ctypes.byref(host.ral), tensors, ctypes.byref(state)), host)
        self._state, self._kept = state, host.kept

    def run(self, inputs: Sequence[np.ndarray], *, fail_alloc: bool = False, cancel: bool = False) -> list[np.ndarray]:
        """The outputs; runs init first where that has not been done.

        Raises:
            RunError: run returned an error.
        """
        if self._state is None:
            self.init(inputs)
        host = self._host(fail_alloc=fail_alloc, cancel=cancel)
        self._check(self._variant.run(ctypes.byref(host.ral), self._state, self._tensors(inputs)), host)
        return [host.outputs[i] for i in range(len(self._results))]

    def _host(self, *, fail_alloc: bool = False, cancel: bool = False) -> _Host:
        return _Host(self._threads, [value.dtype for value in self._results], fail_alloc=fail_alloc, cancel=cancel)

    @staticmethod
    def _check(code: int, host: _Host) -> None:
        if code != 0:
            raise _ERRORS.get(code, RunError)(code, host.error)

    def _tensors(self, inputs: Sequence[np.ndarray], *, weights_only: bool = False) -> ctypes.Array[_Tensor]:
        tensors = (_Tensor * max(len(inputs), 1))()
        for number, (array, value) in enumerate(zip(inputs, self._parameters, strict=True)):
            array = np.ascontiguousarray(array).reshape(np.shape(array))
            self._hold(array)
            dims = (ctypes.c_int64 * max(array.ndim, 1))(*array.shape)
            hidden = array.size == 0 or (weights_only and not value.op.attrs["weight"])
            data = None if hidden else array.ctypes.data
            dtype = _number(array.dtype)
            tensors[number] = _Tensor(data, ctypes.cast(dims, _DIMS), array.ndim, dtype)
            self._held.append(dims)
        return tensors

    def _hold(self, array: np.ndarray) -> None:
        self._held: list[object] = getattr(self, "_held", [])
        self._held.append(array)


def _number(dtype: np.dtype) -> int:
    from tf_blade.dtypes import from_numpy

    return int(from_numpy(dtype))
