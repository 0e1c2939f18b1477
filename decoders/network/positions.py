"""Sine positions of a feature map: as fractions of the unpadded part (DETR; MAD section 3.3), or in cells (AiT)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

TEMPERATURE = 1e4
EPSILON = 1e-6


class SinePositions(nn.Module):
    """Half of the channels encode the row, half the column, each by sines and cosines of many periods.

    Args:
        width: D, a multiple of 4.
        unit: ``fraction`` of the image's valid part (DETR), or ``cell``, counted from 0, padding included (AiT's
            release).
    """

    def __init__(self, *, width: int, unit: Literal["fraction", "cell"]) -> None:
        super().__init__()
        self.width = width
        self.unit = unit

    def forward(self, pad: Tensor) -> Tensor:
        """(B, h, w) bool, True where padded, to (B, D, h, w) float32; first rows, then columns."""
        if self.unit == "cell":
            pad = torch.zeros_like(pad)
        valid = (~pad).float()
        rows, columns = valid.cumsum(1), valid.cumsum(2)  # (B, h, w), from 1
        if self.unit == "cell":
            rows, columns = rows - 1, columns - 1
        else:
            rows = rows / (rows[:, -1:, :] + EPSILON) * 2 * math.pi
            columns = columns / (columns[:, :, -1:] + EPSILON) * 2 * math.pi
        steps = torch.arange(self.width // 2, dtype=torch.float32, device=pad.device)
        periods = TEMPERATURE ** (2 * (steps // 2) / (self.width // 2))  # a sine and a cosine share one
        return torch.cat([_waves(rows, periods), _waves(columns, periods)], dim=3).permute(0, 3, 1, 2)


def _waves(values: Tensor, periods: Tensor) -> Tensor:
    angles = values[..., None] / periods  # (B, h, w, D / 2)
    return torch.stack([angles[..., 0::2].sin(), angles[..., 1::2].cos()], dim=4).flatten(3)
