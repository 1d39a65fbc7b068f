"""Transformers over text: BERT-like encoders (Keras and by hand), a classifier of strings, a GPT-like decoder step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tests.zoo.base import DEFAULT, Array, Feeds, Sizes, Weights, id_input, mask_input
from tests.zoo.keras_models import exporter


@dataclasses.dataclass(frozen=True)
class EncoderSize:
    """Hyperparameters of a transformer; `BASE` is BERT-base."""

    layers: int = 2
    width: int = 64
    heads: int = 4
    inner: int = 256
    vocabulary: int = 500
    positions: int = 128
    classes: int = 5


SMALL = EncoderSize()
BASE = EncoderSize(layers=12, width=768, heads=12, inner=3072, vocabulary=30522, positions=512, classes=5)


def token_inputs(size: EncoderSize) -> Callable[[np.random.Generator, Sizes], Feeds]:
    """Feeds `ids` and `mask`, both int32 [batch, length]."""

    def inputs(rng: np.random.Generator, sizes: Sizes) -> Feeds:
        batch, length = sizes["batch"], sizes["length"]
        return {
            DEFAULT: {
                "ids": id_input(rng, size.vocabulary, batch, length),
                "mask": mask_input(rng, batch, length),
            }
        }

    return inputs


# Keras --------------------------------------------------------------------------------------------------------------


class _Positions(keras.layers.Layer):
    """Adds the first rows of a table of positions."""

    def __init__(self, positions: int, width: int) -> None:
        super().__init__(name="positions")
        self.table = self.add_weight(shape=(positions, width), initializer="random_normal", name="positions")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return x + self.table[: tf.shape(x)[1]]


def keras_encoder(size: EncoderSize, *, seed: int) -> Callable[[Path], None]:
    """Post-norm encoder of Keras layers; the output is a softmax over the first token."""

    def make() -> keras.Model:
        ids = keras.Input((None,), dtype="int32", name="ids")
        mask = keras.Input((None,), dtype="int32", name="mask")
        x = _Positions(size.positions, size.width)(keras.layers.Embedding(size.vocabulary, size.width)(ids))
        x = keras.layers.LayerNormalization(epsilon=1e-12)(x)
        allowed = keras.ops.cast(mask, "bool")[:, None, :]
        for _ in range(size.layers):
            attention = keras.layers.MultiHeadAttention(size.heads, size.width // size.heads)
            attended = attention(x, x, attention_mask=allowed)
            x = keras.layers.LayerNormalization(epsilon=1e-12)(x + attended)
            inner = keras.layers.Dense(size.inner, activation="gelu")(x)
            x = keras.layers.LayerNormalization(epsilon=1e-12)(x + keras.layers.Dense(size.width)(inner))
        pooled = keras.layers.Dense(size.width, activation="tanh")(x[:, 0])
        return keras.Model([ids, mask], keras.layers.Dense(size.classes, activation="softmax")(pooled))

    return exporter(make, seed=seed)


# By hand ------------------------------------------------------------------------------------------------------------


def layer_norm(x: tf.Tensor, gain: tf.Variable, bias: tf.Variable) -> tf.Tensor:
    """The hand-written form: mean, squared difference, rsqrt."""
    mean = tf.reduce_mean(x, -1, keepdims=True)
    variance = tf.reduce_mean(tf.math.squared_difference(x, mean), -1, keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + 1e-6) * gain + bias


class _Block(tf.Module):
    """One transformer layer; `pre_norm` as in GPT, else as in BERT."""

    def __init__(self, size: EncoderSize, w: Weights, *, pre_norm: bool) -> None:
        super().__init__()
        self._heads, self._pre_norm = size.heads, pre_norm
        width, inner = size.width, size.inner
        self.qkv, self.qkv_bias = w(width, 3 * width), w.bias(3 * width)
        self.out, self.out_bias = w(width, width), w.bias(width)
        self.up, self.up_bias = w(width, inner), w.bias(inner)
        self.down, self.down_bias = w(inner, width), w.bias(width)
        self.norm1, self.norm1_bias = w.gain(width), w.bias(width)
        self.norm2, self.norm2_bias = w.gain(width), w.bias(width)

    def heads(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Queries, keys and values, each [batch, heads, length, depth]."""
        batch, length = tf.shape(x)[0], tf.shape(x)[1]
        depth = self.out.shape[0] // self._heads
        flat = tf.matmul(x, self.qkv) + self.qkv_bias
        split = tf.reshape(flat, [batch, length, 3, self._heads, depth])
        q, k, v = tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]), num=3)
        return q, k, v

    def attend(self, q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, bias: tf.Tensor | None) -> tf.Tensor:
        """Scaled dot-product attention; `bias` is added to the scores."""
        scores = tf.matmul(q, k, transpose_b=True) * (q.shape[-1] ** -0.5)
        weights = tf.nn.softmax(scores if bias is None else scores + bias)
        mixed = tf.transpose(tf.matmul(weights, v), [0, 2, 1, 3])
        joined = tf.reshape(mixed, [tf.shape(mixed)[0], tf.shape(mixed)[1], self.out.shape[0]])
        return tf.matmul(joined, self.out) + self.out_bias

    def feed_forward(self, x: tf.Tensor) -> tf.Tensor:
        inner = tf.nn.gelu(tf.matmul(x, self.up) + self.up_bias, approximate=self._pre_norm)
        return tf.matmul(inner, self.down) + self.down_bias

    def encode(self, x: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        """Post-norm, all tokens at once."""
        x = layer_norm(x + self.attend(*self.heads(x), bias), self.norm1, self.norm1_bias)
        return layer_norm(x + self.feed_forward(x), self.norm2, self.norm2_bias)

    def step(self, x: tf.Tensor, keys: tf.Tensor, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Pre-norm, one new token over a cache that grows by it."""
        q, k, v = self.heads(layer_norm(x, self.norm1, self.norm1_bias))
        keys, values = tf.concat([keys, k], 2), tf.concat([values, v], 2)
        x = x + self.attend(q, keys, values, None)
        return x + self.feed_forward(layer_norm(x, self.norm2, self.norm2_bias)), keys, values


class Encoder(tf.Module):
    """BERT by hand: `tf.Variable`s, matrix products and reshapes."""

    def __init__(self, size: EncoderSize, *, seed: int) -> None:
        super().__init__()
        w = Weights(seed)
        self.tokens = w(size.vocabulary, size.width, scale=1.0)
        self.positions = w(size.positions, size.width, scale=0.3)
        self.norm, self.norm_bias = w.gain(size.width), w.bias(size.width)
        self.blocks = [_Block(size, w, pre_norm=False) for _ in range(size.layers)]
        self.pool, self.pool_bias = w(size.width, size.width), w.bias(size.width)
        self.head, self.head_bias = w(size.width, size.classes), w.bias(size.classes)

    def classify(self, ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Class probabilities [batch, classes] of int32 tokens [batch, length]."""
        x = tf.gather(self.tokens, ids) + self.positions[: tf.shape(ids)[1]]
        x = layer_norm(x, self.norm, self.norm_bias)
        bias = (1.0 - tf.cast(mask, tf.float32))[:, None, None, :] * -1e9
        for block in self.blocks:
            x = block.encode(x, bias)
        pooled = tf.tanh(tf.matmul(x[:, 0], self.pool) + self.pool_bias)
        return tf.nn.softmax(tf.matmul(pooled, self.head) + self.head_bias)


def module_encoder(size: EncoderSize, *, seed: int) -> Callable[[Path], None]:
    """The hand-written encoder as a SavedModel."""

    def build(folder: Path) -> None:
        model = Encoder(size, seed=seed)

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, None], tf.int32, "ids"),
                tf.TensorSpec([None, None], tf.int32, "mask"),
            ]
        )
        def serve(ids: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"probabilities": model.classify(ids, mask)}

        tf.saved_model.save(model, str(folder), signatures=serve)

    return build


# Strings in ---------------------------------------------------------------------------------------------------------

_WORDS = (
    "good",
    "bad",
    "film",
    "the",
    "a",
    "plot",
    "acting",
    "was",
    "is",
    "not",
    "very",
    "dull",
    "bright",
    "scene",
    "music",
)
_UNKNOWN_BUCKETS = 10


class TextClassifier(tf.Module):
    """Text in, class probabilities out: tokenization by string ops and a vocabulary file, then the encoder."""

    def __init__(self, size: EncoderSize, vocabulary: Path, *, seed: int) -> None:
        super().__init__()
        self.encoder = Encoder(size, seed=seed)
        initializer = tf.lookup.TextFileInitializer(
            str(vocabulary),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        self.table = tf.lookup.StaticVocabularyTable(initializer, num_oov_buckets=_UNKNOWN_BUCKETS)
        self._longest = size.positions

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def serve(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies strings [batch]; texts longer than the encoder's positions are cut."""
        clean = tf.strings.regex_replace(tf.strings.lower(text), r"[^a-z0-9 ]", " ")
        words = tf.strings.split(clean)[:, : self._longest - 2]
        edge = tf.fill([tf.shape(text)[0], 1], "[edge]")
        ids = self.table.lookup(tf.concat([edge, words, edge], 1)).to_tensor(default_value=0)
        ids = tf.cast(ids, tf.int32)
        return {"probabilities": self.encoder.classify(ids, tf.cast(ids > 0, tf.int32))}


def text_classifier(size: EncoderSize, *, seed: int) -> Callable[[Path], None]:
    """The classifier of strings as a SavedModel; its vocabulary is an asset."""

    def build(folder: Path) -> None:
        vocabulary = folder.with_name(folder.name + ".vocabulary.txt")
        known = ["[pad]", "[edge]", *_WORDS]
        filler = [f"word{i}" for i in range(size.vocabulary - _UNKNOWN_BUCKETS - len(known))]
        vocabulary.parent.mkdir(parents=True, exist_ok=True)
        vocabulary.write_text("\n".join([*known, *filler]) + "\n")
        model = TextClassifier(size, vocabulary, seed=seed)
        tf.saved_model.save(model, str(folder), signatures=model.serve)
        vocabulary.unlink()

    return build


def text_inputs(rng: np.random.Generator, sizes: Sizes) -> Feeds:
    """Feeds `text`: strings of up to `words` words, some of them unknown."""
    words = np.array([*_WORDS, "Zebra!", "unseen"])

    def sentence() -> str:
        return " ".join(rng.choice(words, sizes["words"]))

    return {DEFAULT: {"text": np.array([sentence() for _ in range(sizes["batch"])], dtype=object)}}


# One token at a time ------------------------------------------------------------------------------------------------


class Decoder(tf.Module):
    """GPT-like: one token in, logits and the grown cache out."""

    def __init__(self, size: EncoderSize, *, seed: int) -> None:
        super().__init__()
        w = Weights(seed)
        self.tokens = w(size.vocabulary, size.width, scale=1.0)
        self.positions = w(size.positions, size.width, scale=0.3)
        self.blocks = [_Block(size, w, pre_norm=True) for _ in range(size.layers)]
        self.norm, self.norm_bias = w.gain(size.width), w.bias(size.width)

    def step(self, token: tf.Tensor, keys: tf.Tensor, values: tf.Tensor) -> dict[str, tf.Tensor]:
        """Token int32 [batch, 1]; keys and values [layers, batch, heads, past, depth]; the head is the embedding."""
        past = tf.shape(keys)[3]
        x = tf.gather(self.tokens, token) + self.positions[past : past + 1]
        new_keys, new_values = [], []
        for block, k, v in zip(self.blocks, tf.unstack(keys), tf.unstack(values), strict=True):
            x, k, v = block.step(x, k, v)
            new_keys.append(k)
            new_values.append(v)
        x = layer_norm(x, self.norm, self.norm_bias)
        logits = tf.matmul(x[:, -1] * (self.tokens.shape[1] ** -0.5), self.tokens, transpose_b=True)
        return {"logits": logits, "keys": tf.stack(new_keys), "values": tf.stack(new_values)}


def decoder_step(size: EncoderSize, *, seed: int) -> Callable[[Path], None]:
    """The decoder step as a SavedModel."""
    cache = [size.layers, None, size.heads, None, size.width // size.heads]

    def build(folder: Path) -> None:
        model = Decoder(size, seed=seed)
        serve = tf.function(
            model.step,
            input_signature=[
                tf.TensorSpec([None, 1], tf.int32, "token"),
                tf.TensorSpec(cache, tf.float32, "keys"),
                tf.TensorSpec(cache, tf.float32, "values"),
            ],
        )
        tf.saved_model.save(model, str(folder), signatures=serve)

    return build


def decoder_inputs(size: EncoderSize) -> Callable[[np.random.Generator, Sizes], Feeds]:
    """Feeds `token`, `keys` and `values` for a cache of `past` tokens."""

    def cache(rng: np.random.Generator, sizes: Sizes) -> Array:
        shape = (size.layers, sizes["batch"], size.heads, sizes["past"], size.width // size.heads)
        return rng.standard_normal(shape).astype(np.float32)

    def inputs(rng: np.random.Generator, sizes: Sizes) -> Feeds:
        token = id_input(rng, size.vocabulary, sizes["batch"], 1)
        return {DEFAULT: {"token": token, "keys": cache(rng, sizes), "values": cache(rng, sizes)}}

    return inputs
