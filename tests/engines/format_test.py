"""The engine file: writing and reading, here and in the runtime, and everything that must be refused."""

from __future__ import annotations

import contextlib
import dataclasses
import struct

import hypothesis
from absl.testing import absltest, parameterized
from hypothesis import strategies as st

from tests.engines.example import EXAMPLE
from tf_blade.engines import format as engine_format
from tf_blade.engines.format import EngineFile, read_engine, seal, write_engine
from tf_blade.engines.signature import UNKNOWN, EngineInput, EngineOutput, EngineSignature, SymbolInfo
from tf_blade.errors import EngineFormatError


def _programs(num_symbols: int) -> st.SearchStrategy[tuple[tuple[str, int], ...]]:
    numbers = st.integers(-(2**63), 2**63 - 1)
    leaf = numbers.map(lambda value: (("const", value),))
    if num_symbols:
        leaf = leaf | st.integers(0, num_symbols - 1).map(lambda index: (("sym", index),))
    binary = st.sampled_from(["add", "sub", "mul", "floordiv", "mod", "max", "min", "bcast"])

    def combine(
        inner: st.SearchStrategy[tuple[tuple[str, int], ...]],
    ) -> st.SearchStrategy[tuple[tuple[str, int], ...]]:
        return st.tuples(inner, inner, binary).map(lambda item: (*item[0], *item[1], (item[2], 0)))

    return st.just(UNKNOWN) | st.recursive(leaf, combine, max_leaves=6)


@st.composite
def _engines(draw: st.DrawFn) -> EngineFile:
    names = st.text(max_size=8)
    symbols = draw(
        st.lists(st.builds(SymbolInfo, names, st.integers(0, 9), st.none() | st.integers(9, 99)), max_size=3)
    )
    dims = st.lists(_programs(len(symbols)), max_size=3).map(tuple)
    kinds = st.sampled_from(["data", "weight"])
    inputs = draw(st.lists(st.builds(EngineInput, names, st.integers(1, 23), dims, kinds), max_size=4))
    outputs = draw(st.lists(st.builds(EngineOutput, names, st.integers(1, 23), dims), max_size=3))
    return EngineFile(
        backend=draw(names),
        backend_version=draw(names),
        signature=EngineSignature(tuple(symbols), tuple(inputs), tuple(outputs)),
        cluster_hash=draw(st.binary(min_size=32, max_size=32)),
        sections=draw(st.dictionaries(names, st.binary(max_size=200), max_size=3)),
        isa_levels=tuple(draw(st.lists(st.integers(0, 9), max_size=3))),
    )


class FormatTest(parameterized.TestCase):
    def test_round_trip(self) -> None:
        self.assertEqual(read_engine(write_engine(EXAMPLE)), EXAMPLE)

    @hypothesis.given(_engines())
    @hypothesis.settings(deadline=None, max_examples=200)
    def test_any_engine_round_trips(self, engine: EngineFile) -> None:
        data = write_engine(engine)
        self.assertEqual(read_engine(data), engine)
        self.assertEqual(write_engine(read_engine(data)), data)

    def test_sections_are_aligned(self) -> None:
        data = write_engine(EXAMPLE)
        self.assertEqual(data.index(b"codecode") % 64, 0)

    def test_every_flipped_bit_is_noticed(self) -> None:
        data = write_engine(EXAMPLE)
        for position in range(len(data)):
            altered = bytearray(data)
            altered[position] ^= 1 << position % 8
            with self.assertRaises(EngineFormatError):
                read_engine(bytes(altered))

    def test_every_truncation_is_noticed(self) -> None:
        data = write_engine(EXAMPLE)
        for size in range(len(data)):
            with self.assertRaises(EngineFormatError):
                read_engine(data[:size])

    @hypothesis.given(st.data())
    @hypothesis.settings(deadline=None, max_examples=300)
    def test_malformed_content_with_a_right_hash_raises_nothing_else(self, data: st.DataObject) -> None:
        content = bytearray(write_engine(EXAMPLE)[:-32])
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(8, len(content) - 1))] = data.draw(st.integers(0, 255))
        with contextlib.suppress(EngineFormatError):
            read_engine(seal(bytes(content)))

    @parameterized.parameters(
        ((("add", 0),),),
        ((("const", 1), ("const", 2)),),
        ((("sym", 2),),),
        ((("sym", -1),),),
        ((("what", 0),),),
        ((("const", 1 << 64),),),
        (tuple([("const", 1)] * 40 + [("add", 0)] * 39),),
    )
    def test_bad_program_is_not_written(self, program: tuple[tuple[str, int], ...]) -> None:
        signature = dataclasses.replace(EXAMPLE.signature, outputs=(EngineOutput("y", 1, (program,)),))
        with self.assertRaises(EngineFormatError):
            write_engine(dataclasses.replace(EXAMPLE, signature=signature))

    def test_bad_cluster_hash_is_not_written(self) -> None:
        with self.assertRaises(EngineFormatError):
            write_engine(dataclasses.replace(EXAMPLE, cluster_hash=b"short"))

    def test_a_section_beyond_the_file_is_refused(self) -> None:
        data = write_engine(EXAMPLE)
        position = data.index(b"elf") + len("elf")
        for value in (0, 64 << 40, 2**64 - 64, len(data)):
            content = data[:position] + struct.pack("<Q", value) + data[position + 8 : -32]
            with self.assertRaisesRegex(EngineFormatError, "outside"):
                read_engine(seal(content))

    def test_content_hash_names_the_file(self) -> None:
        data = write_engine(EXAMPLE)
        self.assertEqual(engine_format.content_hash(data), data[-32:])


if __name__ == "__main__":
    absltest.main()
