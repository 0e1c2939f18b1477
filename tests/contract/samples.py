"""Small targets of every kind, with any number of objects."""

from __future__ import annotations

import torch

from tasks.base import MetricParts
from tasks.formats.vocabulary import Sizes
from tasks.targets import ObjectAnnotations, Targets

SIZES = Sizes(classes=3, bins=40, slots=5, mask_size=6, caption_length=8, words=60, depth_bins=10, depth_grid=(3, 4))
CAPTIONS = ("A red ring in front of a person.", "A person behind one red ring.", "A ring, and somebody near it.")


def instances(count: int, size: tuple[int, int]) -> ObjectAnnotations:
    """Objects side by side, every second one a person with keypoints along its diagonal."""
    height, width = size
    left = torch.arange(count) * width / max(count, 1)
    boxes = torch.stack(
        [left, torch.full_like(left, height / 4), left + width / (count + 1), torch.full_like(left, height * 0.9)], 1
    ).float()
    classes = torch.arange(count) % 2
    along = torch.linspace(0.1, 0.9, 17)[None, :, None]
    points = boxes[:, None, :2] + along * (boxes[:, None, 2:] - boxes[:, None, :2])  # (N, K, 2)
    visibility = (torch.arange(17) % 3).expand(count, 17)[..., None]
    keypoints = torch.cat([points, visibility], -1) * (classes == 0)[:, None, None]
    polygons = [[[x0, y0, x1, y0, x1, y1, x0, y1]] for x0, y0, x1, y1 in boxes.tolist()]
    return ObjectAnnotations(boxes, classes, polygons, keypoints.float(), list(range(1, count + 1)))


def targets(count: int, size: tuple[int, int] = (48, 64)) -> Targets:
    """One image with everything annotated."""
    ramp = torch.linspace(0.6, 9.0, size[0])[:, None].expand(size).clone()
    ramp[:3] = 0
    return Targets(size=size, instances=instances(count, size), has_keypoints=True, captions=CAPTIONS, depth=ramp)


def metric_parts() -> MetricParts:
    """What the metrics of image 1 are built from."""
    categories = [{"id": number, "name": name} for number, name in enumerate(("person", "ring", "star"), start=1)]
    return MetricParts(
        ground_truth={"images": [{"id": 1, "height": 48, "width": 64}], "annotations": [], "categories": categories},
        category_ids=[1, 2, 3],
        references={1: CAPTIONS},
        caption_tokenizer="python",
    )
