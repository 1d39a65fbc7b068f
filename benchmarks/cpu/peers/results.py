"""From measured rows to tables: net times, ratios, geometric means. Pure: no clock, no framework."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.cpu.peers.rows import EMPTY, Row

BLADE, TENSORFLOW = "tf_blade", "tensorflow"
PEERS = ("xla.python", "onnxruntime.python", "openvino.python")
# Ways to call, in the order of the table's columns, and their titles.
COLUMNS: Mapping[str, str] = {
    "tensorflow.python": "TF",
    "tensorflow.session": "TF session",
    "xla.python": "XLA",
    "onnxruntime.python": "ORT",
    "openvino.python": "OpenVINO",
    "tf_blade.python": "tf_blade",
    "tf_blade.session": "tf_blade session",
}
_LEAST_NET = 1e-3  # milliseconds; a net time is never taken to be less than the clock's and the calls' noise


@dataclasses.dataclass(frozen=True)
class Net:
    """A row without each framework's own empty call, in milliseconds.

    Attributes:
        row: the row's name.
        ms: of each way to call.
        peer: the way to call of the best peer, "" when none was measured.
    """

    row: str
    ms: Mapping[str, float]
    peer: str

    def over_peer(self, way: str) -> float:
        """How many times faster tf_blade, called `way`, is than the best peer; NaN when not both were measured."""
        return ratio(self.ms.get(self.peer), self.ms.get(f"{BLADE}.{way}"))

    def over_tensorflow(self, way: str) -> float:
        """The same over TensorFlow called in the same way."""
        return ratio(self.ms.get(f"{TENSORFLOW}.{way}"), self.ms.get(f"{BLADE}.{way}"))


def ratio(theirs: float | None, ours: float | None) -> float:
    """theirs / ours, or NaN."""
    return theirs / ours if theirs is not None and ours is not None and ours > 0 else math.nan


def net(name: str, row: Mapping[str, Any]) -> Net:
    """A measured row's net times. A way to call whose empty call was not measured has none."""
    empty = row.get("empty", {})
    ms = {key: max(timing["ms"] - empty[key], _LEAST_NET) for key, timing in row["calls"].items() if key in empty}
    best = min((key for key in PEERS if key in ms), key=lambda key: ms[key], default="")
    return Net(name, ms, best)


def geometric_mean(values: Iterable[float]) -> float:
    """The geometric mean of the values that are numbers; NaN of none."""
    logs = [math.log(value) for value in values if value > 0 and math.isfinite(value)]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def number(value: float | None, digits: int = 3) -> str:
    """`digits` significant digits, or a dash."""
    if value is None or not math.isfinite(value):
        return "–"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:.{min(decimals, 4)}f}"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose first column is text and whose others are numbers."""
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join([*lines, *(f"| {' | '.join(cells)} |" for cells in rows)]) + "\n"


def calls_table(rows: Sequence[Row], measured: Mapping[str, Any]) -> str:
    """Median milliseconds of a call, nothing subtracted; each framework's own empty call in parentheses."""
    cells = []
    for row in rows:
        found = measured.get(row.name)
        if found is None:
            continue
        line = [row.name]
        for key in COLUMNS:
            own = found.get("empty", {}).get(key)
            ms = number(found["calls"].get(key, {}).get("ms"))
            line.append(ms if own is None else f"{ms} ({number(own, 2)})")
        cells.append(line)
    return markdown_table(["ms a call (own empty call)", *COLUMNS.values()], cells)


def net_table(rows: Sequence[Row], measured: Mapping[str, Any], ceilings: Mapping[str, float]) -> str:
    """Net milliseconds, the floor that the machine sets, and the ratios with their geometric means."""
    cells, nets = [], []
    for row in rows:
        if row.model == EMPTY or row.name not in measured:
            continue
        item = net(row.name, measured[row.name])
        nets.append(item)
        cells.append(
            [row.name, number(floor_ms(row, ceilings)), *(number(item.ms.get(key)) for key in COLUMNS)]
            + [COLUMNS.get(item.peer, "–"), *(number(value) for value in ratios(item))]
        )
    means = [number(geometric_mean(column)) for column in zip(*(ratios(item) for item in nets), strict=True)]
    cells.append(["**geometric mean**", *([""] * (len(COLUMNS) + 2)), *(f"**{mean}**" for mean in means)])
    head = ["net ms", "floor", *COLUMNS.values(), "best peer", *RATIOS]
    return markdown_table(head, cells)


RATIOS = ("÷peer session", "÷peer Python", "÷TF session", "÷TF Python")


def ratios(item: Net) -> tuple[float, float, float, float]:
    """The columns `RATIOS`: above 1, tf_blade is faster."""
    return (
        item.over_peer("session"),
        item.over_peer("python"),
        item.over_tensorflow("session"),
        item.over_tensorflow("python"),
    )


def floor_ms(row: Row, ceilings: Mapping[str, float]) -> float:
    """The milliseconds below which this machine cannot go: all FMA units busy, or memory's whole bandwidth."""
    if not ceilings:
        return math.nan
    # What is read and not written moves at about the rate of a copy's two directions together.
    return max(row.flops / ceilings["fma"], row.bytes / ceilings["copy_memory"]) * 1e-6


def shares(found: Mapping[str, float]) -> dict[str, float]:
    """The templates' rates as fractions of the ceilings of the same run."""
    of = {"gemm": "fma", "chain": "copy_memory"}
    kinds = {name: name.split("_", 1)[0] for name in found}
    return {name: found[name] / found[of[kind]] for name, kind in kinds.items() if kind in of}


def worst_errors(measured: Mapping[str, Any], limit: float) -> list[str]:
    """Sentences about outputs that are further than `limit` from TensorFlow's."""
    return [
        f"{name}: {key} differs from TensorFlow by {error:.1e}"
        for name, row in measured.items()
        for key, error in row["errors"].items()
        if not error <= limit
    ]


def stream_table(streams: Mapping[str, Any]) -> str:
    """Streams of lengths never seen: total of the first calls against the sum of steady ones."""
    cells = []
    for family, frameworks in streams.items():
        for key, item in frameworks.items():
            first, steady = sum(item["first_ms"]) / 1e3, sum(item["steady_ms"]) / 1e3
            title = f"{family}: {COLUMNS.get(key, key)}"
            cells.append([title, str(len(item["lengths"])), number(first), number(steady), number(first / steady)])
    return markdown_table(["stream", "lengths", "first calls s", "steady s", "first/steady"], cells)


def to_markdown(rows: Sequence[Row], document: Mapping[str, Any]) -> str:
    """The whole report."""
    measured, ceilings = document.get("rows", {}), document.get("ceilings", {})
    parts = [
        f"{document.get('threads', 2)} threads, float32, median of calls in turns. Above 1, tf_blade is faster.\n",
        calls_table(rows, measured),
        "Net of each framework's own empty call:\n",
        net_table(rows, measured, ceilings),
    ]
    if document.get("streams"):
        parts.append(stream_table(document["streams"]))
    if ceilings:
        text = ", ".join(f"{name} {number(value)}" for name, value in ceilings.items())
        parts.append(f"Ceilings of the machine (GFLOP/s, GB/s): {text}.\n")
        reached = ", ".join(f"{name} {share:.1%}" for name, share in shares(ceilings).items())
        parts.append(f"Templates, of the FMA peak and of the copy rate of the same run: {reached}.\n")
    busy = [f"{name} {row['foreign_load']:.0%}" for name, row in measured.items() if row["foreign_load"] > 0.02]
    if busy:
        parts.append(f"Others used the machine meanwhile, share of all processors: {', '.join(busy)}.\n")
    idle = {name: row["idle"] for name, row in measured.items() if row.get("idle")}
    if idle:
        parts.append(f"Processes that used CPU while idle, share of one processor: {idle}.\n")
    warnings = worst_errors(measured, 1e-3)
    if warnings:
        parts.append("Outputs differ:\n\n" + "\n".join(f"- {line}" for line in warnings) + "\n")
    return "\n".join(parts)
