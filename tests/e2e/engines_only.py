"""Whether whatever a signature does in loops and branches is inside engines."""

from __future__ import annotations

from typing import Any

from tf_blade.report.report import Report

CONTROL = frozenset({"While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase", "LoopCond", "Enter"})
ENGINE_OP = "BladeEngineOp"


def control_outside(signature: Any) -> list[str]:
    """Loops and branches that TensorFlow runs while no engine refuses: all but those of the engines' fallbacks."""
    graph_def = signature.graph.as_graph_def()
    library = {item.signature.name: item.node_def for item in graph_def.library.function}
    stack, seen, found = [graph_def.node], set[str](), list[str]()
    while stack:
        for node in stack.pop():
            if node.op in CONTROL:
                found.append(node.name)
            called = [] if node.op == ENGINE_OP else [item.func.name for item in node.attr.values() if item.func.name]
            for name in {*called, node.op} & library.keys() - seen:
                seen.add(name)
                stack.append(library[name])
    return found


def flops_inside(report: Report) -> float:
    """The fraction of a model's nominal FLOPs that engines compute."""
    return report.totals.nominal_flops_in_engines / report.totals.nominal_flops
