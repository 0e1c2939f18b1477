"""Sizes of a network, as in a preset; imports nothing heavy, since the command line reads this."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class NetworkOptions:
    """Options of the shared network; defaults are MAD-R50 (section 4.1, Table 9).

    Args:
        family: ``mad`` (post-norm, DETR-like; the network of every controlled comparison) or ``ait`` (pre-norm,
            Pix2Seq-like; AiT section 4.1).
        backbone: name of a timm model.
        weights: backbone weights: a local file, ``timm`` for timm's pretrained ones, or None for random.
        image_side: pixels of the square image for which a ViT or Swin backbone builds positions and windows; None keeps
            the model's. Other image sizes still work.
        windows: sides of a Swin V2's attention windows, one per stage; none keeps the model's.
        backbone_drop_path: share of residuals that the last layer of a ViT or Swin backbone skips while training.
        stride: pixels per memory position (8, 16 or 32).
        frozen_norm: whether the backbone's batch norms are frozen.
        frozen_stem: whether the backbone's stem is frozen (ResNets).
        width: D.
        heads: H.
        ffn: width of the feed-forward layers.
        encoder_ffn: the same of the encoder; default: ``ffn``.
        encoder_layers: encoder layers.
        decoder_layers: decoder layers.
        dropout: dropout while training.
        drop_path: share of residuals that encoder and decoder skip while training (``ait`` only).
        positions: learned sequence positions, prompt included; at least P + L of the longest task. Family ``ait`` has
            as many for each task.
        sinusoid_bins: initialize coordinate and depth tokens as sinusoids of their value, so that near values start
            near each other; MAD initializes all tokens at random.
        placed_values: add positions to the values of cross-attention too, not only to its keys as in MAD. An encoder
            that is frozen before any decoder is trained never learns to write positions into its states.
    """

    family: Literal["mad", "ait"] = "mad"
    backbone: str = "resnet50"
    weights: Path | str | None = None
    image_side: int | None = None
    windows: tuple[int, ...] = ()
    backbone_drop_path: float = 0.0
    stride: int = 32
    frozen_norm: bool = True
    frozen_stem: bool = True
    width: int = 256
    heads: int = 8
    ffn: int = 2048
    encoder_ffn: int | None = None
    encoder_layers: int = 6
    decoder_layers: int = 6
    dropout: float = 0.1
    drop_path: float = 0.0
    positions: int = 506
    sinusoid_bins: bool = False
    placed_values: bool = False

    def __post_init__(self) -> None:
        if self.stride not in {8, 16, 32}:
            raise ValueError(f"network.stride is {self.stride}; give 8, 16 or 32")
        for name in ("width", "heads", "ffn", "encoder_layers", "decoder_layers", "positions"):
            if getattr(self, name) < 1:
                raise ValueError(f"network.{name} is {getattr(self, name)}; give at least 1")
        if any(side is not None and side < 1 for side in (self.image_side, *self.windows)):
            raise ValueError("network.image_side and network.windows are pixels and sides; give at least 1")
        if self.width % 4 or self.width % self.heads:
            raise ValueError(f"network.width {self.width} must be a multiple of 4 and of the {self.heads} heads")
        for name in ("dropout", "drop_path", "backbone_drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"network.{name} is {getattr(self, name)}; give a fraction below 1")
        foreign = {"mad": ("drop_path",), "ait": ("sinusoid_bins", "placed_values", "encoder_ffn")}[self.family]
        for name in foreign:
            if getattr(self, name):
                raise ValueError(f"network.{name} is {getattr(self, name)}; family {self.family!r} has none, leave it")
