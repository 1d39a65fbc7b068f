"""Random DAGs through clusters, cut and rewrite: the results stay, and no engine waits for itself."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from tests.clusters.sketch import EAGER, check
from tests.property.random_graphs import SIZE, random_graph
from tf_blade.clusters import device
from tf_blade.clusters.cluster import cluster_device, find_clusters
from tf_blade.clusters.cut import cut
from tf_blade.graph import legality
from tf_blade.graph.attributes import FunctionAttr
from tf_blade.graph.graph import Graph
from tf_blade.graph.graphdef import OpCatalog, function_def_from_graph, graph_def_from_graph
from tf_blade.rewrite.replace import Replacement, replace_clusters
from tf_blade.stages import Cluster, Verdict

NUM_GRAPHS = 2000
BATCH = 200


class RandomGraphsTest(parameterized.TestCase):
    @parameterized.parameters(range(0, NUM_GRAPHS, BATCH))
    def test_results_stay(self, first: int) -> None:
        target = tf.Graph()
        pairs: list[tuple[str, str]] = []
        num_clusters = 0
        with target.as_default():
            x = tf.constant(np.linspace(-1, 1, SIZE), tf.float32)
            for seed in range(first, first + BATCH):
                graph, verdicts = random_graph(seed)
                outputs = [output.name for output in graph.outputs]
                _import(graph, f"before_{seed}", x, [])
                num_clusters += _rewrite_and_import(self, graph, verdicts, seed, x)
                pairs += [(f"before_{seed}/{name}", f"after_{seed}/{name}") for name in outputs]
        self.assertGreater(num_clusters, BATCH)
        config = tf.compat.v1.ConfigProto(device_count={"CPU": 2})
        # TensorFlow's own optimizer drops one of two Negs when a function between them is inlined (graph 1323).
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        with tf.compat.v1.Session(graph=target, config=config) as session:
            results = session.run(list(itertools.chain(*pairs)))
        for index, names in enumerate(pairs):
            before, after = results[2 * index : 2 * index + 2]  # Tanh's last bit hangs on the buffer's alignment
            np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6, err_msg=names[0])

    def test_the_seed_decides_everything(self) -> None:
        for seed in range(50):
            first, second = (find_clusters(*random_graph(seed), EAGER).clusters for _ in range(2))
            self.assertEqual([_describe(item) for item in first], [_describe(item) for item in second])


def _describe(cluster: Cluster) -> tuple[object, ...]:
    parts = (cluster.nodes, cluster.inputs, cluster.outputs)
    return cluster.name, cluster.backend, *([item.name for item in part] for part in parts)


def _rewrite_and_import(test: absltest.TestCase, graph: Graph, verdicts: list[Verdict], seed: int, x: tf.Tensor) -> int:
    """Adds the rewritten graph to the default one; gives the number of clusters."""
    settings = dataclasses.replace(EAGER, weight_bytes=8 if seed % 2 else 1024)
    clusters = find_clusters(graph, verdicts, settings, prefix=f"g{seed}").clusters
    check(graph, clusters)
    backends = {verdict.node: verdict.backend for verdict in verdicts}
    for cluster in clusters:
        test.assertEqual({backends[node] for node in cluster.nodes if node.op != "Const"}, {cluster.backend})
        for node in cluster.nodes:
            test.assertEqual(device.merge(cluster_device(cluster), node.device), cluster_device(cluster))
    pieces = [cut(cluster, settings) for cluster in clusters]
    for piece in pieces:
        legality.check(piece.graph)
    engines = replace_clusters(graph, [Replacement(cluster, (), f"{cluster.name}_fallback") for cluster in clusters])
    legality.check(graph, after="rewrite")
    for engine, piece in zip(engines, pieces, strict=True):
        piece.graph.name = f"{piece.cluster.name}_fallback"
        engine.op = "PartitionedCall"
        engine.attrs = {
            "Tin": [tensor.dtype for tensor in engine.inputs],
            "Tout": [tensor.dtype for tensor in engine.outputs],
            "f": FunctionAttr(piece.graph.name),
        }
    _import(graph, f"after_{seed}", x, [piece.graph for piece in pieces])
    return len(clusters)


def _import(graph: Graph, name: str, x: tf.Tensor, functions: list[Graph]) -> None:
    catalog = OpCatalog()
    message = graph_def_from_graph(graph, tf.Graph().as_graph_def(), catalog, before=())
    for function in functions:
        message.library.function.add().CopyFrom(function_def_from_graph(function, None, catalog))
    tf.graph_util.import_graph_def(message, input_map={"x:0": x}, name=name)


if __name__ == "__main__":
    absltest.main()
