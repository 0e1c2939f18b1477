"""AiT's sequence of objects: box, class and, with masks, the mask's codes of each, one object behind the other.

AiT section 3.2 and its release, which this follows where the two differ: coordinates in x y order on 2001 steps of the
square canvas that an image is fitted into, noise objects that fill the sequence, jittered copies with the mask inside
the jittered box, class inputs that are all corrupted.

Shapes: G objects of a sequence, S slots of an object, V columns of the task's vocabulary, M side of a mask.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from tasks.base import TaskError, TaskParts
from tasks.detection import annotated_instances, slotted
from tasks.formats.binning import CanvasCoordinates
from tasks.formats.sequence import Decoded, Encoded, SequenceFormat, TrainingExample
from tasks.formats.shipped import BOX, object_sequence_format
from tasks.instance_noise import NOTHING, Noise, noise_objects
from tasks.pasting import align, raster
from tasks.segmentation import MaskFormat
from tasks.targets import Context, Detections, ObjectAnnotations, Targets

MASK_WEIGHT = 0.2  # of a mask's code in the cross-entropy, where a coordinate weighs 1
ABSENT = -1.0  # value of the originals of objects that have no mask of their own


class ObjectMasks(MaskFormat, Protocol):
    """A format of masks whose soft predictions can be judged as a whole."""

    def dense_loss(self, logits: Tensor, originals: Tensor, format: SequenceFormat) -> Tensor:
        """Scalar loss of logits (R, codes of a mask, V) read softly, against masks (R, M, M) of 0 and 1."""
        ...


@dataclass(frozen=True)
class DecodedObjects:
    """What a sequence says of its objects, those without extent left out.

    Args:
        detections: boxes in original pixels; they may reach out of the image, as in the release.
        masks: (N, M, M) float foreground inside the boxes, or None without masks.
    """

    detections: Detections
    masks: Tensor | None


class ObjectSequence:
    """One sequence per image: ``parts.sizes.slots`` objects.

    Args:
        parts: what every task is built from.
        task: its name; ``<task>_start`` of the vocabulary opens its sequences.
        masks: how masks are written as codes, or None for boxes and classes alone.
    """

    def __init__(self, parts: TaskParts, task: str, *, masks: ObjectMasks | None = None) -> None:
        vocabulary = parts.vocabulary
        self._masks = masks
        self._classes, self._noise = vocabulary["class"], vocabulary.id("no_object")
        self.coordinates = CanvasCoordinates(vocabulary["coordinate"], parts.sizes.bins, parts.canvas)
        codes = () if masks is None else masks.slots * masks.groups
        form = object_sequence_format(task, vocabulary, parts.sizes, codes)
        self.format = replace(form, dense_loss=None if masks is None else self._dense_loss)

    def encode(self, targets: Targets) -> Encoded:
        """The objects in the order of the annotation; what follows is labeled noise and has no place and no mask.

        Args:
            targets: in pixels of the original image.

        Raises:
            TaskError: if no objects are annotated.
        """
        instances = annotated_instances(targets, self.format.task)
        rows = slotted(instances, self.format.groups)
        scale = self.coordinates.scale(targets.size)
        tokens = self._empty()
        weights = self._weights(len(rows))
        boxes = self.coordinates.tokens(instances.boxes[rows] * scale.repeat(2))
        tokens[: len(rows), : BOX + 1] = torch.cat([boxes, self._class_tokens(instances.classes[rows])], dim=1)
        if self._masks is not None:
            side = max(targets.size)
            crops = self._crops(instances, rows, instances.boxes[rows], targets.size, (side, side))
            tokens[: len(rows), BOX + 1 :] = self._masks.encode(crops)
        return Encoded(tokens.reshape(1, -1), weights.reshape(1, -1), torch.zeros(1, 0, dtype=torch.int64))

    def sample(self, targets: Targets, generator: torch.Generator) -> TrainingExample:
        """Objects in random order, then noise objects, with inputs that differ from the targets.

        A noise object's target is its label alone. Its input is its box and, of a jittered copy, the mask inside that
        box, else an empty mask. Class inputs, the objects' own too, are a random class or the noise label.

        Args:
            targets: in pixels of the canvas.
            generator: source of every draw.

        Raises:
            TaskError: if no objects are annotated.
        """
        instances = annotated_instances(targets, self.format.task)
        rows = slotted(instances, self.format.groups)
        rows = rows[torch.randperm(len(rows), generator=generator)]
        boxes = instances.boxes[rows]
        noise = noise_objects(boxes, targets.size, self.format.groups - len(rows), generator)
        targets_, inputs, originals = self._empty(), self._empty(), None
        inputs[:, :BOX] = self.coordinates.tokens(torch.cat([boxes, noise.boxes]))
        targets_[: len(rows), :BOX] = inputs[: len(rows), :BOX]
        targets_[: len(rows), BOX : BOX + 1] = self._class_tokens(instances.classes[rows])
        inputs[:, BOX] = self._corrupted(generator)
        if self._masks is not None:
            crops = self._all_crops(instances, rows, noise, targets.size)
            inputs[:, BOX + 1 :] = self._masks.encode(crops)
            targets_[: len(rows), BOX + 1 :] = inputs[: len(rows), BOX + 1 :]
            originals = crops.float()
            originals[len(rows) :] = ABSENT
        return TrainingExample(
            prompts=torch.zeros(1, 0, dtype=torch.int64),
            tokens=targets_.reshape(1, -1),
            weights=self._weights(len(rows)).reshape(1, -1),
            originals=None if originals is None else originals[None],
            inputs=inputs.reshape(1, -1),
        )

    def read(self, decoded: Decoded, context: Context) -> DecodedObjects:
        """Objects of one image from tokens (1, L) and probabilities (1, L, V), no threshold, no suppression.

        A score is the probability of the decoded class among the classes and the noise label.
        """
        shape = (self.format.groups, len(self.format.slots))
        tokens = decoded.tokens.reshape(shape)  # (G, S)
        probabilities = decoded.probabilities.reshape(*shape, -1)  # (G, S, V)
        boxes = self.coordinates.pixels(tokens[:, :BOX]) / self.coordinates.scale(context.size).repeat(2)
        scores, classes = self.scores(tokens[:, BOX], probabilities[:, BOX].float())
        solid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]) & (tokens[:, BOX] != self._noise)
        slots = solid.nonzero()[:, 0]
        masks = None
        if self._masks is not None:
            codes = replace(decoded, tokens=tokens[slots, BOX + 1 :], probabilities=probabilities[slots, BOX + 1 :])
            masks = self._masks.decode(codes, self.format)
        return DecodedObjects(Detections(boxes[slots], scores[slots], classes[slots], slots), masks)

    def scores(self, tokens: Tensor, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (G,) and class indices (G,) of class tokens (G,) and their probabilities (G, V)."""
        column = self.format.columns_of(torch.tensor([self._noise]))
        rivals = torch.cat([probabilities[:, self.format.column(self._classes)], probabilities[:, column]], dim=1)
        classes = (tokens - self._classes.start).clamp(0, len(self._classes) - 1)
        return rivals.gather(1, classes[:, None])[:, 0] / rivals.sum(dim=1), classes

    def _empty(self) -> Tensor:
        """(G, S) tokens of objects that are none."""
        first = [slot.ranges[0].start for slot in self.format.slots]
        first[BOX] = self._noise
        return torch.tensor(first).repeat(self.format.groups, 1)

    def _weights(self, objects: int) -> Tensor:
        """(G, S) float: everything of an object counts, of a noise object its label alone."""
        weights = torch.zeros(self.format.groups, len(self.format.slots))
        weights[:, BOX] = 1
        weights[:objects] = torch.where(self.format.dense[: len(self.format.slots)], MASK_WEIGHT, 1.0)
        return weights

    def _class_tokens(self, classes: Tensor) -> Tensor:
        return self._classes.start + classes[:, None]

    def _corrupted(self, generator: torch.Generator) -> Tensor:
        """(G,) class inputs: half of them any class, half the noise label."""
        drawn = torch.randint(len(self._classes), (self.format.groups,), generator=generator)
        labeled = torch.rand(self.format.groups, generator=generator) < 0.5
        return torch.where(labeled, self._noise, self._classes.start + drawn)

    def _all_crops(self, instances: ObjectAnnotations, rows: Tensor, noise: Noise, size: tuple[int, int]) -> Tensor:
        """(G, M, M) bool: the masks of the objects in their boxes and in those of their copies, none elsewhere."""
        copies = (noise.copies != NOTHING).nonzero()[:, 0]
        boxes = torch.cat([instances.boxes[rows], noise.boxes[copies]])
        canvas = (self.coordinates.side, self.coordinates.side)
        masks = self._crops(instances, torch.cat([rows, rows[noise.copies[copies]]]), boxes, size, canvas)
        crops = torch.zeros(self.format.groups, *masks.shape[1:], dtype=torch.bool)
        crops[: len(rows)] = masks[: len(rows)]
        crops[len(rows) + copies] = masks[len(rows) :]
        return crops

    def _crops(
        self, instances: ObjectAnnotations, rows: Tensor, boxes: Tensor, size: tuple[int, int], canvas: tuple[int, int]
    ) -> Tensor:
        """(n, M, M) bool masks of the objects in ``rows`` inside ``boxes`` (n, 4)."""
        if self._masks is None:
            raise TaskError(f"{self.format.task} has no masks")
        side, rasters = self._masks.side, dict[int, Tensor]()
        crops = torch.zeros(len(rows), side, side, dtype=torch.bool)
        for place, row in enumerate(rows.tolist()):
            if row not in rasters:
                rasters[row] = raster(instances.segmentations[row], size, canvas)
            crops[place] = align(rasters[row], boxes[place], side)
        return crops

    def _dense_loss(self, logits: Tensor, originals: Tensor) -> Tensor:
        """The mask format's loss of the real objects' masks: logits (R, L, V), originals (R, G, M, M)."""
        masks = self._masks
        if masks is None:
            raise TaskError(f"{self.format.task} has no masks")
        real = originals[..., 0, 0] != ABSENT  # (R, G)
        if not bool(real.any()):
            return logits.new_zeros(())
        grouped = logits.reshape(*real.shape, -1, logits.shape[-1])[real][:, BOX + 1 :]  # (objects, codes, V)
        return masks.dense_loss(grouped, originals[real], self.format)
