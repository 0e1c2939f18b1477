"""Images for the gallery: which ones say most, and what every run predicted for them, from dataset and samples."""

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
from tasks.targets import ObjectAnnotations, Targets

SCORE = 0.3  # boxes below are not drawn
MOST = 12  # boxes drawn


@dataclass(frozen=True)
class Source:
    """One run's predictions.

    Args:
        label: name in the report.
        samples: image id to line.
        scores: image id to metric's heading to its value on that image; higher is better.
    """

    label: str
    samples: Mapping[int, Sample]
    scores: Mapping[int, Mapping[str, float]]


def gallery(dataset: Dataset, sources: Sequence[Source], *, each: int = 1) -> list[GalleryImage]:
    """Pictures of ``each`` images on which all strategies do best and worst in each metric, and disagree most.

    Args:
        dataset: the images.
        sources: runs on them; the first decides nothing more than the others.
        each: images of each kind.
    """
    if not sources or each < 1:
        return []
    of_id = {sample.image_id: sample for sample in dataset.samples}
    chosen = choose({source.label: source.scores for source in sources}, each=each)
    limbs = _limbs(dataset)
    return [_picture(dataset, of_id[image_id], why, sources, limbs) for image_id, why in chosen if image_id in of_id]


def choose(scores: Mapping[str, Mapping[int, Mapping[str, float]]], *, each: int) -> list[tuple[int, str]]:
    """Image ids with the reason: metric by metric the best and the worst, then those that the runs disagree on most.

    Best and worst by the mean over runs. For the disagreement every metric is turned into its rank among the images and
    runs first, so that none outweighs another.

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
    for place, name in enumerate(names):
        middle = values[..., place].mean(axis=0)  # not a number where a run has no value
        kinds += [(f"best {name}, mean of all strategies", -middle), (f"worst {name}, mean of all strategies", middle)]
    if len(runs) > 1:
        apart = np.nan_to_num(np.std(_ranked(values), axis=0)).mean(axis=1)
        kinds.append(("the strategies disagree most here", -apart))
    found: dict[int, str] = {}
    for why, order in kinds:
        known = [place for place in np.argsort(order, kind="stable") if np.isfinite(order[place])]
        fresh = [images[place] for place in known if images[place] not in found]
        found |= dict.fromkeys(fresh[:each], why)
    return list(found.items())


def _ranked(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(runs, images, metrics) ranks between 0 and 1 among all runs and images of a metric."""
    ranked = np.full_like(values, np.nan)
    for place in range(values.shape[2]):
        known = np.isfinite(values[..., place])
        order = values[..., place][known]
        # among equal values the middle rank, so that ties decide nothing
        below, up_to = (np.searchsorted(np.sort(order), order, side=side) for side in ("left", "right"))
        ranked[..., place][known] = (below + up_to) / (2 * len(order))
    return ranked


def image_scores(
    samples: Sequence[Sample], dataset: Dataset, captions: Mapping[int, float]
) -> dict[int, dict[str, float]]:
    """What a run scores on single images: mean IoU of the objects with its best boxes, CIDEr, and minus the RMSE.

    Args:
        samples: lines of the run.
        dataset: the truth.
        captions: image id to CIDEr; empty where it is not known.
    """
    of_id = {sample.image_id: sample for sample in dataset.samples}
    categories = [] if dataset.coco is None else dataset.coco.category_ids
    found: dict[int, dict[str, float]] = {}
    for sample in samples:
        scores: dict[str, float] = {}
        kept = sample.predictions
        image = of_id[sample.image_id]
        if "detection" in kept and dataset.coco is not None and image.coco:
            instances = dataset.coco.targets(sample.image_id).instances
            if instances is not None and len(instances):
                scores["box IoU"] = mean_iou(kept["detection"], instances, categories)
        if sample.image_id in captions:
            scores["CIDEr"] = captions[sample.image_id]
        if (kept.get("depth") or {}).get("rmse") is not None:
            scores["RMSE"] = -float(kept["depth"]["rmse"])
        found[sample.image_id] = scores
    return found


def mean_iou(results: Sequence[Mapping[str, Any]], truth: ObjectAnnotations, categories: Sequence[int]) -> float:
    """Mean over the N objects of their IoU with one of the N best-scored boxes of their class, each used once."""
    best = sorted(results, key=lambda result: -result["score"])[: len(truth)]
    boxes = np.array([result["bbox"] for result in best], dtype=float).reshape(-1, 4)
    wanted = truth.boxes.numpy().astype(float)
    wanted = np.concatenate([wanted[:, :2], wanted[:, 2:] - wanted[:, :2]], axis=1)  # (N, 4) x y width height
    overlap = rle.iou(boxes, wanted, [0] * len(wanted)) if len(boxes) else np.zeros((0, len(wanted)))
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
    instances = targets.instances
    joints = None
    if instances is not None and targets.has_keypoints:
        joints = instances.keypoints.numpy().astype(float)  # (N, K, 3)
        joints = joints[(joints[..., 2] > 0).any(axis=1)]
    depth = None if targets.depth is None else targets.depth.numpy().astype(float)
    return GalleryRow(
        label="truth",
        boxes=None if instances is None else instances.boxes.numpy().astype(float),
        classes=[] if instances is None else instances.classes.tolist(),
        names=[] if instances is None else [dataset.class_names[number] for number in instances.classes.tolist()],
        masks=None if instances is None else [_mask(found, targets.size) for found in instances.segmentations],
        joints=joints,
        caption=targets.captions[0] if targets.captions else None,
        depth=None if depth is None else _reduced(depth),
    )


def _prediction(source: Source, image_id: int, dataset: Dataset, truth: GalleryRow) -> GalleryRow:
    sample = source.samples[image_id]
    kept = sample.predictions
    categories = [] if dataset.coco is None else dataset.coco.category_ids
    found = kept.get("detection")
    numbers = [] if found is None else _drawn(found)
    classes = [] if found is None else [categories.index(found[number]["category_id"]) for number in numbers]
    boxes = None if found is None else np.array([found[n]["bbox"] for n in numbers], dtype=float).reshape(-1, 4)
    if boxes is not None:
        boxes[:, 2:] += boxes[:, :2]
    masks = kept.get("segmentation")
    aligned = masks is not None and found is not None and len(masks) == len(found)
    scores = source.scores.get(image_id, {})
    told = [f"RMSE {-v:.2f} m" if name == "RMSE" else f"{name} {v:.2f}" for name, v in scores.items()]
    return GalleryRow(
        label=source.label,
        boxes=boxes,
        classes=classes,
        names=[dataset.class_names[number] for number in classes],
        masks=[rle.decode(masks[n]["segmentation"]).astype(bool) for n in numbers] if aligned and masks else None,
        joints=_joints(kept.get("keypoints")),
        caption=(kept.get("captioning") or {}).get("caption"),
        depth=_depth((kept.get("depth") or {}).get("picture"), truth),
        scores=", ".join(told),
    )


def _drawn(results: Sequence[Mapping[str, Any]]) -> list[int]:
    """Positions of the results that are drawn, best last so that they lie on top."""
    order = sorted(range(len(results)), key=lambda number: -results[number]["score"])
    return [number for number in order if results[number]["score"] >= SCORE][:MOST][::-1]


def _joints(results: Sequence[Mapping[str, Any]] | None) -> NDArray[np.float64] | None:
    """(M, K, 3) joints of the poses that are drawn."""
    if results is None:
        return None
    poses = [np.array(results[number]["keypoints"], dtype=float).reshape(-1, 3) for number in _drawn(results)]
    return np.stack(poses) if poses else np.zeros((0, 1, 3))


def _depth(picture: Mapping[str, Any] | None, truth: GalleryRow) -> NDArray[np.float64] | None:
    """(rows, columns) meters of the small picture that the record keeps; None where it keeps none."""
    if picture is None:
        return None
    levels = np.frombuffer(zlib.decompress(base64.b64decode(picture["levels"])), dtype=np.uint8)
    share = levels.reshape(picture["rows"], picture["columns"]).astype(float) / 255
    meters: NDArray[np.float64] = picture["nearest"] * (picture["farthest"] / picture["nearest"]) ** share
    return meters if truth.depth is None or truth.depth.shape == meters.shape else None


def _reduced(depth: NDArray[np.float64]) -> NDArray[np.float64]:
    """The truth at the size of the records' pictures: mean of the known pixels of each cell, 0 where none is."""
    import torch

    from tasks.metrics.depth import picture_size

    size = picture_size(depth.shape[0], depth.shape[1])
    pool = torch.nn.functional.adaptive_avg_pool2d
    known = pool(torch.from_numpy((depth > 0).astype(float))[None, None], size)[0, 0]
    total = pool(torch.from_numpy(depth)[None, None], size)[0, 0]
    found: NDArray[np.float64] = torch.where(known > 0, total / known.clamp(min=1e-9), 0.0).numpy()
    return found


def _mask(segmentation: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """(height, width) booleans of a COCO segmentation."""
    if isinstance(segmentation, list):
        code = rle.merge(rle.frPyObjects(segmentation, *size))
    elif isinstance(segmentation["counts"], list):
        code = rle.frPyObjects(segmentation, *size)
    else:
        code = segmentation
    found: NDArray[np.bool_] = rle.decode(code).astype(bool)
    return found


def _limbs(dataset: Dataset) -> list[tuple[int, int]]:
    """Pairs of joints, counted from 0, of the category that has keypoints."""
    if dataset.coco is None or "person_keypoints" not in dataset.coco.kinds:
        return []
    categories = dataset.coco.ground_truth("person_keypoints")["categories"]
    skeleton: list[list[int]] = next((category["skeleton"] for category in categories if category.get("skeleton")), [])
    return [(int(start) - 1, int(end) - 1) for start, end in skeleton]
