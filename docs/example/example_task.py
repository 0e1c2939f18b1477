"""A complete third-party task: the number of objects in the image, as one token from an id range of the task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from tasks.base import MetricParts, TaskParts
from tasks.formats.sequence import Decoded, Encoded, SequenceFormat, Slot, TrainingExample
from tasks.formats.vocabulary import Sizes
from tasks.targets import Context, Targets

MOST = 20


class Counting:
    """Prompt and target are one token each: ``count[n]`` for n objects, the last for MOST or more."""

    name: ClassVar[str] = "counting"
    summary: ClassVar[str] = "number of objects, one token"
    kind: ClassVar[str] = "instances"
    after: ClassVar[tuple[str, ...]] = ()
    headline: ClassVar[tuple[str, ...]] = ("mae",)

    @staticmethod
    def ranges(sizes: Sizes) -> Mapping[str, int]:
        """Return the sizes of the id ranges that this task adds to the shared vocabulary."""
        return {"count_prompt": 1, "count": MOST + 1}

    def __init__(self, parts: TaskParts) -> None:
        self._counts = parts.vocabulary["count"]
        self._prompt = torch.tensor([[parts.vocabulary.id("count_prompt")]])  # (1, P)
        self.format = SequenceFormat(task=self.name, prompt_length=1, slots=(Slot((self._counts,)),), groups=1)

    def annotated(self, targets: Targets) -> bool:
        """Return whether objects are annotated."""
        return targets.instances is not None

    def unreachable(self, targets: Targets) -> int:
        """Always 0: every count has a token."""
        return 0

    def encode(self, targets: Targets, generator: torch.Generator | None = None) -> Encoded:
        """Return tokens and weights (1, 1), prompts (1, 1)."""
        count = min(MOST, len(targets.instances or ()))
        return Encoded(torch.tensor([[self._counts.start + count]]), torch.ones(1, 1), self._prompt)

    def sample(self, targets: Targets, generator: torch.Generator, *, limit: int) -> TrainingExample:
        """Return the training target: the same sequence; ``generator`` is unused."""
        return TrainingExample.of(self.encode(targets, generator))

    def prompt(self, context: Context) -> Tensor:
        """Return (1, 1) int64."""
        return self._prompt

    def interpret(self, decoded: Decoded, context: Context) -> int:
        """Return the count."""
        return int(decoded.tokens[0, 0]) - self._counts.start

    def target_rows(self, context: Context) -> Tensor:
        """Return (1,) int64, the index of the only sequence."""
        return torch.zeros(1, dtype=torch.int64)

    def metric(self, parts: MetricParts) -> CountingError:
        """Return the metric: mean absolute error."""
        return CountingError()


class CountingError:
    """Mean absolute error of the count."""

    def observe(self, image_id: int, prediction: int, targets: Targets) -> int:
        """Return the absolute error of one image."""
        return abs(prediction - len(targets.instances or ()))

    def summarize(self, records: Mapping[int, Any]) -> dict[str, float | None]:
        """Return the mean over images, None without any."""
        return {"mae": sum(records.values()) / len(records) if records else None}

    def notes(self) -> dict[str, str]:
        """Return remarks for the record: none."""
        return {}
