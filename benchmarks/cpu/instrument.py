"""Counters in generated code: each kernel call adds its ticks to a table, and says how much work it had.

The address of the table is compiled in, so an instrumented engine runs in the process that built it only. What the
work was is asked of the arguments that library kernels get, by the names of their fields; kernels that have no such
arguments report no FLOPs. Bytes are those of the buffers that a call names, each once: what must move where no cache
helps.
"""

from __future__ import annotations

import ctypes
import dataclasses
import pathlib
import re
from collections.abc import Sequence
from unittest import mock

from tf_blade.backends.disc import toolchain

_MOST_CALLS = 1 << 16
_ISA = "x86-64-v4"
_RUN = "\nint32_t run("
_LIBRARY_CALL = re.compile(r"(\bcode = \w+(?:<[^;]*>)?\(ral, args\b[^;]*;)")

_HELPERS = """
namespace {
namespace profile {
template <class A> auto macs(const A& a, int) -> decltype(1.0 * a.batch * a.m * a.n * a.k) {
  return 1.0 * a.batch * a.m * a.n * a.k;
}
template <class A> auto macs(const A& a, int) -> decltype(1.0 * a.kernel_h * a.in_c * a.groups) {
  const double outputs = 1.0 * a.batch * a.out_h * a.out_w * a.out_c;
  return outputs * a.kernel_h * a.kernel_w * a.in_c / a.groups;
}
template <class A> auto macs(const A& a, int) -> decltype(1.0 * a.heads * a.q_len * a.kv_len * a.value_depth) {
  return 1.0 * a.batch * a.heads * a.q_len * a.kv_len * (a.depth + a.value_depth);
}
template <class A> auto macs(const A& a, int) -> decltype(1.0 * a.kernel_h * a.channels) {
  return 1.0 * a.batch * a.out_h * a.out_w * a.channels * a.kernel_h * a.kernel_w;
}
template <class A> double macs(const A&, long) { return 0; }
template <class A> auto weights(const A& a, int) -> decltype(4.0 * (a.b_packed != nullptr) * a.n * a.k) {
  return 4.0 * (a.b_packed != nullptr) * a.n * a.k;
}
template <class A> auto weights(const A& a, int) -> decltype(4.0 * a.kernel_h * (a.weights_packed != nullptr)) {
  return 4.0 * a.kernel_h * a.kernel_w * a.in_c / a.groups * a.out_c;
}
template <class A> double weights(const A&, long) { return 0; }
double flops = 0;         // of the library calls of a step, all turns of its loops included
double weight_bytes = 0;  // that they read, packed
template <class A> void count(const A& args) {
  flops += 2 * macs(args, 0);
  weight_bytes += weights(args, 0);
}
inline double bytes(const BladeTensor& t) {
  double count = 4;
  for (int32_t i = 0; i < t.rank; ++i) count *= static_cast<double>(t.dims[i]);
  return count;
}
template <size_t N> double bytes(const int64_t (&dims)[N]) {
  double count = 4;
  for (int64_t dim : dims) count *= static_cast<double>(dim);
  return count;
}
}  // namespace profile
}  // namespace
"""


@dataclasses.dataclass
class Entry:
    """One kernel call of the generated code."""

    label: str
    ticks: int = 1 << 62
    flops: float = 0.0
    bytes: float = 0.0


class Recorder:
    """Instruments translation units, and holds their counters."""

    def __init__(self, folder: pathlib.Path | None = None) -> None:
        self.folder = folder
        self.entries: list[Entry] = []
        self._ticks = (ctypes.c_uint64 * _MOST_CALLS)()
        self._flops = (ctypes.c_double * _MOST_CALLS)()
        self._bytes = (ctypes.c_double * _MOST_CALLS)()
        self._build = toolchain.build

    def patched(self) -> mock._patch[object]:
        """A context in which engines are built with counters."""
        return mock.patch.object(toolchain, "build", self.build)

    def build(self, text: str, isas: Sequence[str]) -> bytes:
        """Takes the place of toolchain.build."""
        cpu = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
        isa = _ISA if _ISA in isas and "avx512f" in cpu else isas[0]
        return self._build(self._instrumented(text), [isa])

    def forget(self) -> None:
        """Forgets the least ticks of earlier calls."""
        for entry in self.entries:
            entry.ticks = 1 << 62

    def clear(self) -> None:
        """Sets all tick counters to 0, before a call."""
        ctypes.memset(self._ticks, 0, ctypes.sizeof(self._ticks))

    def take(self) -> None:
        """Keeps each kernel's least ticks, and its work, after a call."""
        for number, entry in enumerate(self.entries):
            entry.ticks = min(entry.ticks, int(self._ticks[number]))
            entry.flops, entry.bytes = float(self._flops[number]), float(self._bytes[number])

    def _instrumented(self, text: str) -> str:
        comments = dict(re.findall(r"((?:^// .*\n)+)(?:static|struct) .*?\b((?:kernel|Epilogue)\d+)\b", text, re.M))
        about = {name: comment for comment, name in comments.items()}
        steps = {
            name: body.split("\n") for name, body in re.findall(r"\b(step\d+)\(const .*\{\n([\s\S]*?)\n\}\n", text)
        }
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / f"engine{len(self.entries)}.cc").write_text(text, encoding="utf-8")
        text = _LIBRARY_CALL.sub(r"\1 profile::count(args);", text)
        head, run = text.split(_RUN, 1)
        head = head.replace("\nnamespace blade {", f"{_HELPERS}\nnamespace blade {{", 1)
        run, tail = run.split("\n}\n", 1)
        lines: list[str] = []
        block: list[str] | None = None
        for line in run.split("\n"):
            called = re.match(r"  code = (step\d+)\(", line)
            if called and len(self.entries) < _MOST_CALLS:
                lines += self._counted([line], steps[called[1]], about, run)
            elif line == "  {" and len(self.entries) < _MOST_CALLS:
                block = []
            elif line == "  }" and block is not None:
                lines += self._counted(block, block, about, run)
                block = None
            elif block is not None:
                block.append(line)
            else:
                lines.append(line)
        return f"{head}{_RUN}" + "\n".join(lines) + "\n}\n" + tail

    def _counted(self, block: Sequence[str], body: Sequence[str], about: dict[str, str], run: str) -> list[str]:
        """Statements of run with their counters around them; `body` is what they do."""
        number = len(self.entries)
        entry = Entry(label(body, about))
        self.entries.append(entry)
        moved = _bytes(" ".join(block), run, gathers="gather" in entry.label)
        return [
            "  {",
            "    profile::flops = 0, profile::weight_bytes = 0;",
            "    const uint64_t ticks = __builtin_ia32_rdtsc();",
            # The statement that leaves run() comes after the counters.
            *(line for line in block if "return code;" not in line),
            f"    {self._place(self._ticks, number, 'uint64_t')} += __builtin_ia32_rdtsc() - ticks;",
            f"    {self._place(self._flops, number, 'double')} = profile::flops;",
            f"    {self._place(self._bytes, number, 'double')} = {moved} + profile::weight_bytes;",
            *(line for line in block if "return code;" in line),
            "  }",
        ]

    @staticmethod
    def _place(table: ctypes.Array[ctypes.c_uint64] | ctypes.Array[ctypes.c_double], number: int, kind: str) -> str:
        return f"*reinterpret_cast<{kind}*>({ctypes.addressof(table) + 8 * number}u)"


def _bytes(text: str, run: str, *, gathers: bool) -> str:
    """An expression of the bytes of the buffers that statements name; tables that are gathered from are left out."""
    places = sorted(set(re.findall(r"(arena\d*)_offsets\[(\d+)\]", text)))
    terms = [f"{arena}_sizes[{place}]" for arena, place in places]
    if not gathers:
        terms += [f"profile::bytes(inputs[{i}])" for i in sorted(set(re.findall(r"inputs\[(\d+)\]", text)))]
    for number in sorted(set(re.findall(r"\boutput(\d+)\b", text))):
        if f"const int64_t dims{number}[] = " in run:
            terms.append(f"profile::bytes(dims{number})")
    return " + ".join(["0.0", *terms])


def label(body: Sequence[str], about: dict[str, str]) -> str:
    """What a step of the generated code computes: the kernels' comments, or library calls' sizes and epilogues."""
    text = " ".join(body)
    calls = [_library(item, about) for item in re.findall(r"Args args;.*?code = \w+[^;]*;", text)]
    names = dict.fromkeys(re.findall(r"kernel\d+", text))
    if "LoopMemory " in text:
        return " ".join(["loop of", *(f"{item};" for item in calls), *names])
    if calls:
        return calls[0]
    return " ".join(f"{name}: {about.get(name, '').replace(chr(10), ' ; ')}" for name in names) or text[:200]


def _library(text: str, about: dict[str, str]) -> str:
    fields = re.findall(r"args\.(\w+) = (?:INT64_C\()?([\w.]+)\)?;", text)
    passing = ("static_cast", "reinter", "at")
    shape = " ".join(f"{key}={value}" for key, value in fields if not value.startswith(passing))
    after = "".join(about.get(name, "") for name in re.findall(r"Epilogue\d+", text))
    functions, computed = re.findall(r"code = (\w+)", text), re.findall(r": (.*)", after)
    return f"{functions[0]} {shape} [{' '.join(computed)}]"
