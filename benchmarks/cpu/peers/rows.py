"""The rows of the benchmark: a model of the zoo, sizes of its unknown dimensions, and what a call costs at least."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Callable, Mapping, Sequence

EMPTY = "empty"  # the model whose call is a framework's cost of a call


@dataclasses.dataclass(frozen=True)
class Row:
    """A model at given sizes.

    Attributes:
        name: unique; what `--rows` selects by.
        model: `EMPTY`, or a full-size model of the zoo.
        sizes: the model's unknown dimensions.
        flops: multiplications and additions of a call, matrix products and convolutions alone.
        bytes: what a call must read and write at least: weights that it uses, inputs, outputs.
    """

    name: str
    model: str
    sizes: Mapping[str, int]
    flops: float
    bytes: float

    @property
    def family(self) -> str:
        """The part of the name before the sizes."""
        return self.name.split("_", 1)[0]


@dataclasses.dataclass(frozen=True)
class Transformer:
    """The hyperparameters of an encoder that its costs depend on."""

    layers: int
    width: int
    inner: int

    def flops(self, sizes: Mapping[str, int]) -> float:
        """Projections, feed-forward layers, and the two products of attention."""
        batch, length = sizes["batch"], sizes["length"]
        weights = 4 * self.width**2 + 2 * self.width * self.inner
        return 2.0 * batch * length * self.layers * (weights + 2 * length * self.width)

    def bytes(self, sizes: Mapping[str, int]) -> float:
        """The layers' weights, and the embeddings of the tokens."""
        weights = self.layers * (4 * self.width**2 + 2 * self.width * self.inner)
        return 4.0 * (weights + sizes["batch"] * sizes["length"] * self.width)


_MEDIUM = Transformer(layers=4, width=256, inner=1024)
_BASE = Transformer(layers=12, width=768, inner=3072)
_SHAPES = ((1, 128), (1, 384), (8, 64))


def _encoders(name: str, model: str, costs: Transformer) -> list[Row]:
    rows = []
    for batch, length in _SHAPES:
        sizes = {"batch": batch, "length": length}
        rows.append(Row(f"{name}_{batch}x{length}", model, sizes, costs.flops(sizes), costs.bytes(sizes)))
    return rows


def _ranking(batch: int) -> Row:
    joined, hidden = 16 * 27, (512, 256)
    weights = 2 * joined**2 + (joined + 351) * hidden[0] + hidden[0] * hidden[1] + hidden[1] + 13 * 16
    pairs = 27 * 27 * 16
    moved = 4 * weights + batch * (4 * 26 * 17 + 8 * 26 + 4 * 13 + 4)
    return Row(f"ranking_{batch}", "ranking", {"batch": batch}, 2.0 * batch * (weights + pairs), float(moved))


def _images(name: str, model: str, batch: int, flops: float, weights: float) -> Row:
    moved = 4 * (weights + batch * (224 * 224 * 3 + 1000))
    return Row(f"{name}_{batch}", model, {"batch": batch}, flops * batch, moved)


def _gru(length: int, width: int = 256, layers: int = 2) -> Row:
    weights = layers * 6 * width**2
    moved = 4.0 * (weights + length * width)
    return Row(f"gru_{length}", "gru", {"batch": 1, "length": length}, 2.0 * length * weights, moved)


def _chain(batch: int) -> Row:
    return Row(f"chain_{batch}", "chain", {"batch": batch}, 0.0, 2.0 * 4 * batch * 128 * 1024)


ROWS: tuple[Row, ...] = (
    Row(EMPTY, EMPTY, {"batch": 1}, 0.0, 0.0),
    _chain(8),
    *(_ranking(batch) for batch in (1, 32, 512)),
    *_encoders("encoder", "encoder_medium", _MEDIUM),
    *_encoders("bert", "encoder_base", _BASE),
    _gru(64),
    # Multiplications and additions, and weights, as the papers of the two networks count them.
    _images("mobilenet", "mobilenet_v3", 1, 0.112e9, 2.54e6),
    *(_images("resnet50", "resnet50", batch, 7.72e9, 25.5e6) for batch in (1, 8)),
)
# The models of a stream of lengths never seen before.
STREAMS: Mapping[str, str] = {"encoder": "encoder_medium", "bert": "encoder_base"}
LONGEST = 512  # positions that both have


def case_name(family: str, length: int) -> str:
    """The name of a batch of one at a length of a stream."""
    return f"{family}_stream_{length}"


def costs_of(family: str) -> Callable[[Mapping[str, int]], float]:
    """The FLOPs of a streamed model at given sizes."""
    return {"encoder": _MEDIUM, "bert": _BASE}[family].flops


def select(patterns: str, rows: Sequence[Row] = ROWS) -> list[Row]:
    """Rows whose names match one of the comma-separated shell patterns, in the table's order.

    Raises:
        ValueError: a pattern matches nothing.
    """
    wanted = [pattern.strip() for pattern in patterns.split(",") if pattern.strip()]
    for pattern in wanted:
        if not any(fnmatch.fnmatchcase(row.name, pattern) for row in rows):
            raise ValueError(f"no row matches {pattern!r}; there are {', '.join(row.name for row in rows)}")
    return [row for row in rows if any(fnmatch.fnmatchcase(row.name, pattern) for pattern in wanted)]


def by_model(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows of one model together, models in the order of their first row; the empty model is nobody's."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.model, []).append(row)
    return groups
