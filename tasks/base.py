"""The contracts of a task and of a metric. A task never knows which strategy filled its sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from tasks.codecs.options import CodecOptions
from tasks.errors import TaskError
from tasks.formats.sequence import Decoded, Encoded, SequenceFormat, TrainingExample
from tasks.formats.tokenizer import Tokenizer
from tasks.formats.vocabulary import Sizes, Vocabulary
from tasks.targets import Context, Targets

__all__ = ["Json", "Metric", "MetricParts", "OneSequence", "Task", "TaskError", "TaskParts"]

Json = Any  # what json can hold


@dataclass(frozen=True)
class TaskParts:
    """Parts that a task is built from.

    Args:
        vocabulary: the shared vocabulary.
        sizes: sizes of the preset.
        class_names: names of the object classes in class order.
        tokenizer: caption tokenizer, or None when no captions are decoded.
        reading: where in its interval a coordinate token is read: ``centre``, or ``edge`` as MAD's release does.
        score_unseen: whether a pose without a visible joint keeps its detection's score, as in MAD's release.
        canvas: pixels of the side of the square network input, in which the coordinates of layout ``ait`` count.
        temperatures: codec to temperature of its mixtures, where it is not the codec's own.
    """

    vocabulary: Vocabulary
    sizes: Sizes
    class_names: Sequence[str]
    tokenizer: Tokenizer | None
    reading: str = "centre"
    score_unseen: bool = False
    canvas: int = 640
    temperatures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricParts:
    """Parts that a metric is built from.

    Args:
        ground_truth: COCO annotation file (as loaded) of the task's kind, whole; None for captions and depth.
        category_ids: COCO category id of every class.
        references: image id to reference captions.
        caption_tokenizer: ``ptb`` (Java), ``python``, or ``auto`` for ``ptb`` where Java is there.
    """

    ground_truth: Mapping[str, Any] | None = None
    category_ids: Sequence[int] = ()
    references: Mapping[int, Sequence[str]] | None = None
    caption_tokenizer: str = "auto"


class Metric(Protocol):
    """Scores predictions in two steps: records per image, which suffice to score, resume and pair runs, then values.

    A metric may also have ``tables(records)``, a ``tasks.metrics.tables.ScoreTable`` that scores any resample of the
    images; without it two runs are compared without an interval.
    """

    def observe(self, image_id: int, prediction: Any, targets: Targets) -> Json:
        """The record of one image: what the score needs of its prediction, as plain JSON data."""
        ...

    def summarize(self, records: Mapping[int, Json]) -> dict[str, float | None]:
        """Metric values from the records of the images (fractions in [0, 1], meters for depth), None: absent."""
        ...

    def notes(self) -> dict[str, str]:
        """Remarks on the values for readers: tokenizer used, metric absent and why."""
        ...


class Task(Protocol):
    """Targets to token sequences and back.

    Attributes:
        name: name in reports, e.g. ``detection``.
        summary: one line for ``list``.
        kind: annotation it needs: ``instances``, ``person_keypoints``, ``captions`` or ``depth``.
        after: names of tasks whose predictions ``prompt`` and ``interpret`` need.
        headline: metrics shown in tables, most important first.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    kind: ClassVar[str]
    after: ClassVar[tuple[str, ...]]
    headline: ClassVar[tuple[str, ...]]
    format: SequenceFormat

    def annotated(self, targets: Targets) -> bool:
        """Whether the image carries the annotation that this task is trained and scored on."""
        ...

    def unreachable(self, targets: Targets) -> int:
        """How many annotations do not fit the sequences, so that no decoder can reach them."""
        ...

    def encode(self, targets: Targets, generator: torch.Generator | None = None) -> Encoded:
        """Target sequences of an image. Choices left open are drawn from ``generator``, or fixed without one."""
        ...

    def sample(self, targets: Targets, generator: torch.Generator, *, limit: int) -> TrainingExample:
        """Target sequences of an annotated image as they are trained on; every open choice is drawn.

        Args:
            targets: an image for which ``annotated`` is True.
            generator: source of every random choice.
            limit: most sequences of a task that has one per object; other tasks need not heed it.
        """
        ...

    def prompt(self, context: Context) -> Tensor:
        """(N, P) int64 prompts of an image."""
        ...

    def interpret(self, decoded: Decoded, context: Context) -> Any:
        """A prediction in original pixels or meters from one image's tokens (N, L) and probabilities (N, L, V)."""
        ...

    def target_rows(self, context: Context) -> Tensor:
        """(N,) int64: for each prompted sequence, the row of ``encode`` that is its target if tokens are perfect."""
        ...

    def metric(self, parts: MetricParts) -> Metric:
        """The task's own metric."""
        ...


class OptionalAttributes(Protocol):
    """What the class of a task may declare beside ``Task``. ``bench.registry.TaskEntry`` reads it.

    Attributes:
        layouts: layouts of the vocabulary that have the task's ids; default: ``mad``.
    """

    layouts: ClassVar[tuple[str, ...]]

    @staticmethod
    def ranges(sizes: Sizes) -> Mapping[str, int]:
        """Return name and size of every id range that the task adds to the vocabulary; default: none."""
        ...

    @staticmethod
    def sequence_format(vocabulary: Vocabulary, sizes: Sizes, codec: CodecOptions | None) -> SequenceFormat:
        """Return the format without making the task, for ``describe``; default: the task is made."""
        ...


class OneSequence:
    """What tasks with one sequence per image and a fixed prompt have in common."""

    _prompt: Tensor

    def unreachable(self, targets: Targets) -> int:
        """Always 0: everything that is annotated fits."""
        return 0

    def prompt(self, context: Context) -> Tensor:
        """(1, P) int64: the fixed prompt."""
        return self._prompt

    def target_rows(self, context: Context) -> Tensor:
        """(1,) int64: the first target sequence."""
        return torch.zeros(1, dtype=torch.int64)
