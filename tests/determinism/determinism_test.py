"""Optimizing a model twice, in two processes that share nothing they should not depend on, gives the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from absl.testing import absltest

from tests import zoo

_ROOT = Path(__file__).resolve().parents[2]
_MODELS = ("encoder_module", "ranking", "unet", "tf1_resource", "text_cnn", "three_signatures")
_SCRIPT = """
import pathlib, sys
import tf_blade
isas, target, *sources = sys.argv[1:]
for source in map(pathlib.Path, sources):
    report = tf_blade.optimize_saved_model(
        source, pathlib.Path(target) / source.name, verify=False, isas=tuple(isas.split(","))
    )
    assert report.totals.engines and not report.build_failures, report.to_text()
"""


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class DeterminismTest(absltest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def optimize(self, models: tuple[str, ...], isas: str, name: str, hash_seed: str) -> dict[str, dict[str, bytes]]:
        """The files of the optimized models, by model, made in a process with its own seed and folders."""
        scratch, target, cwd = (self.folder / name / part for part in ("scratch", "target", "cwd"))
        for folder in (scratch, target, cwd):
            folder.mkdir(parents=True)
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "TMPDIR": str(scratch)}
        environment["PYTHONPATH"] = os.pathsep.join([str(_ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
        sources = [str(zoo.saved(model)) for model in models]
        command = [sys.executable, "-c", _SCRIPT, isas, str(target), *sources]
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEmpty(list(scratch.iterdir()), "something was left behind")
        return {model: _files(target / model) for model in models}

    def check(self, models: tuple[str, ...], isas: str) -> None:
        first = self.optimize(models, isas, "first", "1")
        second = self.optimize(models, isas, "a_folder_of_another_name", "20220")
        for model in models:
            self.assertIn("saved_model.pb", first[model])
            self.assertEqual(first[model].keys(), second[model].keys())
            different = [file for file, data in first[model].items() if data != second[model][file]]
            self.assertEmpty(different, f"{model} differs")

    def test_models(self) -> None:
        self.check(_MODELS, "x86-64-v3")

    def test_code_for_all_levels(self) -> None:
        self.check(("chain",), "x86-64-v3,x86-64-v4")


if __name__ == "__main__":
    absltest.main()
