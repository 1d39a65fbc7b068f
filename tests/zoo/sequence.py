"""Text without attention (GRU, LSTM, 1-D convolution), a ranking model, and a memory-bound chain."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tests.zoo.base import DEFAULT, Feeds, Sizes, Weights, float_input, id_input
from tests.zoo.encoder import layer_norm
from tests.zoo.keras_models import exporter

Inputs = Callable[[np.random.Generator, Sizes], Feeds]


def id_inputs(vocabulary: int) -> Inputs:
    """Feeds `ids`, int32 [batch, length]; the last quarter of each row is padding (0)."""

    def inputs(rng: np.random.Generator, sizes: Sizes) -> Feeds:
        ids = id_input(rng, vocabulary, sizes["batch"], sizes["length"])
        ids[:, sizes["length"] - sizes["length"] // 4 :] = 0
        return {DEFAULT: {"ids": ids}}

    return inputs


def gru(vocabulary: int, width: int, *, seed: int) -> Callable[[Path], None]:
    """Two GRU layers over embedded text."""

    def make() -> keras.Model:
        ids = keras.Input((None,), dtype="int32", name="ids")
        x = keras.layers.Embedding(vocabulary, width)(ids)
        x = keras.layers.GRU(width, return_sequences=True)(x)
        x = keras.layers.GRU(width)(x)
        return keras.Model(ids, keras.layers.Dense(3, activation="softmax")(x))

    return exporter(make, seed=seed)


def lstm(vocabulary: int, width: int, *, seed: int) -> Callable[[Path], None]:
    """A bidirectional LSTM over embedded text, padding masked."""

    def make() -> keras.Model:
        ids = keras.Input((None,), dtype="int32", name="ids")
        x = keras.layers.Embedding(vocabulary, width, mask_zero=True)(ids)
        x = keras.layers.Bidirectional(keras.layers.LSTM(width))(x)
        x = keras.layers.Dense(width, activation="relu")(x)
        return keras.Model(ids, keras.layers.Dense(3, activation="sigmoid")(x))

    return exporter(make, seed=seed)


def text_cnn(vocabulary: int, width: int, *, seed: int) -> Callable[[Path], None]:
    """Parallel 1-D convolutions of widths 3 to 5 over embedded text, each reduced by its maximum."""

    def make() -> keras.Model:
        ids = keras.Input((None,), dtype="int32", name="ids")
        x = keras.layers.Embedding(vocabulary, width)(ids)
        branches = []
        for size, padding, dilation in ((3, "valid", 1), (4, "same", 1), (5, "causal", 2)):
            branch = keras.layers.Conv1D(width, size, padding=padding, dilation_rate=dilation, activation="relu")(x)
            branches.append(keras.layers.GlobalMaxPooling1D()(branch))
        x = keras.layers.Concatenate()(branches)
        return keras.Model(ids, keras.layers.Dense(4, activation="softmax")(x))

    return exporter(make, seed=seed)


# Ranking ------------------------------------------------------------------------------------------------------------

DENSE_FEATURES = 13
TABLES = 26


class Ranking(tf.Module):
    """26 embeddings and 13 numbers: a wide part, crosses, pairwise dot products, and a multilayer perceptron."""

    def __init__(self, rows: int, width: int, hidden: tuple[int, ...], *, seed: int) -> None:
        super().__init__()
        w = Weights(seed)
        self._rows = [rows + 7 * i for i in range(TABLES)]
        self.tables = [w(count, width, scale=0.5) for count in self._rows]
        self.wide = [w(count, 1, scale=0.2) for count in self._rows]
        self.bottom, self.bottom_bias = w(DENSE_FEATURES, width), w.bias(width)
        joined = width * (TABLES + 1)
        self.crosses = [(w(joined, joined), w.bias(joined)) for _ in range(2)]
        sizes = (joined + TABLES * (TABLES + 1) // 2, *hidden, 1)
        self.layers = [(w(m, n), w.bias(n)) for m, n in itertools.pairwise(sizes)]
        self._pairs = np.ravel_multi_index(np.triu_indices(TABLES + 1, 1), (TABLES + 1, TABLES + 1)).astype(np.int32)

    def rank(self, dense: tf.Tensor, categories: tf.Tensor) -> dict[str, tf.Tensor]:
        """Click probability [batch, 1] of numbers [batch, 13] and any int64 identifiers [batch, 26]."""
        ids = [tf.math.floormod(categories[:, i], count) for i, count in enumerate(self._rows)]
        bottom = tf.nn.relu(tf.matmul(tf.math.log1p(tf.nn.relu(dense)), self.bottom) + self.bottom_bias)
        vectors = [bottom, *(tf.gather(table, i) for table, i in zip(self.tables, ids, strict=True))]
        stacked = tf.stack(vectors, 1)
        dots = tf.reshape(tf.matmul(stacked, stacked, transpose_b=True), [-1, (TABLES + 1) ** 2])
        x = x0 = tf.concat(vectors, 1)
        for kernel, bias in self.crosses:
            x = x0 * (tf.matmul(x, kernel) + bias) + x
        x = tf.concat([x, tf.gather(dots, self._pairs, axis=1)], 1)
        for kernel, bias in self.layers[:-1]:
            x = tf.nn.relu(tf.matmul(x, kernel) + bias)
        kernel, bias = self.layers[-1]
        wide = tf.add_n([tf.gather(table, i) for table, i in zip(self.wide, ids, strict=True)])
        return {"probability": tf.sigmoid(tf.matmul(x, kernel) + bias + wide)}


def ranking(rows: int, width: int, hidden: tuple[int, ...], *, seed: int) -> Callable[[Path], None]:
    """The ranking model as a SavedModel."""

    def build(folder: Path) -> None:
        model = Ranking(rows, width, hidden, seed=seed)
        specs = [
            tf.TensorSpec([None, DENSE_FEATURES], tf.float32, "dense"),
            tf.TensorSpec([None, TABLES], tf.int64, "categories"),
        ]
        tf.saved_model.save(model, str(folder), signatures=tf.function(model.rank, input_signature=specs))

    return build


def ranking_inputs(rng: np.random.Generator, sizes: Sizes) -> Feeds:
    """Feeds `dense` and `categories`; identifiers may be negative, as hashes are."""
    batch = sizes["batch"]
    dense = rng.uniform(-1, 20, (batch, DENSE_FEATURES)).astype(np.float32)
    return {DEFAULT: {"dense": dense, "categories": rng.integers(-(10**9), 10**9, (batch, TABLES))}}


# Memory-bound chain -------------------------------------------------------------------------------------------------


class Chain(tf.Module):
    """Layer norm → GELU → add → softmax → scale: as many bytes as arithmetic."""

    def __init__(self, width: int, *, seed: int) -> None:
        super().__init__()
        w = Weights(seed)
        self.gain, self.bias, self.scale = w.gain(width), w.bias(width), w.gain(width)

    def run(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Float32 [batch, rows, width] to the same shape."""
        y = tf.nn.gelu(layer_norm(x, self.gain, self.bias), approximate=False)
        return {"y": tf.nn.softmax(y + x) * self.scale}


def chain(rows: int, width: int, *, seed: int) -> Callable[[Path], None]:
    """The chain as a SavedModel."""

    def build(folder: Path) -> None:
        model = Chain(width, seed=seed)
        spec = tf.TensorSpec([None, rows, width], tf.float32, "x")
        tf.saved_model.save(model, str(folder), signatures=tf.function(model.run, input_signature=[spec]))

    return build


def chain_inputs(rows: int, width: int) -> Inputs:
    """Feeds `x`, standard normal [batch, rows, width]."""

    def inputs(rng: np.random.Generator, sizes: Sizes) -> Feeds:
        return {DEFAULT: {"x": float_input(rng, sizes["batch"], rows, width)}}

    return inputs
