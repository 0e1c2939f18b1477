"""Sizes of the shared network, as a preset gives them; no heavy imports, the command line reads this."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class NetworkOptions:
    """The shared network. Defaults are MAD-R50 (section 4.1, Table 9).

    Args:
        backbone: name of a timm model.
        weights: backbone weights: a local file, ``timm`` for timm's pretrained ones, or None for random.
        image_side: pixels of the square image that a ViT or Swin backbone's positions and windows are made for; None
            keeps the model's own. Other image sizes are accepted all the same.
        stride: pixels per memory position (8, 16 or 32).
        frozen_norm: whether the backbone's batch norms are frozen.
        frozen_stem: whether the backbone's stem is frozen (ResNets).
        width: D.
        heads: H.
        ffn: width of the feed-forward layers.
        encoder_layers: encoder layers.
        decoder_layers: decoder layers.
        dropout: dropout while training.
        positions: learned sequence positions, prompt included; at least P + L of the longest task.
        sinusoid_bins: whether coordinate and depth tokens start as sinusoids of their value, so that near values start
            near each other; MAD starts all tokens at random.
        placed_values: whether positions enter what the decoder reads from the memory, and not only where it looks, as
            in MAD. An encoder that is frozen before any decoder is trained never learns to write places into its
            states.
    """

    backbone: str = "resnet50"
    weights: Path | str | None = None
    image_side: int | None = None
    stride: int = 32
    frozen_norm: bool = True
    frozen_stem: bool = True
    width: int = 256
    heads: int = 8
    ffn: int = 2048
    encoder_layers: int = 6
    decoder_layers: int = 6
    dropout: float = 0.1
    positions: int = 506
    sinusoid_bins: bool = False
    placed_values: bool = False

    def __post_init__(self) -> None:
        if self.stride not in {8, 16, 32}:
            raise ValueError(f"network.stride is {self.stride}; give 8, 16 or 32")
        if self.width % 4 or self.width % self.heads:
            raise ValueError(f"network.width {self.width} must be a multiple of 4 and of the {self.heads} heads")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"network.dropout is {self.dropout}; give a fraction below 1")
