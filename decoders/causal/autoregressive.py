"""Autoregressive: one token after another with a key-value cache; the baseline of MAD's Table 2.

Shapes: B images, N sequences, L targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from decoders.base import Request, SharedNetwork, View, empty_decoded
from decoders.causal.generation import generate
from decoders.causal.options import AutoregressiveOptions
from decoders.causal.teacher_forcing import teacher_forced
from decoders.network.memory import Memory
from decoders.sampling import TokenSampler
from tasks.formats.sequence import Decoded, SequenceFormat, TrainingBatch


class Autoregressive:
    """Prompt, start token, then L steps; all sequences of all images are in step."""

    name: ClassVar[str] = "autoregressive"
    summary: ClassVar[str] = "one token after another, with a key-value cache"
    needs_truth: ClassVar[bool] = False
    needs_network: ClassVar[bool] = True
    Options = AutoregressiveOptions

    def __init__(self, options: AutoregressiveOptions | None = None) -> None:
        self.options = options or AutoregressiveOptions()

    @torch.no_grad()
    def decode(
        self, network: SharedNetwork, memory: Memory, request: Request, generators: Sequence[torch.Generator]
    ) -> Decoded:
        """Return tokens (B, N, L); sampling draws from each image's own generator."""
        if not request.valid.numel():
            return empty_decoded(request)
        options = self.options
        sampler = TokenSampler(
            request, generators, temperature=options.temperature, top_p=options.top_p, crossing=options.crossing
        )
        end = request.format.end if options.stop_at_end else None
        generated = generate(network, memory, request, sampler, cached=options.use_cache, end=end)
        probabilities = generated.logits.softmax(dim=-1)
        if end is not None:
            over = (generated.tokens == end).cumsum(dim=-1) > 1  # (B, N, L): behind an end token
            certain = (request.format.ids.to(over.device) == end).float()
            probabilities = torch.where(over[..., None], certain, probabilities)
        return Decoded(generated.tokens, probabilities, generated.evaluations, generated.positions)

    def training_views(
        self, network: SharedNetwork, format: SequenceFormat, batch: TrainingBatch, generator: torch.Generator
    ) -> list[View]:
        """Return the teacher-forced view."""
        return [teacher_forced(network, format, batch, generator, order=self.options.order)]
