"""Prints how many threads an engine is given by a session with as many intra-op threads as the argument says, whether
scratch memory is kept, and how much is when the session is gone.
"""

from __future__ import annotations

import gc
import sys

import numpy as np
import tensorflow as tf

from tests.runtime import engine_kit as kit
from tf_blade import runtime


def main() -> None:
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=int(sys.argv[1]))
    with tf.Graph().as_default(), tf.compat.v1.Session(config=config) as session:
        fallback = kit.fallback_function(resources=False)
        w, b = tf.ones([kit.K, kit.N]), tf.ones([kit.N])
        x = tf.compat.v1.placeholder(tf.float32, [None, kit.K])
        y = kit.blade_engine([x, w, b], [tf.float32], fallback, [kit.affine_engine()], "threads")[0]
        values = np.unique(session.run(y, {x: np.full((4, kit.K), 1010.0, np.float32)}))
        sys.stdout.write(" ".join(map(str, values)))
        sys.stdout.write(f" {runtime.runtime_stats()['scratch_bytes'] > 0}")
    del session, y
    gc.collect()
    sys.stdout.write(f" {runtime.runtime_stats()['scratch_bytes']}")


if __name__ == "__main__":
    main()
