"""COCO's own evaluation of boxes, masks and keypoints: pycocotools, kept quiet and from changing what it is given."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tasks.base import Json, MetricParts
from tasks.errors import TaskError
from tasks.metrics.matches import MatchTable
from tasks.polygons import near_image
from tasks.targets import Detections, Masks, Poses, Targets

Kind = Literal["bbox", "segm", "keypoints"]

OBJECT_NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
NAMES: Mapping[str, Sequence[str]] = {
    "bbox": OBJECT_NAMES,
    "segm": OBJECT_NAMES,
    "keypoints": ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl"),
}


class CocoMetric:
    """The 12 numbers of COCO detection or segmentation, or the 10 of COCO keypoints.

    A record is the list of one image's results as COCO's result files have them. All detections go in: average
    precision ranks them by score, so a score threshold could only lower it. COCO counts the best 100 of an image and
    class (20 for keypoints).

    Args:
        kind: ``bbox``, ``segm`` or ``keypoints``.
        parts: ``ground_truth`` as loaded from COCO's instances file (person_keypoints for keypoints), ``category_ids``.

    Raises:
        TaskError: if the kind is unknown or the ground truth is missing.
    """

    def __init__(self, *, kind: Kind, parts: MetricParts) -> None:
        if kind not in NAMES:
            raise TaskError(f"COCO evaluation has no kind {kind!r}; choose one of {', '.join(NAMES)}")
        if parts.ground_truth is None:
            raise TaskError(f"COCO evaluation of {kind} needs the annotation file; this data set gives none")
        self.kind = kind
        self.names = NAMES[kind]
        self._truth = parts.ground_truth
        self._category_ids = list(parts.category_ids)

    def observe(self, image_id: int, prediction: Detections | Masks | Poses, targets: Targets) -> list[Json]:
        """COCO results of one image: ``bbox`` x y width height in pixels, ``segmentation`` a run-length code, or
        ``keypoints`` x, y and probability of being visible, one joint after the other."""
        shapes = _shapes(prediction)
        scores, classes = prediction.scores.tolist(), prediction.classes.tolist()
        return [
            {"image_id": int(image_id), "category_id": self._category_ids[c], "score": score, **shape}
            for shape, score, c in zip(shapes, scores, classes, strict=True)
        ]

    def summarize(self, records: Mapping[int, list[Json]]) -> dict[str, float | None]:
        """COCO's numbers over exactly the images in ``records``: fractions, None where no object of that size exists.

        Raises:
            TaskError: if an image is not in the ground truth, or its joints have no COCO tolerances.
        """
        if not records:
            return dict.fromkeys(self.names)
        evaluation = self.evaluated(records)
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.accumulate()
            evaluation.summarize()
        # pycocotools says -1 where there is nothing to find
        return {
            name: None if value < 0 else float(value) for name, value in zip(self.names, evaluation.stats, strict=True)
        }

    def evaluated(self, records: Mapping[int, list[Json]]) -> COCOeval:
        """pycocotools' evaluation with each image matched, not yet accumulated.

        Raises:
            TaskError: as ``summarize``.
        """
        truth = self._restricted(records)
        results = self._results(records)
        with contextlib.redirect_stdout(io.StringIO()):
            truth.createIndex()
            evaluation = COCOeval(truth, _loaded(truth, results), iouType=self.kind)
            if self.kind == "keypoints":
                evaluation.params.kpt_oks_sigmas = self._tolerances(evaluation.params.kpt_oks_sigmas)
            evaluation.evaluate()
        return evaluation

    def tables(self, records: Mapping[int, list[Json]]) -> MatchTable:
        """The matches of each image, from which every resample of the images can be scored.

        Raises:
            TaskError: as ``summarize``.
        """
        return MatchTable.of(self.evaluated(records), sorted(records))

    def notes(self) -> dict[str, str]:
        """Always empty: the values are pycocotools'."""
        return {}

    def _restricted(self, records: Mapping[int, Any]) -> COCO:
        """Ground truth of the images in ``records``; annotations are copied because COCOeval writes into them.

        Images, annotations and categories are numbered anew, from 1: COCOeval takes annotation 0 for "not matched", and
        NumPy rounds ids that lie on both sides of 2^63.
        """
        listed = {image["id"]: image for image in self._truth["images"]}
        unknown = sorted(records.keys() - listed.keys())
        if unknown:
            raise TaskError(f"image {unknown[0]} ({len(unknown)} such) is not in the ground truth; give its own file")
        image_numbers, category_numbers = _numbers(records), self._category_numbers()
        annotations: list[dict[str, Any]] = []
        for annotation in self._truth["annotations"]:
            if annotation["image_id"] in records:
                copy = self._usable(annotation, listed[annotation["image_id"]])
                copy["id"] = len(annotations) + 1
                copy["image_id"] = image_numbers[annotation["image_id"]]
                copy["category_id"] = category_numbers.get(annotation["category_id"], 0)
                annotations.append(copy)
        truth = COCO()
        truth.dataset = {
            "images": [dict(listed[image_id], id=number) for image_id, number in image_numbers.items()],
            "annotations": annotations,
            "categories": [dict(each, id=category_numbers[each["id"]]) for each in self._truth["categories"]],
        }
        return truth

    def _results(self, records: Mapping[int, list[Json]]) -> list[dict[str, Any]]:
        """Results of all images in order of id, with the numbers of ``_restricted``."""
        category_numbers = self._category_numbers()
        return [
            dict(result, image_id=number, category_id=category_numbers.get(result["category_id"], 0))
            for image_id, number in _numbers(records).items()
            for result in records[image_id]
        ]

    def _category_numbers(self) -> dict[int, int]:
        return _numbers(category["id"] for category in self._truth["categories"])

    def _usable(self, annotation: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of an image's annotation as COCOeval needs it."""
        copy = dict(annotation)
        if self.kind == "keypoints" and "num_keypoints" not in copy:
            copy["num_keypoints"] = sum(visibility > 0 for visibility in copy["keypoints"][2::3])
        if self.kind == "segm" and isinstance(copy["segmentation"], list):
            copy["segmentation"] = near_image(copy["segmentation"], (image["height"], image["width"]))
        return copy

    def _tolerances(self, standard: NDArray[Any]) -> NDArray[Any]:
        """One tolerance a joint: the category's own ``sigmas`` where given, else COCO's 17."""
        category: Mapping[str, Any] = next((c for c in self._truth["categories"] if "keypoints" in c), {})
        sigmas = category.get("sigmas")
        joints = len(category.get("keypoints", standard))
        tolerances = standard if sigmas is None else np.asarray(sigmas, dtype=float)
        if len(tolerances) != joints:
            raise TaskError(
                f"category {category.get('name')!r} has {joints} keypoints but {len(tolerances)} tolerances; "
                "give the category a list 'sigmas' with one value a keypoint"
            )
        return tolerances


def _numbers(ids: Iterable[int]) -> dict[int, int]:
    """Id to its place in order, counted from 1."""
    return {identity: number for number, identity in enumerate(sorted(ids), start=1)}


def _shapes(prediction: Detections | Masks | Poses) -> list[dict[str, Json]]:
    """What a COCO result says of the shape of each predicted object."""
    if isinstance(prediction, Detections):
        boxes = prediction.boxes.double().clone()  # (N, 4) x0 y0 x1 y1
        boxes[:, 2:] -= boxes[:, :2]  # (N, 4) x y width height
        return [{"bbox": box} for box in boxes.tolist()]
    if isinstance(prediction, Masks):
        return [{"segmentation": _plain(rle)} for rle in prediction.rles]
    return [{"keypoints": joints} for joints in prediction.keypoints.double().flatten(1).tolist()]  # (N, K * 3)


def _plain(rle: Mapping[str, Any]) -> dict[str, Json]:
    """A run-length code that JSON can hold; pycocotools gives its counts as bytes."""
    counts = rle["counts"]
    return {
        "size": [int(side) for side in rle["size"]],
        "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts,
    }


def _loaded(truth: COCO, results: list[dict[str, Any]]) -> COCO:
    """Results as pycocotools wants them; its own loader fails when there are none."""
    if results:
        return truth.loadRes(results)
    empty = COCO()
    empty.dataset = {**truth.dataset, "annotations": []}
    empty.createIndex()
    return empty
