"""The charts: bars over peers, time against sequence length, roofline."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot

from benchmarks.cpu.peers import results
from benchmarks.cpu.peers.rows import EMPTY, Row

_COLORS = {
    "tensorflow.session": "#e08214",
    "xla.python": "#8073ac",
    "onnxruntime.python": "#7fbf7b",
    "openvino.python": "#80b1d3",
    "tf_blade.session": "#b2182b",
}


def draw(rows: Sequence[Row], document: Mapping[str, Any], folder: pathlib.Path) -> None:
    """Writes what can be drawn of a document: bars.png, lengths_FAMILY.png, roofline.png."""
    measured = document.get("rows", {})
    chosen = [row for row in rows if row.model != EMPTY and row.name in measured]
    nets = {row.name: results.net(row.name, measured[row.name]) for row in chosen}
    if chosen:
        _bars(chosen, nets, folder / "bars.png")
    for family, frameworks in document.get("streams", {}).items():
        _lengths(family, frameworks, folder / f"lengths_{family}.png")
    if chosen and document.get("ceilings"):
        _roofline(chosen, nets, document["ceilings"], folder / "roofline.png")


def _bars(rows: Sequence[Row], nets: Mapping[str, results.Net], file: pathlib.Path) -> None:
    """Speed relative to TensorFlow's session, net of empty calls."""
    figure, axes = pyplot.subplots(figsize=(max(6, len(rows) * 1.1), 4.5), layout="constrained")
    width = 0.8 / len(_COLORS)
    for index, (key, color) in enumerate(_COLORS.items()):
        speeds = [
            results.ratio(nets[row.name].ms.get("tensorflow.session"), nets[row.name].ms.get(key)) for row in rows
        ]
        places = [place + (index - len(_COLORS) / 2 + 0.5) * width for place in range(len(rows))]
        axes.bar(places, speeds, width, color=color, label=results.COLUMNS[key])
    axes.axhline(1, color="black", linewidth=0.6)
    axes.set_xticks(range(len(rows)), [row.name for row in rows], rotation=35, ha="right")
    axes.set_ylabel("speed, TensorFlow's session = 1")
    axes.set_yscale("log", base=2)
    axes.legend(ncols=5, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, 1.12))
    _save(figure, file)


def _lengths(family: str, frameworks: Mapping[str, Any], file: pathlib.Path) -> None:
    """First calls (dots) and steady ones (lines) against length."""
    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for key, item in frameworks.items():
        order = sorted(range(len(item["lengths"])), key=lambda i: item["lengths"][i])
        lengths = [item["lengths"][i] for i in order]
        color = _COLORS.get(key, "grey")
        axes.plot(lengths, [item["steady_ms"][i] for i in order], color=color, label=results.COLUMNS.get(key, key))
        axes.plot(lengths, [item["first_ms"][i] for i in order], ".", color=color, markersize=3)
    axes.set_xlabel("sequence length, batch 1")
    axes.set_ylabel("ms a call: steady (line), first at this length (dots)")
    axes.set_yscale("log")
    axes.set_title(family)
    axes.legend()
    _save(figure, file)


def _roofline(
    rows: Sequence[Row], nets: Mapping[str, results.Net], ceilings: Mapping[str, float], file: pathlib.Path
) -> None:
    """GFLOP/s against FLOPs a byte that must move, under the measured ceilings."""
    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    shown = [row for row in rows if row.flops > 0]
    intensities = [0.25 * 2**step for step in range(14)]
    roof = [min(ceilings["fma"], ceilings["copy_memory"] * x) for x in intensities]
    axes.plot(intensities, roof, color="black", label="ceiling: FMA peak, memory")
    for key, color in _COLORS.items():
        points = [(row.flops / row.bytes, nets[row.name].ms.get(key), row.flops) for row in shown]
        known = [(x, flops / ms * 1e-6) for x, ms, flops in points if ms is not None]
        axes.plot([x for x, _ in known], [y for _, y in known], "o", color=color, label=results.COLUMNS[key])
    for index, row in enumerate(sorted(shown, key=lambda row: row.flops / row.bytes)):
        # Below the points, at heights in turn: rows of a family lie close together.
        place = (row.flops / row.bytes, 0.3 * 1.35 ** (index % 6))
        axes.annotate(row.name, place, ha="center", fontsize=7)
    axes.set_ylim(bottom=0.25)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xlabel("FLOPs a byte of weights, inputs and outputs")
    axes.set_ylabel("GFLOP/s")
    axes.legend(fontsize="small")
    _save(figure, file)


def _save(figure: Any, file: pathlib.Path) -> None:
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
