"""Sine positions of a feature map, which count valid cells only, so that padding shifts nothing (DETR; MAD 3.3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

TEMPERATURE = 1e4
EPSILON = 1e-6


class SinePositions(nn.Module):
    """Half of the channels code the row, half the column, both as a fraction of the image's valid part.

    Args:
        width: D, a multiple of 4.
    """

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, pad: Tensor) -> Tensor:
        """(B, h, w) bool, True where padded, to (B, D, h, w) float32; first rows, then columns."""
        valid = (~pad).float()
        rows, columns = valid.cumsum(1), valid.cumsum(2)  # (B, h, w), from 1
        rows = rows / (rows[:, -1:, :] + EPSILON) * 2 * math.pi
        columns = columns / (columns[:, :, -1:] + EPSILON) * 2 * math.pi
        half = self.width // 2
        steps = torch.arange(half, dtype=torch.float32, device=pad.device)
        periods = TEMPERATURE ** (2 * (steps // 2) / half)  # (D / 2,)
        return torch.cat([_waves(rows, periods), _waves(columns, periods)], dim=3).permute(0, 3, 1, 2)


def _waves(values: Tensor, periods: Tensor) -> Tensor:
    angles = values[..., None] / periods  # (B, h, w, D / 2)
    return torch.stack([angles[..., 0::2].sin(), angles[..., 1::2].cos()], dim=4).flatten(3)
