"""Necks: one feature map of the preset's stride from a backbone's maps."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, h, w); unlike batch or group norm it reads no padding."""

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) to the same shape."""
        return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class LastMap(nn.Module):
    """The coarsest map, unchanged (MAD-R50) or normalized (MAD-SwinB)."""

    def __init__(self, *, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.norm = norm or nn.Identity()

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps (B, C_i, h_i, w_i), finest first, to (B, C, h, w)."""
        result: Tensor = self.norm(maps[-1])
        return result


class TopDown(nn.Module):
    """Maps summed from coarse to fine on the finest grid, then smoothed (feature pyramid network).

    Args:
        channels: C_i of the maps, finest first.
        width: C of the result.
        norms: one per map, or None.
    """

    def __init__(self, *, channels: Sequence[int], width: int, norms: Sequence[nn.Module] | None = None) -> None:
        super().__init__()
        self.norms = nn.ModuleList(norms or [nn.Identity() for _ in channels])
        self.lateral = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.smooth = nn.Conv2d(width, width, 3, padding=1)
        self.norm = ChannelNorm(width)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps (B, C_i, h_i, w_i), finest first, to (B, C, h_0, w_0)."""
        projected = [conv(norm(level)) for conv, norm, level in zip(self.lateral, self.norms, maps, strict=True)]
        total: Tensor = projected[-1]
        for finer in reversed(projected[:-1]):
            total = finer + functional.interpolate(total, size=finer.shape[-2:], mode="nearest")
        result: Tensor = self.norm(self.smooth(total))
        return result


class SimplePyramid(nn.Module):
    """The single map of a plain ViT, pooled or upsampled, then a 1x1 and a 3x3 convolution (ViTDet; MAD-ViTB).

    Args:
        channels: channels of the ViT's map.
        width: C of the result.
        scale: result's resolution over the map's: 0.5, 1 or 2.
    """

    def __init__(self, *, channels: int, width: int, scale: float) -> None:
        super().__init__()
        resize: nn.Module = nn.Identity()
        if scale < 1:
            resize = nn.MaxPool2d(2)
        elif scale > 1:
            resize = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.layers = nn.Sequential(
            resize,
            nn.Conv2d(channels, width, 1, bias=False),
            ChannelNorm(width),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            ChannelNorm(width),
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """The last of the maps (B, C_i, h, w) to (B, C, scale * h, scale * w)."""
        result: Tensor = self.layers(maps[-1])
        return result
