"""Calling the command in this process, and as a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

from tests.saved_model import workshop
from tf_blade import cli
from tf_blade.graph.graph import Node
from tf_blade.settings import Settings
from tf_blade.stages import BuiltEngine, ClusterGraph

ROOT = Path(__file__).resolve().parents[2]
# Whatever a backend takes becomes an engine that never runs: quick, and the results are TensorFlow's.
QUICK = ("--backends=no_engine", "--min-cluster-nodes=1", "--min-cluster-gain-us=-1e9")
EAGER = QUICK[1:]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a call of the command left."""

    status: int
    out: str
    err: str


def call(*argv: str | Path, env: Mapping[str, str] | None = None) -> Outcome:
    """The command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, env or {}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            status = cli.main([str(item) for item in argv])
        except SystemExit as stop:  # argparse's way
            status = int(stop.code or 0)
    return Outcome(status, out.getvalue(), err.getvalue())


def process(*argv: str | Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """The command as a process, head of a group of its own."""
    path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return subprocess.Popen(
        [sys.executable, "-m", "tf_blade.cli", *map(str, argv)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


class Wrong(workshop.NoEngine):
    """Changes what the cluster computes, engine and fallback alike."""

    name = "wrong"

    def build(self, cluster: ClusterGraph, settings: Settings) -> BuiltEngine:
        for node in cluster.graph.nodes:
            _change(node)
        return super().build(cluster, settings)


def _change(node: Node) -> None:
    if node.op == "Tanh":
        node.op = "Sigmoid"
