"""Where tf_blade's time goes in a row: shares of kernels, with the rates they reach against the ceilings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.cpu import profile
from benchmarks.cpu.instrument import Entry
from benchmarks.cpu.peers.rows import EMPTY, Row, by_model

_SECONDS = 3.0
_TOP = 25
_WIDTH = 150


def explain(rows: Sequence[Row], threads: int, ceilings: Mapping[str, float]) -> None:
    """Prints a table for each row."""
    for model, group in by_model([row for row in rows if row.model != EMPTY]).items():
        found = profile.profile(model, [row.sizes for row in group], threads, _SECONDS)
        for row, item in zip(group, found, strict=True):
            print("\n".join(table(row, item, ceilings)))


def table(row: Row, found: profile.Profile, ceilings: Mapping[str, float]) -> list[str]:
    """The lines of one row: the whole, then the kernels that took most, those called alike together."""
    total = sum(profile.seconds(entry) for entry in found.kernels)
    share = total / found.seconds
    lines = [
        f"{row.name}: best of {found.calls} calls {found.seconds * 1e3:.3f} ms, of which kernels {share:.1%}",
        "   share        ms  calls  GFLOP/s  of peak    GB/s  of copy  kernel",
    ]
    together: dict[str, list[Entry]] = {}
    for entry in found.kernels:
        together.setdefault(entry.label, []).append(entry)
    ordered = sorted(together.items(), key=lambda item: -sum(entry.ticks for entry in item[1]))
    for label, entries in ordered[:_TOP]:
        seconds = sum(profile.seconds(entry) for entry in entries)
        flops = sum(entry.flops for entry in entries) / seconds * 1e-9
        moved = sum(entry.bytes for entry in entries) / seconds * 1e-9
        rates = f"{_rate(flops, ceilings.get('fma'))}  {_rate(moved, ceilings.get('copy_memory'))}"
        lines.append(f"  {seconds / total:6.1%} {seconds * 1e3:9.3f} {len(entries):6}  {rates}  {label[:_WIDTH]}")
    return lines


def _rate(value: float, ceiling: float | None) -> str:
    if value <= 0:
        return f"{'–':>7}  {'':7}"
    return f"{value:7.1f}  {f'{value / ceiling:6.0%}' if ceiling else '':>7}"
