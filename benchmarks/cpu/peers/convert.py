"""A model in the form that each framework takes, made once and kept in a folder: all from one SavedModel's weights.

    python -m benchmarks.cpu.peers.convert FOLDER '{"frameworks": [...], "rows": [...], "lengths": {family: [...]}}'

prints what the driver needs, as JSON: the path of each framework's form of each model, and a file of inputs for each
row. It runs in a process of its own, so that the driver need not load TensorFlow. The folder's names carry a hash of
what made them, so that an older version's result is never taken for this one's.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.cpu.peers.rows import EMPTY, ROWS, STREAMS, case_name

ROOT = pathlib.Path(__file__).resolve().parents[3]
# Frameworks, and the form of a model that each runs.
FORMS = {
    "tensorflow": "saved_model",
    "xla": "saved_model",
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "tf_blade": "tf_blade",
}
_PACKAGES = {"onnx": ("tf2onnx", "onnx"), "openvino": ("openvino",), "tf_blade": (), "saved_model": ()}
_OPSET = 18


def source(model: str) -> pathlib.Path:
    """The SavedModel that all forms are made from."""
    from tests import zoo

    if model != EMPTY:
        return zoo.saved(model, full=True)
    folder = zoo.saved("ranking", full=True).parent / "benchmark_empty"
    if not folder.exists():
        _build_empty(folder)
    return folder


def _build_empty(folder: pathlib.Path) -> None:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def serve(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x + 1.0}

    with tempfile.TemporaryDirectory(prefix="empty.", dir=folder.parent) as scratch:
        built = pathlib.Path(scratch) / "model"
        module = tf.Module()
        module.serve = serve
        tf.saved_model.save(module, str(built), signatures=serve)
        built.rename(folder)


def converted(framework: str, model: str, folder: pathlib.Path) -> pathlib.Path:
    """Where the converted model is, or would be."""
    form = FORMS[framework]
    if form == "saved_model":
        return source(model)
    return folder / f"{model}-{form}-{_key(form, source(model))}"


def convert(framework: str, model: str, folder: pathlib.Path) -> pathlib.Path:
    """Converts a model unless that has been done; earlier versions of the same are removed."""
    target, form = converted(framework, model, folder), FORMS[framework]
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{model}-{form}-*"):
        shutil.rmtree(old)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="convert.", dir=folder) as scratch:
        built = pathlib.Path(scratch) / "model"
        {"onnx": _to_onnx, "openvino": _to_openvino, "tf_blade": _optimize}[form](source(model), built)
        built.rename(target)
    print(f"{model} for {framework}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
    return target


def _to_onnx(model: pathlib.Path, target: pathlib.Path) -> None:
    import onnx

    from benchmarks.cpu.peers import onnx_missing

    target.mkdir()
    file = str(target / "model.onnx")
    command = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", str(model), "--opset", str(_OPSET)]
    names = ["--signature_def", "serving_default", "--tag", "serve", "--output", file]
    done = subprocess.run([*command, *names], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"tf2onnx failed on {model}:\n{done.stderr[-3000:]}")
    proto = onnx.load(file)
    if onnx_missing.replace(proto.graph):
        onnx.save(proto, file)


def _to_openvino(model: pathlib.Path, target: pathlib.Path) -> None:
    import openvino as ov

    target.mkdir()
    ov.save_model(ov.convert_model(str(model)), str(target / "model.xml"), compress_to_fp16=False)


def _optimize(model: pathlib.Path, target: pathlib.Path) -> None:
    import tf_blade

    tf_blade.optimize_saved_model(model, target, verify=False)


def _key(form: str, model: pathlib.Path) -> str:
    # The zoo's own folders are named by a hash of what makes them.
    digest = hashlib.sha256("/".join(model.parts[-3:]).encode())
    for package in _PACKAGES[form]:
        digest.update(importlib.metadata.version(package).encode())
    if form == "tf_blade":
        for pattern in ("tf_blade/**/*.py", "custom_ops/disc/**/*.h"):
            for path in sorted(ROOT.glob(pattern)):
                digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def inputs(name: str, model: str, sizes: Mapping[str, int], folder: pathlib.Path) -> pathlib.Path:
    """A file of a row's inputs, the same for every framework."""
    from tests import zoo

    file = folder / "inputs" / f"{name}.npz"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        feeds: dict[str, Any] = {"x": np.zeros(sizes["batch"], np.float32)}
        if model != EMPTY:
            (feeds,) = zoo.get(model, full=True).example(sizes).values()
        if "categories" in feeds:
            # OpenVINO gets remainders of large identifiers wrong; all frameworks are given small ones.
            feeds = {**feeds, "categories": np.abs(feeds["categories"]) % 10000}
        np.savez(file, **feeds)
    return file


def prepare(wanted: Mapping[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """Converts and writes what a run needs that is not there yet."""
    rows = {row.name: row for row in ROWS}
    chosen = [rows[name] for name in dict.fromkeys((EMPTY, *wanted["rows"]))]
    models = dict.fromkeys([row.model for row in chosen] + [STREAMS[family] for family in wanted["lengths"]])
    files = {row.name: str(inputs(row.name, row.model, row.sizes, folder)) for row in chosen}
    for family, lengths in wanted["lengths"].items():
        for length in lengths:
            name = case_name(family, length)
            files[name] = str(inputs(name, STREAMS[family], {"batch": 1, "length": length}, folder))
    paths = {name: {model: str(convert(name, model, folder)) for model in models} for name in wanted["frameworks"]}
    return {"paths": paths, "inputs": files}


if __name__ == "__main__":
    print(json.dumps(prepare(json.loads(sys.argv[2]), pathlib.Path(sys.argv[1]))))
