"""Non-maximum suppression in NumPy. Equal scores of different classes come in the order of a stable sort."""

from __future__ import annotations

import dataclasses
import heapq

import numpy as np

_F = np.float32


@dataclasses.dataclass(frozen=True)
class Limits:
    """When boxes are picked: at most `most`, of a score above `score`; `sigma` > 0 is soft suppression."""

    most: int
    overlap: float
    score: float
    sigma: float = 0.0


def overlaps(boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of each pair of boxes [n, 4], any two corners each."""
    low, high = np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])
    area = (high - low).prod(1, dtype=_F)
    sides = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])
    common = np.maximum(sides, _F(0)).prod(2, dtype=_F)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = common / (area[:, None] + area[None] - common)
    return np.where((area[:, None] <= 0) | (area[None] <= 0), _F(0), ratio)


def pick(similarity: np.ndarray, scores: np.ndarray, limits: Limits) -> tuple[list[int], list[float]]:
    """Indices and final scores of the picked boxes.

    Raises:
        IndexError: limits that TensorFlow refuses.
    """
    if limits.most < 0 or not limits.sigma >= 0:
        raise IndexError("non-maximum suppression: limits out of range")
    heap = [(-score, i, 0) for i, score in enumerate(scores) if score > limits.score]
    heapq.heapify(heap)
    picked: list[int] = []
    kept: list[float] = []
    while heap and len(picked) < limits.most:
        negative, box, compared = heapq.heappop(heap)
        score = _F(-negative)
        out = False
        for j in range(len(picked) - 1, compared - 1, -1):
            common = _F(similarity[box, picked[j]])
            if limits.sigma > 0:
                score = _F(score * np.exp(_F(_F(_F(-0.5) / _F(limits.sigma)) * common * common)))
            elif common > _F(limits.overlap):
                out = True
                break
            if score <= limits.score:
                break
        if out:
            continue
        if score == -negative:
            picked.append(box)
            kept.append(float(score))
        elif score > limits.score:
            heapq.heappush(heap, (-score, box, len(picked)))
    return picked, kept


def combined(
    boxes: np.ndarray, scores: np.ndarray, limits: Limits, *, total: int, size: int, clip: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Boxes [batch, size, 4], scores and classes [batch, size], and counts [batch], of the best of all classes."""
    batch, _, sets, _ = boxes.shape
    out_boxes = np.zeros((batch, size, 4), _F)
    out_scores, out_classes = np.zeros((batch, size), _F), np.zeros((batch, size), _F)
    counts = np.zeros(batch, np.int32)
    for entry in range(batch):
        found: list[tuple[float, int, int]] = []
        for klass in range(scores.shape[2]):
            own = boxes[entry, :, klass if sets > 1 else 0]
            picked, kept = pick(overlaps(own), scores[entry, :, klass], limits)
            found += [(score, box, klass) for box, score in zip(picked, kept, strict=True)]
        found.sort(key=lambda item: -item[0])
        counts[entry] = min(len(found), total)
        for place, (score, box, klass) in enumerate(found[: counts[entry]]):
            out_scores[entry, place], out_classes[entry, place] = score, klass
            out_boxes[entry, place] = boxes[entry, box, klass if sets > 1 else 0]
    return np.clip(out_boxes, 0, 1) if clip else out_boxes, out_scores, out_classes, counts
