"""Small SavedModels, one for each way in which TensorFlow models are put together, and how to call them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
Feeds = Mapping[str, Mapping[str, Any]]

_RNG = np.random.default_rng(7)
_X = _RNG.standard_normal((3, 4)).astype(np.float32)


def _weight(*shape: int) -> Any:
    return tf.constant(np.random.default_rng(sum(shape)).standard_normal(shape), tf.float32)


@dataclasses.dataclass(frozen=True)
class Case:
    """A model.

    Attributes:
        build: writes it.
        feeds: inputs by signature, in the order in which they are called.
        calls: calls of the loaded object by a Python user, besides the signatures.
        engines: engines it must get at least, when everything supported becomes one.
    """

    build: Callable[[Path], None]
    feeds: Feeds
    calls: tuple[Callable[[Any], Any], ...] = ()
    engines: int = 1


class Dense(tf.Module):
    """Variables, and a block that is called several times."""

    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable(_weight(4, 4))
        self.b = tf.Variable(_weight(4))
        self.large = _weight(4, 600)

    @tf.function
    def block(self, x: Any) -> Any:
        return tf.nn.relu(tf.matmul(x, self.w) + self.b)

    @tf.function(input_signature=[tf.TensorSpec([None, 4], name="x")])
    def __call__(self, x: Any) -> Any:
        for _ in range(3):
            x = self.block(x)
        return tf.matmul(x, self.large) * 2.0

    @tf.function(input_signature=[tf.TensorSpec([None, 4], name="x")])
    def serve(self, x: Any) -> Any:
        y = self(x)
        return {"y": y, "sum": tf.reduce_sum(y, axis=1)}


def dense(folder: Path) -> None:
    model = Dense()
    tf.saved_model.save(model, str(folder), signatures=model.serve)


class Shared(tf.Module):
    """Three signatures over the same variables."""

    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable(_weight(4, 6))

    @tf.function(input_signature=[tf.TensorSpec([None, 4], name="x")])
    def embed(self, x: Any) -> Any:
        return tf.tanh(tf.matmul(x, self.w))

    @tf.function(input_signature=[tf.TensorSpec([None, 4], name=name) for name in ("a", "b")])
    def score(self, a: Any, b: Any) -> Any:
        return {"score": tf.matmul(self.embed(a), self.embed(b), transpose_b=True)}

    @tf.function(input_signature=[tf.TensorSpec([None, 4], name="x")])
    def classify(self, x: Any) -> Any:
        return {"p": tf.nn.softmax(self.embed(x)), "x": tf.identity(x)}


def shared(folder: Path) -> None:
    model = Shared()
    signatures = {"serving_default": model.classify, "embed": model.embed, "score": model.score}
    tf.saved_model.save(model, str(folder), signatures=signatures)


class Labels(tf.Module):
    """A hash table from an asset, strings, and numbers in between."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.w = tf.Variable(_weight(4, 3))
        initializer = tf.lookup.TextFileInitializer(
            str(file), tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE
        )
        self.table = tf.lookup.StaticHashTable(initializer, "?")

    @tf.function(input_signature=[tf.TensorSpec([None, 4], name="x"), tf.TensorSpec([None], tf.string, name="tag")])
    def serve(self, x: Any, tag: Any) -> Any:
        scores = tf.nn.softmax(tf.matmul(x, self.w) * 3.0)
        name = self.table.lookup(tf.argmax(scores, 1))
        return {"scores": scores, "label": tf.strings.join([tag, name], separator="/")}


def labels(folder: Path) -> None:
    file = folder.with_name("labels.txt")
    file.write_text("ham\nspam\neggs\n")
    model = Labels(file)
    tf.saved_model.save(model, str(folder), signatures=model.serve)
    extra = folder / "assets.extra"
    extra.mkdir()
    (extra / "tf_serving_warmup_requests").write_bytes(b"\x00warm")
    file.unlink()


class Counter(tf.Module):
    """State that a signature changes, before and after numbers are computed from it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = tf.Variable(1.0)
        self.w = tf.Variable(_weight(4, 4))

    @tf.function
    def bump(self, by: Any) -> Any:
        self.count.assign_add(by)
        return self.count * 2.0

    @tf.function(input_signature=[tf.TensorSpec([None, 4], name="x")])
    def serve(self, x: Any) -> Any:
        before = self.count + 0.5
        twice = self.bump(tf.reduce_sum(x) * 0.0 + 2.0)
        after = self.count * 3.0 - 1.0
        self.count.assign(self.count * 0.5)
        y = tf.nn.relu(tf.matmul(x, self.w) * twice)
        return {"before": before, "twice": twice, "after": after, "y": y, "end": self.count + 0.0}


def counter(folder: Path) -> None:
    model = Counter()
    tf.saved_model.save(model, str(folder), signatures=model.serve)


class Ordered(tf.Module):
    """Calls of one function before and after writes of what it reads, twice, for what becomes two engines."""

    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable(_weight(4, 4))
        self.table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, -1.0)

    @tf.function(input_signature=[tf.TensorSpec([None, 4])])
    def read(self, x: Any) -> Any:
        y = tf.nn.relu(tf.matmul(x, self.w)) * 2.0
        y = tf.strings.to_number(tf.strings.as_string(y))
        return tf.exp(tf.matmul(y, self.w) * 0.01) + self.table.lookup(tf.constant([7], tf.int64))

    @tf.function(input_signature=[tf.TensorSpec([None, 4])])
    def nested(self, x: Any) -> Any:
        return self.read(x) * 0.5 + self.read(x + 1.0)

    @tf.function(input_signature=[tf.TensorSpec([None, 4], name="x")])
    def serve(self, x: Any) -> Any:
        first = self.nested(x)
        self.w.assign(self.w * 0.5)
        second = self.nested(x)
        self.table.insert(tf.constant([7], tf.int64), tf.constant([5.0]))
        third = self.read(x)
        self.w.assign(self.w + 0.25)
        self.table.insert(tf.constant([7], tf.int64), tf.constant([8.0]))
        return {"first": first, "second": second, "third": third, "fourth": self.nested(x)}


def ordered(folder: Path) -> None:
    model = Ordered()
    tf.saved_model.save(model, str(folder), signatures=model.serve)


class Compiled(tf.Module):
    """A function that XLA compiles calls one that others call too."""

    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable(_weight(4, 4))

    @tf.function(input_signature=[tf.TensorSpec([None, 4])])
    def inner(self, x: Any) -> Any:
        return tf.nn.relu(tf.matmul(x, self.w)) * 2.0

    @tf.function(input_signature=[tf.TensorSpec([None, 4])], jit_compile=True)
    def compiled(self, x: Any) -> Any:
        return self.inner(x) + 1.0

    @tf.function(input_signature=[tf.TensorSpec([None, 4], name="x")])
    def serve(self, x: Any) -> Any:
        return {"y": tf.exp(self.compiled(x) * 0.1) - self.inner(x)}


def compiled(folder: Path) -> None:
    model = Compiled()
    tf.saved_model.save(model, str(folder), signatures=model.serve)


class Branches(tf.Module):
    """While and If, whose bodies are worth optimizing."""

    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable(_weight(4, 4) * 0.3)

    @tf.function(input_signature=[tf.TensorSpec([None, 4], name="x"), tf.TensorSpec([], tf.int32, name="steps")])
    def serve(self, x: Any, steps: Any) -> Any:
        def body(i: Any, y: Any) -> Any:
            return i + 1, tf.tanh(tf.matmul(y, self.w) + 0.1)

        _, y = tf.while_loop(lambda i, _: i < steps, body, [0, x])
        z = tf.cond(tf.reduce_sum(x) > 0.0, lambda: tf.nn.relu(y) * 2.0 + 1.0, lambda: tf.exp(-y) - 3.0)
        return {"y": y, "z": z}


def branches(folder: Path) -> None:
    model = Branches()
    tf.saved_model.save(model, str(folder), signatures=model.serve)


def keras_model(folder: Path) -> None:
    keras.utils.set_random_seed(3)
    x = keras.Input((4,), name="x")
    y = keras.layers.Dense(8, activation="gelu")(x)
    y = keras.layers.LayerNormalization()(y)
    y = keras.layers.Dense(2, activation="softmax")(y)
    keras.Model(x, y).export(str(folder), verbose=False)


def _tf1(variables: str) -> Callable[[Path], None]:
    """Two outputs of one node are fetched, and a node inside feeds both a fetch and another node."""
    constants: dict[tuple[int, ...], Any] = {
        shape: np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32) for shape in _SHAPES
    }

    def build(folder: Path) -> None:
        with tf.Graph().as_default(), v1.Session() as session:
            x = v1.placeholder(tf.float32, [None, 4], name="x")

            def weight(name: str, *shape: int) -> Any:
                if variables == "frozen":
                    return tf.constant(constants[shape], name=name)
                return v1.get_variable(name, initializer=constants[shape], use_resource=variables == "resource")

            hidden = tf.nn.relu(tf.matmul(x, weight("w", 4, 5)) + weight("b", 5), name="hidden")
            top = tf.nn.top_k(tf.nn.softmax(hidden * 2.0, name="p"), 2, name="top")
            session.run(v1.global_variables_initializer())
            outputs = {"hidden": hidden, "values": top.values, "indices": top.indices}
            v1.saved_model.simple_save(session, str(folder), inputs={"x": x}, outputs=outputs)

    return build


_SHAPES = ((4, 5), (5,))


def tf1_control_flow(folder: Path) -> None:
    """A loop and a branch of TF1's kind, made of Switch, Merge, Enter and Exit."""
    v1.disable_control_flow_v2()
    try:
        with tf.Graph().as_default(), v1.Session() as session:
            x = v1.placeholder(tf.float32, [None, 4], name="x")
            w = v1.get_variable("w", initializer=np.full((4, 4), 0.2, np.float32), use_resource=True)
            y = v1.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, tf.tanh(tf.matmul(y, w)) + 0.1), [0, x])[1]
            z = v1.cond(tf.reduce_sum(x) > 0.0, lambda: y * 2.0 + 1.0, lambda: tf.exp(-y))
            session.run(v1.global_variables_initializer())
            v1.saved_model.simple_save(session, str(folder), inputs={"x": x}, outputs={"z": z, "y": y})
    finally:
        v1.enable_control_flow_v2()


def tf1_control_dependencies(folder: Path) -> None:
    """What must run first is written on constants, and on the call of a function."""
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 4], name="x")
        v = v1.get_variable("v", initializer=1.0, use_resource=False)
        y = tf.exp(x * 0.1) + 1.0
        with tf.control_dependencies([y, v1.assign_add(v, 1.0)]):
            z = tf.identity(y * 3.0)
        with tf.control_dependencies([v1.assign_add(v, 10.0)]):
            u = tf.function(lambda a: tf.tanh(a * 0.5) * 2.0)(x)
        session.run(v1.global_variables_initializer())
        signature = v1.saved_model.signature_def_utils.predict_signature_def
        outputs = {"z": {"z": z}, "u": {"u": u}, "v": {"v": v + 0.0}}
        builder = v1.saved_model.Builder(str(folder))
        signatures = {name: signature({"x": x}, items) for name, items in outputs.items()}
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()


def no_signature(folder: Path) -> None:
    """Only a Python user can call it."""
    tf.saved_model.save(Dense(), str(folder))


_ONE = {"serving_default": {"x": _X}}
CASES: dict[str, Case] = {
    "dense": Case(
        dense,
        _ONE,
        (
            lambda model: model(tf.constant(_X)),
            lambda model: model.serve(tf.constant(_X[:1])),
            lambda model: model.block(tf.constant(_X)),
        ),
    ),
    "shared": Case(
        shared,
        {"serving_default": {"x": _X}, "embed": {"x": _X[:2]}, "score": {"a": _X, "b": _X[:2]}},
        (lambda model: model.embed(tf.constant(_X)), lambda model: model.score(tf.constant(_X), tf.constant(_X))),
    ),
    "labels": Case(
        labels,
        {"serving_default": {"x": _X, "tag": np.array(["a", "b", "c"], object)}},
        (lambda model: model.serve(tf.constant(_X), tf.constant(["q", "r", "s"])),),
    ),
    "counter": Case(counter, _ONE, (lambda model: model.serve(tf.constant(_X)),)),
    "ordered": Case(ordered, _ONE, (lambda model: model.serve(tf.constant(_X)),), engines=2),
    "branches": Case(
        branches,
        {"serving_default": {"x": _X, "steps": np.int32(4)}},
        (lambda model: model.serve(tf.constant(-_X), tf.constant(0)),),
    ),
    "keras": Case(keras_model, _ONE, (lambda model: model.serve(tf.constant(_X)),)),
    "tf1_frozen": Case(_tf1("frozen"), _ONE),
    "tf1_resource": Case(_tf1("resource"), _ONE),
    "tf1_ref": Case(_tf1("ref"), _ONE),
    "tf1_control_flow": Case(tf1_control_flow, _ONE),
    "tf1_control_dependencies": Case(
        tf1_control_dependencies, {"z": {"x": _X}, "u": {"x": _X[:2]}, "v": {"x": _X[:1]}}, engines=2
    ),
    "no_signature": Case(no_signature, {}, (lambda model: model(tf.constant(_X)),)),
}
