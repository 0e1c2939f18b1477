"""Token sampling: greedy, or at a temperature from a nucleus (AiT; Pix2Seq V2), each image from its own stream.

Shapes: B images, N sequences, L targets, K legal ids of a position.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from decoders.base import Request
from decoders.token_masking import image_draws

Crossing = Literal["keep", "drop"]


def within_nucleus(probabilities: Tensor, top_p: float, crossing: Crossing) -> Tensor:
    """Return (..., K) bool: which ids the nucleus keeps; always the likeliest.

    Args:
        probabilities: (..., K) in descending order.
        top_p: probability of the nucleus.
        crossing: whether the id that crosses it is kept (``keep``) or dropped (``drop``).
    """
    mass = probabilities.cumsum(dim=-1)
    kept = (mass - probabilities if crossing == "keep" else mass) <= top_p
    kept[..., 0] = True
    return kept


class TokenSampler:
    """Samples one legal id per sequence and step.

    Args:
        request: what to fill.
        generators: one random stream per image; unused at temperature 0.
        temperature: 0 is greedy.
        top_p: sample from the likeliest ids that make up this probability (nucleus); 1 for all.
        crossing: whether the id that crosses ``top_p`` is kept (``keep``: AiT) or dropped unless it is the likeliest
            (``drop``: Pix2Seq V2).
    """

    def __init__(
        self,
        request: Request,
        generators: Sequence[torch.Generator],
        *,
        temperature: float,
        top_p: float = 1.0,
        crossing: Crossing = "keep",
    ) -> None:
        self._temperature = temperature
        self._top_p = top_p
        self._crossing = crossing
        self._draws = None  # (B, N, L): all drawn at once, so that batching changes no result
        if temperature > 0:
            self._draws = image_draws(request.valid, request.format.length, 1, generators)[0]

    def sample(self, logits: Tensor, step: int) -> Tensor:
        """Return (B, N) int64 columns of logits (B, N, K), which are of the ids legal at position ``step``."""
        if self._draws is None:
            return logits.argmax(dim=-1)
        below = logits - logits.amax(dim=-1, keepdim=True)  # no temperature, however low, overflows
        scaled = below / max(self._temperature, torch.finfo(below.dtype).tiny)
        ordered, columns = scaled.softmax(dim=-1).sort(dim=-1, descending=True)
        kept = within_nucleus(ordered, self._top_p, self._crossing)
        mass = (ordered * kept).cumsum(dim=-1)  # (B, N, K)
        threshold = self._draws[..., step, None] * mass[..., -1:]
        rank = (mass <= threshold).sum(dim=-1, keepdim=True).clamp(max=mass.shape[-1] - 1)
        return columns.gather(-1, rank)[..., 0]
