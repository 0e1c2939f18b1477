"""Choose the images of the gallery and collect their ground truth and every run's predictions."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from bench.data.dataset import Dataset, DatasetSample
from reports.report_data import GalleryImage, GalleryRow
from results.record import Sample
from tasks.pasting import decode_mask
from tasks.targets import ObjectAnnotations, Targets

MIN_SCORE = 0.3  # of a drawn box
MAX_BOXES = 12  # drawn per image


@dataclass(frozen=True)
class Source:
    """One run's predictions.

    Args:
        label: name in the report.
        samples: image id to sample.
        scores: image id to metric's heading to the image's value; higher is better.
    """

    label: str
    samples: Mapping[int, Sample]
    scores: Mapping[int, Mapping[str, float]]


def gallery(dataset: Dataset, sources: Sequence[Source], *, each: int = 1) -> list[GalleryImage]:
    """Return ``each`` images that are best and worst in each metric, and ``each`` on which the runs disagree most."""
    if not sources or each < 1:
        return []
    by_id = {sample.image_id: sample for sample in dataset.samples}
    chosen = choose({source.label: source.scores for source in sources}, each=each)
    limbs = _limbs(dataset)
    return [_picture(dataset, by_id[image_id], why, sources, limbs) for image_id, why in chosen if image_id in by_id]


def choose(scores: Mapping[str, Mapping[int, Mapping[str, float]]], *, each: int) -> list[tuple[int, str]]:
    """Return image ids with reasons: the best and worst in each metric, then those on which the runs disagree most.

    Best and worst are by the mean over runs. Disagreement is over ranks, so that no metric outweighs another.

    Args:
        scores: run to image id to metric to value, higher is better.
        each: images of each kind.
    """
    runs = list(scores)
    images = sorted(set.intersection(*(set(scores[run]) for run in runs)))
    names = list(dict.fromkeys(name for run in runs for image in images for name in scores[run][image]))
    if not images or not names:
        return [(image, "one of the first images") for image in images[: 3 * each]]
    values = np.array(
        [[[scores[run][image].get(name, np.nan) for name in names] for image in images] for run in runs], dtype=float
    )  # (runs, images, metrics)
    kinds = []
    for name, column in zip(names, np.moveaxis(values, 2, 0), strict=True):
        mean = column.mean(axis=0)  # NaN where a run has no value
        kinds += [(f"best {name}, mean of all strategies", -mean), (f"worst {name}, mean of all strategies", mean)]
    if len(runs) > 1:
        disagreement = np.nan_to_num(np.std(_ranked(values), axis=0)).mean(axis=1)
        kinds.append(("the strategies disagree most here", -disagreement))
    reasons: dict[int, str] = {}
    for reason, order in kinds:
        ordered = [images[n] for n in np.argsort(order, kind="stable") if np.isfinite(order[n])]
        reasons |= dict.fromkeys([image for image in ordered if image not in reasons][:each], reason)
    return list(reasons.items())


def _ranked(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (runs, images, metrics) ranks from 0 to 1 over all runs and images of a metric."""
    ranked = np.full_like(values, np.nan)
    for metric in range(values.shape[2]):
        finite = np.isfinite(values[..., metric])
        column = values[..., metric][finite]
        # equal values share the middle rank, so that ties decide nothing
        below, up_to = (np.searchsorted(np.sort(column), column, side=side) for side in ("left", "right"))
        ranked[..., metric][finite] = (below + up_to) / (2 * len(column))
    return ranked


def image_scores(
    samples: Sequence[Sample], dataset: Dataset, captions: Mapping[int, float]
) -> dict[int, dict[str, float]]:
    """Map image ids to scores of a run on each image: box IoU (``mean_iou``), CIDEr and the negative RMSE.

    Args:
        samples: samples of the run.
        dataset: the ground truth.
        captions: image id to CIDEr, as far as known.
    """
    by_id = {sample.image_id: sample for sample in dataset.samples}
    result: dict[int, dict[str, float]] = {}
    for sample in samples:
        scores: dict[str, float] = {}
        predictions = sample.predictions
        if "detection" in predictions and dataset.coco is not None and by_id[sample.image_id].coco:
            objects = dataset.coco.targets(sample.image_id).instances
            if objects is not None and len(objects):
                scores["box IoU"] = mean_iou(predictions["detection"], objects, dataset.coco.category_ids)
        if sample.image_id in captions:
            scores["CIDEr"] = captions[sample.image_id]
        if (predictions.get("depth") or {}).get("rmse") is not None:
            scores["RMSE"] = -float(predictions["depth"]["rmse"])
        result[sample.image_id] = scores
    return result


def mean_iou(results: Sequence[Mapping[str, Any]], truth: ObjectAnnotations, categories: Sequence[int]) -> float:
    """Return the mean IoU of the N objects with the N best-scored boxes of their class, each box used once."""
    best = sorted(results, key=lambda result: -result["score"])[: len(truth)]
    boxes = np.array([result["bbox"] for result in best], dtype=float).reshape(-1, 4)
    corners = truth.boxes.numpy().astype(float)
    targets = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)  # (N, 4) x y width height
    overlap = rle.iou(boxes, targets, [0] * len(targets)) if len(boxes) else np.zeros((0, len(targets)))
    classes = np.array([categories.index(result["category_id"]) for result in best], dtype=int)
    overlap = np.where(classes[:, None] == truth.classes.numpy()[None], overlap, 0.0)
    total = 0.0
    for _ in range(min(overlap.shape)):
        row, column = np.unravel_index(int(overlap.argmax()), overlap.shape)
        total += float(overlap[row, column])
        overlap[row, :], overlap[:, column] = -1.0, -1.0
    return max(total, 0.0) / len(truth)


def _picture(dataset: Dataset, image: DatasetSample, why: str, sources: Sequence[Source], limbs: Any) -> GalleryImage:
    targets = dataset.targets(image)
    truth = _truth(targets, dataset)
    return GalleryImage(
        name=image.file_name,
        why=why,
        image=np.asarray(dataset.image(image)),
        truth=truth,
        shown=[_prediction(source, image.image_id, dataset, truth) for source in sources],
        references=list(targets.captions or ()),
        limbs=limbs,
    )


def _truth(targets: Targets, dataset: Dataset) -> GalleryRow:
    caption = targets.captions[0] if targets.captions else None
    depth = None if targets.depth is None else _reduced(targets.depth.numpy().astype(float))
    objects = targets.instances
    if objects is None:
        return GalleryRow(label="truth", caption=caption, depth=depth)
    joints = None
    if targets.has_keypoints:
        joints = objects.keypoints.numpy().astype(float)  # (N, K, 3)
        joints = joints[(joints[..., 2] > 0).any(axis=1)]
    return GalleryRow(
        label="truth",
        boxes=objects.boxes.numpy().astype(float),
        classes=objects.classes.tolist(),
        names=[dataset.class_names[number] for number in objects.classes.tolist()],
        masks=[decode_mask(code, targets.size).astype(bool) for code in objects.segmentations],
        joints=joints,
        caption=caption,
        depth=depth,
    )


def _prediction(source: Source, image_id: int, dataset: Dataset, truth: GalleryRow) -> GalleryRow:
    predictions = source.samples[image_id].predictions
    categories = [] if dataset.coco is None else dataset.coco.category_ids
    detections, masks = predictions.get("detection", []), predictions.get("segmentation")
    numbers = _drawn(detections)
    classes = [categories.index(detections[n]["category_id"]) for n in numbers]
    boxes = None
    if "detection" in predictions:
        boxes = np.array([detections[n]["bbox"] for n in numbers], dtype=float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
    drawn_masks = None
    if masks and len(masks) == len(detections):
        drawn_masks = [rle.decode(masks[n]["segmentation"]).astype(bool) for n in numbers]
    scores = source.scores.get(image_id, {})
    texts = [f"RMSE {-v:.2f} m" if name == "RMSE" else f"{name} {v:.2f}" for name, v in scores.items()]
    return GalleryRow(
        label=source.label,
        boxes=boxes,
        classes=classes,
        names=[dataset.class_names[number] for number in classes],
        masks=drawn_masks,
        joints=_joints(predictions.get("keypoints")),
        caption=(predictions.get("captioning") or {}).get("caption"),
        depth=_depth((predictions.get("depth") or {}).get("picture"), truth),
        scores=", ".join(texts),
    )


def _drawn(results: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return positions of the drawn results, best last so that they lie on top."""
    order = sorted(range(len(results)), key=lambda number: -results[number]["score"])
    return [number for number in order if results[number]["score"] >= MIN_SCORE][:MAX_BOXES][::-1]


def _joints(results: Sequence[Mapping[str, Any]] | None) -> NDArray[np.float64] | None:
    """Return (M, K, 3) joints of the drawn poses."""
    if results is None:
        return None
    poses = [np.array(results[number]["keypoints"], dtype=float).reshape(-1, 3) for number in _drawn(results)]
    return np.stack(poses) if poses else np.zeros((0, 1, 3))


def _depth(picture: Mapping[str, Any] | None, truth: GalleryRow) -> NDArray[np.float64] | None:
    """Return (rows, columns) meters of a sample's small depth map; None without one, or if its size is another."""
    if picture is None:
        return None
    levels = np.frombuffer(zlib.decompress(base64.b64decode(picture["levels"])), dtype=np.uint8)
    share = levels.reshape(picture["rows"], picture["columns"]).astype(float) / 255
    meters: NDArray[np.float64] = picture["nearest"] * (picture["farthest"] / picture["nearest"]) ** share
    return meters if truth.depth is None or truth.depth.shape == meters.shape else None


def _reduced(depth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ground truth at the size of samples' depth maps: mean of each cell's known pixels, 0 without any."""
    import torch

    from tasks.metrics.depth import picture_size

    size = picture_size(depth.shape[0], depth.shape[1])
    pool = torch.nn.functional.adaptive_avg_pool2d
    known = pool(torch.from_numpy((depth > 0).astype(float))[None, None], size)[0, 0]
    total = pool(torch.from_numpy(depth)[None, None], size)[0, 0]
    reduced: NDArray[np.float64] = torch.where(known > 0, total / known.clamp(min=1e-9), 0.0).numpy()
    return reduced


def _limbs(dataset: Dataset) -> list[tuple[int, int]]:
    """Return the skeleton as pairs of joints, counted from 0."""
    if dataset.coco is None or "person_keypoints" not in dataset.coco.kinds:
        return []
    categories = dataset.coco.ground_truth("person_keypoints")["categories"]
    skeleton: list[list[int]] = next((category["skeleton"] for category in categories if category.get("skeleton")), [])
    return [(int(start) - 1, int(end) - 1) for start, end in skeleton]
