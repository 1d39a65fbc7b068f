"""Measures tf_blade and its peers on CPU: `python -m benchmarks.cpu.peers [--rows PATTERNS] [--frameworks NAMES] ...`.

Needs an otherwise idle machine. Rows and frameworks can be measured one by one: results are merged into those that the
output folder has.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.cpu.peers import environment
from benchmarks.cpu.peers.rows import ROWS, STREAMS, by_model, select

_HERE = pathlib.Path(__file__).resolve().parent
_FRAMEWORKS = "tensorflow,xla,onnxruntime,openvino,tf_blade"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="*", help=f"patterns, of {', '.join(row.name for row in ROWS)}")
    parser.add_argument("--frameworks", default=_FRAMEWORKS, help="names; tensorflow is needed to check outputs")
    parser.add_argument("--seconds", type=float, default=14.0, help="for each row, all frameworks together")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prepare", action="store_true", help="convert what is missing, and measure nothing")
    parser.add_argument("--report", action="store_true", help="measure nothing; tables and charts of what was measured")
    parser.add_argument("--ceilings", action="store_true", help="measure the machine and the templates, no row")
    parser.add_argument("--stream", default="", help=f"measure streams of unseen lengths, of {', '.join(STREAMS)}")
    parser.add_argument("--stream-lengths", type=int, default=200)
    parser.add_argument("--stream-passes", type=int, default=3, help="steady calls at each length")
    parser.add_argument("--explain", action="store_true", help="where tf_blade's time goes in the rows, by kernel")
    parser.add_argument("--models", type=pathlib.Path, default=pathlib.Path("models/peers"), help="converted models")
    parser.add_argument("--output", type=pathlib.Path, default=_HERE.parent / "results", help="folder of the results")
    parser.add_argument("--venv", type=pathlib.Path, default=environment.DEFAULT, help="where the peers are installed")
    options = parser.parse_args(arguments)
    options.chosen = [] if options.stream or options.ceilings else select(options.rows)
    options.frameworks = options.frameworks.split(",")
    return options


def main(arguments: Sequence[str]) -> None:
    """Prepares, measures, and writes the results after each model."""
    options = parse(arguments)
    environment.enter(options.venv, "benchmarks.cpu.peers", arguments)
    document = _read(options.output)
    document["threads"] = options.threads
    if options.explain:
        from benchmarks.cpu.peers import explain

        explain.explain(options.chosen, options.threads, document.get("ceilings", {}))
        return
    if options.ceilings:
        from benchmarks.cpu.peers import ceilings

        document["ceilings"] = ceilings.measure(options.threads, options.seconds)
    elif options.stream:
        _stream(options, document)
    elif not options.report:
        _measure(options, document)
    if not options.prepare:
        _write(options.output, document)


def _prepare(options: argparse.Namespace, lengths: dict[str, list[int]]) -> dict[str, Any]:
    """What the processes need, converted by a process of its own."""
    wanted = {
        "frameworks": options.frameworks,
        "rows": [row.name for row in options.chosen],
        "lengths": lengths,
    }
    command = [sys.executable, "-m", "benchmarks.cpu.peers.convert", str(options.models), json.dumps(wanted)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _measure(options: argparse.Namespace, document: dict[str, Any]) -> None:
    from benchmarks.cpu.peers import measure
    from benchmarks.cpu.peers.driver import Team

    prepared = _prepare(options, {})
    if options.prepare:
        return
    groups = by_model(options.chosen)
    for rows in groups.values():
        with Team(options.frameworks, options.threads) as team:
            for name, row in measure.measure(team, prepared, rows, options.seconds):
                _merge(document.setdefault("rows", {}), name, row)
                _write(options.output, document, charts=False)


def _merge(rows: dict[str, Any], name: str, new: dict[str, Any]) -> None:
    """A run of some frameworks replaces those frameworks' figures and leaves the others'."""
    old = rows.get(name, {})
    for part in ("calls", "empty", "errors"):
        new[part] = {**old.get(part, {}), **new[part]}
    rows[name] = new


def _stream(options: argparse.Namespace, document: dict[str, Any]) -> None:
    from benchmarks.cpu.peers import stream
    from benchmarks.cpu.peers.driver import Team

    families = options.stream.split(",")
    lengths = {family: stream.lengths(options.stream_lengths) for family in families}
    prepared = _prepare(options, {family: [stream.WARM, *items] for family, items in lengths.items()})
    if options.prepare:
        return
    for family in families:
        with Team(options.frameworks, options.threads) as team:
            found = stream.measure(team, prepared, family, lengths[family], options.stream_passes)
        document.setdefault("streams", {}).setdefault(family, {}).update(found)


def _read(folder: pathlib.Path) -> dict[str, Any]:
    file = folder / "results.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found


def _write(folder: pathlib.Path, document: dict[str, Any], *, charts: bool = True) -> None:
    from benchmarks.cpu.peers import results

    folder.mkdir(parents=True, exist_ok=True)
    text = results.to_markdown(ROWS, document)
    (folder / "results.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (folder / "peers.md").write_text(text, encoding="utf-8")
    if charts:
        print(text)
        from benchmarks.cpu.peers import charts as drawing

        drawing.draw(ROWS, document, folder)


if __name__ == "__main__":
    main(sys.argv[1:])
