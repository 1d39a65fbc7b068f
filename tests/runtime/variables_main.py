"""Serves an engine under a value of an environment variable, for each VARIABLE=VALUE of the command line.

Prints, as JSON, what the process wrote to standard error meanwhile, and the fallbacks of two kernels by reason. It is a
process of its own so that its warnings are on.
"""

from __future__ import annotations

import json
import os
import sys
from unittest import mock

import numpy as np
import tensorflow as tf

from tests.runtime import engine_kit as kit


def _serve(variable: str, value: str) -> dict[str, object]:
    engine = kit.affine_engine(backend_version=variable)
    fallbacks = []
    with mock.patch.dict(os.environ, {variable: value}), kit.standard_error() as lines:
        for number in range(2):
            model = kit.Affine([engine], f"{variable}_{number}")
            x = tf.ones((2, kit.K))
            np.testing.assert_allclose(model.serve(x)["y"], model.expected(x), rtol=1e-5)
            fallbacks.append(kit.stats_of(f"{variable}_{number}")["fallbacks"])
    return {"fallbacks": fallbacks, "lines": lines}


def main() -> None:
    json.dump([_serve(*setting.split("=")) for setting in sys.argv[1:]], sys.stdout)


if __name__ == "__main__":
    main()
