"""Engines work on the threads that a session, or the caller of a run, has chosen, and on no others."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from pathlib import Path

import tensorflow as tf
from absl.testing import absltest, parameterized

from tests.runtime import engine_kit as kit
from tests.runtime import native
from tf_blade import runtime
from tf_blade.backends.disc.codegen.templates import include_dir
from tf_blade.dtypes import DType
from tf_blade.engines.format import EngineFile, write_engine
from tf_blade.engines.signature import EngineInput, EngineOutput, EngineSignature, SymbolInfo

_HERE = Path(__file__).resolve().parent


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


@functools.cache
def _program() -> Path:
    target, package = Path(_folder().name) / "session_threads", tf.sysconfig.get_lib()
    flags = ["-std=c++17", "-O0", "-D_GLIBCXX_USE_CXX11_ABI=1", "-DEIGEN_MAX_ALIGN_BYTES=64", "-DNDEBUG", "-w"]
    link = [f"-L{package}", f"-Wl,-rpath,{package}", "-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"]
    source = _HERE / "session_threads.cc"
    command = [*native.compiler(), *flags, "-isystem", tf.sysconfig.get_include(), source, "-o", target, *link]
    subprocess.run([*command, "-pthread", "-Wl,--unresolved-symbols=ignore-in-shared-libs"], check=True)
    return target


def _engine() -> bytes:
    target = Path(_folder().name) / "engine.so"
    flags = ["-std=c++17", "-O1", "-shared", "-fPIC", "-fvisibility=hidden"]
    source = _HERE / "threads_executable.cc"
    subprocess.run([*native.compiler(), *flags, f"-I{include_dir()}", source, "-o", target], check=True)
    signature = EngineSignature(
        symbols=(SymbolInfo("n"),),
        inputs=(EngineInput("x", DType.FLOAT, (kit.BATCH,)),),
        outputs=(EngineOutput("y", DType.FLOAT, (kit.BATCH,)),),
    )
    return write_engine(EngineFile("disc", "1", signature, bytes(32), {"elf": target.read_bytes()}, isa_levels=(3,)))


@functools.cache
def _graph() -> Path:
    """A graph file; its subgraph tells no threads, but loops over many elements on them."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def fallback(x: tf.Tensor) -> tf.Tensor:
        return tf.exp(tf.sin(x))

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        function = fallback.get_concrete_function()
        (y,) = kit.blade_engine([x], [tf.float32], function, [_engine()], "threads")
        tf.identity(y, name="y")
    path = Path(_folder().name) / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def _run(way: str, elements: int = 64, **environment: str) -> list[int]:
    """The numbers that the program prints, in a process of its own: TensorFlow makes its intra-op pool once."""
    command: list[str | Path] = [_program(), runtime.library_path(), _graph(), str(elements), way]
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **environment}
    result = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=120)
    if result.returncode != 0:
        raise AssertionError(result.stderr)
    return [int(number) for number in result.stdout.split()]


class SessionThreadsTest(parameterized.TestCase):
    @parameterized.parameters(("own", 3), ("single", 1), ("per_session", 3), ("session_pools", 3))
    def test_as_many_as_the_session_says(self, way: str, threads: int) -> None:
        self.assertEqual(_run(way)[0], threads)

    def test_the_caller_is_one_where_runs_stay_in_it(self) -> None:
        threads, _, _, caller, _ = _run("in_caller")
        self.assertEqual((threads, caller), (3, 1))

    def test_run_handler_pool(self) -> None:
        """Its threads are no session's: a run gets some of them, or goes on alone."""
        threads, *_ = _run("run_handler")
        self.assertGreaterEqual(threads, 1)

    def test_intra_op_pool_of_a_run(self) -> None:
        threads, intra, _, _, _ = _run("handed_intra")
        self.assertEqual(threads, 4)
        # The thread that calls the kernel works too.
        self.assertGreaterEqual(intra, 3)

    def test_both_pools_of_a_run(self) -> None:
        threads, intra, inter, caller, _ = _run("handed_both")
        self.assertEqual((threads, intra + inter + caller), (4, 4))
        self.assertGreaterEqual(intra, 3)

    def test_the_original_subgraph_has_a_runs_pool_too(self) -> None:
        *_, tasks = _run("handed_intra", 1 << 20, TF_BLADE_DISABLE="1")
        self.assertGreater(tasks, 0)


if __name__ == "__main__":
    absltest.main()
