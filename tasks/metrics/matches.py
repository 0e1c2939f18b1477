"""COCO's matches as tables: average precision and recall of any resample of the images, without matching again.

Repeating an image id in COCOeval does nothing, it takes each id once. So an image is matched once, and a resample only
accumulates: an image that is drawn twice counts each of its matches and objects twice. With every image once the
values are pycocotools' own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.base import Json
from tasks.metrics.tables import check_weights, pack_array, unpack_array

RECALLS = np.linspace(0.0, 1.00, 101, endpoint=True)  # COCO's; some lie a rounding step above the decimal fraction
TINY = np.spacing(1)
CHUNK = 2**18  # resampled detections at a time, so that they stay in the processor's cache

# Metric to (whether it is precision, indices of overlap thresholds or None for all, area range, most detections).
_OBJECTS = {
    **{"AP": (True, None, 0, 2), "AP50": (True, 0, 0, 2), "AP75": (True, 5, 0, 2)},
    **{"APs": (True, None, 1, 2), "APm": (True, None, 2, 2), "APl": (True, None, 3, 2)},
    **{"AR1": (False, None, 0, 0), "AR10": (False, None, 0, 1), "AR100": (False, None, 0, 2)},
    **{"ARs": (False, None, 1, 2), "ARm": (False, None, 2, 2), "ARl": (False, None, 3, 2)},
}
_POSES = {
    **{"AP": (True, None, 0, 0), "AP50": (True, 0, 0, 0), "AP75": (True, 5, 0, 0)},
    **{"APm": (True, None, 1, 0), "APl": (True, None, 2, 0)},
    **{"AR": (False, None, 0, 0), "AR50": (False, 0, 0, 0), "AR75": (False, 5, 0, 0)},
    **{"ARm": (False, None, 1, 0), "ARl": (False, None, 2, 0)},
}
_CELLS = {"bbox": _OBJECTS, "segm": _OBJECTS, "keypoints": _POSES}
_MOST = {"bbox": (1, 10, 100), "segm": (1, 10, 100), "keypoints": (20,)}


@dataclass(frozen=True)
class Category:
    """Matches of one category: detections of all images, the surest first, ties in order of image and rank.

    A is the number of area ranges, T of overlap thresholds, n of detections, I of images.

    Args:
        image: (n,) row of each detection's image.
        hit: (A, T, n) bool, matched to an object that counts.
        counted: (A, T, n) bool, neither matched to a crowd nor, unmatched, of another size.
        objects: (A, I) objects to be found.
    """

    image: NDArray[Any]
    hit: NDArray[Any]
    counted: NDArray[Any]
    objects: NDArray[Any]

    def __post_init__(self) -> None:
        areas, _, detections = self.hit.shape
        if self.image.shape != (detections,) or self.counted.shape != self.hit.shape or len(self.objects) != areas:
            raise ValueError("matches of a category differ in shape")
        if detections and not 0 <= self.image.min() <= self.image.max() < self.objects.shape[1]:
            raise ValueError("a detection is of no image")

    def rank(self) -> NDArray[Any]:
        """(n,) place of each detection among those of its image, from 0."""
        order = np.argsort(self.image, kind="stable")
        starts = np.searchsorted(self.image[order], np.arange(self.objects.shape[1]))
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order)) - starts[self.image[order]]
        return rank


class MatchTable:
    """Matches of all categories over I images.

    Args:
        kind: ``bbox``, ``segm`` or ``keypoints``.
        images: ids of the images.
        categories: matches of each category.
    """

    def __init__(self, kind: str, images: Sequence[int], categories: Sequence[Category]) -> None:
        self.kind = kind
        self.images = [int(image) for image in images]
        self.categories = list(categories)
        self.names = tuple(_CELLS[kind])
        self.lower: frozenset[str] = frozenset()

    @classmethod
    def of(cls, evaluation: Any, image_ids: Sequence[int]) -> MatchTable:
        """Matches of a pycocotools ``COCOeval`` after its ``evaluate``; ``image_ids`` are those of its images."""
        p = evaluation.params
        images, areas = len(p.imgIds), len(p.areaRng)
        step = areas * images
        categories = []
        for k in range(len(p.catIds)):
            answers = evaluation.evalImgs[k * step : (k + 1) * step]
            categories.append(_category([answers[a * images : (a + 1) * images] for a in range(areas)], len(p.iouThrs)))
        return cls(p.iouType, image_ids, categories)

    def score(self, weights: NDArray[Any], names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """COCO's numbers (R,) of resamples with weights (R, I); not a number where nothing is to be found."""
        check_weights(weights, len(self.images))
        chosen = {name: cell for name, cell in _CELLS[self.kind].items() if names is None or name in names}
        most = max((len(category.image) for category in self.categories), default=0)
        rows = max(1, CHUNK // max(1, most))
        if not self.categories or not len(weights):
            return {name: np.full(len(weights), np.nan) for name in chosen}
        parts = [self._chunk(weights[at : at + rows], chosen) for at in range(0, len(weights), rows)]
        return {name: np.concatenate([part[name] for part in parts]) for name in chosen}

    def _chunk(self, weights: NDArray[Any], chosen: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        computed: dict[Any, NDArray[Any]] = {}
        values = {}
        for name, (precise, threshold, area, most) in chosen.items():
            key = (precise, area, most)
            if key not in computed:
                computed[key] = self._precision(weights, area) if precise else self._recall(weights, area, most)
            cells = computed[key] if threshold is None else computed[key][:, :, threshold : threshold + 1]  # (R, K, T)
            present = np.isfinite(cells)
            counts = present.sum(axis=(1, 2))
            sums = np.where(present, cells, 0.0).sum(axis=(1, 2))
            values[name] = np.divide(sums, counts, out=np.full(len(weights), np.nan), where=counts > 0)
        return values

    def _precision(self, weights: NDArray[Any], area: int) -> NDArray[Any]:
        """(R, K, T) mean interpolated precision."""
        whole = weights.astype(np.int32)
        return np.stack([_average_precision(category, area, whole) for category in self.categories], axis=1)

    def _recall(self, weights: NDArray[Any], area: int, most: int) -> NDArray[Any]:
        """(R, K, T) recall with the best ``most`` detections of an image and category."""
        limit, whole, cells = _MOST[self.kind][most], weights.astype(float), []
        for category in self.categories:
            best = category.rank() < limit
            hits = np.zeros((len(self.images), category.hit.shape[1]))  # (I, T)
            np.add.at(hits, category.image[best], category.hit[area][:, best].T.astype(float))
            objects = whole @ category.objects[area]  # (R,)
            empty = np.full((len(weights), hits.shape[1]), np.nan)
            cells.append(np.divide(whole @ hits, objects[:, None], out=empty, where=objects[:, None] > 0))
        return np.stack(cells, axis=1)

    def pack(self) -> Json:
        """The table as JSON data; flags are kept as bits."""
        categories = [
            {
                "image": pack_array(category.image.astype(np.int32)),
                "flags": list(category.hit.shape),
                "hit": pack_array(np.packbits(category.hit)),
                "counted": pack_array(np.packbits(category.counted)),
                "objects": pack_array(category.objects.astype(np.int32)),
            }
            for category in self.categories
        ]
        return {"kind": "matches", "of": self.kind, "images": self.images, "categories": categories}

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> MatchTable:
        """The table from what ``pack`` gave."""
        categories = []
        for category in packed["categories"]:
            shape = tuple(int(side) for side in category["flags"])
            hit, counted = (
                np.unpackbits(unpack_array(category[name]), count=int(np.prod(shape))).reshape(shape).astype(bool)
                for name in ("hit", "counted")
            )
            categories.append(
                Category(unpack_array(category["image"]), hit, counted, unpack_array(category["objects"]))
            )
            if categories[-1].objects.shape[1] != len(packed["images"]):
                raise ValueError("objects and images differ in number")
        return cls(packed["of"], packed["images"], categories)


def _category(areas: Sequence[Sequence[Mapping[str, Any] | None]], thresholds: int) -> Category:
    """Matches of one category from COCOeval's answers for each area range and image."""
    scores = np.concatenate([[], *(answer["dtScores"] for answer in areas[0] if answer is not None)])
    counts = [0 if answer is None else len(answer["dtScores"]) for answer in areas[0]]
    order = np.argsort(-scores, kind="mergesort")  # the sort that pycocotools uses: ties stay in order
    hit = np.zeros((len(areas), thresholds, len(order)), dtype=bool)
    counted = np.zeros_like(hit)
    objects = np.zeros((len(areas), len(areas[0])), dtype=np.int32)
    for a, images in enumerate(areas):
        answers = [answer for answer in images if answer is not None]
        if answers:
            matched = np.concatenate([answer["dtMatches"] for answer in answers], axis=1)[:, order] != 0  # (T, n)
            counted[a] = ~np.concatenate([answer["dtIgnore"] for answer in answers], axis=1)[:, order].astype(bool)
            hit[a] = matched & counted[a]
        objects[a] = [0 if answer is None else np.count_nonzero(answer["gtIgnore"] == 0) for answer in images]
    return Category(np.repeat(np.arange(len(counts)), counts)[order].astype(np.int32), hit, counted, objects)


def _average_precision(category: Category, area: int, weights: NDArray[Any]) -> NDArray[Any]:
    """(R, T) mean over COCO's 101 recalls of the best precision at that recall or above.

    Only hits matter: precision is best right after one, and recall rises at hits alone. A hit that is drawn several
    times is one step, because precision only rises within it.
    """
    objects = weights @ category.objects[area]  # (R,)
    drawn = weights[:, category.image]  # (R, n)
    sums: dict[bytes, NDArray[Any]] = {}
    means = []
    for hit, counted in zip(category.hit[area], category.counted[area], strict=True):
        rows = np.flatnonzero(hit)
        key = counted.tobytes()
        if key not in sums:
            sums[key] = np.cumsum(drawn * counted, axis=1) if not counted.all() else np.cumsum(drawn, axis=1)
        hits = np.cumsum(drawn[:, rows], axis=1)  # (R, hits)
        precision = hits / (sums[key][:, rows] + TINY)
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        with np.errstate(invalid="ignore", divide="ignore"):
            reached = np.searchsorted(RECALLS, hits / objects[:, None], side="right")  # recalls up to each hit
        means.append((best * np.diff(reached, axis=1, prepend=0)).sum(axis=1) / len(RECALLS))
    return np.where(objects[:, None] > 0, np.stack(means, axis=1), np.nan)
