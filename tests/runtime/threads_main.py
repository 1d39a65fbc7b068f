"""Prints how many threads an engine is given by a session with as many intra-op threads as the argument says."""

from __future__ import annotations

import sys

import numpy as np
import tensorflow as tf

from tests.runtime import engine_kit as kit


def main() -> None:
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=int(sys.argv[1]))
    with tf.Graph().as_default(), tf.compat.v1.Session(config=config) as session:
        fallback = kit.fallback_function(resources=False)
        w, b = tf.ones([kit.K, kit.N]), tf.ones([kit.N])
        x = tf.compat.v1.placeholder(tf.float32, [None, kit.K])
        y = kit.blade_engine([x, w, b], [tf.float32], fallback, [kit.affine_engine()], "threads")[0]
        values = np.unique(session.run(y, {x: np.full((4, kit.K), 1010.0, np.float32)}))
        sys.stdout.write(" ".join(map(str, values)))


if __name__ == "__main__":
    main()
