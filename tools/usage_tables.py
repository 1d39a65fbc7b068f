"""Writes the tables of docs/usage.md from the code that they describe: `usage_tables.py` rewrites, `--check` compares.

A table stands between `<!-- table NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tf_blade import cli, observe  # noqa: E402 (the checkout comes first)
from tf_blade.pipeline import Phase  # noqa: E402
from tf_blade.settings import Settings  # noqa: E402

PAGE = ROOT / "docs" / "usage.md"
_TABLE = re.compile(r"(<!-- table (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def settings() -> list[str]:
    """A row for each field of Settings."""
    rows = [
        (_code(_flag(item)), _code(item.name), _code(_default(item.default)), item.metadata["help"])
        for item in dataclasses.fields(Settings)
    ]
    return _markdown(("flag", "keyword", "default", "meaning"), rows)


def _flag(item: dataclasses.Field[Any]) -> str:
    flag = f"--{item.name.replace('_', '-')}"
    return f"--no-{flag[2:]}" if item.default is True else flag


def _default(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)


def command(name: str) -> list[str]:
    """A row for each flag of a command that is no setting."""
    fields = {item.name for item in dataclasses.fields(Settings)} if name in ("optimize", "inspect") else set()
    rows = []
    for action in _subparser(name)._actions:  # argparse has no public list
        if action.dest in fields or action.dest == "help":
            continue
        shown = action.option_strings[-1] if action.option_strings else action.dest
        if action.option_strings and action.nargs != 0:
            shown = f"{shown} {action.metavar or action.dest.upper()}"
        rows.append((_code(shown), (action.help or "") % {"default": action.default}))
    return _markdown(("argument", "meaning"), rows)


def _subparser(name: str) -> argparse.ArgumentParser:
    (commands,) = (action for action in cli.make_parser()._actions if action.dest == "command")
    assert isinstance(commands.choices, dict)
    parser: argparse.ArgumentParser = commands.choices[name]
    return parser


def phases() -> list[str]:
    """A row for each phase of the pipeline."""
    return _markdown(("phase", "what it does"), [(_code(phase.label), phase.value) for phase in Phase])


def channels() -> list[str]:
    """A row for each log channel."""
    return _markdown(("channel", "what it tells"), [(_code(name), text) for name, text in observe.CHANNELS.items()])


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]


TABLES: dict[str, Callable[[], list[str]]] = {
    "settings": settings,
    "phases": phases,
    "channels": channels,
    **{name: functools.partial(command, name) for name in ("optimize", "inspect", "verify", "bench", "sign")},
}


def filled(page: str) -> str:
    """The page with all tables as the code has them.

    Raises:
        KeyError: the page names a table that does not exist.
    """
    return _TABLE.sub(lambda match: match[1] + "\n".join(TABLES[match[2]]()) + "\n" + match[3], page)


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description="Writes the tables of docs/usage.md.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the page is not current")
    options = parser.parse_args(arguments)
    before = PAGE.read_text(encoding="utf-8")
    after = filled(before)
    if options.check:
        return int(before != after)
    PAGE.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
