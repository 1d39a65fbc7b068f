"""The graph pass for portable models beside devices that this machine need not have, and its metric."""

from __future__ import annotations

import ctypes
import tempfile
from pathlib import Path

from absl.testing import absltest, parameterized

import tf_blade
from tests.runtime import native
from tf_blade import runtime

_CALL, _ENGINE = "StatefulPartitionedCall", "BladeEngineOp"


class PortablePassTest(parameterized.TestCase):
    library: ctypes.CDLL

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        runtime.load()
        cls.library = native.tensorflow_library(Path(scratch.name), "portable_pass_run.cc", "metrics_dump.cc")
        for name in ("op_after_pass", "dump_metrics"):
            getattr(cls.library, name).restype = ctypes.c_char_p

    @parameterized.parameters(
        ("", "", _ENGINE, "engine"),
        ("GPU", "", _CALL, "device"),
        ("TPU", "/device:TPU:0", _CALL, "device"),
        ("GPU", "/device:CPU:0", _ENGINE, "engine"),
        ("XLA_CPU", "", _ENGINE, "engine"),
        ("", "/device:GPU:0", _CALL, "device"),
        ("", "no device's name", _CALL, "device"),
    )
    def test_calls_that_may_run_on_other_devices_stay(self, type_: str, device: str, op: str, result: str) -> None:
        """TensorFlow would have to find a place for the engine op, which has a kernel for CPUs alone."""
        self.check(type_, 0, device, "", op, result)

    @parameterized.parameters("", "/job:localhost/task:0/device:CPU:0", "/job:localhost/task:1/device:CPU:0")
    def test_calls_that_may_run_in_other_processes_stay(self, device: str) -> None:
        """These need not know the engine op."""
        self.check("CPU", 1, device, "", _CALL, "device")

    @parameterized.parameters("_xla_compile_id", "_tpu_replicate")
    def test_calls_with_marks_of_xla_stay(self, mark: str) -> None:
        self.check("", 0, "", mark, _CALL, "compiled")

    def check(self, type_: str, task: int, device: str, mark: str, op: str, result: str) -> None:
        runtime.reset_runtime_stats()
        found = self.library.op_after_pass(type_.encode(), task, device.encode(), mark.encode())
        self.assertEqual(found, op.encode())
        self.assertEqual(tf_blade.runtime_stats()["portable_calls"], {result: 1})
        points = self.library.dump_metrics(b"/tf_blade/portable_calls").decode().splitlines()
        self.assertEqual(points, [f"/tf_blade/portable_calls{{result={result}}} 1"])


if __name__ == "__main__":
    absltest.main()
