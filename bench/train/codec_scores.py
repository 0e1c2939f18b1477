"""Reconstruction quality of a codec: held-out maps are encoded, decoded and scored by the metric of their task."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.data.coco.annotations import KINDS
from bench.data.dataset import Dataset
from bench.errors import UserError
from tasks.base import MetricParts
from tasks.codecs.formats import fitted
from tasks.codecs.vqvae import Codec
from tasks.metrics.coco import CocoMetric
from tasks.metrics.depth import DepthMetric
from tasks.metrics.tables import ScoreTable
from tasks.pasting import crop, paste_codes
from tasks.targets import Masks, Targets

SMALLEST = 2  # pixels; objects with a smaller box are left out, as in AiT's release
DEPTH_SHOWN = ("rmse", "abs_rel", "delta1")
MASK_SHOWN = ("AP", "AP50", "AP75")


class CodeUsage:
    """Counts how often each code is used."""

    def __init__(self, codes: int) -> None:
        self._counts = torch.zeros(codes)

    def add(self, codes: Tensor) -> None:
        """Count codes of any shape."""
        self._counts += torch.bincount(codes.flatten(), minlength=len(self._counts))

    def scores(self) -> dict[str, float]:
        """Return the number of ``codes used``, and their ``perplexity`` (exponential of the entropy)."""
        shares = self._counts / self._counts.sum().clamp(min=1)
        entropy = -(shares * shares.clamp(min=1e-12).log()).sum()
        return {"codes used": float((self._counts > 0).sum()), "perplexity": math.exp(float(entropy))}


@dataclass(frozen=True)
class CodecScores:
    """What a codec loses: the records of its task's metric, and which codes it uses."""

    metric: Any
    records: Mapping[int, Any]
    usage: CodeUsage
    shown: tuple[str, ...]

    @property
    def values(self) -> dict[str, float]:
        """The metric's headline values, the number of ``codes used`` and their ``perplexity``."""
        values = self.metric.summarize(self.records)
        return {name: float(v) for name in self.shown if (v := values.get(name)) is not None} | self.usage.scores()

    @property
    def table(self) -> ScoreTable:
        """The metric image by image."""
        table: ScoreTable = self.metric.tables(self.records)
        return table


@torch.no_grad()
def depth_scores(codec: Codec, dataset: Dataset, *, grid: tuple[int, int]) -> CodecScores:
    """Return depth errors of reconstructions of whole images, with Eigen's crop where it applies.

    Args:
        codec: in evaluation mode.
        dataset: images with depth.
        grid: rows and columns of codes; maps are resized to them, and reconstructions back.
    """
    metric, usage = DepthMetric(parts=MetricParts()), CodeUsage(codec.options.codes)
    records = {}
    for sample in dataset.samples:
        targets = dataset.targets(sample)
        if targets.depth is not None:
            depth, codes = reconstructed(codec, targets.depth, grid)
            usage.add(codes)
            records[sample.image_id] = metric.observe(sample.image_id, depth, targets)
    return CodecScores(metric, records, usage, DEPTH_SHOWN)


def reconstructed(codec: Codec, depth: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Encode and decode a depth map (height, width); return it at its own size, and the codes."""
    codes = codec.encode(fitted(depth, (grid[0] * codec.options.ratio, grid[1] * codec.options.ratio))[None])
    decoded = codec.decode(codes)[None]
    resized = torch.nn.functional.interpolate(decoded, size=depth.shape, mode="bilinear", align_corners=False)
    return resized[0, 0], codes


@torch.no_grad()
def mask_scores(codec: Codec, dataset: Dataset) -> CodecScores:
    """Return COCO's average precision of reconstructed masks, pasted into the annotated boxes, all with score 1.

    As in AiT's release, boxes are rounded to whole pixels and objects smaller than two pixels are skipped. Masks are
    cropped and pasted as in the segmentation task.

    Args:
        codec: in evaluation mode.
        dataset: images with objects.

    Raises:
        UserError: if the data set has no objects.
    """
    if dataset.coco is None:
        raise UserError("a codec of masks is scored on objects; give --coco DIR")
    parts = MetricParts(ground_truth=dataset.coco.ground_truth(KINDS[0]), category_ids=dataset.coco.category_ids)
    metric, usage = CocoMetric(kind="segm", parts=parts), CodeUsage(codec.options.codes)
    records = {}
    for sample in dataset.samples:
        if sample.coco:
            targets = dataset.coco.targets(sample.image_id)
            masks = _reconstructed_masks(codec, targets, usage)
            records[sample.image_id] = metric.observe(sample.image_id, masks, targets)
    return CodecScores(metric, records, usage, MASK_SHOWN)


def _reconstructed_masks(codec: Codec, targets: Targets, usage: CodeUsage) -> Masks:
    objects = targets.instances
    boxes = torch.zeros(0, 4) if objects is None else objects.boxes.round()
    large = (boxes[:, 2:] - boxes[:, :2] >= SMALLEST).all(dim=1).nonzero()[:, 0]
    if objects is None or not len(large):
        return Masks([], torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    crops = torch.stack([crop(objects.segmentations[row], boxes[row], codec.options.side) for row in large.tolist()])
    codes = codec.encode(crops)
    usage.add(codes)
    rles = paste_codes(codec.decode(codes), boxes[large], targets.size)
    return Masks(rles, torch.ones(len(large)), objects.classes[large])
