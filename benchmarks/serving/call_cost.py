"""What an engine call costs beside the engine's work: a chain of engines that copy, against a chain of `Identity` ops.

    python -m benchmarks.serving.call_cost [--length 100] [--calls 2000] [--rounds 5]

Sessions are called from C (call_cost.c), so Python has no part in it. The cost of a call is the difference of the two
chains' times over their length; the copy and the output's allocation are in it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import tensorflow as tf

from tests.native import capi
from tf_blade import runtime
from tf_blade.backends.disc.codegen.templates import include_dir
from tf_blade.dtypes import DType
from tf_blade.engines.format import EngineFile, write_engine
from tf_blade.engines.signature import EngineInput, EngineOutput, EngineSignature, SymbolInfo

MAX_COST_US = 10.0
_HERE = Path(__file__).resolve().parent
_ELEMENTS = 16


def _engine(folder: Path) -> bytes:
    target = folder / "identity.so"
    flags = ["-std=c++17", "-O2", "-shared", "-fPIC", "-fvisibility=hidden"]
    source = _HERE / "identity_executable.cc"
    subprocess.run(["c++", *flags, f"-I{include_dir()}", source, "-o", target], check=True)
    dims = ((("sym", 0),), (("sym", 1),))
    signature = EngineSignature(
        symbols=(SymbolInfo("n"), SymbolInfo("k")),
        inputs=(EngineInput("x", DType.FLOAT, dims),),
        outputs=(EngineOutput("y", DType.FLOAT, dims),),
    )
    return write_engine(EngineFile("disc", "1", signature, bytes(32), {"elf": target.read_bytes()}, isa_levels=(3,)))


def _chain(length: int, engine: bytes | None) -> Any:
    """A graph of so many ops between `x` and `y`."""

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32)])
    def fallback(x: Any) -> Any:
        return tf.identity(x)

    module, function = tf.load_op_library(runtime.load()), fallback.get_concrete_function()
    with tf.Graph().as_default() as graph:
        value = tf.compat.v1.placeholder(tf.float32, [None, None], name="x")
        for number in range(length):
            if engine is None:
                value = tf.identity(value)
            else:
                (value,) = module.blade_engine_op(
                    inputs=[value], Tout=[tf.float32], fallback=function, engines=[engine], cluster=f"copy{number}"
                )
        tf.identity(value, name="y")
    return graph.as_graph_def()


def _config() -> bytes:
    """One thread, and no optimization: it would remove `Identity` ops."""
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    config.graph_options.optimizer_options.opt_level = tf.compat.v1.OptimizerOptions.L0
    return bytes(config.SerializeToString())


def measure(length: int, calls: int, rounds: int) -> dict[str, float]:
    """Microseconds of one op of each chain, and their difference: medians of rounds that alternate."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = capi.build_program(folder, _HERE / "call_cost.c")
        (folder / "config").write_bytes(_config())
        for kind, engine in (("identity", None), ("engine", _engine(folder))):
            (folder / kind).write_bytes(_chain(length, engine).SerializeToString())
        times: dict[str, list[float]] = {"identity": [], "engine": []}
        for _ in range(rounds):
            for kind, found in times.items():
                arguments = [runtime.library_path(), folder / kind, folder / "config", "x", "y", _ELEMENTS, calls]
                command = [str(program), *map(str, arguments)]
                result = subprocess.run(command, check=True, capture_output=True, text=True)
                found.append(float(result.stdout) / 1000 / length)
    identity, engine_us = (statistics.median(times[kind]) for kind in ("identity", "engine"))
    return {"identity_us": identity, "engine_us": engine_us, "cost_us": engine_us - identity}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--length", type=int, default=100)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    found = measure(options.length, options.calls, options.rounds)
    print(json.dumps({key: round(value, 3) for key, value in found.items()}))
    return 0 if found["cost_us"] <= MAX_COST_US else 1


if __name__ == "__main__":
    sys.exit(main())
