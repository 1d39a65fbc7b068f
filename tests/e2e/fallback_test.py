"""Whatever is wrong with a real model's engines: TensorFlow's results, a counted reason, and a living process."""

from __future__ import annotations

import dataclasses
import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

import tf_blade
from tests import zoo
from tests.e2e import damage, kit
from tf_blade import runtime
from tf_blade.engines.format import read_engine, seal
from tf_blade.engines.signature import EngineInput, EngineSignature

v1 = tf.compat.v1
# All of its weights are constants: it is loaded in a few milliseconds, for each of hundreds of damages.
_MODEL = "tf1_frozen"
_FOUND_ON_LOADING = {"corrupt", "hash", "version"}


def _serve(folder: Path, feeds: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The default signature's outputs, as a server that loads the folder computes them."""
    with tf.Graph().as_default(), v1.Session() as session:
        signature = v1.saved_model.load(session, ["serve"], str(folder)).signature_def["serving_default"]
        inputs = {signature.inputs[name].name: value for name, value in feeds.items()}
        result: dict[str, Any] = session.run({key: item.name for key, item in signature.outputs.items()}, inputs)
        return result


def _wrong_section(data: bytes) -> bytes:
    """One bit of the code altered, and a content hash that fits again: only the section's own hash tells."""
    elf = read_engine(data).sections["elf"]
    altered = bytearray(data)
    altered[data.index(elf) + len(elf) // 2] ^= 4
    return seal(bytes(altered[:-32]))


def _with_first_data_input(data: bytes, change: Callable[[EngineInput], EngineInput]) -> bytes:
    """The engine with its first input that is no weight described otherwise."""
    signature = read_engine(data).signature
    index = next(i for i, item in enumerate(signature.inputs) if item.kind == "data")
    inputs = list(signature.inputs)
    inputs[index] = change(inputs[index])
    changed: EngineSignature = dataclasses.replace(signature, inputs=tuple(inputs))
    return damage.with_fields(data, signature=changed)


_DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "format_version": (lambda data: damage.with_fields(data, format_version=2), "version"),
    "ral_version": (lambda data: damage.with_fields(data, ral_version=99), "version"),
    "content_hash": (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "hash"),
    "section_hash": (_wrong_section, "hash"),
    "empty": (lambda data: b"", "corrupt"),
    "no_code_for_any_processor": (lambda data: damage.with_fields(data, isa_levels=()), "isa"),
    "code_for_a_later_processor": (lambda data: damage.with_fields(data, isa_levels=(5,)), "isa"),
    "backend": (lambda data: damage.with_fields(data, backend="nobody"), "backend"),
    "no_executable": (lambda data: damage.with_fields(data, sections={}), "corrupt"),
    "executable_cut": (
        lambda data: damage.with_fields(data, sections={"elf": read_engine(data).sections["elf"][:4096]}),
        "load",
    ),
    "dtype": (lambda data: _with_first_data_input(data, lambda item: dataclasses.replace(item, dtype=2)), "dtype"),
    "rank": (
        lambda data: _with_first_data_input(data, lambda item: dataclasses.replace(item, dims=item.dims[:-1])),
        "rank",
    ),
    "fixed_dimension": (
        lambda data: _with_first_data_input(
            data, lambda item: dataclasses.replace(item, dims=(*item.dims[:-1], (("const", 4),)))
        ),
        "shape",
    ),
    "init_error": (lambda data: damage.failing(data, init="BLADE_ERROR"), "init_error"),
    "init_no_memory": (lambda data: damage.failing(data, init="BLADE_NO_MEMORY"), "no_memory"),
    "init_unknown_result": (lambda data: damage.failing(data, init="99"), "init_error"),
    "run_error": (lambda data: damage.failing(data, run="BLADE_ERROR"), "engine_error"),
    "run_guard": (lambda data: damage.failing(data, run="BLADE_GUARD"), "guard"),
    "run_no_memory": (lambda data: damage.failing(data, run="BLADE_NO_MEMORY"), "no_memory"),
    "run_unknown_result": (lambda data: damage.failing(data, run="99"), "run_error"),
    "run_without_outputs": (damage.failing, "run_error"),
}


class DamagedEngineTest(parameterized.TestCase):
    source: Path
    feeds: Mapping[str, np.ndarray]
    expected: dict[str, Any]
    served: dict[str, Any]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.source, _ = kit.optimized(_MODEL)
        cls.feeds = zoo.get(_MODEL).example()["serving_default"]
        cls.expected = _serve(zoo.saved(_MODEL), cls.feeds)
        runtime.reset_runtime_stats()
        cls.served = _serve(cls.source, cls.feeds)

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path) / "damaged"
        runtime.reset_runtime_stats()

    def fallbacks_of(self, change: Callable[[bytes], bytes]) -> dict[str, int]:
        """Serves the changed model, whose results must be TensorFlow's; gives the reasons counted."""
        folder = damage.rewritten(self.source, self.folder, change)
        self.assert_tensorflow(_serve(folder, self.feeds))
        served, fallbacks = kit.engine_counters()
        self.assertEqual(sum(served.values()), 0)
        runtime.reset_runtime_stats()
        return fallbacks

    def assert_tensorflow(self, found: Mapping[str, Any]) -> None:
        # The fallback is the original subgraph: not the engine's numbers, which differ in the last bits.
        self.assertEqual(set(found), set(self.expected))
        for name, value in self.expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-6, atol=1e-7, err_msg=name)

    def test_the_engine_as_it_is_runs(self) -> None:
        damage.rewritten(self.source, self.folder, lambda data: data)
        self.assertLessEqual(kit.largest_error(self.expected, _serve(self.folder, self.feeds)), kit.TOLERANCE)
        served, fallbacks = kit.engine_counters()
        self.assertEqual((sum(served.values()), fallbacks), (1, {}))

    def test_engine_bytes_flipped_at_200_places(self) -> None:
        generator = random.Random(200)
        (size,) = {len(data) for data in damage.engines(self.source)}
        # Metadata is a small part of the file, and the part where a flip could do harm unseen.
        places = [generator.randrange(600) for _ in range(60)] + [generator.randrange(size) for _ in range(140)]
        for place in places:
            bit = 1 << generator.randrange(8)

            def flip(data: bytes, place: int = place, bit: int = bit) -> bytes:
                return data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]

            reasons = self.fallbacks_of(flip)
            self.assertEqual(sum(reasons.values()), 1, f"byte {place}, bit {bit}")
            self.assertLessEqual(set(reasons), _FOUND_ON_LOADING, f"byte {place}, bit {bit}")

    def test_engine_truncated(self) -> None:
        generator = random.Random(20)
        (size,) = {len(data) for data in damage.engines(self.source)}
        for keep in (
            0,
            1,
            7,
            8,
            31,
            32,
            size - 33,
            size - 32,
            size - 1,
            *(generator.randrange(size) for _ in range(20)),
        ):
            reasons = self.fallbacks_of(lambda data, keep=keep: data[:keep])  # type: ignore[misc]
            self.assertEqual(sum(reasons.values()), 1, f"{keep} bytes")
            self.assertLessEqual(set(reasons), _FOUND_ON_LOADING, f"{keep} bytes")

    @parameterized.named_parameters((name, name) for name in _DAMAGES)
    def test_damage(self, name: str) -> None:
        change, reason = _DAMAGES[name]
        self.assertEqual(self.fallbacks_of(change), {reason: 1})

    def test_the_next_engine_of_the_list_serves(self) -> None:
        message = damage.parse(self.source)
        for node in damage.engine_nodes(message):
            (good,) = node.attr["engines"].list.s
            node.attr["engines"].list.s[:] = [good[:-1], damage.failing(good, run="BLADE_ERROR"), good]
        damage.rewritten(self.source, self.folder, lambda data: data)
        (self.folder / "saved_model.pb").write_bytes(message.SerializeToString())
        self.assertLessEqual(kit.largest_error(self.expected, _serve(self.folder, self.feeds)), kit.TOLERANCE)
        served, fallbacks = kit.engine_counters()
        self.assertEqual((sum(served.values()), fallbacks), (1, {}))

    def test_processor_limited_by_environment(self) -> None:
        # Another build's file: an engine that this process loaded before would stay loaded.
        with mock.patch.dict(os.environ, {"TF_BLADE_MAX_ISA": "2"}):
            reasons = self.fallbacks_of(lambda data: damage.with_fields(data, backend_version="limited"))
        self.assertEqual(reasons, {"isa": 1})


class HandEditedModelTest(absltest.TestCase):
    """The graph around the engine is changed after the engine was built."""

    def setUp(self) -> None:
        super().setUp()
        folder = Path(self.create_tempdir().full_path)
        self.original, self.optimized = folder / "original", folder / "optimized"
        with tf.Graph().as_default(), v1.Session() as session:
            x = v1.placeholder(tf.float32, [None, 8], name="x")
            y = tf.tanh(x) * tf.exp(-x * x) + tf.nn.softplus(x)
            inputs, outputs = {"x": x}, {"y": y, "sum": tf.reduce_sum(y, axis=-1)}
            v1.saved_model.simple_save(session, str(self.original), inputs=inputs, outputs=outputs)
        options: dict[str, Any] = {"min_cluster_nodes": 1, "min_cluster_gain_us": -1e9, "isas": kit.host_isas()}
        report = tf_blade.optimize_saved_model(self.original, self.optimized, verify=False, **options)
        self.assertEqual(report.totals.engines, 1)
        self.edit(self.original)
        self.edit(self.optimized)
        runtime.reset_runtime_stats()

    def edit(self, folder: Path) -> None:
        """The placeholder takes any shape."""
        message = damage.parse(folder)
        for node in message.meta_graphs[0].graph_def.node:
            node.attr.pop("_output_shapes", None)
            if node.op == "Placeholder":
                node.attr["shape"].shape.Clear()
                node.attr["shape"].shape.unknown_rank = True
        for signature in message.meta_graphs[0].signature_def.values():
            for info in (*signature.inputs.values(), *signature.outputs.values()):
                info.tensor_shape.Clear()
                info.tensor_shape.unknown_rank = True
        (folder / "saved_model.pb").write_bytes(message.SerializeToString())

    def check(self, shape: tuple[int, ...], reasons: dict[str, int]) -> None:
        feeds = {"x": np.random.default_rng(1).standard_normal(shape).astype(np.float32)}
        expected, found = _serve(self.original, feeds), _serve(self.optimized, feeds)
        self.assertLessEqual(kit.largest_error(expected, found), kit.TOLERANCE)
        served, fallbacks = kit.engine_counters()
        self.assertEqual((sum(served.values()), fallbacks), (0 if reasons else 1, reasons))

    def test_the_shape_it_was_built_for(self) -> None:
        self.check((3, 8), {})

    def test_another_rank(self) -> None:
        self.check((2, 3, 8), {"rank": 1})

    def test_a_vector(self) -> None:
        self.check((8,), {"rank": 1})

    def test_another_fixed_dimension(self) -> None:
        self.check((3, 9), {"shape": 1})


if __name__ == "__main__":
    absltest.main()
