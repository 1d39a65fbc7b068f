"""The section of an engine file that says how much memory a call plans for its intermediate values."""

from __future__ import annotations

import json

from tf_blade.engines.format import check_program
from tf_blade.errors import EngineFormatError
from tf_blade.symbolic import Dim, DimProgram, free_symbols, to_rpn

SCRATCH_SECTION = "scratch"


def write_scratch(size: Dim) -> bytes:
    """The section's content: a program over names of symbols, as JSON.

    Symbols that are no inputs' dimensions stand for sizes that the engine finds while it runs.
    """
    names = sorted({str(item.name) for item in free_symbols([size])})
    return json.dumps({"symbols": names, "program": to_rpn(size, names)}).encode()


def read_scratch(data: bytes) -> tuple[DimProgram, tuple[str, ...]]:
    """The program, and the names of its symbols.

    Raises:
        EngineFormatError: the content is not what `write_scratch` gives.
    """
    try:
        content = json.loads(data)
        names = tuple(str(name) for name in content["symbols"])
        program = tuple((str(opcode), int(operand)) for opcode, operand in content["program"])
    except (ValueError, KeyError, TypeError) as error:
        raise EngineFormatError(f"the section '{SCRATCH_SECTION}' is malformed: {error}") from error
    check_program(program, len(names))
    return program, names
