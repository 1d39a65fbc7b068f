"""What is in a SavedModel: the engines it has, and what an optimization would make of the rest."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tf_blade.pipeline import optimize_in_memory
from tf_blade.report import text
from tf_blade.report.engines import EngineOpReport, engine_op_lines
from tf_blade.report.report import Report
from tf_blade.saved_model.engines import engine_reports
from tf_blade.saved_model.model import read_saved_model
from tf_blade.saved_model.portable import ENGINE_OP
from tf_blade.saved_model.signatures import SignatureReport, signature_reports
from tf_blade.settings import Settings


@dataclasses.dataclass(frozen=True)
class Inspection:
    """The answer of `inspect_saved_model`.

    Attributes:
        path: the SavedModel's folder.
        engine_ops: the engine ops it has; empty when it was not optimized.
        plan: what an optimization would do with what is not in engines: the clusters (without engines), and why nodes
            would stay TensorFlow.
        signatures: by name.
    """

    path: str
    engine_ops: tuple[EngineOpReport, ...]
    plan: Report
    signatures: Mapping[str, SignatureReport] = dataclasses.field(default_factory=dict)

    @property
    def optimized(self) -> bool:
        return bool(self.engine_ops)

    @property
    def refused(self) -> tuple[EngineOpReport, ...]:
        """Engine ops none of whose engines would be loaded on this machine."""
        return tuple(item for item in self.engine_ops if all(engine.refused for engine in item.engines))

    def to_json(self) -> str:
        """Everything, as JSON."""
        result: dict[str, Any] = {
            "path": self.path,
            "optimized": self.optimized,
            "signatures": {name: dataclasses.asdict(item) for name, item in self.signatures.items()},
            "engine_ops": [dataclasses.asdict(item) for item in self.engine_ops],
            "plan": self.plan.to_dict(),
        }
        return json.dumps(result, indent=2)

    def to_text(self) -> str:
        """What a person wants to know, in lines."""
        lines = [f"{self.path}: {self._summary()}"]
        lines += text.section("signatures", [line for name, x in self.signatures.items() for line in x.lines(name)])
        if self.optimized:
            lines += text.section("engines", [line for item in self.engine_ops for line in engine_op_lines(item)])
            lines += text.section("an optimization would add", self._planned())
        else:
            lines += text.section("an optimization would do", self._planned())
        return "\n".join([*lines, *self.plan.sections()])

    def __str__(self) -> str:
        return self.to_text()

    def _summary(self) -> str:
        if not self.optimized:
            return "not optimized"
        size = sum(engine.bytes for item in self.engine_ops for engine in item.engines)
        form = "optimized, portable" if any(item.portable for item in self.engine_ops) else "optimized"
        summary = f"{form}, {text.count(len(self.engine_ops), 'engine op', 'engine ops')}, {text.size(size)}"
        return f"{summary}; {len(self.refused)} would fall back to TensorFlow here" if self.refused else summary

    def _planned(self) -> list[str]:
        clusters, totals = self.plan.clusters, self.plan.totals
        nodes = sum(item.nodes for item in clusters)
        flops = sum(item.nominal_flops for item in clusters)
        work = "no floating-point work"
        if totals.nominal_flops:
            share = f"{flops / totals.nominal_flops:.1%}"
            work = f"{text.flops(flops)} of {text.flops(totals.nominal_flops)} estimated FLOPs ({share})"
        return [f"{text.count(len(clusters), 'cluster', 'clusters')} of {nodes} of {totals.nodes} nodes, {work}"]


def inspect(path: Path, settings: Settings) -> Inspection:
    """Reads a SavedModel and goes through the phases up to clusters; nothing is built or written.

    Raises:
        InvalidSavedModelError: it cannot be read.
    """
    model = read_saved_model(path)
    present = tuple(engine_reports(model))
    _, plan = optimize_in_memory(model, dataclasses.replace(settings, stop_after="clusters"))
    # They are no refusals: they are what an optimization made.
    engines = {(item.function, item.node) for item in present}
    plan.refusals = [
        item for item in plan.refusals if item.op != ENGINE_OP and (item.function, item.node) not in engines
    ]
    return Inspection(str(path), present, plan, signature_reports(model))
