"""Detection: every object slot is a box and a class, five tokens [x0 y0 x1 y1 class] (MAD section 3.1).

What a box and a class look like as a prompt also lives here, for the tasks that detection feeds.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from tasks.base import Metric, MetricParts, OneSequence, TaskError, TaskParts
from tasks.formats.binning import Coordinates
from tasks.formats.sequence import Decoded, Encoded, TrainingExample
from tasks.formats.shipped import BOX, detection_format
from tasks.targets import Context, Detections, ObjectAnnotations, Targets, with_area


class Detection(OneSequence):
    """One sequence per image: ``slots`` objects of five tokens.

    Objects fill the first slots in the order of the annotation. An unused slot has the class ``no_object``, which is a
    training target but never decoded, and coordinates without weight.

    Raises:
        TaskError: if ``parts.reading`` is unknown.
    """

    name: ClassVar[str] = "detection"
    summary: ClassVar[str] = "boxes and classes of all objects, one sequence per image"
    kind: ClassVar[str] = "instances"
    after: ClassVar[tuple[str, ...]] = ()
    headline: ClassVar[tuple[str, ...]] = ("AP", "AP50", "AP75")
    sequence_format = staticmethod(detection_format)

    def __init__(self, parts: TaskParts) -> None:
        vocabulary = parts.vocabulary
        self._prompt = torch.tensor([list(vocabulary["detection_prompt"].ids())])  # (1, P)
        self._classes = vocabulary["class"]
        self._no_object = vocabulary.id("no_object")
        self._coordinates = coordinates(parts)
        self.format = detection_format(vocabulary, parts.sizes)

    def annotated(self, targets: Targets) -> bool:
        """Whether objects are annotated; an image may still have none."""
        return targets.instances is not None

    def unreachable(self, targets: Targets) -> int:
        """How many annotated objects have no slot, so that no decoder can reach them."""
        return max(0, len(targets.instances or ()) - self.format.groups)

    def encode(self, targets: Targets, generator: torch.Generator | None = None) -> Encoded:
        """One target sequence: tokens and weights (1, L), prompts (1, P). ``generator`` is unused.

        Raises:
            TaskError: if no objects are annotated (``annotated`` is False).
        """
        objects = self._objects(targets)
        tokens = torch.tensor(self.format.unmatched).repeat(self.format.groups, 1)  # (G, 5)
        weights = torch.tensor(self.format.unmatched_weights).repeat(self.format.groups, 1)
        tokens[:, :BOX] = self._coordinates.ids.start  # what is read from tokens needs coordinates there
        tokens[: len(objects)] = objects
        weights[: len(objects)] = 1
        return Encoded(tokens.reshape(1, -1), weights.reshape(1, -1), self._prompt)

    def sample(self, targets: Targets, generator: torch.Generator, *, limit: int) -> TrainingExample:
        """One sequence: the objects in random slots, noise objects in the others (MAD section 3.3 and its release).

        A noise object has a corner anywhere, sides of any length cut at the border, and any class. Slots are shuffled,
        so that the slot of an object carries no information. ``limit`` is unused.
        """
        objects = self._objects(targets)
        slots = torch.randperm(self.format.groups, generator=generator)[: len(objects)]
        real = torch.zeros(self.format.groups, dtype=torch.bool)
        real[slots] = True
        tokens = self._noise(generator)
        tokens[slots] = objects
        weights = torch.tensor(self.format.unmatched_weights).repeat(self.format.groups, 1)
        weights[slots] = 1
        return TrainingExample(self._prompt, tokens.reshape(1, -1), weights.reshape(1, -1), real[None])

    def interpret(self, decoded: Decoded, context: Context) -> Detections:
        """Boxes from tokens (1, L) and probabilities (1, L, V).

        The class is the most probable one and its probability the score; the box is what its tokens say. Only slots
        whose box is empty are dropped: no threshold, no suppression (MAD section 3.2).
        """
        every = self.every_slot(decoded, context)
        slots = with_area(every.boxes)
        return Detections(every.boxes[slots], every.scores[slots], every.classes[slots], slots)

    def every_slot(self, decoded: Decoded, context: Context) -> Detections:
        """As ``interpret``, with the slots whose box is empty."""
        height, width = context.size
        tokens = decoded.tokens.reshape(-1, BOX + 1)  # (Q, 5)
        boxes = self._coordinates.pixels(tokens[:, :BOX], context.size)  # (Q, 4)
        boxes = torch.minimum(boxes.clamp(min=0), boxes.new_tensor([width, height, width, height]))
        by_slot = decoded.probabilities.reshape(len(tokens), BOX + 1, -1)  # (Q, 5, V)
        scores, classes = by_slot[:, BOX, self.format.column(self._classes)].float().max(dim=-1)  # (Q,) each
        return Detections(boxes=boxes, scores=scores, classes=classes, slots=torch.arange(len(tokens)))

    def metric(self, parts: MetricParts) -> Metric:
        """COCO average precision of boxes."""
        from tasks.metrics.coco import CocoMetric

        return CocoMetric(kind="bbox", parts=parts)

    def _objects(self, targets: Targets) -> Tensor:
        """(N, 5) tokens of the objects that get a slot."""
        instances = annotated_instances(targets, self.name)
        rows = slotted(instances, self.format.groups)
        boxes = self._coordinates.tokens(instances.boxes[rows], targets.size)
        return torch.cat([boxes, self._classes.start + instances.classes[rows][:, None]], dim=1)

    def _noise(self, generator: torch.Generator) -> Tensor:
        """(G, 5) tokens of random objects."""
        low, sides = torch.rand(2, self.format.groups, 2, generator=generator)
        boxes = torch.cat([low, (low + sides).clamp(max=1)], dim=1)  # in [0, 1], so the image is a unit square
        classes = torch.randint(len(self._classes), (self.format.groups, 1), generator=generator)
        return torch.cat([self._coordinates.tokens(boxes, (1, 1)), self._classes.start + classes], dim=1)


def coordinates(parts: TaskParts) -> Coordinates:
    """Coordinate tokens of the shared vocabulary at the reading of ``parts``."""
    return Coordinates(parts.vocabulary["coordinate"], parts.sizes.bins, parts.reading)


def annotated_instances(targets: Targets, task: str) -> ObjectAnnotations:
    """The annotated objects. Raises TaskError for an image that carries none of this annotation."""
    if targets.instances is None:
        raise TaskError(f"{task} was asked to encode an image without object annotations; ask annotated() first")
    return targets.instances


def slotted(instances: ObjectAnnotations, slots: int) -> Tensor:
    """(N,) int64 rows of the objects that get a slot, in the order of the annotation: all, or the largest boxes."""
    if len(instances) <= slots:
        return torch.arange(len(instances))
    sides = instances.boxes[:, 2:] - instances.boxes[:, :2]
    by_area = torch.sort(sides.prod(dim=1), descending=True, stable=True).indices
    return by_area[:slots].sort().values


def object_prompts(task: int, boxes: Tensor, classes: Tensor) -> Tensor:
    """(N, 6) prompts [task, x0, y0, x1, y1, class] from the task's token, (N, 4) box tokens and (N,) class tokens."""
    return torch.cat([torch.full_like(classes, task)[:, None], boxes, classes[:, None]], dim=1)


def detections_in(context: Context, task: str) -> Detections:
    """The detections that feed ``task``. Raises TaskError if detection did not run before."""
    detections = context.earlier.get(Detection.name)
    if not isinstance(detections, Detections):
        raise TaskError(f"{task} is prompted by detections, and there are none; run {Detection.name} before it")
    return detections
