"""Targets of an image and predictions for it: plain data that readers make and tasks use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

Segmentation = list[list[float]] | dict[str, Any]
"""COCO's: polygons [[x0, y0, x1, y1, ...], ...] or a run-length code {"size": [height, width], "counts": ...}."""


def with_area(boxes: Tensor) -> Tensor:
    """(n,) int64 rows of the boxes (N, 4), x0 y0 x1 y1, that have an area."""
    return (boxes[:, 2:] > boxes[:, :2]).all(dim=1).nonzero()[:, 0]


@dataclass(frozen=True)
class ObjectAnnotations:
    """Objects of one image, crowds left out. Pixels are those of ``Targets.size``.

    Args:
        boxes: (N, 4) float32, x0 y0 x1 y1 in pixels.
        classes: (N,) int64 contiguous class indices.
        segmentations: one COCO segmentation each.
        keypoints: (N, K, 3) float32, x and y as COCO's pixel indices (index i is the middle of the pixel [i, i + 1), so
            that a resize by s maps i to (i + 0.5) s - 0.5), COCO visibility 0, 1 or 2; all 0 where nothing is
            annotated.
        ids: annotation ids.
    """

    boxes: Tensor
    classes: Tensor
    segmentations: Sequence[Segmentation]
    keypoints: Tensor
    ids: Sequence[int]

    def __len__(self) -> int:
        return len(self.boxes)

    def rows(self, index: Tensor) -> ObjectAnnotations:
        """The objects at ``index`` (n,), in that order."""
        rows = index.tolist()
        return ObjectAnnotations(
            boxes=self.boxes[rows],
            classes=self.classes[rows],
            segmentations=[self.segmentations[row] for row in rows],
            keypoints=self.keypoints[rows],
            ids=[self.ids[row] for row in rows],
        )


@dataclass(frozen=True)
class Targets:
    """Everything annotated for one image; None marks a kind of annotation that the data set does not give.

    Args:
        size: height and width in pixels that all coordinates refer to.
        instances: objects; an image without objects has an empty one.
        has_keypoints: whether persons carry keypoint annotations.
        captions: reference captions.
        depth: (height, width) float32 in meters, 0 where the sensor saw nothing.
    """

    size: tuple[int, int]
    instances: ObjectAnnotations | None = None
    has_keypoints: bool = False
    captions: Sequence[str] | None = None
    depth: Tensor | None = None


@dataclass(frozen=True)
class Context:
    """What a task may use beside the tokens.

    Args:
        size: height and width of the original image in pixels.
        earlier: predictions of the tasks named in ``Task.after``.
    """

    size: tuple[int, int]
    earlier: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Detections:
    """Predicted boxes.

    Args:
        boxes: (N, 4) float32, x0 y0 x1 y1 in original pixels, inside the image, not empty.
        scores: (N,) float32 in [0, 1].
        classes: (N,) int64 contiguous class indices.
        slots: (N,) int64 object slot of the sequence that each box was read from.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    slots: Tensor


@dataclass(frozen=True)
class Masks:
    """Predicted instance masks, one per detection.

    Args:
        rles: compressed COCO run-length codes at original size.
        scores: (N,) float32.
        classes: (N,) int64.
    """

    rles: Sequence[Mapping[str, Any]]
    scores: Tensor
    classes: Tensor


@dataclass(frozen=True)
class Poses:
    """Predicted keypoints of the detected persons.

    Args:
        keypoints: (N, K, 3) float32, x and y as pixel indices of the original image (COCO's convention, nothing to add
            or subtract before scoring), probability of being visible.
        scores: (N,) float32.
        classes: (N,) int64, all the person class.
    """

    keypoints: Tensor
    scores: Tensor
    classes: Tensor


@dataclass(frozen=True)
class InstancePrediction:
    """Predicted objects.

    Args:
        detections: their boxes.
        masks: their masks, in the same order; each has its box's score, as AiT scores no masks.
    """

    detections: Detections
    masks: Masks
