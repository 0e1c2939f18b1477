"""Parallel: every position is a mask token and one pass fills them all (MAD without masked training, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from decoders.base import Request, View, empty_decoded
from decoders.legal_logits import LegalLogits
from decoders.masking import fully_masked_view, masked_inputs
from tasks.formats.sequence import Decoded, SequenceFormat, TrainingBatch


@dataclass(frozen=True, kw_only=True)
class ParallelOptions:
    """Options of ``parallel``.

    Args:
        released_scores: whether object scores are probabilities among everything but the words, as in MAD's release,
            instead of among what the task is trained on.
    """

    released_scores: bool = False


class Parallel:
    """One pass over the prompt and L mask tokens; at every position the likeliest legal token is taken.

    Trained on one fully masked copy of the targets.
    """

    name: ClassVar[str] = "parallel"
    summary: ClassVar[str] = "all tokens at once, in one pass"
    needs_truth: ClassVar[bool] = False
    needs_network: ClassVar[bool] = True
    Options = ParallelOptions

    def __init__(self, options: ParallelOptions | None = None) -> None:
        self.options = options or ParallelOptions()

    @torch.no_grad()
    def decode(self, network: Any, memory: Any, request: Request, generators: Sequence[torch.Generator]) -> Decoded:
        """Tokens (B, N, L) of one pass; nothing is drawn, ``generators`` are unused."""
        if not request.valid.numel():
            return empty_decoded(request)
        form, prompts = request.format, request.prompts
        reader = LegalLogits(network, form, prompts.device, released=self.options.released_scores)
        tokens = prompts.new_zeros(*prompts.shape[:2], form.length)
        inputs = masked_inputs(network, prompts, tokens, torch.ones_like(tokens, dtype=torch.bool))
        hidden = network.decode(memory, inputs)  # (B, N, P + L, D)
        logits = reader.logits(hidden[:, :, form.prompt_length :])  # (B, N, L, V)
        return Decoded(reader.best(logits), reader.probabilities(logits), evaluations=1, positions=inputs.numel())

    def training_views(
        self, network: Any, format: SequenceFormat, batch: TrainingBatch, generator: torch.Generator
    ) -> list[View]:
        """The fully masked copy; nothing is drawn, ``generator`` is unused."""
        return [fully_masked_view(network, format, batch)]
