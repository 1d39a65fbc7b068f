"""An engine file with something in every field."""

from __future__ import annotations

from tf_blade.engines.format import EngineFile
from tf_blade.engines.signature import UNKNOWN, EngineInput, EngineOutput, EngineSignature, SymbolInfo

SIGNATURE = EngineSignature(
    symbols=(SymbolInfo("batch", 1, None), SymbolInfo("length", 0, 512)),
    inputs=(
        EngineInput("tokens", 3, ((("sym", 0),), (("sym", 1),))),
        EngineInput("café", 1, ((("const", 768),),), "weight"),
        EngineInput("scalar", 1, ()),
    ),
    outputs=(
        EngineOutput("a", 1, ((("sym", 0), ("const", 2), ("mul", 0)), (("const", -3), ("sym", 1), ("add", 0)))),
        EngineOutput("b", 9, (UNKNOWN,)),
    ),
)
EXAMPLE = EngineFile(
    backend="disc",
    backend_version="1.2",
    signature=SIGNATURE,
    cluster_hash=bytes(range(32)),
    sections={"elf": b"code" * 37, "empty": b"", "source": b"x"},
    isa_levels=(3, 4),
    compute_capabilities=(80, 90),
)
