"""An optimization leaves TensorFlow the threads that the process's user has set."""

from __future__ import annotations

import subprocess
import sys

from absl.testing import absltest

# Folds a constant in a process in which nothing has run yet, and prints how many threads that has made.
_PROGRAM = """
import os
import tensorflow as tf
import tf_blade

tf.config.threading.set_intra_op_parallelism_threads(5)
tf.config.threading.set_inter_op_parallelism_threads(7)
with tf.Graph().as_default() as graph:
    x = tf.compat.v1.placeholder(tf.float32, [None, 3], name="x")
    tf.add(x, tf.cumsum(tf.constant([1.0, 2.0, 3.0])), name="y")
before = len(os.listdir("/proc/self/task"))
tf_blade.optimize_graph_def(graph.as_graph_def(), outputs=["y"], stop_after="passes")
print("made", len(os.listdir("/proc/self/task")) - before)
"""


class ThreadsTest(absltest.TestCase):
    def test_pools_have_the_users_threads(self) -> None:
        done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        made = int(done.stdout.split("made")[-1])
        self.assertGreaterEqual(made, 5 + 7)


if __name__ == "__main__":
    absltest.main()
