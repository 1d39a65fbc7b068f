"""Models that are hard to keep whole rather than heavy: tables and assets, several signatures, TF1 graphs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.zoo.base import DEFAULT, Array, Feeds, Sizes, Weights, float_input

v1 = tf.compat.v1

FEATURES = 24
_LABELS = ("ham", "spam", "eggs", "toast", "beans")


# Tables, strings, assets --------------------------------------------------------------------------------------------


class Labeller(tf.Module):
    """String features through a table, a dense layer, and the label's name through another table read from an asset."""

    def __init__(self, labels: Path, *, seed: int) -> None:
        super().__init__()
        w = Weights(seed)
        keys = tf.constant(["red", "green", "blue"])
        self.colours = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(keys, tf.constant([1, 2, 3], tf.int64)), default_value=0
        )
        self.labels = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                str(labels),
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
            ),
            default_value="?",
        )
        self.embedding = w(4, FEATURES, scale=1.0)
        self.hidden, self.hidden_bias = w(FEATURES, 64), w.bias(64)
        self.head, self.head_bias = w(64, len(_LABELS)), w.bias(len(_LABELS))

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "colour"),
            tf.TensorSpec([None, FEATURES], tf.float32, "features"),
        ]
    )
    def serve(self, colour: tf.Tensor, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores [batch, labels] and the best label's name [batch]."""
        known = self.colours.lookup(tf.strings.strip(tf.strings.lower(colour)))
        x = tf.nn.elu(tf.matmul(features + tf.gather(self.embedding, known), self.hidden) + self.hidden_bias)
        scores = tf.nn.softmax(tf.matmul(x, self.head) + self.head_bias)
        best = self.labels.lookup(tf.argmax(scores, 1))
        return {"scores": scores, "label": tf.strings.join([colour, best], separator=":")}


def labeller(*, seed: int) -> Callable[[Path], None]:
    """The model with tables as a SavedModel."""

    def build(folder: Path) -> None:
        labels = folder.with_name(folder.name + ".labels.txt")
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text("\n".join(_LABELS) + "\n")
        model = Labeller(labels, seed=seed)
        tf.saved_model.save(model, str(folder), signatures=model.serve)
        labels.unlink()

    return build


def labeller_inputs(rng: np.random.Generator, sizes: Sizes) -> Feeds:
    """Feeds `colour`, strings, some unknown, and `features`."""
    batch = sizes["batch"]
    colours = rng.choice(np.array(["red", " Green ", "BLUE", "mauve"]), batch).astype(object)
    return {DEFAULT: {"colour": colours, "features": float_input(rng, batch, FEATURES)}}


# Signatures that share ----------------------------------------------------------------------------------------------


class Shared(tf.Module):
    """Two towers over one embedding of features: embed, score a pair, and classify."""

    def __init__(self, *, seed: int) -> None:
        super().__init__()
        w = Weights(seed)
        self.kernel, self.bias = w(FEATURES, 128), w.bias(128)
        self.project, self.project_bias = w(128, 32), w.bias(32)
        self.head, self.head_bias = w(32, 3), w.bias(3)

    @tf.function(input_signature=[tf.TensorSpec([None, FEATURES], tf.float32, "features")])
    def embed(self, features: tf.Tensor) -> tf.Tensor:
        """Unit vectors [batch, 32]."""
        x = tf.nn.relu(tf.matmul(features, self.kernel) + self.bias)
        return tf.math.l2_normalize(tf.matmul(x, self.project) + self.project_bias, axis=-1)

    @tf.function(input_signature=[tf.TensorSpec([None, FEATURES], tf.float32, n) for n in ("left", "right")])
    def score(self, left: tf.Tensor, right: tf.Tensor) -> dict[str, tf.Tensor]:
        """Cosine similarities [batch, others]."""
        return {"similarity": tf.matmul(self.embed(left), self.embed(right), transpose_b=True)}

    @tf.function(input_signature=[tf.TensorSpec([None, FEATURES], tf.float32, "features")])
    def classify(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """Class probabilities [batch, 3]."""
        return {"probabilities": tf.nn.softmax(tf.matmul(self.embed(features), self.head) + self.head_bias)}


def three_signatures(*, seed: int) -> Callable[[Path], None]:
    """The shared model with three signatures; `embed` is called by the others."""

    def build(folder: Path) -> None:
        model = Shared(seed=seed)
        signatures = {DEFAULT: model.classify, "embed": model.embed, "score": model.score}
        tf.saved_model.save(model, str(folder), signatures=signatures)

    return build


def three_signature_inputs(rng: np.random.Generator, sizes: Sizes) -> Feeds:
    """Feeds each signature."""
    batch = sizes["batch"]
    return {
        DEFAULT: {"features": float_input(rng, batch, FEATURES)},
        "embed": {"features": float_input(rng, batch, FEATURES)},
        "score": {
            "left": float_input(rng, batch, FEATURES),
            "right": float_input(rng, sizes["others"], FEATURES),
        },
    }


# TF1 ----------------------------------------------------------------------------------------------------------------


def tf1_graph(*, variables: str, seed: int) -> Callable[[Path], None]:
    """A convolutional classifier in the main graph, saved by TF1's builder.

    Args:
      variables: "resource", "ref" (as TF1 made them by default), or "frozen" (constants).
      seed: of the weights.
    """

    def weight(name: str, value: Array) -> tf.Tensor:
        if variables == "frozen":
            return tf.constant(value, name=name)
        return v1.get_variable(name, initializer=value, use_resource=variables == "resource")

    def logits(image: tf.Tensor, values: Weights) -> tf.Tensor:
        x = v1.nn.conv2d(
            image, weight("conv1", values.array(3, 3, 3, 16, scale=0.2)), strides=[1, 2, 2, 1], padding="SAME"
        )
        scale, offset = values.array(16, scale=0.2, offset=1.0), values.array(16, scale=0.1)
        mean, variance = values.array(16, scale=0.1), np.square(values.array(16, scale=0.2, offset=1.0))
        x, _, _ = v1.nn.fused_batch_norm(
            x,
            weight("scale", scale),
            weight("offset", offset),
            mean=weight("mean", mean),
            variance=weight("variance", variance),
            is_training=False,
        )
        x = v1.nn.max_pool2d(v1.nn.relu(x), 2, 2, "VALID")
        x = v1.nn.conv2d(x, weight("conv2", values.array(3, 3, 16, 32, scale=0.1)), strides=1, padding="VALID")
        x = v1.reduce_mean(v1.nn.relu6(v1.nn.bias_add(x, weight("bias2", values.array(32, scale=0.1)))), [1, 2])
        return v1.nn.xw_plus_b(
            x, weight("dense", values.array(32, 10, scale=0.3)), weight("bias3", values.array(10, scale=0.1))
        )

    def build(folder: Path) -> None:
        with tf.Graph().as_default(), v1.Session() as session:
            image = v1.placeholder(tf.float32, [None, 32, 32, 3], name="image")
            probabilities = tf.nn.softmax(logits(image, Weights(seed)), name="probabilities")
            best = tf.argmax(probabilities, 1, name="best")
            session.run(v1.global_variables_initializer())
            outputs = {"probabilities": probabilities, "best": best}
            v1.saved_model.simple_save(session, str(folder), inputs={"image": image}, outputs=outputs)

    return build


def tf1_inputs(rng: np.random.Generator, sizes: Sizes) -> Feeds:
    """Feeds `image`, float32 [batch, 32, 32, 3]."""
    return {DEFAULT: {"image": float_input(rng, sizes["batch"], 32, 32, 3)}}
