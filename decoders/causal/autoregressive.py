"""Autoregressive: one token after another with a key-value cache; the baseline of MAD's Table 2.

Shapes: B images, N sequences, L targets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch

from decoders.base import Request, View, empty_decoded
from decoders.causal.generation import generate
from decoders.causal.teacher_forcing import Order, check_order, teacher_forced
from decoders.sampling import TokenSampler
from tasks.formats.sequence import Decoded, SequenceFormat, TrainingBatch


@dataclass(frozen=True, kw_only=True)
class AutoregressiveOptions:
    """Options of ``autoregressive``; defaults as in MAD's Table 2, which leaves ``order`` open.

    Args:
        temperature: 0 is greedy; above, legal tokens are sampled at this temperature.
        top_p: sample from the likeliest legal tokens that make up this probability (nucleus); 1 for all.
        crossing: whether the token that crosses ``top_p`` is kept (``keep``: AiT) or dropped unless it is the
            likeliest (``drop``: Pix2Seq V2).
        stop_at_end: stop once every sequence of the batch has ended; end tokens fill the rest. Off, every sequence runs
            to its full length.
        use_cache: keep keys and values of earlier tokens; off, every step recomputes them.
        order: of the objects in training: ``ascending`` by their tokens, so boxes from left to right, or ``random``
            (Pix2Seq), after which greedy decoding here repeats some objects and misses others.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    crossing: Literal["keep", "drop"] = "keep"
    stop_at_end: bool = False
    use_cache: bool = True
    order: Order = "ascending"

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"autoregressive: temperature is {self.temperature}; give 0 (greedy) or more")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"autoregressive: top_p is {self.top_p}; give more than 0 and at most 1")
        check_order("autoregressive", self.order)


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
    def decode(self, network: Any, memory: Any, request: Request, generators: Sequence[torch.Generator]) -> Decoded:
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
        self, network: Any, format: SequenceFormat, batch: TrainingBatch, generator: torch.Generator
    ) -> list[View]:
        """Return the teacher-forced view."""
        return [teacher_forced(network, format, batch, generator, order=self.options.order)]
