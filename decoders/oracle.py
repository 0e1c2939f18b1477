"""Oracle: the ground truth's own tokens; its scores are the ceiling that the tokenization allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from decoders.base import Request, SharedNetwork
from decoders.network.memory import Memory
from tasks.formats.sequence import Decoded, one_hot


class Oracle:
    """Copies ``Request.truth``; no network, no evaluations."""

    name: ClassVar[str] = "oracle"
    summary: ClassVar[str] = "the ground truth's own tokens: the ceiling that the tokenization allows"
    needs_truth: ClassVar[bool] = True
    needs_network: ClassVar[bool] = False

    def decode(
        self,
        network: SharedNetwork | None,
        memory: Memory | None,
        request: Request,
        generators: Sequence[torch.Generator],
    ) -> Decoded:
        """Return the truth as tokens (B, N, L) with probability 1 each.

        Raises:
            ValueError: if the request carries no truth.
        """
        if request.truth is None:
            raise ValueError(f"oracle was asked to decode {request.format.task} without ground-truth tokens")
        return Decoded(
            tokens=request.truth,
            probabilities=one_hot(request.format, request.truth),
            evaluations=0,
            positions=0,
        )
