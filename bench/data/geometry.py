"""Moves targets along with their image, through torchvision's v2 tensors: scaled, mirrored or cropped.

What v2 leaves to its caller is done here: boxes are clamped, keypoints carry their visibility and change sides when
mirrored, and masks are scaled by the nearest pixel *center* (v2 takes the nearest corner, up to half a pixel off).
Boxes and polygons are continuous (the left edge of an image is 0, the right one its width); keypoints are COCO's pixel
numbers (the last pixel is width - 1), so that a keypoint's pixel has its center half a pixel further.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as v2
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat, KeyPoints, Mask

from bench.data.coco.classes import COCO_FLIP_PAIRS, COCO_KEYPOINTS
from tasks.targets import ObjectAnnotations, Segmentation, Targets

HALF_PIXEL = 0.5
Size = tuple[int, int]  # height, width in pixels
Point = tuple[float, float]  # x, y


def resize_targets(targets: Targets, size: Size) -> Targets:
    """Targets of the image stretched to ``size``; depth takes the nearest value, since 0 means no value."""
    if size == targets.size:
        return targets
    instances, depth = targets.instances, targets.depth
    if instances is not None:
        scale = torch.tensor([size[1] / targets.size[1], size[0] / targets.size[0]])
        points = (instances.keypoints[..., :2] + HALF_PIXEL) * scale - HALF_PIXEL  # (N, K, 2)
        last = torch.tensor([size[1] - 1.0, size[0] - 1.0])
        instances = replace(
            instances,
            boxes=_plain_boxes(v2.resize(_boxes(instances, targets.size), list(size))),
            segmentations=[_resize_segmentation(s, targets.size, size) for s in instances.segmentations],
            keypoints=_with_visibility(points.clamp(min=0).minimum(last), instances.keypoints),
        )
    if depth is not None:
        depth = _nearest(Mask(depth), size)
    return replace(targets, size=size, instances=instances, depth=depth)


def mirror_targets(targets: Targets, pairs: Sequence[tuple[int, int]] | None = None) -> Targets:
    """Targets of the image mirrored left to right. Captions stay as they are.

    Args:
        targets: of the image before.
        pairs: keypoints that change places; default: COCO's when there are 17 keypoints, none otherwise.
    """
    instances, depth = targets.instances, targets.depth
    if instances is not None:
        instances = replace(
            instances,
            boxes=_plain_boxes(v2.horizontal_flip(_boxes(instances, targets.size))),
            segmentations=[_mirror_segmentation(s, targets.size) for s in instances.segmentations],
            keypoints=_mirror_keypoints(instances.keypoints, targets.size, pairs),
        )
    if depth is not None:
        depth = v2.horizontal_flip(Mask(depth)).as_subclass(Tensor).contiguous()
    return replace(targets, instances=instances, depth=depth)


def crop_targets(targets: Targets, *, top: int, left: int, size: Size) -> Targets:
    """Targets of a window of the image; what lies outside of the image is empty.

    Objects without extent in the window are left out, keypoints outside of it become unlabeled. A box that the window
    cuts becomes the tight box of what it leaves of the object, as in MAD's release.
    """
    instances, depth = targets.instances, targets.depth
    if (top, left, size) == (0, 0, targets.size):
        return targets
    if instances is not None:
        instances = _crop_instances(instances, targets.size, top, left, size)
    if depth is not None:
        depth = v2.crop(Mask(depth), top, left, *size).as_subclass(Tensor).contiguous()
    return replace(targets, size=size, instances=instances, depth=depth)


def _crop_instances(instances: ObjectAnnotations, before: Size, top: int, left: int, size: Size) -> ObjectAnnotations:
    boxes = _plain_boxes(v2.crop(_boxes(instances, before), top, left, *size))
    points = instances.keypoints[..., :2] - torch.tensor([left, top])
    inside = ((points >= 0) & (points <= torch.tensor([size[1] - 1, size[0] - 1]))).all(-1, keepdim=True)
    keypoints = torch.cat([points, instances.keypoints[..., 2:]], dim=-1) * inside
    cut = (boxes != instances.boxes - torch.tensor([left, top, left, top])).any(dim=1).tolist()
    segmentations = {}
    for row in _with_extent(boxes):
        found = _crop_segmentation(instances.segmentations[row], before, top, left, size)
        if cut[row] and instances.segmentations[row]:
            boxes[row] = _tight(found)
        segmentations[row] = found
    kept = _with_extent(boxes)
    return ObjectAnnotations(
        boxes=boxes[kept],
        classes=instances.classes[kept],
        segmentations=[segmentations[row] for row in kept],
        keypoints=_with_visibility(keypoints[..., :2], keypoints)[kept],
        ids=[instances.ids[row] for row in kept],
    )


def _with_extent(boxes: Tensor) -> list[int]:
    """Rows of (N, 4) boxes that are neither narrower nor lower than anything."""
    found: list[int] = ((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])).nonzero()[:, 0].tolist()
    return found


def _tight(segmentation: Segmentation) -> Tensor:
    """(4,) box around all there is of an object; without extent if there is nothing."""
    if isinstance(segmentation, dict):
        rows, columns = (_decode(segmentation).as_subclass(Tensor) > 0).nonzero(as_tuple=True)
        if not len(rows):
            return torch.zeros(4)
        return torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
    points = torch.tensor([value for polygon in segmentation for value in polygon]).reshape(-1, 2)
    return torch.cat([points.amin(0), points.amax(0)]) if len(points) else torch.zeros(4)


def _boxes(instances: ObjectAnnotations, size: Size) -> BoundingBoxes:
    return BoundingBoxes(instances.boxes, format=BoundingBoxFormat.XYXY, canvas_size=size)


def _plain_boxes(boxes: BoundingBoxes) -> Tensor:
    clamped: Tensor = v2.clamp_bounding_boxes(boxes, clamping_mode="hard").as_subclass(Tensor)
    return clamped


def _with_visibility(points: Tensor, before: Tensor) -> Tensor:
    """(N, K, 3) keypoints from moved x, y (N, K, 2) and the keypoints before; unlabeled ones stay all 0."""
    visibility = before[..., 2:]
    return torch.where(visibility > 0, torch.cat([points, visibility], dim=-1), torch.zeros(()))


def _mirror_keypoints(keypoints: Tensor, size: Size, pairs: Sequence[tuple[int, int]] | None) -> Tensor:
    count = keypoints.shape[1]
    if pairs is None:
        pairs = COCO_FLIP_PAIRS if count == COCO_KEYPOINTS else ()
    order = list(range(count))
    for left, right in pairs:
        order[left], order[right] = right, left
    points = KeyPoints(keypoints[..., :2], canvas_size=size)  # v2 mirrors pixel numbers: x becomes width - 1 - x
    moved = v2.horizontal_flip(points).as_subclass(Tensor)
    return _with_visibility(moved, keypoints)[:, order]


def _resize_segmentation(segmentation: Segmentation, before: Size, size: Size) -> Segmentation:
    if isinstance(segmentation, dict):
        return _encode(_nearest(_decode(segmentation), size))
    return [_flat(v2.resize(_points(polygon, before), list(size))) for polygon in segmentation]


def _mirror_segmentation(segmentation: Segmentation, size: Size) -> Segmentation:
    if isinstance(segmentation, dict):
        return _encode(v2.horizontal_flip(_decode(segmentation)))
    # As pixel numbers, continuous points are half a pixel less.
    shifted = [KeyPoints(_points(p, size) - HALF_PIXEL, canvas_size=size) for p in segmentation]
    return [_flat(v2.horizontal_flip(points) + HALF_PIXEL) for points in shifted]


def _crop_segmentation(segmentation: Segmentation, before: Size, top: int, left: int, size: Size) -> Segmentation:
    if isinstance(segmentation, dict):
        return _encode(v2.crop(_decode(segmentation), top, left, *size))
    moved = ([(x - left, y - top) for x, y in zip(p[::2], p[1::2], strict=True)] for p in segmentation)
    clipped = (_clipped(points, size) for points in moved)
    return [[value for point in points for value in point] for points in clipped if len(points) > 2]


def _clipped(points: list[Point], size: Size) -> list[Point]:
    """The part of a polygon within an image (Sutherland and Hodgman 1974: cut along one side after the other)."""
    for axis, limit, sign in ((0, 0.0, 1), (0, float(size[1]), -1), (1, 0.0, 1), (1, float(size[0]), -1)):
        found: list[Point] = []
        for first, second in zip([*points[-1:], *points[:-1]], points, strict=True):
            inside = [(point[axis] - limit) * sign >= 0 for point in (first, second)]
            if inside[0] != inside[1]:
                share = (limit - first[axis]) / (second[axis] - first[axis])
                other = first[1 - axis] + share * (second[1 - axis] - first[1 - axis])
                found.append((limit, other) if axis == 0 else (other, limit))
            if inside[1]:
                found.append(second)
        points = found
    return points


def _points(polygon: Sequence[float], size: Size) -> KeyPoints:
    return KeyPoints(torch.tensor(polygon, dtype=torch.float64).reshape(-1, 2), canvas_size=size)


def _flat(points: Tensor) -> list[float]:
    return [float(value) for value in points.as_subclass(Tensor).reshape(-1)]


def _nearest(mask: Mask, size: Size) -> Tensor:
    """A mask (height, width) scaled to ``size``, each pixel from the one whose center is nearest."""
    plain = mask.as_subclass(Tensor)[None]  # (1, height, width)
    scaled: Tensor = v2.resize_image(plain, list(size), interpolation=InterpolationMode.NEAREST_EXACT, antialias=False)
    return scaled[0]


def _decode(code: dict[str, Any]) -> Mask:
    if isinstance(code["counts"], list):
        code = coco_mask.frPyObjects(code, *code["size"])
    return Mask(torch.from_numpy(np.ascontiguousarray(coco_mask.decode(code))))


def _encode(mask: Tensor) -> dict[str, Any]:
    code = coco_mask.encode(np.asfortranarray(mask.as_subclass(Tensor).numpy()))
    return {"size": [int(side) for side in code["size"]], "counts": code["counts"].decode("ascii")}
