r"""The engine file: what an element of BladeEngineOp's attribute `engines` holds.

Little-endian, without padding except before sections; `str` is a u16 length and bytes, UTF-8 by custom:

    magic "TFBLADE\x1a" | u32 format version | u32 flags (0) | u64 size of the file | u32 size of the metadata
    metadata:
        32 bytes  hash of the cluster: nodes, edges and attributes
        str       backend           str  backend version       u32  RAL version
        u32 n, n × i32  instruction set levels     u32 n, n × i32  compute capabilities
        u32 n, n ×  symbol: str name, i64 min, i64 max (-1: none)
        u32 n, n ×  input: str name, i32 dtype, u8 kind (0 data, 1 weight), dims
        u32 n, n ×  output: str name, i32 dtype, dims
        u32 n, n ×  section: str name, u64 offset, u64 size, 32 bytes SHA-256
    sections, each at a multiple of 64, zeros between
    32 bytes SHA-256 of everything before: the content hash, which names the engine

    and behind it, where it is signed (the size above does not count this; see signing.py):
    magic "TFBSIGN\x1a" | u32 n, n × 32 bytes Ed25519 public key, 64 bytes signature

    dims: u8 rank, rank × program;  program: u16 length, length × (u8 opcode, i64 operand)

The same content gives the same bytes. Reading trusts nothing: every size is checked, a changed bit is noticed. The
runtime's reader is custom_ops/runtime/engine_file.cc; both are tested on the same files.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tf_blade.engines.signature import EngineInput, EngineOutput, EngineSignature, SymbolInfo
from tf_blade.errors import EngineFormatError
from tf_blade.symbolic import DimProgram

MAGIC = b"TFBLADE\x1a"
FORMAT_VERSION = 1
RAL_VERSION = 2
MAX_RANK = 32
_DIGEST = 32
_ALIGNMENT = 64
_FIXED_HEADER = struct.Struct("<8sIIQI")
_MAX_SIZE = 1 << 31
_OPCODES = ("const", "sym", "add", "sub", "mul", "floordiv", "mod", "max", "min", "bcast")
_OPCODE_NUMBER = {name: number for number, name in enumerate(_OPCODES)}
_MAX_DEPTH = 32
_MAX_PROGRAM = 4096
# The reader's limits on counts, the same as the runtime's.
_LIMITS = {"targets": 64, "symbols": 4096, "tensors": 65536, "sections": 64, "signers": 16}
_SIGNERS_MAGIC = b"TFBSIGN\x1a"
_KEY, _SIGNATURE = 32, 64

_T = TypeVar("_T")


@dataclass(frozen=True)
class Signer:
    """Who signed an engine, as the file says: the 32 bytes of an Ed25519 public key, and the 64 of its signature."""

    key: bytes
    signature: bytes


@dataclass(frozen=True)
class EngineFile:
    """An engine as it is stored.

    Attributes:
        cluster_hash: 32 bytes that identify what was compiled.
        sections: what the backend needs at run time, by name; "elf" for DISC.
        signers: whoever signed it; nothing here says whether the signatures are right.
    """

    backend: str
    backend_version: str
    signature: EngineSignature
    cluster_hash: bytes
    sections: dict[str, bytes]
    isa_levels: tuple[int, ...] = ()
    compute_capabilities: tuple[int, ...] = ()
    ral_version: int = RAL_VERSION
    format_version: int = field(default=FORMAT_VERSION, compare=False)
    signers: tuple[Signer, ...] = ()


def write_engine(engine: EngineFile) -> bytes:
    """The engine's bytes.

    Raises:
        EngineFormatError: the content is not one that readers accept.
    """
    if len(engine.cluster_hash) != _DIGEST:
        raise EngineFormatError("the cluster's hash must have 32 bytes")
    try:
        # The table's size does not depend on the offsets in it, so a first layout gives the metadata's size.
        metadata_size = len(_metadata(engine, 0))
        metadata = _metadata(engine, _FIXED_HEADER.size + metadata_size)
    except struct.error as error:
        raise EngineFormatError(f"a number is out of range: {error}") from error
    body = bytearray(metadata)
    for data in engine.sections.values():
        body.extend(bytes(-(_FIXED_HEADER.size + len(body)) % _ALIGNMENT))
        body.extend(data)
    size = _FIXED_HEADER.size + len(body) + _DIGEST
    header = _FIXED_HEADER.pack(MAGIC, engine.format_version, 0, size, metadata_size)
    return seal(header + bytes(body)) + write_signers(engine.signers)


def seal(content: bytes) -> bytes:
    """The content with its hash behind it."""
    return content + hashlib.sha256(content).digest()


def write_signers(signers: Sequence[Signer]) -> bytes:
    """What follows a signed file's content hash; nothing when nobody signed.

    Raises:
        EngineFormatError: there are too many.
    """
    if not signers:
        return b""
    _limit("signers", signers)
    return _SIGNERS_MAGIC + struct.pack("<I", len(signers)) + b"".join(item.key + item.signature for item in signers)


def _metadata(engine: EngineFile, first_offset: int) -> bytes:
    symbols = engine.signature.symbols
    parts = [engine.cluster_hash, _string(engine.backend), _string(engine.backend_version)]
    parts.append(struct.pack("<I", engine.ral_version))
    for targets in (engine.isa_levels, engine.compute_capabilities):
        _limit("targets", targets)
        parts.append(struct.pack(f"<I{len(targets)}i", len(targets), *targets))
    _limit("symbols", symbols)
    parts.append(struct.pack("<I", len(symbols)))
    for symbol in symbols:
        parts.append(_string(symbol.name) + struct.pack("<qq", symbol.min, -1 if symbol.max is None else symbol.max))
    parts.append(_tensors(engine.signature))
    _limit("sections", engine.sections)
    parts.append(struct.pack("<I", len(engine.sections)))
    offset = first_offset
    for name, data in engine.sections.items():
        offset += -offset % _ALIGNMENT
        parts.append(_string(name) + struct.pack("<QQ", offset, len(data)) + hashlib.sha256(data).digest())
        offset += len(data)
    return b"".join(parts)


def _tensors(signature: EngineSignature) -> bytes:
    num_symbols = len(signature.symbols)
    _limit("tensors", signature.inputs)
    _limit("tensors", signature.outputs)
    parts = [struct.pack("<I", len(signature.inputs))]
    for item in signature.inputs:
        parts.append(_string(item.name) + struct.pack("<iB", item.dtype, item.kind == "weight"))
        parts.append(_dims(item.dims, num_symbols))
    parts.append(struct.pack("<I", len(signature.outputs)))
    for output in signature.outputs:
        parts.append(_string(output.name) + struct.pack("<i", output.dtype))
        parts.append(_dims(output.dims, num_symbols))
    return b"".join(parts)


def _limit(what: str, items: Any) -> None:
    if len(items) > _LIMITS[what]:
        raise EngineFormatError(f"too many {what}: {len(items)}")


def _string(text: str) -> bytes:
    raw = text.encode(errors="surrogateescape")
    if len(raw) > 0xFFFF:
        raise EngineFormatError(f"a name is too long: {text[:40]}…")
    return struct.pack("<H", len(raw)) + raw


def _dims(dims: tuple[DimProgram, ...], num_symbols: int) -> bytes:
    if len(dims) > MAX_RANK:
        raise EngineFormatError(f"rank {len(dims)} is beyond {MAX_RANK}")
    parts = [struct.pack("<B", len(dims))]
    for program in dims:
        check_program(program, num_symbols)
        parts.append(struct.pack("<H", len(program)))
        parts.extend(struct.pack("<Bq", _OPCODE_NUMBER[opcode], operand) for opcode, operand in program)
    return b"".join(parts)


def check_program(program: DimProgram, num_symbols: int) -> None:
    """Checks that a dimension's program can run; an empty one means that nothing is known.

    Raises:
        EngineFormatError: it cannot.
    """
    depth = 0
    for opcode, operand in program:
        if opcode not in _OPCODE_NUMBER:
            raise EngineFormatError(f"unknown opcode '{opcode}'")
        if opcode == "sym" and not 0 <= operand < num_symbols:
            raise EngineFormatError(f"symbol {operand} of {num_symbols}")
        is_leaf = opcode in ("const", "sym")
        if not is_leaf and depth < 2:
            raise EngineFormatError("an opcode lacks operands")
        depth += 1 if is_leaf else -1
        if depth > _MAX_DEPTH:
            raise EngineFormatError("a program is too deep")
    if len(program) > _MAX_PROGRAM or (program and depth != 1):
        raise EngineFormatError("a program is too long or leaves more than one value")


class _Reader:
    """Bounds-checked reading."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.position:
            raise EngineFormatError("the metadata is cut short")
        self.position += size
        return self.data[self.position - size : self.position]

    def number(self, code: str) -> int:
        layout = struct.Struct("<" + code)
        return int(layout.unpack(self.take(layout.size))[0])

    def string(self) -> str:
        return self.take(self.number("H")).decode(errors="surrogateescape")

    def many(self, what: str, read: Callable[[], _T]) -> tuple[_T, ...]:
        count = self.number("I")
        if count > _LIMITS[what]:
            raise EngineFormatError(f"too many {what}: {count}")
        return tuple(read() for _ in range(count))

    def targets(self) -> tuple[int, ...]:
        return self.many("targets", lambda: self.number("i"))

    def symbol(self) -> SymbolInfo:
        name, low, high = self.string(), self.number("q"), self.number("q")
        return SymbolInfo(name, low, None if high < 0 else high)

    def program(self, num_symbols: int) -> DimProgram:
        program: list[tuple[str, int]] = []
        for _ in range(self.number("H")):
            opcode, operand = self.number("B"), self.number("q")
            if opcode >= len(_OPCODES):
                raise EngineFormatError(f"unknown opcode {opcode}")
            program.append((_OPCODES[opcode], operand))
        check_program(tuple(program), num_symbols)
        return tuple(program)

    def dims(self, num_symbols: int) -> tuple[DimProgram, ...]:
        rank = self.number("B")
        if rank > MAX_RANK:
            raise EngineFormatError(f"rank {rank} is beyond {MAX_RANK}")
        return tuple(self.program(num_symbols) for _ in range(rank))

    def input(self, num_symbols: int) -> EngineInput:
        name, dtype, kind = self.string(), self.number("i"), self.number("B")
        if kind > 1:
            raise EngineFormatError(f"unknown kind of input {kind}")
        return EngineInput(name, dtype, self.dims(num_symbols), "weight" if kind else "data")

    def output(self, num_symbols: int) -> EngineOutput:
        return EngineOutput(self.string(), self.number("i"), self.dims(num_symbols))

    def signer(self) -> Signer:
        return Signer(self.take(_KEY), self.take(_SIGNATURE))

    def section(self) -> tuple[str, int, int, bytes]:
        return self.string(), self.number("Q"), self.number("Q"), self.take(_DIGEST)


def read_engine(data: bytes) -> EngineFile:
    """Parses an engine file, trusting nothing in it.

    Raises:
        EngineFormatError: it is malformed, altered or of another version.
    """
    begin, size = _check_envelope(data)
    signers = _read_signers(data[size:])
    data = data[:size]
    reader = _Reader(data[_FIXED_HEADER.size : begin])
    cluster_hash, backend, backend_version = reader.take(_DIGEST), reader.string(), reader.string()
    ral_version, isa_levels, compute_capabilities = reader.number("I"), reader.targets(), reader.targets()
    symbols = reader.many("symbols", reader.symbol)
    inputs = reader.many("tensors", lambda: reader.input(len(symbols)))
    outputs = reader.many("tensors", lambda: reader.output(len(symbols)))
    sections: dict[str, bytes] = {}
    for name, offset, size, digest in reader.many("sections", reader.section):
        end = len(data) - _DIGEST
        if offset % _ALIGNMENT or not begin <= offset <= end or size > end - offset:
            raise EngineFormatError("a section lies outside of the file")
        sections[name] = data[offset : offset + size]
        if hashlib.sha256(sections[name]).digest() != digest:
            raise EngineFormatError(f"the hash of section '{name}' is wrong")
    if reader.position != len(reader.data):
        raise EngineFormatError("bytes follow the metadata")
    return EngineFile(
        backend=backend,
        backend_version=backend_version,
        signature=EngineSignature(symbols, inputs, outputs),
        cluster_hash=cluster_hash,
        sections=sections,
        isa_levels=isa_levels,
        compute_capabilities=compute_capabilities,
        ral_version=ral_version,
        signers=signers,
    )


def _read_signers(data: bytes) -> tuple[Signer, ...]:
    if not data:
        return ()
    reader = _Reader(data)
    if reader.take(len(_SIGNERS_MAGIC)) != _SIGNERS_MAGIC:
        raise EngineFormatError("bytes follow the file")
    signers = reader.many("signers", reader.signer)
    if reader.position != len(data):
        raise EngineFormatError("bytes follow the signatures")
    return signers


def _check_envelope(data: bytes) -> tuple[int, int]:
    """Checks header and content hash; gives the ends of the metadata and of the content hash."""
    if len(data) < _FIXED_HEADER.size + _DIGEST or data[: len(MAGIC)] != MAGIC:
        raise EngineFormatError("this is no engine file")
    _, version, flags, size, metadata_size = _FIXED_HEADER.unpack_from(data)
    if version != FORMAT_VERSION:
        raise EngineFormatError(f"format version {version}, this reads {FORMAT_VERSION}")
    room = size - _FIXED_HEADER.size - _DIGEST
    if flags or size > len(data) or size > _MAX_SIZE or metadata_size > room:
        raise EngineFormatError("the header does not fit the file")
    if hashlib.sha256(data[: size - _DIGEST]).digest() != data[size - _DIGEST : size]:
        raise EngineFormatError("the content hash is wrong")
    return int(_FIXED_HEADER.size + metadata_size), int(size)


def without_signers(data: bytes) -> bytes:
    """A well-formed engine file as it was before it was signed."""
    return data[: _FIXED_HEADER.unpack_from(data)[3]]


def content_hash(data: bytes) -> bytes:
    """The content hash of a well-formed engine file, by which statistics and logs name it."""
    return without_signers(data)[-_DIGEST:]
