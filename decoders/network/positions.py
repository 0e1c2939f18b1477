"""Sine positions of a feature map: as fractions of the unpadded part (DETR; MAD section 3.3), or in cells (AiT)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

TEMPERATURE = 1e4
EPSILON = 1e-6


class SinePositions(nn.Module):
    """Half of the channels encode the row, half the column, as fractions of the image's valid part.

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
        periods = _periods(self.width // 2, pad.device)
        return torch.cat([_waves(rows, periods), _waves(columns, periods)], dim=3).permute(0, 3, 1, 2)


class GridPositions(nn.Module):
    """Half of the channels encode the row, half the column, counted in cells from 0 (AiT's release).

    Args:
        width: D, a multiple of 4.
    """

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, pad: Tensor) -> Tensor:
        """(B, h, w) bool, whose values are ignored, to (B, D, h, w) float32; first rows, then columns."""
        batch, height, width = pad.shape
        rows = torch.arange(height, dtype=torch.float32, device=pad.device)[:, None].expand(height, width)
        columns = torch.arange(width, dtype=torch.float32, device=pad.device).expand(height, width)
        periods = _periods(self.width // 2, pad.device)
        waves = torch.cat([_waves(rows[None], periods), _waves(columns[None], periods)], dim=3)  # (1, h, w, D)
        return waves.permute(0, 3, 1, 2).expand(batch, -1, -1, -1)


def _periods(half: int, device: torch.device) -> Tensor:
    """Return (D / 2,) periods of half of the channels; a sine and a cosine share one."""
    steps = torch.arange(half, dtype=torch.float32, device=device)
    return TEMPERATURE ** (2 * (steps // 2) / half)


def _waves(values: Tensor, periods: Tensor) -> Tensor:
    angles = values[..., None] / periods  # (B, h, w, D / 2)
    return torch.stack([angles[..., 0::2].sin(), angles[..., 1::2].cos()], dim=4).flatten(3)
