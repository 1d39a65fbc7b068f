"""The engine ops that a SavedModel holds: what each engine is, takes and gives, and whether it runs on this machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from tf_blade import runtime
from tf_blade.dtypes import DType
from tf_blade.engines.format import EngineFile, content_hash, read_engine
from tf_blade.engines.plan import PLAN_DATA_SECTION
from tf_blade.engines.plan_sizes import profile_text, read_plan_sizes
from tf_blade.engines.scratch import SCRATCH_SECTION, read_scratch
from tf_blade.engines.signature import EngineInput, SymbolInfo
from tf_blade.errors import EngineFormatError
from tf_blade.report import text
from tf_blade.symbolic import DimProgram

_INFIX = {"add": ("+", 1), "sub": ("-", 1), "mul": ("*", 2), "floordiv": ("//", 2), "mod": ("%", 2)}
_FUNCTIONS = {"max": "max", "min": "min", "bcast": "broadcast"}
_ATOM = 3
NOT_BUILT_FOR_TENSORRT = (
    "the op library here was built without TENSORRT_HOME; the next engine serves, or TensorFlow (docs/tensorrt.md)"
)


@dataclasses.dataclass
class EngineFileReport:
    """One engine of an engine op.

    Attributes:
        backend: which made it; "" when the file cannot be read.
        backend_version: of that backend.
        ral_version: version of the interface between engine and runtime.
        targets: instruction set levels and compute capabilities it has code for.
        cluster_hash: of what was compiled, hexadecimal.
        hash: of the file's content, hexadecimal, as statistics and logs name the engine.
        bytes: size of the file.
        sections: name and size of each.
        symbols: unknown dimensions, with their ranges where they have one.
        inputs: name, dtype and shape of each; the first symbol of a name binds it.
        outputs: the same.
        profiles: of a TensorRT plan, the sizes that each of its profiles takes.
        scratch: formula of the bytes that each call in flight plans for its intermediate values, at most; kernels need
            some more while they run, for each thread. "" where the file does not say.
        output_bytes: formula of the bytes of its outputs; "?" where a dimension is found while it runs.
        signers: the keys that signed it, "ed25519:" and the public key in hexadecimal, and whether the signature is
            right; whether this process trusts them does not matter.
        refused: why the runtime on this machine would not load it; "" when it would.
    """

    backend: str = ""
    backend_version: str = ""
    ral_version: int = 0
    targets: list[str] = dataclasses.field(default_factory=list)
    cluster_hash: str = ""
    hash: str = ""
    bytes: int = 0
    sections: dict[str, int] = dataclasses.field(default_factory=dict)
    symbols: list[str] = dataclasses.field(default_factory=list)
    inputs: list[str] = dataclasses.field(default_factory=list)
    outputs: list[str] = dataclasses.field(default_factory=list)
    profiles: list[str] = dataclasses.field(default_factory=list)
    scratch: str = ""
    output_bytes: str = ""
    signers: dict[str, bool] = dataclasses.field(default_factory=dict)
    refused: str = ""


@dataclasses.dataclass
class EngineOpReport:
    """One BladeEngineOp, or a portable call that becomes one.

    Attributes:
        name: the cluster's.
        function: the function body it is in, "" for the main graph.
        node: the op's name there.
        fallback: the function that runs when no engine does.
        fallback_nodes: number of nodes of the fallback; 0 when the function is missing.
        ops: how many of them there are of each op.
        engines: in order of preference.
        portable: whether TensorFlow without the op library runs it too.
    """

    name: str
    function: str
    node: str
    fallback: str
    fallback_nodes: int
    ops: dict[str, int]
    engines: list[EngineFileReport]
    portable: bool = False


def engine_file_report(data: bytes) -> EngineFileReport:
    """What an engine file says about itself, and whether the runtime takes it."""
    refused = runtime.check_engine(data) or ""
    try:
        engine = read_engine(data)
    except EngineFormatError as error:
        return EngineFileReport(bytes=len(data), refused=refused or f"unreadable: {error}")
    names = [item.name for item in engine.signature.symbols]
    return EngineFileReport(
        backend=engine.backend,
        backend_version=engine.backend_version,
        ral_version=engine.ral_version,
        targets=_targets(engine),
        cluster_hash=engine.cluster_hash.hex(),
        hash=content_hash(data).hex(),
        signers=runtime.engine_signers(data),
        bytes=len(data),
        sections={name: len(section) for name, section in engine.sections.items()},
        symbols=[_symbol_text(item) for item in engine.signature.symbols],
        inputs=[_input_text(item, names) for item in engine.signature.inputs],
        outputs=[tensor_text(item.name, item.dtype, item.dims, names) for item in engine.signature.outputs],
        profiles=_profiles(engine),
        scratch=_scratch_text(engine),
        output_bytes=_output_bytes_text(engine, names),
        refused=refused,
    )


def _profiles(engine: EngineFile) -> list[str]:
    data = engine.sections.get(PLAN_DATA_SECTION)
    if data is None:
        return []
    try:
        sizes = read_plan_sizes(data)
    except EngineFormatError as error:
        return [f"unreadable: {error}"]
    return [profile_text(sizes, profile) for profile in sizes.profiles]


def _scratch_text(engine: EngineFile) -> str:
    data = engine.sections.get(SCRATCH_SECTION)
    if data is None:
        return ""
    try:
        program, names = read_scratch(data)
    except EngineFormatError as error:
        return f"unreadable: {error}"
    return program_text(program, names)


def _output_bytes_text(engine: EngineFile, names: Sequence[str]) -> str:
    terms = []
    for item in engine.signature.outputs:
        try:
            size = DType(item.dtype).size
        except ValueError:
            return "?"
        if not all(item.dims):
            return "?"
        product: DimProgram = ()
        for program in item.dims:
            if len(program) == 1 and program[0][0] == "const":
                size *= program[0][1]
            else:
                product = (*product, *program, ("mul", 0)) if product else program
        terms.append(program_text((("const", size), *product, ("mul", 0)) if product else (("const", size),), names))
    return " + ".join(terms) or "0"


def _targets(engine: EngineFile) -> list[str]:
    levels = [f"x86-64-v{level}" if level > 1 else "x86-64" for level in engine.isa_levels]
    return levels + [f"sm_{capability}" for capability in engine.compute_capabilities]


def _symbol_text(item: SymbolInfo) -> str:
    if item.max is not None:
        return f"{item.min} <= {item.name} <= {item.max}"
    return f"{item.name} >= {item.min}" if item.min else item.name


def _input_text(item: EngineInput, names: Sequence[str]) -> str:
    mark = " weight" if item.kind == "weight" else ""
    return tensor_text(item.name, item.dtype, item.dims, names) + mark


def tensor_text(name: str, dtype: int, dims: Iterable[DimProgram], names: Sequence[str]) -> str:
    """A tensor as `tokens: int32[batch, 2*length]`."""
    try:
        kind = DType(dtype).name.lower()
    except ValueError:
        kind = f"dtype {dtype}"
    return f"{name}: {kind}[{', '.join(program_text(program, names) for program in dims)}]"


def program_text(program: DimProgram, names: Sequence[str]) -> str:
    """A dimension's program as a formula; "?" when nothing is known of it."""
    if not program:
        return "?"
    stack: list[tuple[str, int]] = []
    for opcode, operand in program:
        if opcode in ("const", "sym"):
            stack.append((names[operand] if opcode == "sym" else str(operand), _ATOM if operand >= 0 else 0))
            continue
        right, left = stack.pop(), stack.pop()
        stack.append(_joined(opcode, left, right))
    return stack[-1][0]


def _joined(opcode: str, left: tuple[str, int], right: tuple[str, int]) -> tuple[str, int]:
    """Two formulas joined, with parentheses where the order needs them; beside each formula stands how tight it is."""
    if opcode in _FUNCTIONS:
        return f"{_FUNCTIONS[opcode]}({left[0]}, {right[0]})", _ATOM
    sign, tightness = _INFIX[opcode]
    first = left[0] if left[1] >= tightness else f"({left[0]})"
    # a - (b - c), a // (b * c): only a sum of sums and a product of products need none on the right
    associative = opcode == "add" or (opcode == "mul" and "/" not in right[0] and "%" not in right[0])
    second = right[0] if right[1] > tightness or (associative and right[1] == tightness) else f"({right[0]})"
    space = " " if tightness == 1 else ""
    return f"{first}{space}{sign}{space}{second}", tightness


def engine_op_lines(item: EngineOpReport) -> list[str]:
    """An engine op as text."""
    ops = sorted(item.ops.items(), key=lambda pair: (-pair[1], pair[0]))
    lines = [
        f"{item.name} in {item.function or 'the main graph'}, node {item.node}",
        f"  fallback  {item.fallback}, {text.count(item.fallback_nodes, 'node', 'nodes')}:"
        f" {text.first_few([f'{count} {op}' for op, count in ops], 8)}",
    ]
    for number, engine in enumerate(item.engines):
        lines += _engine_lines(number, engine)
    return lines


def _engine_lines(number: int, engine: EngineFileReport) -> list[str]:
    runs = f"this machine refuses it ({engine.refused})" if engine.refused else "runs on this machine"
    if not engine.backend:
        return [f"  engine {number}  {text.size(engine.bytes)}, {runs}"]
    targets = ", ".join(engine.targets) or "any machine"
    lines = [
        f"  engine {number}  {engine.backend} {engine.backend_version} for {targets}, {text.size(engine.bytes)},"
        f" {engine.hash[:12]}, {runs}"
    ]
    parts = {"symbols": engine.symbols, "inputs": engine.inputs, "outputs": engine.outputs}
    lines += [f"    {title:8} {text.first_few(items, 12)}" for title, items in parts.items() if items]
    lines += [f"    profile  {profile}" for profile in engine.profiles]
    if engine.backend == "tensorrt" and engine.refused.startswith("backend: "):
        lines.append(f"    refused  {NOT_BUILT_FOR_TENSORRT}")
    if engine.scratch:
        lines.append(f"    memory   bytes of a call in flight: {engine.scratch}; of its outputs: {engine.output_bytes}")
    lines += [f"    signed   by {key}{'' if right else ': WRONG'}" for key, right in engine.signers.items()]
    return lines
