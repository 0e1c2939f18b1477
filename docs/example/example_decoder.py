"""A complete third-party decoder: every token is drawn at random from those that are legal at its position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from decoders.base import Request
from tasks.formats.sequence import Decoded, one_hot


class Guess:
    """Uniform draws from the legal ids of each position; uses no network."""

    name: ClassVar[str] = "guess"
    summary: ClassVar[str] = "random legal tokens: the floor that every decoder must beat"
    needs_truth: ClassVar[bool] = False
    needs_network: ClassVar[bool] = False

    def decode(self, network: Any, memory: Any, request: Request, generators: Sequence[torch.Generator]) -> Decoded:
        """Return tokens (B, N, L) drawn uniformly, each image's from its own stream: batching changes no result."""
        sequences = request.prompts.shape[1]
        legal = request.format.legal.float()  # (L, V)
        tokens = torch.zeros(*request.prompts.shape[:2], request.format.length, dtype=torch.int64)  # (B, N, L)
        for image, generator in enumerate(generators):
            for row in range(sequences):
                columns = torch.multinomial(legal, 1, generator=generator)[:, 0]  # (L,)
                tokens[image, row] = request.format.ids[columns]
        return Decoded(
            tokens=tokens,
            probabilities=one_hot(request.format, tokens),
            evaluations=0,
            positions=0,
        )
