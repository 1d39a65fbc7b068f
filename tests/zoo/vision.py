"""Images: ResNet50, MobileNetV3, EfficientNet, a U-Net, a vision transformer, a detector with box suppression."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests.zoo.base import DEFAULT, Array, Feeds, Sizes, Weights, float_input
from tests.zoo.encoder import EncoderSize
from tests.zoo.keras_models import exporter

Inputs = Callable[[np.random.Generator, Sizes], Feeds]


def image_inputs(name: str, pixels: int, *, low: float = 0.0, high: float = 255.0) -> Inputs:
    """Feeds float32 images [batch, pixels, pixels, 3] between `low` and `high`."""

    def inputs(rng: np.random.Generator, sizes: Sizes) -> Feeds:
        return {DEFAULT: {name: _images(rng, sizes["batch"], pixels, low=low, high=high)}}

    return inputs


def _images(rng: np.random.Generator, batch: int, pixels: int, *, low: float, high: float) -> Array:
    return rng.uniform(low, high, (batch, pixels, pixels, 3)).astype(np.float32)


def application(make: Callable[..., keras.Model], pixels: int, classes: int, *, seed: int) -> Callable[[Path], None]:
    """A model of `keras.applications` with random weights; its input is named `image`."""

    def model() -> keras.Model:
        image = keras.Input((pixels, pixels, 3), name="image")
        inner = make(weights=None, input_tensor=image, classes=classes)
        return keras.Model(image, inner.output)

    def calibration(rng: np.random.Generator) -> Array:
        return _images(rng, 8 if pixels < 128 else 2, pixels, low=0.0, high=255.0)

    return exporter(model, seed=seed, calibration=calibration)


# U-Net --------------------------------------------------------------------------------------------------------------


class _ResizeLike(keras.layers.Layer):
    """Resizes the first image to the height and width of the second."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self._method = method

    def call(self, pair: list[tf.Tensor]) -> tf.Tensor:
        image, target = pair
        return tf.image.resize(image, tf.shape(target)[1:3], self._method)

    def compute_output_shape(self, shapes: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        image, target = shapes
        return (image[0], target[1], target[2], image[3])


def unet(width: int, depth: int, *, seed: int) -> Callable[[Path], None]:
    """Segmentation of images of any size: max pooling down, bilinear and nearest resizes up, concat, softmax."""

    def block(x: Any, channels: int) -> Any:
        for _ in range(2):
            x = keras.layers.Conv2D(channels, 3, padding="same", use_bias=False)(x)
            x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
        return x

    def make() -> keras.Model:
        image = keras.Input((None, None, 3), name="image")
        x, skips = image, []
        for level in range(depth):
            x = block(x, width << level)
            skips.append(x)
            x = keras.layers.MaxPooling2D()(x)
        x = block(x, width << depth)
        for level in reversed(range(depth)):
            x = _ResizeLike("bilinear" if level % 2 == 0 else "nearest")([x, skips[level]])
            x = block(keras.layers.Concatenate()([x, skips[level]]), width << level)
        return keras.Model(image, keras.layers.Conv2D(4, 1, activation="softmax")(x))

    def calibration(rng: np.random.Generator) -> Array:
        return _images(rng, 4, 32, low=-1.0, high=1.0)

    return exporter(make, seed=seed, calibration=calibration)


def unet_inputs(rng: np.random.Generator, sizes: Sizes) -> Feeds:
    """Feeds `image`, float32 [batch, height, width, 3]."""
    return {DEFAULT: {"image": float_input(rng, sizes["batch"], sizes["height"], sizes["width"], 3)}}


# Vision transformer -------------------------------------------------------------------------------------------------


class _Tokens(keras.layers.Layer):
    """Puts a class token before the patches and adds positions."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__(name="tokens")
        self.first = self.add_weight(shape=(1, 1, width), initializer="random_normal", name="class_token")
        self.positions = self.add_weight(shape=(1, tokens + 1, width), initializer="random_normal", name="positions")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        first = tf.tile(self.first, [tf.shape(x)[0], 1, 1])
        return tf.concat([first, x], 1) + self.positions


def vit(size: EncoderSize, pixels: int, patch: int, *, seed: int) -> Callable[[Path], None]:
    """Pre-norm vision transformer of Keras layers."""
    tokens = (pixels // patch) ** 2

    def make() -> keras.Model:
        image = keras.Input((pixels, pixels, 3), name="image")
        x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
        x = keras.layers.Conv2D(size.width, patch, strides=patch)(x)
        x = _Tokens(tokens, size.width)(keras.layers.Reshape((tokens, size.width))(x))
        for _ in range(size.layers):
            normed = keras.layers.LayerNormalization(epsilon=1e-6)(x)
            x = x + keras.layers.MultiHeadAttention(size.heads, size.width // size.heads)(normed, normed)
            inner = keras.layers.Dense(size.inner)(keras.layers.LayerNormalization(epsilon=1e-6)(x))
            x = x + keras.layers.Dense(size.width)(keras.activations.gelu(inner, approximate=False))
        x = keras.layers.LayerNormalization(epsilon=1e-6)(x)
        return keras.Model(image, keras.layers.Dense(size.classes)(x[:, 0]))

    return exporter(make, seed=seed)


# Detector -----------------------------------------------------------------------------------------------------------


class Detector(tf.Module):
    """A convolutional head over a feature map; boxes are decoded and suppressed by `CombinedNonMaxSuppression`."""

    def __init__(self, cells: int, channels: int, classes: int, *, seed: int) -> None:
        super().__init__()
        w = Weights(seed)
        self._cells, self._channels, self._classes = cells, channels, classes
        self.trunk, self.trunk_bias = w(3, 3, channels, channels), w.bias(channels)
        self.boxes, self.boxes_bias = w(3, 3, channels, 4), w.bias(4)
        self.scores, self.scores_bias = w(3, 3, channels, classes), w.bias(classes)
        rows, columns = np.meshgrid(np.arange(cells), np.arange(cells), indexing="ij")
        self._centres = ((np.stack([rows, columns], -1) + 0.5) / cells).reshape(-1, 2).astype(np.float32)

    def detect(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """Boxes, scores, classes and their count, from features [batch, cells, cells, channels]."""
        trunk = tf.nn.conv2d(features, self.trunk, 1, "SAME")
        trunk = tf.nn.leaky_relu(tf.nn.bias_add(trunk, self.trunk_bias), 0.1)
        offsets = tf.nn.bias_add(tf.nn.conv2d(trunk, self.boxes, 1, "SAME"), self.boxes_bias)
        scores = tf.nn.bias_add(tf.nn.conv2d(trunk, self.scores, 1, "SAME"), self.scores_bias)
        offsets = tf.reshape(offsets, [-1, self._cells**2, 4])
        centre = self._centres + tf.tanh(offsets[..., :2]) / self._cells
        half = tf.exp(0.5 * offsets[..., 2:]) / self._cells
        boxes = tf.clip_by_value(tf.concat([centre - half, centre + half], -1), 0.0, 1.0)
        found = tf.image.combined_non_max_suppression(
            boxes[:, :, None, :],
            tf.sigmoid(tf.reshape(scores, [-1, self._cells**2, self._classes])),
            max_output_size_per_class=5,
            max_total_size=10,
            iou_threshold=0.4,
            score_threshold=0.5,
        )
        return {"boxes": found[0], "scores": found[1], "classes": found[2], "count": found[3]}


def detector(cells: int, channels: int, classes: int, *, seed: int) -> Callable[[Path], None]:
    """The detector head as a SavedModel."""

    def build(folder: Path) -> None:
        model = Detector(cells, channels, classes, seed=seed)
        spec = tf.TensorSpec([None, cells, cells, channels], tf.float32, "features")
        tf.saved_model.save(model, str(folder), signatures=tf.function(model.detect, input_signature=[spec]))

    return build


def detector_inputs(cells: int, channels: int) -> Inputs:
    """Feeds `features`, standard normal."""

    def inputs(rng: np.random.Generator, sizes: Sizes) -> Feeds:
        return {DEFAULT: {"features": float_input(rng, sizes["batch"], cells, cells, channels)}}

    return inputs
