"""Instance segmentation: a box and a class prompt the small mask inside that box (MAD section 3.1).

How the mask is written as tokens is a ``MaskFormat``: here one bit per cell, learned codes implement the same protocol.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from tasks.base import Metric, MetricParts, TaskError, TaskParts
from tasks.detection import (
    annotated_instances,
    coordinates,
    detections_in,
    object_prompts,
    slotted,
)
from tasks.formats.sequence import Decoded, Encoded, SequenceFormat, Slot, TrainingExample, with_dense_loss
from tasks.formats.shipped import mask_format, segmentation_format
from tasks.formats.vocabulary import Vocabulary
from tasks.pasting import crop, paste_codes
from tasks.targets import Context, Masks, ObjectAnnotations, Targets

TINY = torch.finfo(torch.float32).tiny


class MaskFormat(Protocol):
    """How masks are written as tokens.

    A format may also have ``dense_loss(logits, originals, format)``, the loss of soft predictions (R, L, V) read as
    masks against the masks (R, M, M) themselves; ``SequenceFormat.dense_loss`` is made of it.

    Attributes:
        side: M, side of the mask crops that are encoded and decoded.
        slots: positions of one group.
        groups: groups in a sequence.
    """

    side: int
    slots: tuple[Slot, ...]
    groups: int

    def encode(self, masks: Tensor) -> Tensor:
        """(N, M, M) bool masks to (N, L) int64 tokens."""
        ...

    def decode(self, decoded: Decoded, format: SequenceFormat) -> Tensor:
        """(N, M, M) float foreground probabilities.

        Args:
            decoded: tokens (N, L) and, for formats that read more than the most probable token, probabilities.
            format: the task's format; ``format.column`` finds the columns of a range.
        """
        ...


class MaskBits:
    """The plain format: one foreground or background token per cell, row by row.

    It reads probabilities with every strategy, so that ``Decoded.soft`` changes nothing.
    """

    def __init__(self, vocabulary: Vocabulary, side: int) -> None:
        self.side = side
        self.groups = side
        self._foreground = vocabulary["foreground"]
        self._background = vocabulary["background"]
        self.slots = (Slot((self._foreground, self._background), dense=True),) * side

    def encode(self, masks: Tensor) -> Tensor:
        """(N, M, M) bool masks to (N, M * M) int64 tokens."""
        return torch.where(masks, self._foreground.start, self._background.start).flatten(1)

    def decode(self, decoded: Decoded, format: SequenceFormat) -> Tensor:
        """(N, M, M) float: foreground's share of the two tokens' probability."""
        foreground = decoded.probabilities[..., format.column(self._foreground)].float()  # (N, L, 1)
        background = decoded.probabilities[..., format.column(self._background)].float()
        share = foreground / (foreground + background).clamp(min=TINY)
        return share.reshape(-1, self.side, self.side)


class Segmentation:
    """One sequence per detected object.

    Args:
        parts: what every task is built from.
        masks: how masks are written as tokens; the preset's M x M bits by default.

    Raises:
        TaskError: if ``parts.reading`` is unknown.
    """

    name: ClassVar[str] = "segmentation"
    summary: ClassVar[str] = "masks of the detected objects, one sequence each"
    kind: ClassVar[str] = "instances"
    after: ClassVar[tuple[str, ...]] = ("detection",)
    headline: ClassVar[tuple[str, ...]] = ("AP", "AP50")
    sequence_format = staticmethod(segmentation_format)

    def __init__(self, parts: TaskParts, *, masks: MaskFormat | None = None) -> None:
        vocabulary = parts.vocabulary
        self._token = vocabulary.id("segmentation_prompt")
        self._classes = vocabulary["class"]
        self._coordinates = coordinates(parts)
        self._slots = parts.sizes.slots
        self._masks: MaskFormat = MaskBits(vocabulary, parts.sizes.mask_size) if masks is None else masks
        self.format = with_dense_loss(mask_format(self._masks.slots, self._masks.groups), self._masks)

    def annotated(self, targets: Targets) -> bool:
        """Whether objects, and with them their outlines, are annotated."""
        return targets.instances is not None

    def unreachable(self, targets: Targets) -> int:
        """Always 0: detection counts the objects without a slot."""
        return 0

    def encode(self, targets: Targets, generator: torch.Generator | None = None) -> Encoded:
        """One target sequence per object that has a detection slot: tokens and weights (N, L), prompts (N, P).

        Row i is the object in slot i of ``Detection.encode``. ``generator`` is unused.

        Raises:
            TaskError: if no objects are annotated, or a run-length code has another size than the image.
        """
        rows = slotted(annotated_instances(targets, self.name), self._slots)
        return self._encode(targets, rows, self._crops(targets, rows))

    def sample(self, targets: Targets, generator: torch.Generator, *, limit: int) -> TrainingExample:
        """One sequence per object, at most ``limit`` objects drawn at random (MAD's release)."""
        count = len(annotated_instances(targets, self.name))
        rows = torch.randperm(count, generator=generator)[:limit]
        masks = self._crops(targets, rows)
        example = TrainingExample.of(self._encode(targets, rows, masks))
        return example if self.format.dense_loss is None else replace(example, originals=masks)

    def _crops(self, targets: Targets, rows: Tensor) -> Tensor:
        """(N, M, M) bool masks of the objects in ``rows``."""
        instances = annotated_instances(targets, self.name)
        masks = torch.zeros(len(rows), self._masks.side, self._masks.side, dtype=torch.bool)
        for slot, row in enumerate(rows.tolist()):
            _check_size(instances, row, targets.size)
            masks[slot] = crop(instances.segmentations[row], instances.boxes[row], self._masks.side)
        return masks

    def _encode(self, targets: Targets, rows: Tensor, masks: Tensor) -> Encoded:
        """Target sequences of the objects in ``rows``, whose masks are given."""
        instances = annotated_instances(targets, self.name)
        tokens = self._masks.encode(masks)
        boxes = self._coordinates.tokens(instances.boxes[rows], targets.size)
        prompts = object_prompts(self._token, boxes, self._classes.start + instances.classes[rows])
        return Encoded(tokens, torch.ones(tokens.shape), prompts)

    def prompt(self, context: Context) -> Tensor:
        """(N, P) int64: task, box and class of every detection."""
        detections = detections_in(context, self.name)
        boxes = self._coordinates.again(detections.boxes, context.size)
        return object_prompts(self._token, boxes, self._classes.start + detections.classes)

    def interpret(self, decoded: Decoded, context: Context) -> Masks:
        """Masks at original size from tokens (N, L) and probabilities (N, L, V), scored as their detections are."""
        detections = detections_in(context, self.name)
        foreground = self._masks.decode(decoded, self.format)  # (N, M, M)
        return Masks(paste_codes(foreground, detections.boxes, context.size), detections.scores, detections.classes)

    def target_rows(self, context: Context) -> Tensor:
        """(N,) int64: the detection slots, which ``encode`` fills in the same order."""
        return detections_in(context, self.name).slots

    def metric(self, parts: MetricParts) -> Metric:
        """COCO average precision of masks."""
        from tasks.metrics.coco import CocoMetric

        return CocoMetric(kind="segm", parts=parts)


def _check_size(instances: ObjectAnnotations, row: int, size: tuple[int, int]) -> None:
    code = instances.segmentations[row]
    if isinstance(code, dict) and tuple(code["size"]) != size:
        raise TaskError(
            f"annotation {instances.ids[row]}: its run-length code has size {list(code['size'])}, its image "
            f"{list(size)}; resize the code with the image"
        )
