"""The threads of the sessions that an optimization opens."""

from __future__ import annotations

import tensorflow as tf


def session_config() -> tf.compat.v1.ConfigProto:
    """A session's configuration with the threads that this process's user has set.

    A process's first session makes the pools that all later sessions and functions share: with threads of its own
    choice an optimization would decide how many threads TensorFlow has from then on.
    """
    return tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=tf.config.threading.get_intra_op_parallelism_threads(),
        inter_op_parallelism_threads=tf.config.threading.get_inter_op_parallelism_threads(),
    )
