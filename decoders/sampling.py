"""How a causal strategy picks a token: the likeliest legal one, or a draw from the nucleus.

Shapes: B images, N sequences, L targets, K legal ids of a position.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from decoders.base import Request
from decoders.masking import image_draws

Crossing = Literal["keep", "drop"]


def within_nucleus(probabilities: Tensor, top_p: float, crossing: Crossing) -> Tensor:
    """(..., K) bool: which ids are kept of descending probabilities (..., K); the likeliest always is.

    Args:
        probabilities: in descending order.
        top_p: probability that the kept ids make up.
        crossing: whether the id that crosses it is kept (``keep``) or dropped (``drop``).
    """
    mass = probabilities.cumsum(dim=-1)
    kept = (mass - probabilities if crossing == "keep" else mass) <= top_p
    kept[..., 0] = True
    return kept


class TokenSampler:
    """Picks one legal id per sequence.

    Args:
        request: what to fill.
        generators: one random stream per image; read only where something is drawn.
        temperature: 0 takes the likeliest legal id; above, ids are drawn at this temperature.
        top_p: draw among the likeliest ids that make up this probability (nucleus); 1 for all.
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
        self._draws = None  # (B, N, L): one number per token, so that a batch changes nothing
        if temperature > 0:
            self._draws = image_draws(request.valid, request.format.length, 1, generators)[0]

    def sample(self, logits: Tensor, step: int) -> Tensor:
        """(B, N) int64 columns from logits (B, N, K) of the ids that are legal at position ``step``."""
        if self._draws is None:
            return logits.argmax(dim=-1)
        below = logits - logits.amax(dim=-1, keepdim=True)  # so that no temperature, however low, overflows
        scaled = below / max(self._temperature, torch.finfo(below.dtype).tiny)
        sorted_, columns = scaled.softmax(dim=-1).sort(dim=-1, descending=True)
        kept = within_nucleus(sorted_, self._top_p, self._crossing)
        mass = (sorted_ * kept).cumsum(dim=-1)  # (B, N, K)
        threshold = self._draws[..., step, None] * mass[..., -1:]
        place = (mass <= threshold).sum(dim=-1, keepdim=True).clamp(max=mass.shape[-1] - 1)
        return columns.gather(-1, place)[..., 0]
