"""MAD's token embedding and its tied cosine head: the same rows embed a token and recognize it (MAD's release)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from decoders.network.embedding import TokenEmbedding, rows_at, uncast

SCALE = math.log(1 / 0.07)


class CosineEmbedding(TokenEmbedding):
    """V token vectors of width D, and logits ``exp(scale) * cosine`` between them and predicted vectors.

    Args:
        tokens: V, ids of the vocabulary.
        width: D.
    """

    def __init__(self, *, tokens: int, width: int) -> None:
        super().__init__(tokens=tokens, width=width)
        self.predictor = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.scale = nn.Parameter(torch.tensor(SCALE))

    def logits(self, hidden: Tensor, ids: Tensor | slice) -> Tensor:
        """Scaled cosines: as ``TokenEmbedding.logits``."""
        predicted = functional.normalize(self.predictor(hidden).float(), dim=-1) * self.scale.float().exp()
        with uncast(hidden.device.type):
            return predicted @ self.head_rows(ids)[0].T

    def _select(self, ids: Tensor | slice, *, keep: bool) -> tuple[Tensor, ...]:
        """Normalized rows (V, D) float32."""
        return (functional.normalize(rows_at(self.table.weight, ids).float(), dim=-1),)


def sinusoids(*, rows: int, width: int) -> Tensor:
    """Return (rows, D) unit-variance start values in which near rows are alike: wavelengths of 1 to ``rows`` values."""
    angles = torch.arange(rows)[:, None] * torch.logspace(0, -math.log10(max(rows, 2)), width // 2)  # (rows, D / 2)
    return torch.cat([angles.sin(), angles.cos()], dim=1) * math.sqrt(2)
