"""Objects as AiT decodes them: all boxes, classes and masks of an image in one sequence.

``instances`` decodes boxes and masks together, so that one task is scored by both: its metric has the twelve numbers of
boxes and, beside them, the twelve of masks. ``boxes`` is AiT's detection, the same without masks.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from tasks.base import Metric, MetricParts, OneSequence, TaskError, TaskParts
from tasks.formats.object_sequence import ObjectMasks, ObjectSequence
from tasks.formats.sequence import Decoded, Encoded, TrainingExample
from tasks.formats.shipped import boxes_format, instances_format
from tasks.pasting import paste_codes
from tasks.targets import Context, InstancePrediction, Masks, Targets


class Boxes(OneSequence):
    """AiT's detection: one sequence per image, five tokens an object."""

    name: ClassVar[str] = "boxes"
    summary: ClassVar[str] = "boxes and classes of all objects in one sequence, as AiT has them"
    kind: ClassVar[str] = "instances"
    after: ClassVar[tuple[str, ...]] = ()
    headline: ClassVar[tuple[str, ...]] = ("AP", "AP50", "AP75")
    layouts: ClassVar[tuple[str, ...]] = ("ait",)
    sequence_format = staticmethod(boxes_format)
    _prompt = torch.zeros(1, 0, dtype=torch.int64)  # a start token opens the sequence instead

    def __init__(self, parts: TaskParts) -> None:
        self.sequence = ObjectSequence(parts, self.name)
        self.format = self.sequence.format

    def annotated(self, targets: Targets) -> bool:
        """Whether objects, and with them their outlines, are annotated; an image may still have none."""
        return targets.instances is not None

    def unreachable(self, targets: Targets) -> int:
        """How many annotated objects have no slot, so that no decoder can reach them."""
        return max(0, len(targets.instances or ()) - self.format.groups)

    def encode(self, targets: Targets, generator: torch.Generator | None = None) -> Encoded:
        """One target sequence (1, L) in pixels of the original image. ``generator`` is unused."""
        return self.sequence.encode(targets)

    def sample(self, targets: Targets, generator: torch.Generator, *, limit: int) -> TrainingExample:
        """One sequence with noise objects, in pixels of the canvas. ``limit`` is not needed."""
        return self.sequence.sample(targets, generator)

    def interpret(self, decoded: Decoded, context: Context) -> Any:
        """``Detections`` from tokens (1, L) and probabilities (1, L, V)."""
        return self.sequence.read(decoded, context).detections

    def metric(self, parts: MetricParts) -> Metric:
        """COCO average precision of boxes."""
        from tasks.metrics.coco import CocoMetric

        return CocoMetric(kind="bbox", parts=parts)


class Instances(Boxes):
    """AiT's instance segmentation: as ``Boxes``, with the mask codes of every object.

    Args:
        parts: what every task is built from.
        masks: how masks are written as codes.

    Raises:
        TaskError: if no codec is given.
    """

    name: ClassVar[str] = "instances"
    summary: ClassVar[str] = "boxes, classes and masks of all objects in one sequence, as AiT has them"
    headline: ClassVar[tuple[str, ...]] = ("box AP", "mask AP")
    sequence_format = staticmethod(instances_format)

    def __init__(self, parts: TaskParts, *, masks: ObjectMasks | None = None) -> None:
        if masks is None:
            raise TaskError("instances writes masks as learned codes and needs a mask codec; train one, or take boxes")
        self.sequence = ObjectSequence(parts, self.name, masks=masks)
        self.format = self.sequence.format

    def interpret(self, decoded: Decoded, context: Context) -> InstancePrediction:
        """Boxes and masks at original size from tokens (1, L) and probabilities (1, L, V)."""
        objects = self.sequence.read(decoded, context)
        boxes = objects.detections
        masks = torch.zeros(0, 1, 1) if objects.masks is None else objects.masks
        rles = paste_codes(masks, boxes.boxes, context.size)
        return InstancePrediction(boxes, Masks(rles, boxes.scores, boxes.classes))

    def metric(self, parts: MetricParts) -> Metric:
        """COCO average precision of boxes and of masks."""
        from tasks.metrics.instances import InstancesMetric

        return InstancesMetric(parts=parts)
