"""The C++ text of a module: dimensions, constants, kernels, init and run."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable

import numpy as np

from tf_blade.backends.disc.codegen import nested
from tf_blade.backends.disc.codegen.call import Argument, Call, Packed
from tf_blade.backends.disc.codegen.ctypes_ import memory_literal, storage
from tf_blade.backends.disc.codegen.dims import DimTable
from tf_blade.backends.disc.codegen.kernel import WorkSpace
from tf_blade.backends.disc.codegen.memory import ALIGNMENT, Arena
from tf_blade.backends.disc.codegen.program import Definitions, Layout, Program, lay_out, statements, step
from tf_blade.backends.disc.codegen.stages import FAILED, Guards, Stages
from tf_blade.backends.disc.ir.values import Module, Value
from tf_blade.symbolic import Dim, add, free_symbols, num_elements

_INPUT_DATA = re.compile(r"inputs\[(\d+)\]\.data")
HEAVY_EVERY = 16  # light calls between two looks for cancellation


class SourceWriter:
    """Writes one module. `init` and `run` are its programs.

    Attributes:
        bound: indices of the parameters that init reads, known once `text` has been called.
    """

    def __init__(self, module: Module, table: DimTable, guards: Guards, init: Program, run: Program) -> None:
        self.module = module
        self.table = table
        self.guards = guards
        self.stages = Stages(run.calls, table)
        self.init = init
        self.run = run
        self.definitions = Definitions()
        self.constants: dict[bytes, str] = {}
        self.constant_lines: list[str] = []
        self.state: dict[Argument, int] = {}
        self.bound: frozenset[int] = frozenset()
        self.scratch: Dim = 0  # bytes of a run's arenas, at most
        self.within: nested.Places = {}
        init_outputs = {init.resolve(value) for group in init.plan.groups for value in group.outputs}
        for item in [*run.arguments(), *(run.resolve(value) for value in module.results)]:
            if isinstance(item, Packed) or (isinstance(item, Value) and item in init_outputs):
                self.state.setdefault(item, len(self.state))
        self.init_outputs = init_outputs

    def text(self) -> str:
        """The translation unit."""
        run, init = self._run(), self._init()
        parts = [
            f"// Compiled from cluster {self.module.name}.",
            f"// inputs {len(self.module.parameters)} outputs {len(self.module.results)}",
            *includes("\n".join([*self.definitions.texts, *run, *init])),
            "\nnamespace blade {\nnamespace {\n",
            *self._dims(),
            *self.constant_lines,
            "",
            *(f"{text}\n" for text in self.definitions.texts),
            *run,
            "",
            *init,
            "\n}  // namespace\n}  // namespace blade\n",
            'extern "C" int32_t BLADE_INIT(const BladeRal* ral, const BladeTensor* inputs, void** state) {',
            "  return blade::init(ral, inputs, state);\n}",
            'extern "C" int32_t BLADE_RUN(const BladeRal* ral, const void* state, const BladeTensor* inputs) {',
            "  return blade::run(ral, state, inputs);\n}",
        ]
        return "\n".join(parts) + "\n"

    # --- dimensions -----------------------------------------------------------------------------------------------
    def _dims(self) -> list[str]:
        shapes = [value.shape for op in self.module.all_ops() for value in op.results]
        dynamic = dict.fromkeys(dim for shape in shapes for dim in shape if not isinstance(dim, int))
        sized = {symbol for value in self.module.parameters for symbol in free_symbols(value.shape)}
        # A parameter without elements may have any other dimensions, so it proves no product of them possible.
        given = {value.shape for value in self.module.parameters}
        computed = [shape for shape in dict.fromkeys(shapes) if free_symbols(shape) and shape not in given]
        elements = [symbol for symbol in free_symbols(list(dynamic)) if symbol not in sized]
        for dim in [*dynamic, *elements]:
            self.table.field(dim)
        members = [f"  int64_t {name};  // {comment}" for name, _, comment in self.table.lines()]
        lines = ["struct Dims {", *(members or ["  int64_t none;"]), "};\n"]
        for stage in range(self.stages.count):
            limits = self.stages.limits(stage, elements, computed)
            lines += self.stages.derive(stage, list(dynamic), self.guards, limits)
        return lines

    def _constant(self, value: Value) -> str:
        array = np.ascontiguousarray(value.op.attrs["array"])
        key = array.dtype.str.encode() + b":" + str(value.dtype).encode() + b":" + array.tobytes()
        name = self.constants.get(key)
        if name is None:
            name = f"constant{len(self.constants)}"
            self.constants[key] = name
            items = [memory_literal(item, value.dtype) for item in array.reshape(-1)] or ["0"]
            if not array.size:
                items = [memory_literal(np.zeros((), array.dtype)[()], value.dtype)]
            rows = [", ".join(items[i : i + 12]) for i in range(0, len(items), 12)]
            joined = ",\n    ".join(rows)
            self.constant_lines.append(f"alignas(64) const {storage(value.dtype)} {name}[] = {{\n    {joined}}};")
        return name

    # --- run ------------------------------------------------------------------------------------------------------
    def _run(self) -> list[str]:
        outputs = self._outputs()
        kept = {item for item in self.state if isinstance(item, Value)}
        self.within, copies = nested.find(self.run, self._early(outputs), kept)
        copied = {self.run.resolve(value) for value in self.module.results} - set(outputs)
        layout = lay_out(self.run, {*outputs, *self.within, *kept}, lambda dim: self.stages.of((dim,)), copied)
        self.scratch = add(*(add(arena.most(), ALIGNMENT) for arena in layout.arenas.values()))
        lines = [
            "int32_t run(const BladeRal* ral, const void* state_pointer, const BladeTensor* inputs) {",
            "  Dims d;",
            "  if (const char* why = bind(inputs, d)) {",
            "    ral->set_error(ral->context, why);",
            "    return BLADE_GUARD;",
            "  }",
            "  void* const* const state = static_cast<void* const*>(state_pointer);",
            "  (void)state;",
            "  int32_t error = 0;",
            "  int32_t code = BLADE_OK;",
            *self.stages.declarations(),
            *self._enter(0, layout),
        ]

        def pointer(item: Argument) -> str:
            return self._pointer(item, outputs, layout)

        light = 0
        for call in self.run.calls:
            if id(call) in copies:
                continue
            light += 1
            if call.heavy or light >= HEAVY_EVERY:
                light = 0
                lines.append("  if (ral->cancelled(ral->context)) return BLADE_CANCELLED;")
            lines += self._step(call, pointer)
            if call.found:
                stage = self.stages.after(call)
                lines += [*FAILED, *self.stages.take(call), *self._enter(stage, layout)]
        lines += self._copies(outputs, layout)
        lines += self._epilogue()
        return lines

    def _step(self, call: Call, pointer: Callable[[Argument], str]) -> list[str]:
        """A call. What finds dimensions leaves them in a variable of run, so it stays there."""
        if not call.found:
            return [f"  {step(call, pointer, self.definitions)}", "  if (code != BLADE_OK) return code;"]
        texts = statements(call, pointer, self.definitions)
        inner = [f"    {text}" for text in texts]
        if any("code = " in text for text in texts):
            inner.append("    if (code != BLADE_OK) return code;")
        return ["  {", *inner, "  }"]

    @staticmethod
    def _epilogue() -> list[str]:
        return [*FAILED, "  return code;", "}"]

    def _enter(self, stage: int, layout: Layout) -> list[str]:
        """What can be had once the dimensions of a stage are known: outputs and memory of such sizes."""
        return [*self._allocate_outputs(stage), *self._arena(layout, stage)]

    def _outputs(self) -> dict[Value, int]:
        """The output into whose buffer a computed value goes; others are copied at the end."""
        produced = {self.run.resolve(v) for group in self.run.plan.groups for v in group.outputs}
        # An op of several results (topk) writes them all.
        produced.update(v for item in list(produced) for v in item.op.results)
        found: dict[Value, int] = {}
        for number, value in enumerate(self.module.results):
            root = self.run.resolve(value)
            if root in produced and self.stages.of(value.shape) <= self.stages.of(root.shape):
                found.setdefault(root, number)
        return found

    def _early(self, outputs: dict[Value, int]) -> dict[Value, int]:
        """The outputs whose memory is there before the first call."""
        return {value: number for value, number in outputs.items() if self.stages.of(value.shape) == 0}

    def _allocate_outputs(self, stage: int) -> list[str]:
        lines = []
        for number, value in enumerate(self.module.results):
            if self.stages.of(value.shape) != stage:
                continue
            dims = ", ".join(self.table.c(dim) for dim in value.shape)
            shape = f"dims{number}" if value.rank else "nullptr"
            if value.rank:
                lines.append(f"  const int64_t dims{number}[] = {{{dims}}};")
            call = f"ral->alloc_output(ral->context, {number}, {value.rank}, {shape})"
            ctype = storage(value.dtype)
            lines.append(f"  {ctype}* const output{number} = static_cast<{ctype}*>({call});")
            lines.append(f"  if (output{number} == nullptr) return BLADE_NO_MEMORY;")
        return lines

    def _arena(self, layout: Layout, stage: int) -> list[str]:
        arena = layout.arenas.get(stage)
        if arena is None:
            return []
        name = self._arena_name(stage)
        return [
            *self._offsets(arena, name),
            f"  if ({name}_bytes < 0) return BLADE_NO_MEMORY;",
            f"  void* const {name}_memory = ral->alloc(ral->context, static_cast<size_t>({name}_bytes) + 64);",
            f"  char* const {name} = static_cast<char*>({name}_memory);",
            f"  if ({name} == nullptr) return BLADE_NO_MEMORY;",
        ]

    def _offsets(self, arena: Arena, name: str) -> list[str]:
        """Where an arena's places begin; computed by a loop over tables, since there may be hundreds."""
        count = len(arena.places)
        sizes = ", ".join(self.table.c(place.bytes_) for place in arena.places)
        if all(isinstance(place.bytes_, int) for place in arena.places):
            begins, size = arena.offsets({})
            return [
                f"  static const int64_t {name}_offsets[] = {{{', '.join(map(str, begins))}}};",
                f"  const int64_t {name}_bytes = {size};",
                # For those who read the text: the benchmarks' counters.
                f"  [[maybe_unused]] static const int64_t {name}_sizes[] = {{{sizes}}};",
            ]
        below = ", ".join(str(item) for place in arena.places for item in (len(place.below), *place.below))
        return [
            f"  const int64_t {name}_sizes[] = {{{sizes}}};",
            f"  static const int32_t {name}_below[] = {{{below}}};",
            f"  int64_t {name}_offsets[{count}];",
            f"  const int64_t {name}_bytes = stack_places({name}_sizes, {name}_below, {count}, {name}_offsets);",
        ]

    @staticmethod
    def _arena_name(stage: int) -> str:
        return f"arena{stage}" if stage else "arena"

    def _place(self, item: Argument, layout: Layout) -> str:
        stage, number = layout.places[item]
        name = self._arena_name(stage)
        return f"{name} + {name}_offsets[{number}]"

    def _pointer(self, item: Argument, outputs: dict[Value, int], layout: Layout) -> str:
        if isinstance(item, WorkSpace):
            return f"reinterpret_cast<{item.ctype}*>({self._place(item, layout)})"
        if isinstance(item, Packed):
            return f"static_cast<const float*>(state[{self.state[item]}])"
        if item.kind == "parameter":
            return f"static_cast<const {storage(item.dtype)}*>(inputs[{item.op.attrs['index']}].data)"
        if item.kind == "constant":
            return self._constant(item)
        if item in outputs:
            return f"output{outputs[item]}"
        if item in self.within and self.within[item][0] in outputs:
            whole, offset = self.within[item]
            return f"(output{outputs[whole]} + {self.table.c(offset)})"
        if item in self.state:
            return f"static_cast<const {storage(item.dtype)}*>(state[{self.state[item]}])"
        return f"reinterpret_cast<{storage(item.dtype)}*>({self._place(item, layout)})"

    def _copies(self, outputs: dict[Value, int], layout: Layout) -> list[str]:
        lines = []
        for number, value in enumerate(self.module.results):
            root = self.run.resolve(value)
            if outputs.get(root) == number:
                continue
            size = self.table.c(_bytes(value))
            source = self._pointer(root, outputs, layout)
            lines.append(f"  copy(ral, output{number}, {source}, {size});")
        return lines

    # --- init -----------------------------------------------------------------------------------------------------
    def _init(self) -> list[str]:
        if not self.state:
            return [
                "int32_t init(const BladeRal*, const BladeTensor*, void** state) {",
                "  *state = nullptr;",
                "  return BLADE_OK;",
                "}",
            ]
        kept = {item for item in self.state if isinstance(item, Value)}
        layout = lay_out(self.init, kept, lambda dim: 0)
        packs = self._packs(layout)
        lines = [
            "int32_t init(const BladeRal* ral, const BladeTensor* inputs, void** state_pointer) {",
            "  Dims d = {};",
            "  (void)d, (void)inputs;",
            "  int32_t error = 0;",
            "  int32_t code = BLADE_OK;",
        ]
        body = [
            f"  void** const state = static_cast<void**>(ral->alloc_persistent(ral->context, {len(self.state)} * "
            "sizeof(void*)));",
            "  if (state == nullptr) return BLADE_NO_MEMORY;",
            *self._allocate_state(),
            *self._arena(layout, 0),
        ]

        def pointer(item: Argument) -> str:
            return self._init_pointer(item, layout)

        # After the last call that has it: a concatenation is written by several, and later calls may reuse its memory.
        last = {item: number for number, call in enumerate(self.init.calls) for item in call.arguments}
        for number, call in enumerate(self.init.calls):
            body += self._step(call, pointer)
            for item in call.arguments:
                if last[item] == number:
                    body += packs.pop(item, [])
        for rest in packs.values():
            body += rest
        # Views hide which parameter is behind a pointer; the text cannot be wrong about it.
        self.bound = frozenset(int(number) for line in body for number in _INPUT_DATA.findall(line))
        return [*lines, *self._check_weights(), *body, "  *state_pointer = state;", *self._epilogue()]

    def _allocate_state(self) -> list[str]:
        sizes = [item.bytes_ if isinstance(item, Packed) else str(_bytes(item)) for item in self.state]  # type: ignore[arg-type]
        return [
            f"  const int64_t sizes[] = {{{', '.join(sizes)}}};",
            f"  for (int64_t i = 0; i < {len(sizes)}; ++i) {{",
            "    state[i] = ral->alloc_persistent(ral->context, static_cast<size_t>(aligned(sizes[i])) + 64);",
            "    if (state[i] == nullptr) return BLADE_NO_MEMORY;",
            "  }",
        ]

    def _check_weights(self) -> list[str]:
        """Tables and a loop over them: statements for each weight would take the compiler long."""
        values = [self.module.parameters[number] for number in sorted(self.bound)]
        if not values:
            return []
        rows = [_weight_row(value) for value in values]
        dims = [str(dim) for value in values for dim in value.shape]
        return [
            "  struct Weight { int32_t input, dtype, rank; bool has_elements; const char* why; };",
            "  static const Weight weights[] = {",
            *(f"      {row}," for row in rows),
            "  };",
            f"  static const int64_t weight_dims[] = {{{', '.join([*dims, '0'])}}};",
            "  const int64_t* dims = weight_dims;",
            "  for (const Weight& weight : weights) {",
            "    const BladeTensor& given = inputs[weight.input];",
            "    bool same = given.dtype == weight.dtype && given.rank == weight.rank;",
            "    for (int32_t axis = 0; same && axis < weight.rank; ++axis) same = given.dims[axis] == dims[axis];",
            "    if (!same || (weight.has_elements && given.data == nullptr)) {",
            "      ral->set_error(ral->context, weight.why);",
            "      return BLADE_GUARD;",
            "    }",
            "    dims += weight.rank;",
            "  }",
        ]

    def _packs(self, layout: Layout) -> dict[Argument, list[str]]:
        """For each value that is packed, the lines that pack it."""
        lines: dict[Argument, list[str]] = {}
        for item, number in self.state.items():
            if isinstance(item, Packed):
                source = self.run.resolve(item.source)
                text = item.fill.replace("$src", self._init_pointer(source, layout))
                line = "  " + text.replace("$dst", f"static_cast<char*>(state[{number}])")
                lines.setdefault(source, []).append(line)
        return lines

    def _init_pointer(self, item: Argument, layout: Layout) -> str:
        if isinstance(item, Value) and item in self.state:
            return f"static_cast<{storage(item.dtype)}*>(state[{self.state[item]}])"
        if isinstance(item, Value) and item not in layout.places and item.kind not in ("parameter", "constant"):
            raise AssertionError(f"{item} has no memory in init")
        return self._pointer(item, {}, layout)


def _weight_row(value: Value) -> str:
    number = value.op.attrs["index"]
    # A host that was told of fewer weights gives none: no reason to read them all the same.
    has_elements = "true" if 0 not in value.shape else "false"
    return f'{{{number}, {int(value.dtype)}, {value.rank}, {has_elements}, "input {number} is not {value.type}"}}'


def _bytes(value: Value) -> Dim:
    total = num_elements(value.shape)
    return total * value.dtype.size


def weight_roots(run: Program, boundary: Collection[Value]) -> list[Value]:
    """The boundary values that run reads, itself or as packed weights, in order of first use."""
    found: dict[Value, None] = {}

    def note(values: Iterable[Value]) -> None:
        for value in values:
            if value in boundary:
                found.setdefault(value)

    for item in run.arguments():
        if isinstance(item, Packed):
            note([run.resolve(item.source)])
        elif isinstance(item, Value):
            note([run.resolve(item)])
    return list(found)


# The header of each kernel template, by the call that needs it: most executables use few, and each costs compile time.
_HEADERS = {
    "attention(ral": "attention.h",
    "conv2d(ral": "conv.h",
    "conv2d_slim<": "conv.h",
    "pack_conv_weights(ral": "conv.h",
    "conv2d_winograd(ral": "conv_winograd.h",
    "pack_winograd_weights(ral": "conv_winograd.h",
    "conv2d_transpose(ral": "conv_transpose.h",
    "depthwise_conv2d(ral": "depthwise.h",
    "dot(ral": "dot.h",
    "gemm(ral": "gemm.h",
    "small_products(ral": "small_products.h",
    "nms(ral": "nms.h",
    "nms_with_overlaps(ral": "nms.h",
    "pack_b(ral": "gemm.h",
    "pool2d<": "pool.h",
    "search_sorted<": "search.h",
    "partition_count(ral": "partition.h",
    "ragged_check(ral": "ragged.h",
    "ragged_range_splits(ral": "ragged.h",
    "segment_rows(ral": "segment.h",
    "sparse_reshape(ral": "sparse.h",
    "sparse_rows(ral": "sparse.h",
    "stitch_rows(ral": "partition.h",
    "unique_find(": "unique.h",
    "where_count(ral": "where.h",
    "LoopMemory ": "loop.h",
    "update_row(ral": "loop.h",
}


def includes(text: str) -> list[str]:
    """The include lines for what the text calls."""
    needed = sorted({header for call, header in _HEADERS.items() if call in text})
    return [f'#include "custom_ops/disc/cpu/{header}"' for header in ["runtime.h", *needed]]
