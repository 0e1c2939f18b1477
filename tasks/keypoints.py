"""Keypoints: a detected person prompts [x y visibility] of each joint (MAD section 3.1).

COCO gives a keypoint as the index of a pixel. It is coded as the middle of that pixel, index + 0.5, and half a pixel is
taken off again on reading (MAD's loader and evaluator do the same). Without it the center reading would be off by half
a pixel wherever bins and pixels coincide.

All positions are dense: AiT decodes keypoints in parallel (Table 10: 77.4 AP beside 67.5 token by token) and says no
more of it, neither what prompts a pose nor how it is written. That all tokens of all joints are decoded together is our
reading. Coordinates are read from their own tokens even where a strategy offers mixtures: a mean of bins lies between
two places where a joint may be, and so at neither.
"""

from __future__ import annotations

from typing import ClassVar

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
from tasks.formats.sequence import Decoded, Encoded, TrainingExample
from tasks.formats.shipped import keypoints_format
from tasks.targets import Context, Poses, Targets

PERSON = "person"
JOINT = 3  # x, y, visibility
PIXEL_MIDDLE = 0.5
HALF = 0.5
TINY = torch.finfo(torch.float32).tiny


class Keypoints:
    """One sequence per detected person.

    COCO does not score persons without a labeled joint, but a pose for one of them can still count as false: matching
    is greedy, and their regions are wide and overlap. A pose without a joint that is more probably visible than not is
    such a pose, and by default its score is 0 instead of its detection's. Without this even perfect tokens fall short
    (98.0 instead of 100 AP on the images of COCO 2017 val that were measured).

    ``TaskParts.score_unseen`` keeps the detection's score, as MAD's release does.

    Raises:
        TaskError: if no class is named ``person``, or ``parts.reading`` is unknown.
    """

    name: ClassVar[str] = "keypoints"
    summary: ClassVar[str] = "joints of the detected persons, one sequence each"
    kind: ClassVar[str] = "person_keypoints"
    after: ClassVar[tuple[str, ...]] = ("detection",)
    headline: ClassVar[tuple[str, ...]] = ("AP", "AP50")
    sequence_format = staticmethod(keypoints_format)

    def __init__(self, parts: TaskParts) -> None:
        if PERSON not in parts.class_names:
            raise TaskError(f"keypoints needs a class named {PERSON!r}; leave the task out for these classes")
        vocabulary = parts.vocabulary
        self._person = list(parts.class_names).index(PERSON)
        self._token = vocabulary.id("keypoints_prompt")
        self._classes = vocabulary["class"]
        self._visible = vocabulary["visible"]
        self._invisible = vocabulary["invisible"]
        self._coordinates = coordinates(parts)
        self._score_unseen = parts.score_unseen
        self._slots = parts.sizes.slots
        self.format = keypoints_format(vocabulary, parts.sizes)

    def annotated(self, targets: Targets) -> bool:
        """Whether persons carry keypoint annotations."""
        return targets.has_keypoints

    def unreachable(self, targets: Targets) -> int:
        """Always 0: detection counts the persons without a slot."""
        return 0

    def encode(self, targets: Targets, generator: torch.Generator | None = None) -> Encoded:
        """One target sequence per object that has a detection slot: tokens and weights (N, L), prompts (N, P).

        Row i is the object in slot i of ``Detection.encode``, whatever its class, as MAD trains it. An object without a
        labeled joint weighs nothing; a joint that is not labeled weighs nothing but for its visibility, and its
        coordinates are drawn from ``generator`` inside the box, or are the middle of the box without one.

        Raises:
            TaskError: if no objects are annotated, or they have another number of joints than the preset.
        """
        rows = slotted(annotated_instances(targets, self.name), self._slots)
        return self._encode(targets, rows, generator)

    def sample(self, targets: Targets, generator: torch.Generator, *, limit: int) -> TrainingExample:
        """One sequence per object with a labeled joint, at most ``limit`` of them drawn at random.

        MAD's release also takes objects without one; they weigh nothing there, so leaving them out changes no loss.
        """
        instances = annotated_instances(targets, self.name)
        rows = (instances.keypoints[..., 2] > 0).any(dim=1).nonzero()[:, 0]
        chosen = rows[torch.randperm(len(rows), generator=generator)[:limit]]
        return TrainingExample.of(self._encode(targets, chosen, generator))

    def _encode(self, targets: Targets, rows: Tensor, generator: torch.Generator | None) -> Encoded:
        """Target sequences of the objects in ``rows``."""
        instances = annotated_instances(targets, self.name)
        boxes, joints = instances.boxes[rows], instances.keypoints[rows]
        self._check(joints)
        labeled = joints[..., 2] > 0  # (N, K)
        inside = _points_inside(boxes, joints.shape[1], generator)  # (N, K, 2)
        points = torch.where(labeled[..., None], joints[..., :2] + PIXEL_MIDDLE, inside)
        places = self._coordinates.tokens(points, targets.size)  # (N, K, 2)
        visibility = torch.where(labeled, self._visible.start, self._invisible.start)
        tokens = torch.cat([places, visibility[..., None]], dim=2).flatten(1)  # (N, K * 3)
        weights = torch.stack([labeled, labeled, labeled.any(dim=1, keepdim=True).expand_as(labeled)], dim=2)
        box_tokens = self._coordinates.tokens(boxes, targets.size)
        prompts = object_prompts(self._token, box_tokens, self._classes.start + instances.classes[rows])
        return Encoded(tokens, weights.flatten(1).float(), prompts)

    def prompt(self, context: Context) -> Tensor:
        """(N, P) int64: task, box and class of every detected person."""
        detections = detections_in(context, self.name)
        people = self._people(context)
        boxes = self._coordinates.again(detections.boxes[people], context.size)
        return object_prompts(self._token, boxes, self._classes.start + detections.classes[people])

    def interpret(self, decoded: Decoded, context: Context) -> Poses:
        """Poses from tokens (N, L) and probabilities (N, L, V), scored as their detections."""
        detections = detections_in(context, self.name)
        people = self._people(context)
        tokens = decoded.tokens.reshape(len(people), self.format.groups, JOINT)
        points = self._coordinates.pixels(tokens[..., :2], context.size) - PIXEL_MIDDLE  # (N, K, 2)
        by_joint = decoded.probabilities[:, JOINT - 1 :: JOINT].float()  # (N, K, V)
        visible = by_joint[..., self.format.column(self._visible)]
        invisible = by_joint[..., self.format.column(self._invisible)]
        share = visible / (visible + invisible).clamp(min=TINY)  # (N, K, 1)
        scores = detections.scores[people]
        if not self._score_unseen:
            scores = scores * (share >= HALF).flatten(1).any(dim=1)
        return Poses(torch.cat([points, share], dim=2), scores, detections.classes[people])

    def target_rows(self, context: Context) -> Tensor:
        """(N,) int64: the persons' detection slots, which ``encode`` fills in the same order."""
        return detections_in(context, self.name).slots[self._people(context)]

    def metric(self, parts: MetricParts) -> Metric:
        """COCO average precision of keypoints."""
        from tasks.metrics.coco import CocoMetric

        return CocoMetric(kind="keypoints", parts=parts)

    def _people(self, context: Context) -> Tensor:
        return (detections_in(context, self.name).classes == self._person).nonzero()[:, 0]

    def _check(self, joints: Tensor) -> None:
        if joints.shape[1:] != (self.format.groups, JOINT):
            raise TaskError(
                f"keypoints: objects have joints of shape {tuple(joints.shape[1:])}, the preset's sizes.keypoints asks "
                f"for ({self.format.groups}, {JOINT})"
            )


def _points_inside(boxes: Tensor, joints: int, generator: torch.Generator | None) -> Tensor:
    """(N, K, 2) points in each of the (N, 4) boxes: uniform draws, or the middle without a generator."""
    share = torch.full((len(boxes), joints, 2), 0.5)
    if generator is not None:
        share = torch.rand(share.shape, generator=generator)
    low, high = boxes[:, None, :2], boxes[:, None, 2:]  # (N, 1, 2)
    return low + share * (high - low)
