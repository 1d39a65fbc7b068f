"""Numbers and tables as people read them."""

from __future__ import annotations

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Lines with columns as wide as their longest entry, without columns that are empty in all rows; nothing when there
    are no rows.

    Args:
        head: the columns' titles.
        rows: as many entries each.
        right: columns of numbers.
    """
    if not rows:
        return []
    widths = {i: max(len(row[i]) for row in (head, *rows)) for i in range(len(head)) if any(row[i] for row in rows)}
    lines = []
    for row in (head, *rows):
        cells = [row[i].rjust(width) if i in right else row[i].ljust(width) for i, width in widths.items()]
        lines.append("  ".join(cells).rstrip())
    return lines


def section(title: str, lines: Sequence[str]) -> list[str]:
    """An indented paragraph under a title; nothing when it would be empty."""
    return ["", title, *(f"  {line}" for line in lines)] if lines else []


def size(number: int) -> str:
    """Bytes: 512 B, 1.5 KB, 2.0 MB."""
    return _scaled(number, ("B", "KB", "MB", "GB", "TB"), 1024)


def flops(number: int) -> str:
    """Floating point operations: 512, 1.5 K, 2.0 M, 3.1 G."""
    return _scaled(number, ("", "K", "M", "G", "T", "P"), 1000)


def _scaled(number: int, units: Sequence[str], step: int) -> str:
    value, unit = float(number), 0
    while value >= step and unit < len(units) - 1:
        value, unit = value / step, unit + 1
    digits = 0 if unit == 0 else 1
    return f"{value:.{digits}f} {units[unit]}".rstrip()


def seconds(value: float) -> str:
    """12 ms, 1.50 s, 75.0 s."""
    if value < 1:
        return f"{value * 1e3:.0f} ms"
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def count(number: int, one: str, many: str) -> str:
    """1 body, 2 bodies."""
    return f"{number} {one if number == 1 else many}"


def shorten(text: str, limit: int) -> str:
    """The text, cut with an ellipsis when it is longer than the limit."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def first_few(names: Sequence[str], limit: int = 3) -> str:
    """The first names, and how many more there are."""
    more = len(names) - limit
    return ", ".join(shorten(name, 80) for name in names[:limit]) + (f" and {more} more" if more > 0 else "")
