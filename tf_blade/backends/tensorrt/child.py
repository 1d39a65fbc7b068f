"""Builds one plan in a process of its own: `python -m tf_blade.backends.tensorrt.child FOLDER`.

The folder holds what `process.py` has written: `graph.txt` and `job.json`. The result is `plan` and `tensorrt.json`, or
`refusal.txt` with the reason why there is none. Nothing of TensorFlow is imported here.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

from tf_blade.backends.tensorrt import library
from tf_blade.backends.tensorrt.builder import PlanOptions, make_plan, within
from tf_blade.backends.tensorrt.convert import Converted, Converter
from tf_blade.backends.tensorrt.library import Library
from tf_blade.backends.tensorrt.precision import PRECISIONS
from tf_blade.backends.tensorrt.profiles import Profile, Range, derive, describe
from tf_blade.backends.tensorrt.weights import INPUTS, REFIT, WeightStore
from tf_blade.errors import EnvironmentError_, Unsupported
from tf_blade.graph.parser import parse_graph


def main(folder: Path) -> int:
    """Builds; 0 where there is a plan."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    if job["memory_mb"]:
        limit = job["memory_mb"] << 20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    # Nobody wants a core dump of a builder that crashes.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        plan, description = build((folder / "graph.txt").read_text(encoding="utf-8"), job)
    except (Unsupported, EnvironmentError_) as error:
        (folder / "refusal.txt").write_text(str(error), encoding="utf-8")
        return 1
    except MemoryError:
        (folder / "refusal.txt").write_text("the builder ran out of memory", encoding="utf-8")
        return 1
    (folder / "plan").write_bytes(plan)
    (folder / "tensorrt.json").write_text(json.dumps(description, sort_keys=True), encoding="utf-8")
    return 0


def build(text: str, job: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """The plan of a graph's text, and its description.

    Raises:
        Unsupported: TensorRT cannot build it.
        EnvironmentError_: there is no TensorRT.
    """
    found = library.load()
    options = PlanOptions(**{**job["options"], "compute_capabilities": tuple(job["options"]["compute_capabilities"])})
    if options.weights_as == REFIT and not library.has_gpu():
        raise Unsupported(
            "plans that are refitted with weights are built only on a machine with a GPU, and there is none here:"
            f" leave tensorrt_weights (--tensorrt-weights) at its default, {INPUTS}, or build where there is one"
        )
    converter = Converter(found)
    converted = converter.convert(
        parse_graph(text),
        frozenset(job["weights"]),
        precision=PRECISIONS[options.precision],
        store=WeightStore(options.weights_as),
    )
    given = {name: Range(*bounds) for name, bounds in job["ranges"].items()}
    dims, padded = converted.network.dims, job["padded"]
    profiles = derive(converted.inputs, job["observed"], job["batch_sizes"], given, dims, padded)
    limits = converted.network.limits
    profiles = within(profiles, limits)
    description = _description(found, converted, profiles, options)
    description["limits"] = {
        name: limits[name] for name in given if given[name].max > limits.get(name, given[name].max)
    }
    return make_plan(converter, converted, profiles, options), description


def _description(
    found: Library, converted: Converted, profiles: tuple[Profile, ...], options: PlanOptions
) -> dict[str, Any]:
    """What the engine file's section "tensorrt" is made of."""
    definition = converted.definition
    tensors = {definition.get_input(i).name: definition.get_input(i) for i in range(definition.num_inputs)}
    inputs = [
        {
            "name": item.name,
            "index": item.index,
            "dtype": int(item.dtype),
            "rank": len(item.shape),
            "shape_tensor": bool(tensors[item.name].is_shape_tensor),
        }
        for item in converted.inputs
    ]
    outputs = [
        {"name": name, "index": index, "dtype": int(dtype), "rank": len(shape)}
        for index, ((name, dtype), shape) in enumerate(zip(converted.outputs, converted.shapes, strict=True))
    ]
    return {
        "flavor": found.flavor,
        "version": found.version,
        "compute_capabilities": list(options.compute_capabilities),
        "precision": options.precision,
        "inputs": inputs,
        "outputs": outputs,
        "profiles": [describe(definition, converted.inputs, profile) for profile in profiles],
        "weights": [
            {
                "name": item.name,
                "index": item.index,
                "dtype": int(item.dtype),
                "dims": list(item.dims),
                "permutation": list(item.permutation),
            }
            for item in converted.refits
        ],
        "version_compatible": options.version_compatible,
        "hardware_compatible": options.hardware_compatible,
        "stripped": options.weights_as == REFIT,
    }


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
