"""Random colors for training, by the ranges of the library that AiT's release uses (albumentations' defaults)."""

from __future__ import annotations

import torch
from torch import Tensor

BRIGHTNESS = CONTRAST = 0.2  # most change of either, as a share
GAMMA = (0.8, 1.2)
HUE, SATURATION, VALUE = 20 / 180, 30 / 255, 20 / 255  # most change


def recolored(image: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """An image (3, height, width) uint8, as a plain tensor, with three changes, each done to ``share`` of the images.

    Args:
        image: RGB.
        share: probability of each change: brightness with contrast; gamma; hue, saturation and value.
        generator: source of every draw.
    """
    from torchvision.transforms.v2 import functional as v2

    pixels = v2.to_dtype(image, torch.float32, scale=True)
    chosen = torch.rand(3, generator=generator) < share
    drawn = torch.rand(6, generator=generator) * 2 - 1  # in [-1, 1)
    if chosen[0]:
        pixels = pixels * float(1 + CONTRAST * drawn[0]) + float(BRIGHTNESS * drawn[1])
    if chosen[1]:
        low, high = GAMMA
        pixels = pixels.clamp(0, 1) ** float((low + high) / 2 + (high - low) / 2 * drawn[2])
    if chosen[2]:
        shifted = v2.adjust_hue(pixels.clamp(0, 1), float(HUE * drawn[3]))
        gray = shifted.mean(dim=0, keepdim=True)
        pixels = gray + (shifted - gray) * float(1 + SATURATION * drawn[4]) + float(VALUE * drawn[5])
    return torch.as_tensor(v2.to_dtype(pixels.clamp(0, 1), torch.uint8, scale=True))
