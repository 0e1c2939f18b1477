"""Parallel: one pass predicts every position from mask tokens (MAD section 3.2, without masked training)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from decoders.base import Request, SharedNetwork, View, empty_decoded
from decoders.legal_logits import LegalLogits
from decoders.masked.options import ParallelOptions
from decoders.network.memory import Memory
from decoders.token_masking import fully_masked_view, masked_inputs
from tasks.formats.sequence import Decoded, SequenceFormat, TrainingBatch


class Parallel:
    """One pass over the prompt and L mask tokens, greedy at every position; trained on a fully masked copy."""

    name: ClassVar[str] = "parallel"
    summary: ClassVar[str] = "all tokens at once, in one pass"
    needs_truth: ClassVar[bool] = False
    needs_network: ClassVar[bool] = True
    Options = ParallelOptions

    def __init__(self, options: ParallelOptions | None = None) -> None:
        self.options = options or ParallelOptions()

    @torch.no_grad()
    def decode(
        self, network: SharedNetwork, memory: Memory, request: Request, generators: Sequence[torch.Generator]
    ) -> Decoded:
        """Return the likeliest legal tokens (B, N, L); ``generators`` are unused."""
        if not request.valid.numel():
            return empty_decoded(request)
        form, prompts = request.format, request.prompts
        legal = LegalLogits(network, form, prompts.device, released=self.options.released_scores)
        tokens = prompts.new_zeros(*prompts.shape[:2], form.length)
        inputs = masked_inputs(network, prompts, tokens, torch.ones_like(tokens, dtype=torch.bool))
        hidden = network.decode(memory, inputs)  # (B, N, P + L, D)
        logits = legal.logits(hidden[:, :, form.prompt_length :])  # (B, N, L, V)
        return Decoded(legal.best(logits), legal.probabilities(logits), evaluations=1, positions=inputs.numel())

    def training_views(
        self, network: SharedNetwork, format: SequenceFormat, batch: TrainingBatch, generator: torch.Generator
    ) -> list[View]:
        """Return the fully masked copy; ``generator`` is unused."""
        return [fully_masked_view(network, format, batch)]
