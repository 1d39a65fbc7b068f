"""Makes two models with random weights, optimizes and verifies them, and prints a table: TensorFlow against tf_blade.

Run by tools/quickstart.sh. `--small` takes small models of the same kinds, `--models` another folder than models/.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import tf_blade  # noqa: E402 (the checkout comes first)
from tests import zoo  # noqa: E402
from tf_blade.errors import VerificationError  # noqa: E402

MODELS = ("text_classifier", "resnet50")


def sample_inputs(model: zoo.ZooModel, rows: Sequence[zoo.Sizes]) -> dict[str, list[dict[str, zoo.Array]]]:
    """Inputs of these sizes for each signature."""
    samples: dict[str, list[dict[str, zoo.Array]]] = {}
    for seed, sizes in enumerate(rows):
        for signature, feeds in model.example(sizes, seed=seed).items():
            samples.setdefault(signature, []).append(feeds)
    return samples


def show(title: str) -> None:
    """A heading."""
    print(f"\n== {title}", flush=True)


def run(folder: Path, *, full: bool) -> None:
    """The whole way for each model; the table comes last."""
    timings = []
    for name in MODELS:
        model = zoo.get(name, full=full)
        source, target = folder / name, folder / f"{name}_blade"
        show(f"{name}: random weights into {source}")
        if not source.exists():
            model.build(source)
        samples = sample_inputs(model, model.grid())
        show(f"{name}: optimize into {target}")
        print(tf_blade.optimize_saved_model(source, target, sample_inputs=samples, overwrite=True).to_text())
        show(f"{name}: verify")
        verification = tf_blade.verify_saved_model(source, target, sample_inputs=samples)
        print(verification.to_text())
        if not verification.ok:
            raise VerificationError(f"{target} does not compute what {source} does")
        show(f"{name}: time")
        timed = sample_inputs(model, model.bench or model.grid()[:2])
        timings.append(tf_blade.bench_saved_model(source, target, sample_inputs=timed).to_text())
    show("TensorFlow against tf_blade")
    for name, table in zip(MODELS, timings, strict=True):
        print(f"{name}\n{table}")


def main(arguments: list[str]) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--small", action="store_true", help="small models of the same kinds")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder for the models")
    options = parser.parse_args(arguments)
    try:
        run(options.models / ("small" if options.small else "full"), full=not options.small)
    except tf_blade.TfBladeError as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
