"""The VQ-VAE of AiT (section 3.1): a map of masks or depths as a few codes, and back, from hard codes or mixtures.

Plain convolutions with ReLU and without norms, as released. Where paper and release differ this is the release: the
strided convolutions have kernel 4 (paper: 3), and the first transposed one keeps its channels.

Shapes: B maps, H and W rows and columns of pixels, h and w of codes (H / ratio), D width of a code, K codes, C
channels.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tasks.codecs.options import CodecOptions
from tasks.codecs.vector_quantizer import VectorQuantizer
from tasks.errors import TaskError

COMMITMENT = 0.25  # lambda of Eq. 1, which the paper leaves open; the release's value
NEAREST = 1e-3  # meters; a logarithm needs more than 0
TINY = torch.finfo(torch.float32).tiny
RELEASED = {"_embedding": "embedding", "_ema_cluster_size": "cluster_size", "_ema_w": "sums"}


class ResidualBlock(nn.Module):
    """x + 1x1(ReLU(3x3(ReLU(3x3(x))))), nothing behind the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1),
        )

    def forward(self, states: Tensor) -> Tensor:
        """(B, C, h, w) to the same."""
        result: Tensor = states + self.net(states)
        return result


class Codec(nn.Module):
    """Encoder, codebook and decoder.

    Modules are named as in the release (``encoder.<i>``, ``decoder.<i>``, ``net.<i>``) but for the quantizer's buffers;
    ``released_tensors`` renames those.

    Args:
        options: sizes and values.
        revive: see ``VectorQuantizer``.
    """

    def __init__(self, options: CodecOptions, *, revive: float = 0.0) -> None:
        super().__init__()
        self.options = options
        widths = [options.width * 2**level for level in range(options.halvings)]
        self.encoder = _encoder(options, widths)
        # Stored weights have this name, in its old spelling.
        self.quantiser = VectorQuantizer(codes=options.codes, width=options.code_width, revive=revive)
        self.decoder = _decoder(options, widths)

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of codes of maps of a size in pixels.

        Raises:
            TaskError: if the size is no multiple of the ratio.
        """
        ratio = self.options.ratio
        if size[0] % ratio or size[1] % ratio:
            raise TaskError(f"a codec of ratio {ratio} cannot encode maps of {size[0]}x{size[1]}; give multiples of it")
        return size[0] // ratio, size[1] // ratio

    def features(self, maps: Tensor) -> Tensor:
        """(B, H, W) masks in [0, 1] or meters (0: unknown) to (B, D, h, w) before they are quantized."""
        result: Tensor = self.encoder(self.inwards(maps)[:, None])
        return result

    @torch.no_grad()
    def encode(self, maps: Tensor) -> Tensor:
        """(B, H, W) masks in [0, 1] or meters (0: unknown) to (B, h, w) int64 codes."""
        self.grid((maps.shape[1], maps.shape[2]))
        return self.quantiser.nearest(self.features(maps.float()))

    def decode(self, codes: Tensor) -> Tensor:
        """(B, h, w) int64 codes to (B, H, W) float maps, in the values of ``encode``."""
        return self.maps(self.quantiser.vectors(codes))

    def decode_soft(self, shares: Tensor) -> Tensor:
        """(B, h, w, K) shares of the codes to (B, H, W) float maps (AiT section 3.3)."""
        return self.maps(self.quantiser.mixtures(shares))

    def maps(self, vectors: Tensor) -> Tensor:
        """(B, D, h, w) quantized features to (B, H, W) float maps."""
        return self.outwards(self.decoder(vectors)[:, 0])

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction (B, H, W) in the network's own values, as losses see it, and commitment loss of (B, H, W)."""
        vectors, commitment = self.quantiser(self.features(maps))
        return self.decoder(vectors)[:, 0], commitment

    def inwards(self, maps: Tensor) -> Tensor:
        """Masks or meters to what the network sees."""
        if self.options.values == "unit":
            return maps * 2 - 1
        if self.options.values == "log":
            return torch.where(maps > 0, maps.clamp(min=NEAREST).log(), UNKNOWN_LOG)
        return maps

    def outwards(self, values: Tensor) -> Tensor:
        """What the network makes to masks (unbounded) or meters."""
        values = values.float()
        if self.options.values == "unit":
            return values * 0.5 + 0.5
        return values.exp() if self.options.values == "log" else values


UNKNOWN_LOG = -3.0  # what the network sees of an unknown depth where it sees logarithms: 5 cm, nearer than any known


def tempered(probabilities: Tensor, temperature: float) -> Tensor:
    """Shares (..., K) of a softmax of ``temperature`` times the logits, from the probabilities (..., K) of a plain one.

    The same as p^temperature, renormalized; also from probabilities that other ids have a part of.
    """
    return (probabilities.float().clamp(min=TINY).log() * temperature).softmax(dim=-1)


def released_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A codec of AiT's release with our names; tensors of other names stay as they are."""
    renamed = {}
    for name, value in tensors.items():
        short = name.removeprefix("_vq_vae.")
        renamed[f"quantiser.{RELEASED[short]}" if short in RELEASED else name] = value
    return renamed


def _encoder(options: CodecOptions, widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in zip([1, *widths], widths, strict=False):
        layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.ReLU()]
    layers += [ResidualBlock(widths[-1]) for _ in range(options.blocks)]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], options.code_width, 1))


def _decoder(options: CodecOptions, widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(options.code_width, widths[-1], 1), nn.ReLU()]
    layers += [ResidualBlock(widths[-1]) for _ in range(options.blocks)]
    for before, after in zip([widths[-1], *widths[::-1]], widths[::-1], strict=False):
        layers += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(widths[0], 1, 1))
