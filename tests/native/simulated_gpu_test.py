"""Engine ops in a process that sees a GPU: TensorFlow's results, whatever is on the device and whatever is not.

Twenty seconds, once for all tests: a third compiles a device, its engines and a kernel of TensorFlow's kind.
"""

from __future__ import annotations

import concurrent.futures
import json
import tempfile
import unittest
from pathlib import Path
from typing import Any

from absl.testing import absltest
from tensorflow.core.framework import types_pb2

import tf_blade
from tests.native import simulated_gpu, simulated_gpu_models
from tf_blade.saved_model.model import read_saved_model

_CALLS = 32  # of each model that is loaded
_EXACT = 1e-5


def _engine_ops(folder: Path) -> list[Any]:
    graph = read_saved_model(folder).meta_graph.graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return [node for node in nodes if node.op == "BladeEngineOp"]


@unittest.skipIf(simulated_gpu.missing(), simulated_gpu.missing())
class SimulatedGpuTest(absltest.TestCase):
    results: dict[str, Any]
    log: str
    nodes: list[Any]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        with tempfile.TemporaryDirectory() as scratch:
            original, optimized, portable = (Path(scratch) / name for name in ("original", "optimized", "portable"))
            simulated_gpu_models.save(original)
            options: dict[str, Any] = {"backends": ("disc",), "min_cluster_gain_us": 0.0}
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                built = pool.submit(simulated_gpu.engines)
                tf_blade.optimize_saved_model(original, optimized, **options)
                tf_blade.optimize_saved_model(original, portable, portable=True, **options)
                built.result()
            cls.nodes = _engine_ops(optimized)
            script = Path(__file__).with_name("simulated_gpu_main.py")
            process = simulated_gpu.start(script, original, optimized, portable)
        cls.log = process.stderr
        if process.returncode != 0:
            raise AssertionError(f"exit status {process.returncode}\n{process.stderr[-4000:]}")
        cls.results = json.loads(process.stdout.splitlines()[-1])

    def right(self, name: str) -> dict[str, Any]:
        result: dict[str, Any] = self.results[name]
        self.assertLess(result["off"], _EXACT)
        return result

    def test_the_process_sees_a_gpu(self) -> None:
        self.assertIn("/device:GPU:0", self.results["devices"])

    def test_int32_is_marked_in_all_forms_of_the_op(self) -> None:
        """With its variables as inputs, and in sessions without."""
        self.assertEqual({bool(node.attr["variables"].list.s) for node in self.nodes}, {True, False})
        for node in self.nodes:
            for types, places in (("Tin", "_input_hostmem"), ("Tout", "_output_hostmem")):
                int32 = [i for i, type_ in enumerate(node.attr[types].list.type) if type_ == types_pb2.DT_INT32]
                self.assertNotEmpty(int32)
                self.assertEqual(list(node.attr[places].list.i), int32)

    def test_engines_of_the_machine_are_refused_with_a_reason(self) -> None:
        """Calls of several threads: of their fallbacks some ops run on the device, and all others on the CPU."""
        result = self.right("loaded")
        self.assertEqual(result["engine_runs"], 0)
        self.assertEqual(set(result["fallbacks"]), {"device"})
        self.assertGreaterEqual(result["fallbacks"]["device"], _CALLS)
        self.assertGreaterEqual(result["kernel_runs"], _CALLS)
        self.assertEqual(result["inits"], 0)
        self.assertRegex(self.log, "is not used: device: the op is on .*GPU:0: it works in the machine's memory")

    def test_portable_calls_stay_tensorflows_where_no_engine_could_run(self) -> None:
        result = self.right("loaded_portable")
        self.assertEqual((result["engine_runs"], result["fallbacks"]), (0, {}))
        self.assertEqual(set(result["portable_calls"]), {"device"})
        self.assertGreaterEqual(result["kernel_runs"], _CALLS)

    def test_sessions_find_their_variables_on_the_cpu(self) -> None:
        result = self.right("session")
        self.assertGreaterEqual(result["engine_runs"], 1)
        self.assertEqual(result["fallbacks"], {})

    def test_sessions_of_portable_models(self) -> None:
        result = self.right("session_portable")
        self.assertEqual(result["engine_runs"], 0)
        self.assertEqual(set(result["portable_calls"]), {"device"})

    def test_an_engine_that_can_runs_on_the_device(self) -> None:
        """With float32 in the device's memory and int32 in the machine's, in functions and in loops."""
        result = self.right("runs_on_device")
        self.assertIn("GPU:0", result["device"])
        self.assertEqual((result["engine_runs"], result["fallbacks"]), (_CALLS + 1 + 3, {}))
        self.assertEqual(result["inits"], 2)
        self.assertEqual(result["kernel_runs"], 0)

    def test_portable_calls_become_engine_ops_where_one_could_run(self) -> None:
        result = self.right("portable_on_device")
        self.assertEqual((result["engine_runs"], result["fallbacks"]), (1, {}))
        self.assertEqual(result["portable_calls"], {"engine": 1})

    def test_weights_that_are_written_in_place_on_the_device_are_tensorflows(self) -> None:
        result = self.right("written_in_place")
        self.assertEqual((result["engine_runs"], result["fallbacks"]), (1, {"device": 1}))

    def test_nothing_is_compared_on_the_device(self) -> None:
        result = self.right("shadowed")
        self.assertEqual((result["engine_runs"], result["fallbacks"]), (1, {}))
        self.assertRegex(" ".join(result["log"]), "no call of ops on .*GPU:0 is shadowed")

    def test_nodes_that_do_not_say_where_int32_is_are_told(self) -> None:
        """Those of earlier versions. Where no graph pass sees the op, it is an error."""
        result = self.right("unmarked")
        self.assertEqual((result["engine_runs"], result["fallbacks"]), (1 + 3, {}))
        self.assertRegex(result["error"], "_input_hostmem.*no graph pass has seen it.*optimize the model again")

    def test_fallbacks_at_once_in_one_step_keep_apart_what_is_theirs(self) -> None:
        result = self.right("at_once")
        self.assertIn("GPU:0", result["device"])
        self.assertEqual(result["fallbacks"], {"backend": 20})

    def test_variables_on_the_cpu_keep_the_op_there(self) -> None:
        result = self.right("on_cpu")
        self.assertIn("CPU:0", result["device"])
        self.assertEqual((result["engine_runs"], result["fallbacks"]), (1, {}))

    def test_variables_on_several_devices_are_a_call_of_tensorflows(self) -> None:
        result = self.right("several_devices")
        self.assertEqual([name.rpartition(":")[0][-3:] for name in result["devices"]], ["GPU", "CPU"])
        self.assertRegex(" ".join(result["log"]), "no engine serves it where its variables are on .*GPU.* and .*CPU")


if __name__ == "__main__":
    absltest.main()
