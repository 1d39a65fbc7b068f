"""tf_blade: takes a trained TensorFlow SavedModel and writes one that serves in its place, faster.

    import tf_blade
    report = tf_blade.optimize_saved_model("model", "model_fast")
    print(report)

Importing the package has the op library loaded into TensorFlow, so that `tf.saved_model.load` loads optimized models.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tf_blade import autoload

if TYPE_CHECKING:
    from tf_blade.api import inspect_saved_model, optimize_graph_def, optimize_saved_model
    from tf_blade.bench import bench_saved_model
    from tf_blade.errors import TfBladeError
    from tf_blade.report.report import Report
    from tf_blade.runtime import library_path, reset_runtime_stats, runtime_stats
    from tf_blade.saved_model.sign import sign_saved_model
    from tf_blade.settings import Settings
    from tf_blade.verify import verify_saved_model

__version__ = "0.1.0"

__all__ = [
    "Report",
    "Settings",
    "TfBladeError",
    "bench_saved_model",
    "inspect_saved_model",
    "library_path",
    "optimize_graph_def",
    "optimize_saved_model",
    "reset_runtime_stats",
    "runtime_stats",
    "sign_saved_model",
    "verify_saved_model",
]

# Where the public names live; they are imported when they are asked for, since most of them import TensorFlow.
_HOMES = {
    "Report": "tf_blade.report.report",
    "Settings": "tf_blade.settings",
    "TfBladeError": "tf_blade.errors",
    "bench_saved_model": "tf_blade.bench",
    "inspect_saved_model": "tf_blade.api",
    "library_path": "tf_blade.runtime",
    "optimize_graph_def": "tf_blade.api",
    "optimize_saved_model": "tf_blade.api",
    "reset_runtime_stats": "tf_blade.runtime",
    "runtime_stats": "tf_blade.runtime",
    "sign_saved_model": "tf_blade.saved_model.sign",
    "verify_saved_model": "tf_blade.verify",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tf_blade' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


autoload.install()
