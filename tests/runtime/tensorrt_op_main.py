"""A model whose op holds a plan for batches of 2 to 8 and an engine of DISC for all: prints what came of its calls.

The process finds TensorRT and CUDA's driver as tensorrt_kit.environment says.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import tensorflow as tf

from tests.runtime import engine_kit as kit
from tests.runtime import tensorrt_kit as trt

MARK = 200.0  # that DISC's engine adds


def main() -> None:
    calls = int(sys.argv[1])
    engines = [trt.affine_engine(), kit.affine_engine(f"MARK={MARK}f")]
    model = kit.Affine(engines, "plan")
    call = model.serve.get_concrete_function()
    marks: set[tuple[int, float]] = set()
    for step in range(calls):
        if step == calls - 4:
            model.w.assign(3 * model.w)
        rows = (4, 9, 8, 1)[step % 4]
        x = tf.constant(np.random.default_rng(step).standard_normal((rows, kit.K)), tf.float32)
        difference = (call(x)["y"] - model.expected(x)).numpy()
        mark = float(np.round(difference.mean()))
        np.testing.assert_allclose(difference, mark, atol=1e-3)
        marks.add((step % 4, mark))
    stats = kit.stats_of("plan")
    sys.stdout.write(json.dumps({"marks": sorted(marks), "stats": stats}) + "\n")


if __name__ == "__main__":
    main()
