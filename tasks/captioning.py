"""Captioning: one sentence as SentencePiece pieces, ended and padded by piece 0 (MAD section 3.1)."""

from __future__ import annotations

from typing import ClassVar

import torch

from tasks.base import Metric, MetricParts, OneSequence, TaskError, TaskParts
from tasks.formats.sequence import Decoded, Encoded, TrainingExample
from tasks.formats.shipped import captioning_format
from tasks.targets import Context, Targets

REFERENCES = 5


class Captioning(OneSequence):
    """One sequence per image, one target per reference.

    Raises:
        TaskError: without a tokenizer, or if it has another number of pieces than the vocabulary has words.
    """

    name: ClassVar[str] = "captioning"
    summary: ClassVar[str] = "one sentence per image"
    kind: ClassVar[str] = "captions"
    after: ClassVar[tuple[str, ...]] = ()
    headline: ClassVar[tuple[str, ...]] = ("BLEU-4", "CIDEr")
    sequence_format = staticmethod(captioning_format)

    def __init__(self, parts: TaskParts) -> None:
        if parts.tokenizer is None:
            raise TaskError("captioning needs a tokenizer; give a SentencePiece model or leave the task out")
        self._words = parts.vocabulary["word"]
        if len(parts.tokenizer) != len(self._words):
            raise TaskError(
                f"captioning: the tokenizer has {len(parts.tokenizer)} pieces, the vocabulary {len(self._words)} "
                "words; build the vocabulary for this tokenizer"
            )
        self._tokenizer = parts.tokenizer
        self._prompt = torch.tensor([list(parts.vocabulary["caption_prompt"].ids())])  # (1, P)
        self.format = captioning_format(parts.vocabulary, parts.sizes)

    def annotated(self, targets: Targets) -> bool:
        """Whether there is a reference caption."""
        return bool(targets.captions)

    def encode(self, targets: Targets, generator: torch.Generator | None = None) -> Encoded:
        """One target sequence per reference, at most five: tokens and weights (N, L), prompts (N, P).

        Pieces that do not fit are cut. Padding has weight, so that a decoder learns where to end (MAD's release).
        ``generator`` is unused.
        """
        references = list(targets.captions or ())[:REFERENCES]
        tokens = torch.full((len(references), self.format.length), self._words.start)
        for row, reference in enumerate(references):
            pieces = self._tokenizer.encode(reference)[: self.format.length - 1]
            tokens[row, : len(pieces)] += torch.tensor(pieces, dtype=torch.int64)
        return Encoded(tokens, torch.ones(tokens.shape), self._prompt.expand(len(references), -1))

    def sample(self, targets: Targets, generator: torch.Generator, *, limit: int) -> TrainingExample:
        """The first five references; nothing is drawn, and ``limit`` is not needed."""
        return TrainingExample.of(self.encode(targets, generator))

    def unreachable(self, targets: Targets) -> int:
        """How many of the references that ``encode`` uses are longer than a sequence."""
        references = list(targets.captions or ())[:REFERENCES]
        return sum(len(self._tokenizer.encode(reference)) >= self.format.length for reference in references)

    def interpret(self, decoded: Decoded, context: Context) -> str:
        """The caption in tokens (1, L), up to the first end token."""
        pieces = (decoded.tokens[0] - self._words.start).tolist()
        return self._tokenizer.decode(pieces)

    def metric(self, parts: MetricParts) -> Metric:
        """BLEU, CIDEr and the other measures of the COCO caption evaluation."""
        from tasks.metrics.captions import CaptionMetric

        return CaptionMetric(parts=parts)
