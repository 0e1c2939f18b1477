"""How sure a difference is: images are drawn anew, the same ones for both sides (paired bootstrap).

Shapes: I images, R resamples, n detections, T overlap thresholds. Weights (R, I) say how often each image was drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tasks.metrics.coco import CocoMetric

Array = np.ndarray[Any, Any]

RECALLS = np.linspace(0.0, 1.00, 101, endpoint=True)  # COCO's
THRESHOLDS = {"AP": slice(None), "AP50": slice(0, 1), "AP75": slice(5, 6)}


class Table(Protocol):
    """What is kept of each image, so that a metric can be computed for any resample of them."""

    @property
    def images(self) -> Sequence[int]:
        """Ids of the I images, in the order of the columns of weights."""
        ...

    def score(self, weights: Array, name: str) -> Array:
        """(R,) values of a metric under weights (R, I); not a number where a resample has none."""
        ...


@dataclass(frozen=True)
class MeanTable:
    """Metrics that are means over images.

    Args:
        images: ids of the I images.
        values: metric to (I,) values; an image without one holds a number that is none.
    """

    images: Sequence[int]
    values: Mapping[str, Array]

    def score(self, weights: Array, name: str) -> Array:
        """(R,) weighted means."""
        known = np.isfinite(self.values[name])
        counts = weights[:, known].sum(axis=1)
        with np.errstate(invalid="ignore"):
            return np.asarray(weights[:, known] @ self.values[name][known] / counts)


@dataclass(frozen=True)
class Matches:
    """Detections of one category, the surest first, ties in the order of images and of an image's results.

    Args:
        image: (n,) column of each detection's image.
        hit: (T, n) bool, matched to an object that counts.
        counted: (T, n) bool, hit or false; the others match a crowd.
        objects: (I,) objects to be found.
    """

    image: Array
    hit: Array
    counted: Array
    objects: Array


@dataclass(frozen=True)
class MatchTable:
    """COCO's matches of every category, for objects of any size.

    An image id that is repeated in COCOeval counts once, so images are matched once and a resample accumulates their
    matches with its weights. With every image once the values are pycocotools' own.

    Args:
        images: ids of the I images.
        categories: matches of each category.
    """

    images: Sequence[int]
    categories: Sequence[Matches]

    @classmethod
    def of(cls, evaluation: Any) -> MatchTable:
        """Matches of a pycocotools ``COCOeval`` after its ``evaluate``."""
        images, areas = evaluation.params.imgIds, len(evaluation.params.areaRng)
        found = evaluation.evalImgs  # category after category, in each size after size, the first of them any size
        starts = range(0, len(found), areas * len(images))
        thresholds = len(evaluation.params.iouThrs)
        return cls([int(i) for i in images], [_matches(found[s : s + len(images)], thresholds) for s in starts])

    def score(self, weights: Array, name: str) -> Array:
        """(R,) average precision: ``AP``, ``AP50`` or ``AP75``."""
        values = [_average_precision(own, weights, THRESHOLDS[name]) for own in self.categories]  # (R, T) each
        if not values:
            return np.full(len(weights), np.nan)
        stacked = np.concatenate(values, axis=1)  # (R, categories * T)
        known = np.isfinite(stacked)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.where(known, stacked, 0.0).sum(axis=1) / known.sum(axis=1))


@dataclass(frozen=True)
class Interval:
    """A difference, and the ends of its interval."""

    value: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        """Whether 0 lies outside."""
        return not self.low <= 0 <= self.high


def table(metric: Any, records: Mapping[int, Any]) -> Table:
    """The table of a metric over the images in ``records``, which ``Metric.observe`` gave."""
    if isinstance(metric, CocoMetric):
        return MatchTable.of(metric.evaluated(records))
    images = sorted(records)
    names = [name for name, value in records[images[0]].items() if value is None or isinstance(value, float)]
    values = {name: np.array([records[i][name] for i in images], dtype=float) for name in names}
    return MeanTable(images, values)


def value(tables: Sequence[Table], name: str) -> float:
    """Mean of a metric over several tables (one a training seed), every image once."""
    return float(np.mean([own.score(np.ones((1, len(own.images))), name)[0] for own in tables]))


def paired_difference(
    one: Sequence[Table],
    other: Sequence[Table],
    name: str,
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """``one`` minus ``other``, each the mean over its tables, with the percentile interval of resampled images.

    The tables (one a training seed) are kept as they are: the interval is about the images, not about trainings.

    Raises:
        ValueError: if the tables are not of the same images.
    """
    images = list(one[0].images)
    if any(list(own.images) != images for own in [*one, *other]):
        raise ValueError("a paired difference needs the same images in the same order on both sides")
    weights = np.random.default_rng(seed).multinomial(len(images), np.full(len(images), 1 / len(images)), resamples)
    means = [np.mean([own.score(weights, name) for own in side], axis=0) for side in (one, other)]  # (R,) each
    low, high = np.nanquantile(means[0] - means[1], [(1 - level) / 2, (1 + level) / 2])
    return Interval(value(one, name) - value(other, name), float(low), float(high))


def _matches(images: Sequence[Mapping[str, Any] | None], thresholds: int) -> Matches:
    """Matches of a category from COCOeval's answer for each image; None where there is nothing."""
    here = [one for one in images if one is not None]
    scores = np.concatenate([np.zeros(0), *(one["dtScores"] for one in here)])
    order = np.argsort(-scores, kind="mergesort")  # the sort of pycocotools: ties stay in order
    empty = np.zeros((thresholds, 0), dtype=bool)
    matched = np.concatenate([empty, *(one["dtMatches"] != 0 for one in here)], axis=1)[:, order]  # (T, n)
    counted = ~np.concatenate([empty, *(one["dtIgnore"].astype(bool) for one in here)], axis=1)[:, order]
    columns = np.repeat(np.arange(len(images)), [0 if one is None else len(one["dtScores"]) for one in images])
    objects = np.array([0 if one is None else np.count_nonzero(np.equal(one["gtIgnore"], 0)) for one in images])
    return Matches(columns[order], matched & counted, counted, objects)


def _average_precision(own: Matches, weights: Array, thresholds: slice) -> Array:
    """(R, T) mean over COCO's 101 recalls of the best precision at that recall or above.

    Recall rises at hits alone, and precision is best right after one. A hit that is drawn several times is one step:
    within it precision only rises.
    """
    objects = weights @ own.objects  # (R,)
    drawn = weights[:, own.image].astype(float)  # (R, n)
    means = []
    for hit, counted in zip(own.hit[thresholds], own.counted[thresholds], strict=True):
        found = np.cumsum(drawn[:, hit], axis=1)  # (R, hits)
        precision = found / (np.cumsum(drawn * counted, axis=1)[:, hit] + np.spacing(1))
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        with np.errstate(invalid="ignore", divide="ignore"):
            reached = np.searchsorted(RECALLS, found / objects[:, None], side="right")  # recalls up to each hit
        means.append((best * np.diff(reached, axis=1, prepend=0)).sum(axis=1) / len(RECALLS))
    return np.where(objects[:, None] > 0, np.stack(means, axis=1), np.nan)
