"""TensorRT's runtime, on a TensorRT and a driver that need no GPU. Built where TENSORRT_HOME has the headers."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized

from tests.runtime import native
from tests.runtime import tensorrt_kit as trt
from tf_blade import runtime
from tf_blade.dtypes import DType
from tf_blade.engines.plan import PLAN_DATA_SECTION, PLAN_SECTION, PlanTensor, PlanWeight, write_plan
from tf_blade.errors import EngineFormatError

_NEEDS_HEADERS = unittest.skipUnless(trt.HOME, "TENSORRT_HOME names no headers of TensorRT")


def _calls(
    engine: bytes, where: str = "host", sizes: tuple[int, ...] = (), sanitizer: str = "", **settings: Any
) -> tuple[int, list[str], dict[str, int]]:
    """Exit status, lines about calls, and counts when all is over: see tensorrt/calls.cc."""
    program = trt.program(trt.FOLDER / "calls.cc", sanitizer)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "engine"
        file.write_bytes(engine)
        result = native.run(program, [file, where, *map(str, sizes)], trt.environment(**settings))
    lines = (result.stdout if result.returncode == 0 else result.stdout + result.stderr).splitlines()
    counts = {name: int(value) for name, _, value in (line.partition("=") for line in lines) if value.isdecimal()}
    return result.returncode, [line for line in lines if line.partition("=")[0] not in counts], counts


@_NEEDS_HEADERS
class ConformanceTest(parameterized.TestCase):
    @parameterized.named_parameters(
        ("affine", lambda: trt.affine_engine(profiles=((2, 8), (9, 64))), 5),
        ("last_profile", lambda: trt.affine_engine(profiles=((2, 8), (9, 64))), 64),
        ("graphs", lambda: trt.affine_engine(cuda_graphs=True), 2),
        ("found", trt.found_engine, 33),
        ("inputs", trt.inputs_engine, 3),
    )
    def test_keeps_the_contract(self, make: Any, size: int) -> None:
        program = trt.program(native.CUSTOM_OPS / "conformance/conformance.cc")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "engine"
            file.write_bytes(make())
            result = native.run(program, [file, str(size)], trt.environment())
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("outcome of run: 0", result.stdout)


@_NEEDS_HEADERS
class CallsTest(parameterized.TestCase):
    def assert_right(self, *arguments: Any, **settings: Any) -> tuple[list[str], dict[str, int]]:
        status, lines, counts = _calls(*arguments, **settings)
        self.assertEqual(status, 0, lines)
        left = {
            name: value
            for name, value in counts.items()
            if name not in ("graph_launches", "copies", "synchronizations")
        }
        # Other threads queue work on the host's stream, which must not get into graphs.
        nothing = ("streams", "graphs", "blocks", "depth", "captures_of_the_hosts_stream")
        self.assertEqual(left, dict.fromkeys(nothing, 0))
        return lines, counts

    @parameterized.parameters("host", "device", "unaligned")
    def test_each_call_runs_in_the_profile_of_its_shape(self, where: str) -> None:
        sizes = (2, 9, 8, 64, 2, 30)
        lines, counts = self.assert_right(trt.affine_engine(profiles=((2, 8), (9, 64))), where, sizes)
        self.assertEqual(
            [line.split(",")[:2] for line in lines], [[f"{n}: outcome 0", f" {3 * n} elements"] for n in sizes]
        )
        self.assertEqual(counts["graph_launches"], 0)
        # On a GPU, workspace, temporary memory and inputs that lie badly are the host's.
        taken = {"host": 0, "device": 2, "unaligned": 3}[where]
        self.assertEqual({line.split(", ")[2] for line in lines}, {f"{taken} allocations"})

    def test_shapes_of_no_profile_are_not_for_it(self) -> None:
        lines, _ = self.assert_right(trt.affine_engine(profiles=((2, 8), (20, 64))), "host", (8, 9, 19, 20))
        self.assertEqual([line.split(",")[0][-1] for line in lines], ["0", "1", "1", "0"])
        self.assertIn("the shapes are in none of the plan's profiles", lines[1])

    @parameterized.parameters(False, True)
    def test_what_is_in_the_machines_memory_is_copied_and_waited_for(self, graphs: bool) -> None:
        """Though all else is a GPU's: so TensorFlow has int32, and the call is not over before it is there."""
        engine, sizes = trt.affine_engine(cuda_graphs=graphs, profiles=((2, 8),)), (2, 8, 3, 2, 2)
        _, on_device = self.assert_right(engine, "device", sizes)
        lines, mixed = self.assert_right(engine, "mixed", sizes)
        self.assertEqual([line.split(",")[0][-1] for line in lines], ["0"] * 5)
        # Both read the two weights once, to put them into the plan. With graphs the plan works in memory of its own: an
        # input and an output are copied anyway.
        self.assertEqual(mixed["copies"], 2 + 2 * 5)
        self.assertEqual(on_device["copies"], 2 + (2 * 5 if graphs else 0))
        _, one_input = self.assert_right(engine, "input", sizes)
        for counts in (mixed, one_input):
            self.assertEqual(counts["synchronizations"] - on_device["synchronizations"], 5)

    @parameterized.parameters(("host", 2 + 2 * 5), ("device", 0), ("unaligned", 5))
    def test_weights_that_are_inputs_are_copied_once(self, where: str, copies: int) -> None:
        lines, counts = self.assert_right(trt.inputs_engine(), where, (2, 8, 3, 2, 8))
        self.assertEqual([line.split(",")[0][-1] for line in lines], ["0"] * 5)
        self.assertEqual(counts["copies"], copies)

    @parameterized.parameters("host", "device")
    def test_sizes_that_are_found_in_the_run(self, where: str) -> None:
        lines, _ = self.assert_right(trt.found_engine(), where, (1, 33, 64, 2))
        self.assertEqual([line.split(",")[0] for line in lines], [f"{n}: outcome 0" for n in (1, 33, 64, 2)])

    @parameterized.parameters("host", "device")
    def test_values_of_shape_tensors_choose_the_profile(self, where: str) -> None:
        lines, _ = self.assert_right(trt.fill_engine(), where, (1, 9, 5, 10, 0))
        self.assertEqual([line.split(",")[0][-1] for line in lines], ["0", "0", "0", "1", "1"])

    @parameterized.parameters("host", "device")
    def test_graphs_are_launched_from_the_third_call_of_a_shape_on(self, where: str) -> None:
        _, counts = self.assert_right(trt.affine_engine(cuda_graphs=True), where, (2, 2, 2, 3, 2, 3, 3, 2))
        self.assertEqual(counts["graph_launches"], 4)

    def test_graphs_of_the_shapes_used_last_are_kept(self) -> None:
        engine = trt.affine_engine(cuda_graphs=True, profiles=((1, 64),))
        # 64 first: the arena then has room for all.
        many = tuple(range(1, 18))
        _, counts = self.assert_right(engine, "host", (64, 1, 1, 1, *many, 1))
        self.assertEqual(counts["graph_launches"], 2)  # the third call, and the one of `many`
        # An arena that grows takes the graphs with it.
        _, counts = self.assert_right(engine, "host", (1, 1, 1, 64, 1, 1))
        self.assertEqual(counts["graph_launches"], 2)

    @parameterized.parameters(
        ("enqueue", "outcome 5", "the plan does not run: enqueueV3 is told to fail"),
        ("shape", "outcome 5", "a shape of the inputs is refused: the shape is told to be wrong"),
        ("context", "outcome 4", "TensorRT gives no context: createExecutionContext is told to fail"),
        ("refit", "init: outcome 5", "the weights cannot be put in: weights are missing"),
    )
    def test_what_fails_says_why(self, what: str, outcome: str, why: str) -> None:
        lines, _ = self.assert_right(trt.affine_engine(f"fail {what}"), "host", (2, 3))
        self.assertTrue(all(outcome in line and line.endswith(why) for line in lines), lines)

    def test_a_device_without_memory(self) -> None:
        lines, _ = self.assert_right(trt.affine_engine(), "host", (2, 8), FAKE_CUDA_MEMORY=1500)
        self.assertEqual([line.split(",")[0] for line in lines], ["2: outcome 4", "8: outcome 4"])

    def test_nothing_is_touched_that_must_not_be(self) -> None:
        for make in (trt.affine_engine, trt.found_engine):
            self.assert_right(make(), "host", (2, 3, 8, 2), sanitizer="address")
        # What one call has borrowed of the host is gone when a graph that it has made is launched.
        self.assert_right(trt.affine_engine(cuda_graphs=True), "device", (2, 2, 2, 2), sanitizer="address")


@_NEEDS_HEADERS
class RefusalTest(parameterized.TestCase):
    def assert_refused(self, engine: bytes, reason: str, **settings: Any) -> None:
        status, lines, _ = _calls(engine, **settings)
        self.assertEqual((status, len(lines)), (0, 1), lines)
        self.assertRegex(lines[0], f"^refused: {reason}")

    def test_versions(self) -> None:
        major, minor, patch, build = trt.version()
        names = f"a plan of version .*, this is TensorRT {major}.{minor}.{patch}.{build}"
        for numbers in ((major, minor, patch, build + 1), (major + 1, 0, 0, 0)):
            self.assert_refused(trt.affine_engine(numbers=numbers), f"version: {names}")
            self.assert_refused(trt.affine_engine(numbers=numbers, version_compatible=True), f"version: {names}")
        older = trt.affine_engine("host_code", numbers=(major, 0, 0, 1), version_compatible=True)
        status, lines, _ = _calls(older, "host", (3,))
        self.assertEqual((status, lines[0].split(",")[0]), (0, "3: outcome 0"))

    def test_capabilities(self) -> None:
        why = "compute_capability: a plan for compute capability 8.9, 12.0, this GPU has 9.0"
        engine = trt.affine_engine(capabilities=(89, 120))
        self.assert_refused(engine, why, FAKE_CUDA_CAPABILITY=90)
        compatible = trt.affine_engine(capabilities=(89, 120), hardware_compatible=True)
        self.assert_refused(compatible, "compute_capability", FAKE_CUDA_CAPABILITY=75)
        for good, capability in ((engine, 120), (compatible, 90), (trt.affine_engine(capabilities=()), 90)):
            status, lines, _ = _calls(good, "host", (3,), FAKE_CUDA_CAPABILITY=capability)
            self.assertEqual((status, lines[0].split(",")[0]), (0, "3: outcome 0"))

    def test_devices_and_libraries(self) -> None:
        engine = trt.affine_engine()
        self.assert_refused(engine, "device: CUDA's driver does not start: CUDA_ERROR", FAKE_CUDA_INIT=100)
        self.assert_refused(engine, "device: there is no GPU 0 among 0", FAKE_CUDA_COUNT=0)
        self.assert_refused(
            engine, "library: .*gives no runtime: createInferRuntime is told", FAKE_TENSORRT_NO_RUNTIME=1
        )
        self.assert_refused(engine, r"library: TensorRT 9\.\d.*was built for", FAKE_TENSORRT_VERSION="9.3.0.1")
        self.assert_refused(engine, r"library: libnvinfer\.so\.\d+: cannot open", LD_LIBRARY_PATH="")
        if trt.version()[0] == 10:
            self.assert_refused(engine, "library: TensorRT 10.0.1.6 is too old", FAKE_TENSORRT_VERSION="10.0.1.6")

    def test_plans(self) -> None:
        self.assert_refused(trt.affine_engine("host_code"), "load: .*code of the plan is not allowed")
        self.assert_refused(
            trt.affine_engine("fail deserialize"),
            "compute_capability: the plan cannot be deserialized: this plan cannot run on this GPU$",
        )
        engine = trt.affine_section((2, 8))
        data = write_plan(engine)
        plan = trt.plan("model affine", "profile 2 8")
        for sections, reason in (
            ({PLAN_SECTION: plan}, "corrupt: section 'tensorrt': it is missing"),
            ({PLAN_DATA_SECTION: data}, "corrupt: engine file: it has no plan"),
            ({PLAN_SECTION: plan[:20], PLAN_DATA_SECTION: data}, "corrupt: section 'plan'"),
            ({PLAN_SECTION: plan[:-3], PLAN_DATA_SECTION: data}, "load: .*the plan is cut short"),
            ({PLAN_SECTION: plan, PLAN_DATA_SECTION: data + b"x"}, "corrupt: section 'tensorrt': bytes follow"),
            ({PLAN_SECTION: plan, PLAN_DATA_SECTION: b"\x09" + data[1:]}, "version: section 'tensorrt': version 9"),
            ({PLAN_SECTION: trt.plan("model fill"), PLAN_DATA_SECTION: data}, "signature: the plan has other tensors"),
            (
                {PLAN_SECTION: trt.plan("model positive", "profile 1 9"), PLAN_DATA_SECTION: data},
                "signature: the plan's",
            ),
        ):
            self.assert_refused(trt.affine_engine(sections=sections), reason)

    def test_every_cut_of_the_data_is_refused(self) -> None:
        data = write_plan(trt.affine_section((2, 8), (9, 12)))
        plan = trt.plan("model affine", "profile 2 8")
        for size in range(0, len(data), 31):
            sections = {PLAN_SECTION: plan, PLAN_DATA_SECTION: data[:size]}
            self.assert_refused(trt.affine_engine(sections=sections), "(corrupt|signature): ")


@_NEEDS_HEADERS
class OpTest(absltest.TestCase):
    """Plans in the op, for which the op library must have been built with the headers."""

    def setUp(self) -> None:
        super().setUp()
        if (runtime.check_engine(trt.affine_engine()) or "").startswith("backend"):
            self.skipTest("the op library was built without TENSORRT_HOME")

    def calls(self, number: int, **settings: Any) -> tuple[dict[str, Any], list[str]]:
        """What tensorrt_op_main says of as many calls, and the log."""
        variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "1", **trt.environment(**settings)}
        command = [sys.executable, "-m", "tests.runtime.tensorrt_op_main", str(number)]
        done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found, [line for line in done.stderr.splitlines() if "tf_blade" in line]

    def test_plans_serve_their_profiles_and_the_next_engine_the_rest(self) -> None:
        found, log = self.calls(40)
        self.assertEqual(found["marks"], [[0, 0.0], [1, 200.0], [2, 0.0], [3, 200.0]])
        first, second = found["stats"]["engines"]
        self.assertEqual((first["backend"], first["runs"], second["runs"]), ("tensorrt", 20, 20))
        self.assertEqual((first["refused"], found["stats"]["fallbacks"]), ({"constraint": 20}, {}))
        # The variable's new value is put into the plan, and prepared for the other engine.
        self.assertEqual((first["inits"], second["inits"]), (2, 2))
        self.assertEmpty(log)

    def test_ten_thousand_calls_behind_a_plan_for_another_gpu(self) -> None:
        found, log = self.calls(10_000, FAKE_CUDA_CAPABILITY=90)
        first, second = found["stats"]["engines"]
        self.assertEqual(found["marks"], [[row, 200.0] for row in range(4)])
        self.assertEqual((first["runs"], second["runs"]), (0, 10_000))
        self.assertEqual(first["refused"], {"compute_capability": 1})
        self.assertLen(log, 1)
        self.assertIn("(tensorrt, " + first["hash"] + ") is not used: " + first["load_refusal"], log[0])


class PlanSectionTest(parameterized.TestCase):
    @parameterized.parameters(
        ({"profiles": ()}, "a plan needs a profile"),
        ({"outputs": ()}, "must make each output once"),
        ({"inputs": (PlanTensor("x", 3, DType.FLOAT, 2),)}, "is none of the signature"),
        ({"baked": True}, "stripped or baked in, not both"),
        ({"baked": True, "stripped": False}, "'w' are baked in, without a hash"),
        ({"profiles": ((((1, 1, 1),),),)}, "1 dimensions for 'x' of rank 2"),
        ({"profiles": ((((2, 1, 3), (5, 5, 5)),),)}, "range for 'x' is not in order"),
        ({"weights": (PlanWeight("w", 1, 1, (2, 3), (0, 0)),)}, "permutation of weights 'w'"),
        ({"inputs": (PlanTensor("x", 0, DType.FLOAT, 9),), "profiles": ((((1, 1, 1),) * 9,),)}, "beyond TensorRT's 8"),
        ({"num_inputs": 2**32}, "out of range"),
    )
    def test_what_no_reader_accepts_is_not_written(self, changes: dict[str, Any], message: str) -> None:
        with self.assertRaisesRegex(EngineFormatError, message):
            write_plan(dataclasses.replace(trt.affine_section((2, 8)), **changes))

    def test_the_layout(self) -> None:
        section = dataclasses.replace(trt.affine_section((2, 8)), weights=(PlanWeight("b", 2, 19, (3,), (0,)),))
        expected = (
            "01000000 00 01 03000000 01000000"
            "01000000 0100 78 00000000 01000000 02 00"
            "01000000 0100 79 00000000 01000000 02 00"
            "01000000 02000000 0200000000000000 0200000000000000 0800000000000000"
            "0500000000000000 0500000000000000 0500000000000000"
            "01000000 0100 62 02000000 13000000 01 0300000000000000 00"
        )
        self.assertEqual(write_plan(section), bytes.fromhex(expected.replace(" ", "")))


if __name__ == "__main__":
    absltest.main()
