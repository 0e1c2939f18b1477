"""Scale, mirror and crop targets along with their image.

Boxes and polygons are continuous (the left edge of an image is 0, the right one its width); keypoints are COCO's pixel
numbers (the last pixel is width - 1), so that a keypoint's pixel has its center half a pixel further. Masks and depths
are scaled by the nearest pixel *center*. Plain torch: importing torchvision takes seconds, and packed images do not
need it. Values are bit for bit those of torchvision's v2 functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from bench.data.coco.classes import COCO_FLIP_PAIRS, COCO_KEYPOINTS
from tasks.pasting import decode_mask
from tasks.polygons import clip_polygon
from tasks.targets import ObjectAnnotations, Segmentation, Targets, with_area

HALF_PIXEL = 0.5
Size = tuple[int, int]  # height, width in pixels


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
            boxes=_clamped(instances.boxes * scale.repeat(2), size),
            segmentations=[_resize_segmentation(s, size, scale) for s in instances.segmentations],
            keypoints=_with_visibility(points.clamp(min=0).minimum(last), instances.keypoints),
        )
    if depth is not None:
        depth = _nearest(depth, size)
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
            boxes=_clamped(_mirrored(instances.boxes, targets.size[1])[:, [2, 1, 0, 3]], targets.size),
            segmentations=[_mirror_segmentation(s, targets.size) for s in instances.segmentations],
            keypoints=_mirror_keypoints(instances.keypoints, targets.size[1], pairs),
        )
    if depth is not None:
        depth = depth.flip(-1)
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
        instances = _crop_instances(instances, top, left, size)
    if depth is not None:
        depth = _window(depth, top, left, size)
    return replace(targets, size=size, instances=instances, depth=depth)


def _crop_instances(instances: ObjectAnnotations, top: int, left: int, size: Size) -> ObjectAnnotations:
    shifted = instances.boxes - torch.tensor([left, top, left, top])
    boxes = _clamped(shifted, size)
    points = instances.keypoints[..., :2] - torch.tensor([left, top])
    inside = ((points >= 0) & (points <= torch.tensor([size[1] - 1, size[0] - 1]))).all(-1, keepdim=True)
    keypoints = torch.cat([points, instances.keypoints[..., 2:]], dim=-1) * inside
    cut = (boxes != shifted).any(dim=1).tolist()
    segmentations = list(instances.segmentations)
    for row in with_area(boxes).tolist():
        segmentations[row] = _crop_segmentation(instances.segmentations[row], top, left, size)
        if cut[row] and instances.segmentations[row]:
            boxes[row] = _tight(segmentations[row])
    keypoints = _with_visibility(keypoints[..., :2], keypoints)
    moved = replace(instances, boxes=boxes, segmentations=segmentations, keypoints=keypoints)
    return moved.rows(with_area(boxes))


def _tight(segmentation: Segmentation) -> Tensor:
    """(4,) tight box around an object; all 0 if nothing of it is left."""
    if isinstance(segmentation, dict):
        rows, columns = (_decode(segmentation) > 0).nonzero(as_tuple=True)
        if not len(rows):
            return torch.zeros(4)
        return torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
    points = torch.tensor([value for polygon in segmentation for value in polygon]).reshape(-1, 2)
    return torch.cat([points.amin(0), points.amax(0)]) if len(points) else torch.zeros(4)


def _clamped(boxes: Tensor, size: Size) -> Tensor:
    """Boxes (N, 4) clipped to an image."""
    height, width = size
    return torch.stack([boxes[:, 0::2].clamp(0, width), boxes[:, 1::2].clamp(0, height)], dim=2).flatten(1)


def _mirrored(points: Tensor, last: float) -> Tensor:
    """Points (..., x and y by turns): x becomes ``last`` - x."""
    points = points.clone()
    points[..., 0::2] = -(points[..., 0::2] - last)
    return points


def _with_visibility(points: Tensor, before: Tensor) -> Tensor:
    """(N, K, 3) keypoints from moved x, y (N, K, 2) and the keypoints before; unlabeled ones stay all 0."""
    visibility = before[..., 2:]
    return torch.where(visibility > 0, torch.cat([points, visibility], dim=-1), torch.zeros(()))


def mirrored_order(keypoints: int, pairs: Sequence[tuple[int, int]] | None = None) -> list[int]:
    """Keypoint that takes each place in a mirrored image; ``pairs`` as for ``mirror_targets``."""
    if pairs is None:
        pairs = COCO_FLIP_PAIRS if keypoints == COCO_KEYPOINTS else ()
    order = list(range(keypoints))
    for left, right in pairs:
        order[left], order[right] = right, left
    return order


def _mirror_keypoints(keypoints: Tensor, width: int, pairs: Sequence[tuple[int, int]] | None) -> Tensor:
    points = _with_visibility(_mirrored(keypoints[..., :2], width - 1), keypoints)
    return points[:, mirrored_order(keypoints.shape[1], pairs)]


def _resize_segmentation(segmentation: Segmentation, size: Size, scale: Tensor) -> Segmentation:
    if isinstance(segmentation, dict):
        return _encode(_nearest(_decode(segmentation), size))
    return [(_points(polygon) * scale).flatten().tolist() for polygon in segmentation]


def _mirror_segmentation(segmentation: Segmentation, size: Size) -> Segmentation:
    if isinstance(segmentation, dict):
        return _encode(_decode(segmentation).flip(-1))
    # Half a pixel is taken off and added again, so that sums are rounded as torchvision's.
    shifted = (_mirrored(_points(polygon) - HALF_PIXEL, size[1] - 1) + HALF_PIXEL for polygon in segmentation)
    return [points.flatten().tolist() for points in shifted]


def _crop_segmentation(segmentation: Segmentation, top: int, left: int, size: Size) -> Segmentation:
    if isinstance(segmentation, dict):
        return _encode(_window(_decode(segmentation), top, left, size))
    moved = ([(x - left, y - top) for x, y in zip(p[::2], p[1::2], strict=True)] for p in segmentation)
    height, width = map(float, size)
    clipped = (clip_polygon(points, (0.0, 0.0), (width, height)) for points in moved)
    return [[value for point in points for value in point] for points in clipped if len(points) > 2]


def _points(polygon: Sequence[float]) -> Tensor:
    return torch.tensor(polygon, dtype=torch.float64).reshape(-1, 2)


def _nearest(mask: Tensor, size: Size) -> Tensor:
    """A mask or depth map (height, width) scaled to ``size``, each pixel from the one whose center is nearest."""
    scaled = torch.nn.functional.interpolate(mask[None, None].float(), size=size, mode="nearest-exact")
    return scaled[0, 0].to(mask.dtype)


def _window(values: Tensor, top: int, left: int, size: Size) -> Tensor:
    """A window of a map (height, width), 0 outside of it."""
    inside = values[max(top, 0) : max(top + size[0], 0), max(left, 0) : max(left + size[1], 0)]
    window = values.new_zeros(size)
    row, column = max(-top, 0), max(-left, 0)
    window[row : row + inside.shape[0], column : column + inside.shape[1]] = inside
    return window


def _decode(code: dict[str, Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(decode_mask(code, code["size"])))


def _encode(mask: Tensor) -> dict[str, Any]:
    code = coco_mask.encode(np.asfortranarray(mask.numpy()))
    return {"size": [int(side) for side in code["size"]], "counts": code["counts"].decode("ascii")}
